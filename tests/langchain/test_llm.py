"""The text model over a scripted gateway; LangChain has no standard tests for one."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, load
from langchain_core.prompts import PromptTemplate

from dashscope_oss import (
    AuthenticationError,
    ConfigurationError,
    UnsupportedInputError,
    Usage,
    find_model,
)
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss import DashScopeOSSLLM

SILENT = ("ziya-llama-13b-v1", "belle-llama-13b-2m-v1")
MODELS = ("llama3-8b-instruct", "baichuan2-7b-chat-v1", *SILENT, "deepseek-v4-pro")
HELLO = Answer(pieces=("Hel", "lo ", "you"), usage=Usage(7, 5, 12))
COUNTS = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
TWICE = {"input_tokens": 14, "output_tokens": 10, "total_tokens": 24}
PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


class Ends(BaseCallbackHandler):
    """Keeps what LangChain hands to on_llm_end, and the tokens before it."""

    def __init__(self):
        self.tokens = []
        self.result = None

    def on_llm_new_token(self, token, **_):
        self.tokens.append(token)

    def on_llm_end(self, response, **_):
        self.result = response


async def answered(llm, path, prompt="Hi", **given):
    """The text by one of the four paths."""
    if path == "invoke":
        return llm.invoke(prompt, **given)
    if path == "ainvoke":
        return await llm.ainvoke(prompt, **given)
    if path == "stream":
        return "".join(llm.stream(prompt, **given))
    return "".join([piece async for piece in llm.astream(prompt, **given)])


@PATHS
@pytest.mark.parametrize("model", MODELS)
async def test_every_model_answers_on_every_path(text, model, path):
    """The text, and its facts where callbacks look."""
    llm, _ = text(HELLO, model=model)
    ends = Ends()
    assert await answered(llm, path, config={"callbacks": [ends]}) == "Hello you"
    info = ends.result.generations[0][0].generation_info
    usage = None if model in SILENT else COUNTS
    assert info["model_name"] == model
    assert info["finish_reason"] == "stop"
    assert info["request_id"]
    assert info["served_by"] == "none (scripted)"
    assert info["token_usage"] == usage
    if "stream" not in path:
        assert ends.result.llm_output == {"token_usage": usage, "model_name": model}
    else:
        assert [token for token in ends.tokens if token] == ["Hel", "lo ", "you"]


async def test_usage_is_summed_over_prompts(text):
    """Row 7: And stays None where nothing was reported."""
    llm, _ = text(HELLO)
    assert llm.generate(["a", "b"]).llm_output["token_usage"] == TWICE
    assert (await llm.agenerate(["a", "b"])).llm_output["token_usage"] == TWICE
    silent, _ = text(HELLO, model=SILENT[0])
    assert silent.generate(["a", "b"]).llm_output["token_usage"] is None


async def test_a_batch_keeps_its_order(text):
    """Sync one after the other, async at once."""
    llm, _ = text(lambda job: Answer(job.messages[-1].content * 2))
    assert llm.batch(["a", "b", "c"]) == ["aa", "bb", "cc"]
    assert await llm.abatch(["a", "b", "c"]) == ["aa", "bb", "cc"]


async def test_an_async_batch_fails_with_the_error_itself(text):
    """Not with a group of errors."""
    llm, _ = text(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(AuthenticationError):
        await llm.abatch(["a", "b"])


async def test_a_chain_streams(text):
    """prompt | model hands on each piece."""
    llm, _ = text(HELLO, model=SILENT[0])
    chain = PromptTemplate.from_template("Say {word}") | llm
    assert [piece for piece in chain.stream({"word": "x"}) if piece] == ["Hel", "lo ", "you"]
    pieces = [piece async for piece in chain.astream({"word": "x"}) if piece]
    assert pieces == ["Hel", "lo ", "you"]


async def test_the_first_piece_comes_before_the_last_is_sent(text):
    """The gateway holds the last piece back until the first has been received."""
    hold = threading.Event()
    llm, _ = text(Answer(pieces=("first", "last"), hold=hold))
    pieces = llm.astream("Hi")
    assert await anext(pieces) == "first"
    hold.set()
    assert "".join([piece async for piece in pieces]) == "last"


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
async def test_streaming_true_streams_inside(text, path):
    """Callbacks see every token, the result is whole."""
    llm, engine = text(HELLO, streaming=True)
    ends = Ends()
    assert await answered(llm, path, config={"callbacks": [ends]}) == "Hello you"
    assert [token for token in ends.tokens if token] == ["Hel", "lo ", "you"]
    assert ends.result.llm_output["token_usage"] == COUNTS
    assert engine.requests[-1].headers["x-dashscope-sse"] == "enable"


@pytest.mark.parametrize(
    ("model", "formatted", "prompt", "given"),
    [
        ("ziya-llama-13b-v1", None, "Hi", {"prompt": "<human>:Hi\n<bot>:"}),
        ("ziya-llama-13b-v1", True, "Hi", {"prompt": "Hi"}),
        ("ziya-llama-13b-v1", None, "<human>:Hi\n<bot>:", {"prompt": "<human>:Hi\n<bot>:"}),
        (
            "ziya-llama-13b-v1",
            False,
            "<human>:Hi\n<bot>:",
            {"prompt": "<human>:< human>:Hi\n< bot>:\n<bot>:"},
        ),
        ("baichuan2-7b-chat-v1", None, "Hi", {"prompt": "Hi"}),
        ("llama3-8b-instruct", None, "Hi", {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
)
async def test_how_a_prompt_is_sent(text, model, formatted, prompt, given):
    """Row 3: By the record; formatted can be set for the object or for a call."""
    llm, engine = text(HELLO, model=model, formatted=formatted)
    llm.invoke(prompt)
    assert engine.requests[-1].body["input"] == given
    llm.formatted = None
    llm.invoke(prompt, formatted=formatted)
    assert engine.requests[-1].body["input"] == given
    assert "formatted" not in engine.requests[-1].body["parameters"]


@PATHS
async def test_call_arguments(text, path):
    """Parameters, stop and another model for one call."""
    llm, engine = text(HELLO, temperature=0.5, stop=["END"])
    await answered(llm, path, temperature=0.25, stop=["STOP"], model="llama3-70b-instruct")
    body = engine.requests[-1].body
    assert body["model"] == "llama3-70b-instruct"
    assert body["parameters"]["temperature"] == 0.25
    assert body["parameters"]["stop"] == ["STOP"]


@PATHS
async def test_refusals_come_before_any_request(text, path):
    """An empty prompt, tools, a setting of the object."""
    llm, engine = text(HELLO, model="deepseek-v4-pro")
    with pytest.raises(UnsupportedInputError, match="empty"):
        await answered(llm, path, "  ")
    with pytest.raises(UnsupportedInputError, match="use ChatDashScopeOSS"):
        await answered(llm, path, tools=[{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(ConfigurationError, match="timeout is a setting"):
        await answered(llm, path, timeout=3)
    assert engine.requests == []


@PATHS
async def test_thoughts_are_kept_apart(text, path):
    """They are in generation_info, never in the text."""
    llm, _ = text(Answer("42", reasoning="six times seven"), model="deepseek-v4-pro")
    ends = Ends()
    assert await answered(llm, path, config={"callbacks": [ends]}) == "42"
    info = ends.result.generations[0][0].generation_info
    assert info["reasoning_content"] == "six times seven"


@pytest.mark.parametrize(
    "other",
    [
        {"model": "baichuan2-7b-chat-v1"},
        {"temperature": 0.1},
        {"stop": ["x"]},
        {"formatted": True},
        {"model_info": replace(find_model("llama3-8b-instruct"), max_output=9)},
    ],
)
async def test_models_do_not_share_cached_answers(text, other):
    """Whatever changes the answer changes the cache's key."""
    cache = InMemoryCache()
    one, engine = text(Answer("one"), Answer("two"), cache=cache)
    two, _ = text(cache=cache, **{"base_url": engine.base_url, **other})
    assert [one.invoke("Hi"), one.invoke("Hi"), two.invoke("Hi")] == ["one", "one", "two"]


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_serialised_without_the_key(monkeypatch):
    """Row 16: And loaded with the one of the environment."""
    key = "sk-0123456789abcdef"
    llm = DashScopeOSSLLM(
        model_name="ziya-llama-13b-v1",
        api_base="http://127.0.0.1:1/api/v1",
        dashscope_api_key=key,
        formatted=True,
    )
    written = dumpd(llm)
    assert key not in json.dumps(written) + repr(llm) + str(llm)
    monkeypatch.setenv("DASHSCOPE_API_KEY", key)
    again = load(
        written,
        allowed_objects=[DashScopeOSSLLM],
        valid_namespaces=["langchain_dashscope_oss"],
        secrets_from_env=True,
    )
    assert again == llm


def test_traces_name_the_service():
    """Row 29: Provider, model and the versions that took part."""
    llm = DashScopeOSSLLM(
        model="ziya-llama-13b-v1", base_url="http://127.0.0.1:1/api/v1", stop="x", temperature=0.5
    )
    assert llm._get_ls_params() == {
        "ls_provider": "dashscope",
        "ls_model_type": "llm",
        "ls_model_name": "ziya-llama-13b-v1",
        "ls_temperature": 0.5,
        "ls_stop": ["x"],
    }
    assert set(llm.metadata["lc_versions"]) >= {"langchain-core", "dashscope-oss"}
