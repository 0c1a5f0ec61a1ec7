"""A scripted service on 127.0.0.1 that speaks DashScope's protocol and OpenAI's.

It answers from a script and keeps what it was sent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

REFUSALS = {
    400: ("InvalidParameter", "A parameter is wrong."),
    401: ("InvalidApiKey", "Invalid API-key provided."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
}
BROKEN = {"code": "InternalError", "message": "It broke.", "request_id": "r"}


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        pieces: of the text; ``None`` is a null in the stream.
        thoughts: of a model that thinks.
        call: name of the tool to call, with the pieces of its arguments in ``arguments``.
        status: what to refuse with.
        breaks: after the first piece the stream fails.
        repeats: each event holds all the text so far, whatever the request says.
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
            return [self._call(*numbered) for numbered in enumerate(self.arguments)]
        thought = [{"content": "", "reasoning_content": self.thoughts}] if self.thoughts else []
        return [*thought, *({"content": piece} for piece in self.pieces)]

    def whole(self) -> dict[str, Any]:
        """The message of an answer that does not stream."""
        if self.call:
            return self._call(0, "".join(self.arguments))
        message = {"content": "".join(filter(None, self.pieces))}
        return message | ({"reasoning_content": self.thoughts} if self.thoughts else {})

    def _call(self, position: int, arguments: str) -> dict[str, Any]:
        function = {"arguments": arguments} | ({} if position else {"name": self.call})
        tool_call = {"index": 0, "type": "function", "id": "" if position else "call_1"}
        return {"content": "", "tool_calls": [tool_call | {"function": function}]}


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
    script: list[Answer] = field(default_factory=lambda: [Answer()])
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
        holder = body.get("input", body)
        return json.dumps([holder.get("messages"), holder.get("prompt")], ensure_ascii=False)

    def take(self, body: dict[str, Any], key: str | None) -> Answer:
        """Keep a request and return its answer; the last of the script goes on for ever."""
        self.bodies.append(body)
        self.keys.append(key or "")
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def service(*script: Answer) -> Iterator[Service]:
    """Serve ``script``, the last of it for ever."""
    running = Service(script=list(script))
    handler = type("Handler", (_Handler,), {"service": running})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        running.root = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield running
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = self.service.take(body, self.headers["authorization"])
        protocol = DashScope() if "/services/" in self.path else OpenAI()
        if answer.status != 200:
            self._send(answer.status, "application/json", _json(protocol.error(answer.status)))
        elif body.get("stream") or self.headers["x-dashscope-sse"] == "enable":
            self._send(200, "text/event-stream", "".join(protocol.stream(answer, body)))
        else:
            self._send(200, "application/json", _json(protocol.whole(answer, body)))

    def _send(self, status: int, content_type: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(content)))
        self.send_header("connection", "close")
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


class DashScope:
    """DashScope's own protocol."""

    USAGE: ClassVar = {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}

    def error(self, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        code, message = REFUSALS[status]
        return {"code": code, "message": message, "request_id": "r"}

    def whole(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        """The body of an answer that does not stream."""
        return self._event(answer, body, answer.whole(), answer.finish)

    def stream(self, answer: Answer, body: dict[str, Any]) -> Iterator[str]:
        """The events of a stream; each holds all so far unless the request says otherwise."""
        messages = answer.messages()
        grows = answer.repeats or not body["parameters"].get("incremental_output")
        for position, message in enumerate(messages):
            if answer.breaks and position:
                yield f"id:{position}\nevent:error\n:HTTP_STATUS/500\n{_data(BROKEN)}"
                return
            so_far = _so_far(messages[: position + 1]) if grows else message
            finish = answer.finish if position == len(messages) - 1 else "null"
            data = _data(self._event(answer, body, so_far, finish))
            yield f"id:{position}\nevent:result\n:HTTP_STATUS/200\n{data}"

    def _event(
        self, answer: Answer, body: dict[str, Any], message: dict[str, Any], finish: str
    ) -> dict[str, Any]:
        choice = {"finish_reason": finish, "message": {"role": "assistant", **message}}
        output: dict[str, Any] = {"choices": [choice]}
        if answer.plain or "prompt" in body["input"]:
            output = {"text": message["content"], "finish_reason": finish}
        return {"output": output, "usage": self.USAGE, "request_id": "r"}


class OpenAI:
    """OpenAI's protocol: chat completions and completions."""

    USAGE: ClassVar = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}

    def error(self, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        code, message = REFUSALS[status]
        return {"error": {"code": code, "message": message, "type": code, "param": None}}

    def whole(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        """The body of an answer that does not stream."""
        choice = self._choice("message", answer.whole(), answer.finish, body)
        return {**self._head("chat.completion", body), "choices": [choice], "usage": self.USAGE}

    def stream(self, answer: Answer, body: dict[str, Any]) -> Iterator[str]:
        """The events of a stream, with usage if the request says so."""
        messages, head = answer.messages(), self._head("chat.completion.chunk", body)
        for position, message in enumerate(messages):
            if answer.breaks and position:
                yield _data({"error": BROKEN})
                return
            finish = answer.finish if position == len(messages) - 1 else None
            yield _data({**head, "choices": [self._choice("delta", message, finish, body)]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _data({**head, "choices": [], "usage": self.USAGE})
        yield "data: [DONE]\n\n"

    def _head(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"id": "r", "object": kind, "created": 1, "model": body["model"]}

    def _choice(
        self, kind: str, message: dict[str, Any], finish: str | None, body: dict[str, Any]
    ) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": finish}
        if "prompt" in body:
            return choice | {"text": message["content"] or ""}
        return choice | {kind: {"role": "assistant", **message}}


def _so_far(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """All of a stream's messages in one, as a service repeats them."""
    whole = {"content": "".join(message["content"] or "" for message in messages)}
    calls = [message["tool_calls"][0] for message in messages if "tool_calls" in message]
    if calls:
        joined = "".join(call["function"]["arguments"] for call in calls)
        function = calls[0]["function"] | {"arguments": joined}
        return whole | {"tool_calls": [calls[0] | {"function": function}]}
    thoughts = "".join(message.get("reasoning_content", "") for message in messages)
    return whole | ({"reasoning_content": thoughts} if thoughts else {})


def _data(event: dict[str, Any]) -> str:
    return f"data:{_json(event)}\n\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
