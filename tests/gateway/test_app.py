"""The gateway over real sockets: what it accepts, what it refuses, that it lives on."""

import json
import threading

import httpx
import pytest

from dashscope_oss import (
    Client,
    Endpoint,
    Message,
    Options,
    ToolCall,
    chat,
    find_model,
)
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, bound, serving
from dashscope_oss.reply import joined

PATH = "/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}


def post(engine, body, *, path=PATH, headers=None, **more):
    content = body if isinstance(body, bytes) else json.dumps({**body, **more}).encode()
    return httpx.post(engine.base_url + path, content=content, headers=headers or {})


def test_a_call_without_parameters_or_key_in_any_order(gateway):
    """Key order, escapes, charset and missing parameters do not matter."""
    engine = gateway(Answer("ok"))
    turned = dict(reversed(BODY.items()))

    reply = post(
        engine, turned, headers={"Accept": "*/*", "Content-Type": "application/json; charset=utf-8"}
    )

    assert reply.status_code == 200
    assert reply.json()["output"] == {"finish_reason": "stop", "text": "ok"}
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


def test_the_first_event_arrives_before_the_last_is_sent(gateway):
    """Events leave as they are produced."""
    hold = threading.Event()
    engine = gateway(Answer(pieces=("one ", "two"), hold=hold))
    record = find_model("llama3-8b-instruct")

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat(record, [Message("user", "hi")], stream=True))
        first = next(deltas)
        assert not hold.is_set()
        hold.set()
        rest = "".join(delta.text for delta in deltas)

    assert (first.text, rest) == ("one ", "two")


def test_lives_on_after_bad_requests_and_broken_engines(gateway):
    """An engine's bug is a 500 with the vendor's body; the next call is answered."""

    def broken(job):
        raise RuntimeError("a bug")

    engine = gateway(broken, Fault(cut=True), Answer("alive"))

    assert post(engine, BODY).json()["code"] == "InternalError"
    with pytest.raises(httpx.RemoteProtocolError):
        post(engine, BODY)
    assert post(engine, BODY).json()["output"]["text"] == "alive"


def test_stops_the_engine_when_the_caller_leaves(gateway):
    """A closed connection ends the generation."""
    left = threading.Event()
    engine = gateway(Answer(pieces=("one ", "two ", *("more ",) * 400), pause=0.05))
    generate = engine.generate

    async def watched(job):
        try:
            async for delta in generate(job):
                yield delta
        finally:
            left.set()

    engine.generate = watched
    record = find_model("llama3-8b-instruct")
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat(record, [Message("user", "hi")], stream=True))
        next(deltas)
        deltas.close()

        assert left.wait(10)


def test_a_port_in_use_is_said_so():
    """The error names the port and the way out."""
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = serving(Gateway(ScriptedEngine()), port=port)
        with pytest.raises(ConfigurationError, match=f"port {port} .* --port 0"), taken:
            pass


def test_tool_calls_without_a_number_are_numbered_over_the_whole_stream(gateway):
    """Two calls stay two calls."""
    calls = (ToolCall("c1", "a", "{}"), ToolCall("c2", "b", "{}"))
    engine = gateway(Answer(tool_calls=calls))
    record = find_model("deepseek-v4-pro")
    tools = [{"type": "function", "function": {"name": "a"}}]
    options = Options(tools=tools, enable_thinking=False)

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        request = chat(record, [Message("user", "hi")], options, stream=True)
        reply = joined(list(client.stream(request)))

    assert [(call.id, call.index) for call in reply.tool_calls] == [("c1", 0), ("c2", 1)]
