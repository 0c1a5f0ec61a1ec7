"""The gateway over real sockets: what it accepts, what it refuses, that it lives on."""

import json
import socket
import threading

import httpx
import pytest

from dashscope_oss import (
    Client,
    Endpoint,
    Message,
    Options,
    ToolCall,
    chat_request,
    find_model,
)
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.protocol.streaming.deltas import join_deltas

PATH = "/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}


def post(engine, body, *, path=PATH, headers=None, **more):
    content = body if isinstance(body, bytes) else json.dumps({**body, **more}).encode()
    return httpx.post(engine.base_url + path, content=content, headers=headers or {}, verify=False)


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
    model_info = find_model("llama3-8b-instruct")

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat_request(model_info, [Message("user", "hi")], stream=True))
        first = next(deltas)
        assert not hold.is_set()
        hold.set()
        rest = "".join(delta.text for delta in deltas)

    assert (first.text, rest) == ("one ", "two")


def test_lives_on_after_bad_requests_and_broken_engines(gateway):
    """An engine's bug is a 500 with the vendor's body; the next call is answered."""

    def broken(request):
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

    async def watched(request):
        try:
            async for delta in generate(request):
                yield delta
        finally:
            left.set()

    engine.generate = watched
    model_info = find_model("llama3-8b-instruct")
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat_request(model_info, [Message("user", "hi")], stream=True))
        next(deltas)
        deltas.close()

        assert left.wait(10)


def test_a_port_in_use_is_an_error_that_says_so():
    """The error names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        taken = serve_in_thread(Gateway(ScriptedEngine()), port=port)
        with pytest.raises(ConfigurationError, match=f"port {port} .* --port 0"), taken:
            pass


def test_tool_calls_without_a_number_are_numbered_over_the_whole_stream(gateway):
    """Two calls stay two calls."""
    calls = (ToolCall("c1", "a", "{}"), ToolCall("c2", "b", "{}"))
    engine = gateway(Answer(tool_calls=calls))
    model_info = find_model("deepseek-v4-pro")
    tools = [{"type": "function", "function": {"name": "a"}}]
    options = Options(tools=tools, enable_thinking=False)

    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        request = chat_request(model_info, [Message("user", "hi")], options, stream=True)
        reply = join_deltas(list(client.stream(request)))

    assert [(call.id, call.index) for call in reply.tool_calls] == [("c1", 0), ("c2", 1)]


def test_a_body_that_is_no_json_is_noted_as_an_empty_one(gateway):
    """A test that looks at what came sees the refused call too."""
    engine = gateway(Answer("ok"))

    assert post(engine, b"{not json").status_code == 400
    assert [dict(request.body) for request in engine.requests] == [{}]


def test_a_connection_that_is_cut_in_a_stream_has_sent_the_pieces_before(gateway):
    """What the engine gave before it cut the connection arrives."""
    engine = gateway(Fault(after=2, cut=True))
    headers = {"X-DashScope-SSE": "enable"}
    with (
        httpx.Client() as client,
        client.stream("POST", engine.base_url + PATH, json=BODY, headers=headers) as reply,
    ):
        lines: list[str] = []
        with pytest.raises(httpx.RemoteProtocolError):
            lines.extend(iter_into(lines, reply))

    assert sum(line.startswith("data:") for line in lines) == 2


def iter_into(lines, reply):
    """Note the lines of an answer until it breaks off."""
    for line in reply.iter_lines():
        lines.append(line)
    return ()


async def test_what_is_no_http_is_left_to_the_server():
    """A server that lets websockets in gets no answer for them, and no failure."""
    sent = []

    async def send(event):
        sent.append(event)

    async def receive():
        return {"type": "websocket.connect"}

    await Gateway(ScriptedEngine())({"type": "websocket", "path": "/"}, receive, send)

    assert sent == []


async def test_a_call_that_cannot_even_be_refused_is_counted():
    """A connection that breaks while the error is sent appears in the metrics."""
    app = Gateway(ScriptedEngine())

    async def receive():
        raise AssertionError("the call is refused before its body is read")

    async def send(_):
        raise OSError("gone")

    scope = {"type": "http", "method": "GET", "path": "/api/v1" + PATH, "headers": []}
    with pytest.raises(OSError, match="gone"):
        await app(scope, receive, send)

    assert app.metrics.totals[""].requests == 1
