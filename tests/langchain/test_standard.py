"""LangChain's standard tests over a scripted gateway, for one model of every kind.

The integration suite runs for models with tools, with images, without both, and without messages
or usage, and its tests of images and audio for every kind of model that takes them; the unit
suite, which sends nothing, for the two that differ most. The only expected
failure is test_serdes, whose reason lies upstream (a loaded copy is tested in test_secrets.py).
"""

from __future__ import annotations

from contextlib import closing
from functools import reduce
from operator import add
from pathlib import Path

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from dashscope_oss import find_model
from dashscope_oss.gateway import Gateway, ScriptedEngine, serve_in_thread
from langchain_dashscope_oss import ChatDashScopeOSS
from tests.files import PNG, WAV
from tests.wire import cassette

from .standard_gateway import reply

NOWHERE = "http://127.0.0.1:1/api/v1"
WHY_NOT_LOADED = "langchain_core.load refuses classes of other packages unless they are named"
PROVENANCE = "recorded from this project's gateway, answers by tests/langchain/standard_gateway.py"

# The suites ask every model for everything; what a model lacks is said in a warning.
pytestmark = [
    pytest.mark.versions,
    pytest.mark.filterwarnings("ignore:.*cannot force a call of any of several tools"),
    pytest.mark.filterwarnings("ignore:.*does not know method="),
    # Only while recording.
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
]


class Kind:
    """What the suites must know of a model; the registry's record says most of it."""

    model_id = ""
    other = ""
    address = NOWHERE

    @property
    def chat_model_class(self):
        return ChatDashScopeOSS

    @property
    def chat_model_params(self):
        return {"model": self.model_id, "base_url": self.address}

    @property
    def has_tool_calling(self):
        return find_model(self.model_id).tools

    @property
    def has_tool_choice(self):
        return find_model(self.model_id).tools

    @property
    def has_structured_output(self):
        return True

    @property
    def supports_json_mode(self):
        return find_model(self.model_id).structured == "json_object"

    @property
    def returns_usage_metadata(self):
        return find_model(self.model_id).reports_usage

    @property
    def supported_usage_metadata_details(self):
        cache = ["cache_read_input", "cache_creation_input"]
        details = cache if self.returns_usage_metadata else []
        if find_model(self.model_id).thinks(None):
            details.append("reasoning_output")
        return {"invoke": details, "stream": details}

    @property
    def supports_image_inputs(self):
        return "image" in find_model(self.model_id).modalities

    @property
    def supports_anthropic_inputs(self):
        # They hold cache marks, which other models get with a warning only.
        may_mark = find_model(self.model_id).context_cache in ("explicit", "unknown")
        return may_mark and self.has_tool_calling

    @property
    def supports_image_urls(self):
        return self.supports_image_inputs

    @property
    def supports_image_tool_message(self):
        return self.supports_image_inputs

    @property
    def supports_audio_inputs(self):
        return "audio" in find_model(self.model_id).modalities

    @property
    def model_override_value(self):
        return self.other

    @property
    def enable_vcr_tests(self):
        return True


class DeepSeek(Kind):
    """Messages, tools, thoughts on every path."""

    model_id, other = "deepseek-v4-pro", "deepseek-v4-flash"


class Qwen(Kind):
    """Images and videos, at the other endpoint; thoughts in streams only: invoke streams inside."""

    model_id, other = "qwen3.6-27b", "qwen3.5-27b"


class Llama3(Kind):
    """Messages, no tools."""

    model_id, other = "llama3-8b-instruct", "llama3-70b-instruct"


class Ziya(Kind):
    """One prompt, no tools, no usage."""

    model_id, other = "ziya-llama-13b-v1", "baichuan2-7b-chat-v1"


class Unit(ChatModelUnitTests):
    """The suite that sends nothing."""

    @property
    def init_from_env_params(self):
        env = {
            "DASHSCOPE_API_KEY": "sk-of-the-environment",
            "DASHSCOPE_HTTP_BASE_URL": NOWHERE,
            "DASHSCOPE_WORKSPACE": "ws",
        }
        return env, {"model": self.model_id}, {"model": self.model_id}

    @pytest.mark.xfail(reason=WHY_NOT_LOADED, raises=ValueError)
    def test_serdes(self, model, snapshot):
        super().test_serdes(model, snapshot)


