"""From an engine's pieces to the service's JSON: reply bodies and events. No I/O.

A stream writes hundreds of events that differ in a few words. So bodies are written from parts
that are JSON already, and what stays the same is written once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pydantic_core import to_json

from dashscope_oss.gateway.api_error import APIError
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas, join_tool_calls

_TEXT = b'{"finish_reason":%b,"text":%b}'
_CHOICE = b'{"choices":[{"finish_reason":%b,"message":%b}]}'
_MESSAGE = b'{"role":"assistant","content":%b}'
_RESULT = b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:"
_ERROR = b"id:%d\nevent:error\n:HTTP_STATUS/%d\ndata:%b\n\n"
_GENERATING = b'"null"'  # the service sends this word, not null


def reply_body(job: EngineRequest, deltas: Sequence[Delta]) -> bytes:
    """Return the body of a call that does not stream, from an answer with at least one piece."""
    whole = join_deltas(deltas)
    before, after = echo_of(job)
    text = before + whole.text + (after if whole.finish_reason == "stop" else "")
    shape = _Shape(job)
    shape.count(whole.usage)
    return shape.body(
        text, whole.reasoning, whole.tool_calls, to_json(whole.finish_reason or "stop")
    )


class ResponseEncoder:
    """Writes a stream's events; it counts them and keeps the text so far."""

    def __init__(self, job: EngineRequest) -> None:
        self._incremental = job.incremental
        self._shape = _Shape(job)
        self._before, self._after = echo_of(job)
        self._sent = 0
        self._text = ""
        self._reasoning = ""
        self._calls: tuple[ToolCall, ...] = ()
        self._numbers = 0

    def event(self, delta: Delta) -> bytes:
        """Return the event for the next piece."""
        if delta.usage is not None:
            self._shape.count(delta.usage)
        text, reasoning, calls = delta.text, delta.reasoning, delta.tool_calls
        if self._before or delta.last:
            text = self._echoed(delta)
        if calls:
            calls = tuple(map(self._numbered, calls))
        if not self._incremental:
            text = self._text = self._text + text
            reasoning = self._reasoning = self._reasoning + reasoning
            calls = self._calls = join_tool_calls((*self._calls, *calls))
        reason = to_json(delta.finish_reason or "stop") if delta.last else _GENERATING
        self._sent += 1
        body = self._shape.body(text, reasoning, calls, reason)
        return _RESULT % self._sent + body + b"\n\n"

    def _echoed(self, delta: Delta) -> str:
        """The piece's text, with the echo before the first and the mark behind the last."""
        text = delta.text
        if self._before:
            text, self._before = self._before + text, ""
        if delta.last and delta.finish_reason == "stop":
            text += self._after
        return text

    def _numbered(self, call: ToolCall) -> ToolCall:
        """Give a call without a number the next one of the whole answer."""
        if call.index is not None:
            return call
        self._numbers += 1
        return replace(call, index=self._numbers - 1)


def error_event(refusal: APIError, request_id: str, number: int) -> bytes:
    """Return the event of a failure: the stream's first, or one in its middle.

    Args:
        number: the event's own, counted from 1.
    """
    body = to_json({**refusal.body, "request_id": request_id})
    return _ERROR % (number, refusal.status, body)


def echo_of(job: EngineRequest) -> tuple[str, str]:
    """Return what the model's answer to this prompt wraps around it: echo and end mark.

    Ziya writes ``<s>``, the prompt with a space behind each mark of a turn, a space, and ``</s>``
    at the end (both samples of the vendor's page). Others repeat the prompt as a line.
    """
    model_info = job.model_info
    if job.prompt is None or model_info.echo == "none":
        return "", ""
    if model_info.echo == "line":
        return f"{job.prompt}\n", ""
    marks = re.findall(r"<\w+>", "".join(model_info.template.user)) if model_info.template else []
    spaced = job.prompt
    for mark in marks:
        spaced = spaced.replace(mark, f"{mark} ")
    return f"<s>{spaced} ", "</s>"


class _Shape:
    """Writes the bodies of one call: text or message, usage, request id."""

    def __init__(self, job: EngineRequest) -> None:
        self._parts = job.model_info.endpoint == "multimodal-generation"
        self._output = _CHOICE if job.as_message or self._parts else _TEXT
        self._counts = job.model_info.reports_usage
        self._usage: Usage | None = None
        self._id = b',"request_id":%b}' % to_json(job.request_id)
        self._tail = self._id
        said = b"\0" if self._output is _TEXT else _MESSAGE % b"\0"
        before, after = (self._output % (_GENERATING, said)).split(b"\0")
        self._before, self._after = b'{"output":' + before, after

    def count(self, usage: Usage | None) -> None:
        """Take the counts so far; they stand in every body from now on."""
        if usage is not None and usage is not self._usage and self._counts:
            self._usage = usage
            self._tail = b',"usage":%b%b' % (to_json(_usage(usage)), self._id)

    def body(self, text: str, reasoning: str, calls: Sequence[ToolCall], reason: bytes) -> bytes:
        """Return the body; ``reason`` is JSON already."""
        plain = not (reasoning or calls or self._parts)
        if plain and reason is _GENERATING:  # nearly all events of a stream
            return self._before + to_json(text) + self._after + self._tail
        said = to_json(text)
        if self._output is _CHOICE:
            said = _MESSAGE % said if plain else self._message(text, reasoning, calls)
        return b'{"output":%b%b' % (self._output % (reason, said), self._tail)

    def _message(self, text: str, reasoning: str, calls: Sequence[ToolCall]) -> bytes:
        content = ([{"text": text}] if text else []) if self._parts else text
        message: dict[str, object] = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = [_call(call, index) for index, call in enumerate(calls)]
        return to_json(message)


def _call(call: ToolCall, position: int) -> dict[str, object]:
    function = {"name": call.name} if call.name else {}
    return {
        "index": call.index if call.index is not None else position,
        "id": call.id,
        "type": "function",
        "function": {**function, "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, object]:
    body: dict[str, object] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["output_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return {name: count for name, count in body.items() if count is not None}
