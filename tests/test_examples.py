"""The programs in examples/ work as they stand."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import pytest

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


def run_demo(**environment):
    return subprocess.run(
        [sys.executable, str(FOLDER / "demo.py")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_demo_does_the_packages_real_work(small_model):
    """A chain and a RAG engine, at least five seed models, with the callbacks' usage."""
    done = run_demo()

    assert done.returncode == 0, done.stderr
    answers = re.findall(r"\[([\w.-]+)\] .+\n  (\S.*)", done.stdout)
    assert len({model for model, _ in answers} & set(SEED_IDS)) >= 5
    counted = re.findall(
        r"^([\w.-]+) +(LangChain \w+|LlamaIndex RAG) +([1-9]\d*) +([1-9]\d*) +smollm2-135m",
        done.stdout,
        flags=re.MULTILINE,
    )
    assert len({model for model, *_ in counted} & set(SEED_IDS)) >= 5
    assert {framework.split()[0] for _, framework, *_ in counted} == {"LangChain", "LlamaIndex"}
    assert "Error" not in done.stderr + done.stdout


def test_the_demo_takes_a_model_file_of_yours(small_model, tmp_path, monkeypatch, capsys):
    """--gguf FILE: that file answers, under its own name. Here it is a copy of the small one."""
    file = tmp_path / "mine.gguf"
    file.symlink_to(CACHE / weights.FILE)
    monkeypatch.syspath_prepend(str(FOLDER))
    demo = import_module("demo")
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


def test_the_demo_asks_the_hosted_service_if_there_is_a_key(gateway):
    """With DASHSCOPE_API_KEY set a hosted model answers at the address of the environment."""
    engine = gateway(Answer("Hosted words.", usage=Usage(input_tokens=5, output_tokens=2)))

    done = run_demo(DASHSCOPE_API_KEY="sk-hosted", DASHSCOPE_HTTP_BASE_URL=engine.base_url)

    assert done.returncode == 0, done.stderr
    assert "the hosted service answers" in done.stdout
    assert done.stdout.count("Hosted words.") == 2
    assert {request.body["model"] for request in engine.requests} == {"deepseek-v4-flash"}
    assert "sk-hosted" not in done.stdout + done.stderr


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