class TestDeepSeekUnit(DeepSeek, Unit):
    pass


class TestZiyaUnit(Ziya, Unit):
    pass


@pytest.fixture(scope="module")
def address():
    """A gateway for all suites: they make their model objects without fixtures."""
    with serve_in_thread(Gateway(ScriptedEngine([reply]))) as url:
        yield url


@pytest.fixture
def vcr(request, vcr_markers, vcr_cassette_dir, default_cassette_name, record_mode):
    """Play the cassette of a test that is marked so; it may be played many times.

    ``pytest tests/langchain/test_standard.py -k stream_time --record-mode=rewrite`` makes them
    anew.
    """
    if not vcr_markers:
        yield None
        return
    path = Path(vcr_cassette_dir, f"{default_cassette_name}.json")
    if record_mode != "none":
        path.unlink(missing_ok=True)
    recorder = cassette.recorder(record=record_mode != "none", provenance=PROVENANCE)
    with recorder.use_cassette(str(path), allow_playback_repeats=True) as tape:
        yield tape


class Integration(ChatModelIntegrationTests):
    """The suite that calls, over a real socket; test_stream_time plays a cassette."""

    @pytest.fixture(autouse=True)
    def _address(self, address, vcr):
        # Who plays a cassette needs no server: the address would refuse the connection.
        self.address = NOWHERE if vcr and vcr.responses else address

    def invoke_with_reasoning_output(self, *, stream=False):
        return self._answer(stream=stream)

    def invoke_with_cache_read_input(self, *, stream=False):
        return self._answer(stream=stream)

    def invoke_with_cache_creation_input(self, *, stream=False):
        return self._answer(stream=stream)

    @pytest.fixture(autouse=True)
    def _image_of_the_suite(self, monkeypatch):
        """The suite fetches its image with httpx, from a host that no test may ask."""
        image = httpx.Response(200, content=PNG)
        monkeypatch.setattr(httpx, "get", lambda _, timeout: image)

    def _answer(self, *, stream):
        llm = self.chat_model_class(**self.chat_model_params)
        return reduce(add, llm.stream("Hello")) if stream else llm.invoke("Hello")


class TestDeepSeek(DeepSeek, Integration):
    pass


class TestQwen(Qwen, Integration):
    pass


class TestLlama3(Llama3, Integration):
    pass


# One model of each kind that takes images: with cache marks, with audio, with tools or without,
# thinking never, always or as asked. TestQwen runs the whole suite.
SEEING = ("kimi-k2.6", "kimi/kimi-k2.7-code", "qwen2.5-omni-7b", "qvq-72b-preview")


def suite_of(id: str) -> Integration:
    return type(id, (Kind, Integration), {"model_id": id})()


def names_of_file_tests(id):
    """The names of the suite's tests of files that ask a model only for what it has."""
    suite = suite_of(id)
    asked = {
        "test_image_inputs": suite.supports_image_inputs,
        "test_image_tool_message": suite.supports_image_inputs and suite.has_tool_calling,
        "test_anthropic_inputs": suite.supports_anthropic_inputs,
        "test_audio_inputs": suite.supports_audio_inputs,
    }
    return [name for name, may_ask in asked.items() if may_ask]


@pytest.mark.parametrize(
    ("id", "name"), [(id, name) for id in SEEING for name in names_of_file_tests(id)]
)
def test_the_files_of_the_suite_reach_every_kind_of_model(id, name, gateway, monkeypatch):
    engine, suite = gateway(reply), suite_of(id)
    suite.address = engine.base_url
    kind, file = ("audio", WAV) if "audio" in name else ("image", PNG)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none")
    monkeypatch.setattr(httpx, "get", lambda *_, **options: httpx.Response(200, content=file))
    with closing(suite.chat_model_class(**suite.chat_model_params)) as model:
        getattr(suite, name)(model)
    turns = [turn for sent in engine.requests for turn in sent.body["input"]["messages"]]
    assert any(kind in part for turn in turns for part in turn["content"])


class TestZiya(Ziya, Integration):
    pass
