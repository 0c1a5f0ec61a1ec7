"""The gateway over real sockets: what it accepts, what it refuses, that it lives on."""

import asyncio
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
from dashscope_oss.gateway.http.disconnect import run_until_disconnect
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse
from dashscope_oss.protocol.streaming.deltas import join_deltas

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
    model_info = find_model("llama3-8b-instruct")
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        deltas = client.stream(chat_request(model_info, [Message("user", "hi")], stream=True))
        next(deltas)
        deltas.close()

        assert left.wait(10)


def test_a_port_in_use_is_said_so():
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


def test_a_connection_that_is_cut_in_a_stream_has_given_the_pieces_before(gateway):
    """An engine's wish to cut comes after what was said."""
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


class Caller:
    """The caller's end of an ASGI exchange: what it sends, one at a time, and what it gets."""

    def __init__(self, *events):
        self.events = [{"type": event} for event in events]
        self.sent = []
        self.asked = asyncio.Event()

    async def receive(self):
        if not self.events:
            self.asked.set()
            await asyncio.Event().wait()
        return self.events.pop(0)

    async def send(self, event):
        self.sent.append(event)

    def exchange(self):
        request = HttpRequest({"method": "POST", "path": "/"}, self.receive)
        return request, HttpResponse(request, self.send)


async def test_what_a_caller_sends_late_does_not_stop_its_answer():
    """Only its leaving does."""
    caller = Caller("http.request")
    request, response = caller.exchange()

    async def work():
        await caller.asked.wait()
        await response.send_json(200, {})

    await run_until_disconnect(work(), request, response)

    assert (response.status, request.disconnected) == (200, False)


async def test_the_end_of_an_answer_is_not_the_callers_leaving():
    """Servers report both in the same way; what is still to be done is done."""
    caller = Caller("http.disconnect")
    request, response = caller.exchange()
    done = []

    async def work():
        await response.send_json(200, {})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append(True)

    await run_until_disconnect(work(), request, response)

    assert (done, request.disconnected) == ([True], False)


async def test_a_call_that_cannot_even_be_refused_is_counted():
    """A connection that breaks in the refusal leaves its mark in the numbers."""
    caller = Caller()
    app = Gateway(ScriptedEngine())

    async def send(_):
        raise OSError("gone")

    scope = {"type": "http", "method": "GET", "path": "/api/v1" + PATH, "headers": []}
    with pytest.raises(OSError, match="gone"):
        await app(scope, caller.receive, send)

    assert app.metrics.totals[""].requests == 1
