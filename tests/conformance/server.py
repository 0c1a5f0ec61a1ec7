"""A scripted service on 127.0.0.1 that speaks DashScope's protocol and OpenAI's.

It says what is written for it and notes what it was sent; it judges neither.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSALS = {
    400: ("InvalidParameter", "A parameter is wrong."),
    401: ("InvalidApiKey", "Invalid API-key provided."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
}


@dataclass(frozen=True)
class Say:
    """One answer.

    Attributes:
        pieces: of the text; ``None`` is a null in the stream.
        thoughts: of a model that thinks.
        call: name of the tool to call, with the pieces of its arguments in ``arguments``.
        status: what to refuse with.
        breaks: after the first piece the stream fails.
        repeats: each event holds all the text so far, whatever was asked for.
        plain: ``output.text`` in place of ``output.choices``.
    """

    pieces: tuple[str | None, ...] = ("fine",)
    thoughts: str = ""
    call: str = ""
    arguments: tuple[str, ...] = ()
    status: int = 200
    breaks: bool = False
    repeats: bool = False
    plain: bool = False

    @property
    def finish(self) -> str:
        """What the answer ends with."""
        return "tool_calls" if self.call else "stop"

    def messages(self) -> list[dict[str, Any]]:
        """What the events of a stream add, one after the other."""
        if self.call:
            return [self._call(at, piece) for at, piece in enumerate(self.arguments)]
        thought = [{"content": "", "reasoning_content": self.thoughts}] if self.thoughts else []
        return [*thought, *({"content": piece} for piece in self.pieces)]

    def whole(self) -> dict[str, Any]:
        """The message of an answer that does not stream."""
        if self.call:
            return self._call(0, "".join(self.arguments))
        said = {"content": "".join(filter(None, self.pieces))}
        return said | ({"reasoning_content": self.thoughts} if self.thoughts else {})

    def _call(self, at: int, arguments: str) -> dict[str, Any]:
        function = {"arguments": arguments} | ({} if at else {"name": self.call})
        called = {"index": 0, "type": "function", "id": "" if at else "call_1"}
        return {"content": "", "tool_calls": [called | {"function": function}]}


@dataclass
class Service:
    """Where to point an LLM, what it answers, and what it was sent.

    Attributes:
        root: address of the server, without a path.
        script: the answers to come; the last goes on for ever.
        bodies: of all requests so far, as JSON.
        keys: the ``Authorization`` header of each; empty if there was none.
    """

    root: str = ""
    script: list[Say] = field(default_factory=lambda: [Say()])
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def dashscope(self) -> str:
        """Base URL of DashScope's own protocol."""
        return f"{self.root}/api/v1"

    @property
    def openai(self) -> str:
        """Base URL of OpenAI's protocol."""
        return f"{self.root}/compatible-mode/v1"

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the newest request: all but the model, the input and how it is to be answered."""
        body = self.bodies[-1]
        inside = body["parameters"] if "input" in body else body
        plumbing = ("model", "messages", "prompt", "result_format", "incremental_output", "stream")
        return {name: value for name, value in inside.items() if name not in plumbing}

    @property
    def sent(self) -> str:
        """The input of the newest request."""
        body = self.bodies[-1]
        given = body.get("input", body)
        return json.dumps([given.get("messages"), given.get("prompt")], ensure_ascii=False)

    def take(self, body: dict[str, Any], key: str | None) -> Say:
        """Note a request and return its answer; the last of the script goes on for ever."""
        self.bodies.append(body)
        self.keys.append(key or "")
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def service(*script: Say) -> Iterator[Service]:
    """Serve ``script``, the last of it for ever."""
    made = Service(script=list(script))
    handler = type("Handler", (_Handler,), {"service": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        made.root = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        say = self.service.take(body, self.headers["authorization"])
        talk = _dashscope if "/services/" in self.path else _openai
        streams = body.get("stream") or self.headers["x-dashscope-sse"] == "enable"
        if say.status != 200:
            self._json(say.status, _refusal(talk, say.status))
        elif streams:
            self._stream("".join(talk(say, body)))
        else:
            self._json(200, _whole(talk, say, body))

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(body, ensure_ascii=False))

    def _stream(self, text: str) -> None:
        self._answer(200, "text/event-stream", text)

    def _answer(self, status: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("connection", "close")
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _refusal(talk: object, status: int) -> dict[str, Any]:
    code, message = REFUSALS[status]
    if talk is _dashscope:
        return {"code": code, "message": message, "request_id": "r"}
    return {"error": {"code": code, "message": message, "type": code, "param": None}}


def _whole(talk: object, say: Say, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", **say.whole()}
    choice = {"index": 0, "finish_reason": say.finish, "message": message}
    if talk is _dashscope:
        plain = say.plain or "prompt" in body["input"]
        text = {"text": message["content"], "finish_reason": "stop"}
        output = text if plain else {"choices": [choice]}
        return {"output": output, "usage": _used(talk), "request_id": "r"}
    if "prompt" in body:
        choice = {"index": 0, "finish_reason": "stop", "text": message["content"]}
    kind = {"id": "r", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**kind, "choices": [choice], "usage": _used(talk)}


def _used(talk: object) -> dict[str, int]:
    names = ("input", "output") if talk is _dashscope else ("prompt", "completion")
    return {f"{names[0]}_tokens": 11, f"{names[1]}_tokens": 4, "total_tokens": 15}


def _dashscope(say: Say, body: dict[str, Any]) -> Iterator[str]:
    told = say.messages()
    plain = say.plain or "prompt" in body["input"]
    grows = say.repeats or not body["parameters"].get("incremental_output")
    for at, message in enumerate(told):
        if say.breaks and at:
            yield f"id:{at}\nevent:error\n:HTTP_STATUS/500\n" + _data(_broken())
            return
        shown = {"role": "assistant", **(_so_far(told[: at + 1]) if grows else message)}
        finish = say.finish if at == len(told) - 1 else "null"
        choice = {"finish_reason": finish, "message": shown}
        told_whole = {"text": shown["content"], "finish_reason": finish}
        output = told_whole if plain else {"choices": [choice]}
        event = {"output": output, "usage": _used(_dashscope), "request_id": "r"}
        yield f"id:{at}\nevent:result\n:HTTP_STATUS/200\n" + _data(event)


def _broken() -> dict[str, str]:
    return {"code": "InternalError", "message": "It broke.", "request_id": "r"}


def _so_far(told: list[dict[str, Any]]) -> dict[str, Any]:
    """All of a stream's messages in one, as a service repeats them."""
    whole = {"content": "".join(message["content"] or "" for message in told)}
    calls = [message["tool_calls"][0] for message in told if "tool_calls" in message]
    if calls:
        joined = "".join(call["function"]["arguments"] for call in calls)
        function = calls[0]["function"] | {"arguments": joined}
        return whole | {"tool_calls": [calls[0] | {"function": function}]}
    thoughts = "".join(message.get("reasoning_content", "") for message in told)
    return whole | ({"reasoning_content": thoughts} if thoughts else {})


def _openai(say: Say, body: dict[str, Any]) -> Iterator[str]:
    told = say.messages()
    head = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    for at, message in enumerate(told):
        if say.breaks and at:
            yield _data({"error": _broken()})
            return
        finish = say.finish if at == len(told) - 1 else None
        choice = {"index": 0, "finish_reason": finish, "delta": {"role": "assistant", **message}}
        if "prompt" in body:
            choice = {"index": 0, "finish_reason": finish, "text": message["content"] or ""}
        yield _data({**head, "choices": [choice]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _data({**head, "choices": [], "usage": _used(_openai)})
    yield "data: [DONE]\n\n"


def _data(event: dict[str, Any]) -> str:
    return f"data:{json.dumps(event, ensure_ascii=False)}\n\n"
