"""Other people's clients, unmodified, against the gateway: `make clients`.

Their versions clash with one another and with what this project is developed with. So each stands
in a folder of its own, before everything else on the path of a process of its own.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.messages import ToolCall, Usage

HERE = Path(__file__).parent
FOLDERS = Path(sys.prefix) / "clients"
TEXT = "The capital of Zhejiang is Hangzhou."
THOUGHT = "Zhejiang is a province."
CALL = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
RANGE = "Temperature should be in [0.0, 2.0)"
CLIENTS = {
    # Name: script, folder before everything else on the path.
    "SDK 2": ("vendor_sdk.py", None),
    "SDK 1.14": ("vendor_sdk.py", "sdk-1.14"),
    "ChatTongyi": ("chat_tongyi.py", "tongyi"),
    "LlamaIndex": ("llama_index_llm.py", "llama-index"),
    "OpenAI 3": ("openai_sdk.py", "openai-3"),
    "OpenAI 2": ("openai_sdk.py", "openai-2"),
}
ZIYA = f"<s><human> :你好\n<bot> : {TEXT}</s>"
SDK = {
    "sync": [200, TEXT, 9],
    "prompt": [200, ZIYA],
    "message": [200, TEXT],
    "stream": [True, TEXT, "stop"],
    "pieces": TEXT,
    "tools": [CALL, "tool_calls"],
    "thinking": [THOUGHT, TEXT],
    "refused": [400, "InvalidParameter", RANGE],
    "refused_stream": [[True, "InvalidParameter", RANGE]],
    "wrong_key": [[401, "InvalidApiKey"]],
}
OPENAI = {
    "sync": [TEXT, 9],
    "prompt": TEXT,
    "stream": [True, TEXT, "stop", 9],
    "tools": [CALL, "tool_calls"],
    "streamed_tools": CALL,
    "thinking": [THOUGHT, TEXT],
    "refused": ["BadRequestError", 400, "invalid_parameter_error", RANGE],
    "refused_stream": ["BadRequestError", 400, "invalid_parameter_error", RANGE],
    "wrong_key": ["AuthenticationError", 401, "invalid_api_key"],
    "unknown_model": ["NotFoundError", 404, "model_not_found"],
    "broken_off": ["piece 1 ", "Model is unavailable"],
    "models": ["llama2-7b-chat-v2", "Zhipu"],
    "asynchronous": [TEXT, TEXT],
}
EXPECTED = {
    "SDK 2": {**SDK, "asynchronous": [TEXT, TEXT], "models": [200, "llama2-7b-chat-v2"]},
    "SDK 1.14": SDK,
    "ChatTongyi": {
        "sync": [TEXT, "stop"],
        "asynchronous": [TEXT, TEXT],
        "stream": [True, TEXT],
        "tools": [["add", {"a": 1, "b": 2}]],
        "thinking": [THOUGHT, TEXT],
        "refused": RANGE,
        "refused_stream": RANGE,
    },
    "LlamaIndex": {
        "complete": TEXT,
        "chat": TEXT,
        "stream": [True, TEXT],
        "asynchronous": [TEXT, TEXT],
        "tools": [["add", {"a": 1, "b": 2}]],
    },
    "OpenAI 3": OPENAI,
    "OpenAI 2": OPENAI,
}


def answer(request):
    usage = Usage(input_tokens=7, output_tokens=9, total_tokens=16)
    if request.parameters.get("seed") == 503:
        return Fault(503, "ModelUnavailable", "Model is unavailable", after=1)
    if request.parameters.get("tools"):
        return Answer(tool_calls=(ToolCall("call_1", CALL["name"], CALL["arguments"]),))
    reasoning = THOUGHT if request.parameters.get("enable_thinking") else ""
    return Answer(TEXT, reasoning=reasoning, usage=usage)


@pytest.fixture(scope="module")
def url():
    with serve_in_thread(Gateway(ScriptedEngine([answer]), api_keys=("sk-right",))) as url:
        yield url


@cache
def printed(client, url):
    """What the client's script prints."""
    script, folder = CLIENTS[client]
    if folder is not None and not (FOLDERS / folder).is_dir():
        pytest.fail(f"{client} is not installed at {FOLDERS / folder}: run `make clients`")
    path = [str(FOLDERS / folder)] if folder else []
    settings = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "DASHSCOPE_HTTP_BASE_URL": url,
        "PYTHONPATH": os.pathsep.join(path),
    }
    command = [sys.executable, "-W", "ignore", str(HERE / script)]
    done = subprocess.run(
        command, check=False, env=settings, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("client", "what"),
    [(client, what) for client, expected in EXPECTED.items() for what in expected],
)
def test_the_client_works_unchanged(client, what, url):
    """Sync, async, streams, tools, thinking and errors work as its own page says."""
    result, expected = printed(client, url)[what], EXPECTED[client][what]

    assert expected in result if isinstance(expected, str) else result == expected


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_comes_from_its_own_folder(client, url):
    """Not from the environment of this project, which has other versions."""
    folder = CLIENTS[client][1]

    assert folder is None or str(FOLDERS / folder) in printed(client, url)["file"]
