"""The conformance suite for LLM classes of LlamaIndex: its command, its table and its service."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from tests.conformance import candidates, conftest, server
from tests.conformance import test_llm as suite
from tests.conformance.server import Answer

ROOT = Path(__file__).parents[1]
MINE = """
from llama_index.core.llms import MockLLM


def make(service, kind, **settings):
    return MockLLM()


make.native = False
make.distribution = "dashscope-oss"
"""


def run_suite(folder, name, *arguments):
    """Run the documented command in a clone, with a class in ``mine.py`` on the path."""
    (folder / "mine.py").write_text(MINE, "utf-8")
    environment = {
        **os.environ,
        candidates.VARIABLE: name,
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTHONPATH": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/conformance", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_another_class_can_be_held_to_the_suite(tmp_path):
    """By the command that it documents; the table at the end counts what passed."""
    output = run_suite(
        tmp_path, "mine:make", "-k", "b11 or b14 or b15 or b24 or (b01 and achat-400)"
    )
    assert "2 failed, 5 passed, 4 skipped" in output
    assert "| a refusal raises | 0/1 |" in output
    assert "| repeated text not doubled | – |" in output
    assert "| key in no form of the object | 4/4 |" in output
    assert "| no pinned dependency | 1/1 |" in output
    assert "| all | 5/7 |" in output


def test_a_name_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="is module:function or one of dashscope-oss, dashscope,"):
        candidates.candidate("mine")


def test_a_function_needs_no_attributes(monkeypatch):
    module = SimpleNamespace(make=lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "mine", module)
    assert candidates.candidate("mine:make") == candidates.Candidate(module.make, None, native=True)


@pytest.mark.parametrize(
    ("name", "module", "called", "address"),
    [
        ("dashscope", "llama_index.llms.dashscope", "DashScope", "/api/v1"),
        ("openai-like", "llama_index.llms.openai_like", "OpenAILike", "/compatible-mode/v1"),
    ],
)
def test_rivals_are_known_by_name(monkeypatch, name, module, called, address):
    """Each is built with its own settings, and calls its own protocol."""
    sdk = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "dashscope", sdk)
    monkeypatch.setitem(
        sys.modules, module, SimpleNamespace(**{called: lambda **settings: settings})
    )
    settings = candidates.candidate(name).make(server.Service("http://s"), "small", api_key="k")
    assert settings.pop("api_key") == "k"
    assert candidates.MODELS["small"] in settings.values()
    assert f"http://s{address}" in (settings.get("api_base"), vars(sdk).get("base_http_api_url"))


def test_the_documentation_shows_the_checks_of_the_suite():
    """The table's kinds, and how many checks each has, are those of the suite."""
    page = (ROOT / "docs" / "frameworks" / "conformance.md").read_text("utf-8")
    table = page.partition("| what is checked |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| (.*?) \| \d+/(\d+) \|", table, re.MULTILINE))
    kinds = dict.fromkeys(conftest.KINDS.values(), 0)
    for name, test in vars(suite).items():
        if name.startswith("test_b"):
            kinds[conftest.KINDS[name[5:8]]] += checks(test)
    kinds["all"] = sum(kinds.values())
    assert shown == {kind: str(count) for kind, count in kinds.items()}


def checks(test):
    """How many tests pytest makes of a function."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    return math.prod(len(mark.args[1]) for mark in marks)


# The service as other classes take it: events that repeat, and OpenAI's protocol.


def ask_openai(answer, path="/chat/completions", **body):
    with server.service(answer) as running:
        url = f"{running.openai}{path}"
        return httpx2.post(url, json={"model": "m", "messages": [], **body})


def events(answer):
    """What the events of a stream hold, without the mark at its end."""
    lines = re.findall(r"^data:\s*(\{.*)$", answer.text, re.MULTILINE)
    return [json.loads(line) for line in lines]


def test_without_incremental_output_each_event_holds_all_so_far():
    """The arguments of a tool call too."""
    with server.service(Answer(call="add", arguments=("{", "}"))) as running:
        url = f"{running.dashscope}/services/aigc/text-generation/generation"
        body = {"input": {"messages": []}, "parameters": {}}
        pieces = events(httpx2.post(url, json=body, headers={"X-DashScope-SSE": "enable"}))
    messages = [one["output"]["choices"][0]["message"] for one in pieces]
    called = [message["tool_calls"][0]["function"] for message in messages]
    assert called == [{"name": "add", "arguments": "{"}, {"name": "add", "arguments": "{}"}]


def test_openai_answers_whole():
    body = ask_openai(Answer(thoughts="hm")).json()
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "fine",
        "reasoning_content": "hm",
    }
    assert body["usage"] == {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}


def test_openai_completes_a_prompt():
    whole = ask_openai(Answer(), "/completions", prompt="hi").json()
    streamed = events(ask_openai(Answer((None, "a")), "/completions", prompt="hi", stream=True))
    assert whole["choices"][0]["text"] == "fine"
    assert [one["choices"][0]["text"] for one in streamed] == ["", "a"]


def test_openai_streams_usage_when_it_is_requested():
    answer = ask_openai(Answer(("a", "b")), stream=True, stream_options={"include_usage": True})
    *pieces, last = events(answer)
    assert [one["choices"][0]["delta"]["content"] for one in pieces] == ["a", "b"]
    assert [one["choices"][0]["finish_reason"] for one in pieces] == [None, "stop"]
    assert last["usage"]["completion_tokens"] == 4
    assert answer.text.endswith("data: [DONE]\n\n")


def test_openai_breaks_in_the_middle():
    first, last = events(ask_openai(Answer(("a", "b"), breaks=True), stream=True))
    assert first["choices"][0]["delta"]["content"] == "a"
    assert last["error"]["code"] == "InternalError"


def test_openai_refuses():
    answer = ask_openai(Answer(status=401))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidApiKey"
