"""The programs in examples/ work as they stand."""

import re
import sys
import warnings
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager

from dashscope_oss import (
    Client,
    DashScopeError,
    Endpoint,
    Message,
    Options,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.gateway import Answer, Gateway, OpenAIEngine, Upstream, serve_in_thread
from dashscope_oss.gateway.engines import weights
from dashscope_oss.messages import ImagePart, TextPart, Usage
from dashscope_oss.registry.catalog import SEED_IDS
from tests.conftest import CACHE

FOLDER = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def demo(monkeypatch):
    """The demo as a module; the callbacks that it sets in LlamaIndex are taken back."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(Settings, "callback_manager", CallbackManager())
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    return import_module("demo")


def answered(output):
    """The models that answered."""
    return re.findall(r"\[([\w.-]+)\] .+\n  \S", output)


def counted(output):
    """Model and framework of each answer whose tokens were counted, and the weights."""
    line = r"^([\w.-]+) +(LangChain|LlamaIndex) \w+ +[1-9]\d* +[1-9]\d* +(\S+)"
    return re.findall(line, output, re.MULTILINE)


def test_the_demo_asks_eight_seed_models_in_both_frameworks(demo, gateway, capsys):
    """Each answers; of five the service reports tokens, which the callbacks see."""
    engine = gateway(Answer("In words.", usage=Usage(input_tokens=5, output_tokens=2)))

    usages = demo.ask_all(engine.base_url, demo.LOCAL_CHAT, demo.LOCAL_TEXT, demo.LOCAL_RAG)
    demo.print_table(usages)

    output = capsys.readouterr().out
    models = answered(output)
    assert len(models) == len(set(models) & set(SEED_IDS)) == 8
    assert sorted(framework for _, framework, _ in counted(output)) == [
        *("LangChain", "LangChain", "LlamaIndex", "LlamaIndex", "LlamaIndex")
    ]


@pytest.mark.filterwarnings("ignore:.*cut off at max_tokens")
def test_a_small_model_on_this_machine_answers_the_demo(demo, small_model, monkeypatch, capsys):
    """One question of each kind, and the first words of its answer."""
    monkeypatch.setitem(demo.SETTINGS, "max_tokens", 16)
    for name in ("LOCAL_CHAT", "LOCAL_TEXT", "LOCAL_RAG"):
        monkeypatch.setattr(demo, name, dict([*getattr(demo, name).items()][:1]))

    demo.main()

    output = capsys.readouterr().out
    assert len(answered(output)) == 3
    assert {framework for _, framework, _ in counted(output)} == {"LangChain", "LlamaIndex"}
    assert {weights for *_, weights in counted(output)} == {"smollm2-135m-instruct"}


@pytest.mark.filterwarnings("default")
def test_a_warning_of_the_demo_stands_below_its_answer(demo, capsys):
    def pieces():
        yield "half of "
        warnings.warn("it is cut off", stacklevel=1)
        yield "it"

    demo.print_answer("m", "Why?", pieces())

    assert capsys.readouterr().out == "\n[m] Why?\n  half of it\n  Warning: it is cut off\n"


def test_the_demo_takes_a_model_file_of_yours(demo, small_model, tmp_path, monkeypatch, capsys):
    """--gguf FILE: that file answers, under its own name. Here it is a copy of the small one."""
    file = tmp_path / "mine.gguf"
    file.symlink_to(CACHE / weights.FILE)
    asked = []

    def ask_all(base_url, *models):
        endpoint = Endpoint.resolve(base_url=base_url)
        request = completion_request(find_model(SEED_IDS[0]), "Tea is", Options(max_tokens=2))
        with Client(endpoint) as client:
            asked.append(client.send(request).served_by)
        return []

    monkeypatch.setattr(demo, "ask_all", ask_all)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--gguf", str(file)])
    demo.main()

    assert [served_by.startswith("mine") for served_by in asked] == [True]
    assert "mine.gguf" in capsys.readouterr().out


@pytest.mark.usefixtures("demo")
def test_the_demo_asks_the_hosted_service_if_there_is_a_key(gateway, monkeypatch, capsys):
    """With DASHSCOPE_API_KEY set a hosted model answers at the address of the environment."""
    engine = gateway(Answer("Hosted words.", usage=Usage(input_tokens=5, output_tokens=2)))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-hosted")
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", engine.base_url)

    run_path(str(FOLDER / "demo.py"), run_name="__main__")

    output = capsys.readouterr()
    assert "the hosted service answers" in output.out
    assert output.out.count("Hosted words.") == 2
    assert {request.body["model"] for request in engine.requests} == {"deepseek-v4-flash"}
    assert "sk-hosted" not in output.out + output.err


async def test_the_sentence_encoder_gives_the_same_async(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    encoder = import_module("sentence_encoder").SentenceEncoder()

    assert await encoder.aget_query_embedding("Hi") == encoder.get_query_embedding("Hi")


def test_a_picture_is_read_behind_the_gateway(monkeypatch):
    """By a real network; an address is no picture, for the reader fetches nothing."""
    pytest.importorskip("faster_paddle", reason="make installs it with all else for development")
    monkeypatch.syspath_prepend(str(FOLDER))
    with ExitStack() as running:
        reader = running.enter_context(import_module("picture_reader").serve_in_thread())
        engine = OpenAIEngine(Upstream(url=reader.url, default="PP-OCRv6"))
        url = running.enter_context(serve_in_thread(Gateway(engine)))
        client = running.enter_context(Client(Endpoint.resolve(base_url=url)))

        def asked(picture):
            parts = (ImagePart(picture), TextPart("What does black tea cost?"))
            message = Message.of_parts("user", parts)
            return client.send(chat_request(find_model("qwen3.6-27b"), [message])).text

        assert asked((FOLDER / "pictures" / "tea_house.png").read_bytes()) == "Black tea 红茶  32"
        with pytest.raises(DashScopeError, match="this server fetches nothing"):
            asked("https://example.com/tea_house.png")
