"""Writes what an engine generates as the service's JSON: bodies and events. No I/O.

A stream writes hundreds of events that differ in a few words. So bodies are put together from
parts that are JSON already, and what does not change is written once.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.body_writer import (
    GENERATING,
    NO_FINDS,
    BodyWriter,
    Finds,
)
from dashscope_oss.gateway.protocol.native.call_numbers import CallNumbers
from dashscope_oss.gateway.protocol.native.echo import echo_around
from dashscope_oss.messages import Delta, Json, ToolCall
from dashscope_oss.protocol.streaming.deltas import (
    join_deltas,
    join_logprobs,
    join_tool_calls,
)

_RESULT_EVENT = b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:"
_ERROR_EVENT = b"id:%d\nevent:error\n:HTTP_STATUS/%d\ndata:%b\n\n"


def encode_reply(request: EngineRequest, deltas: Sequence[Delta]) -> bytes:
    """Return the body of an answer that is not streamed; it has at least one piece."""
    answer = join_deltas(deltas)
    before, after = echo_around(request)
    text = before + answer.text + (after if answer.finish_reason == "stop" else "")
    writer = BodyWriter(request)
    writer.set_usage(answer.usage)
    finish_reason = to_json(answer.finish_reason or "stop")
    finds = Finds(answer.search_results, answer.images)
    return writer.body(
        text, answer.reasoning, answer.tool_calls, finish_reason, answer.logprobs, finds
    )


def encode_error(error: APIError, request_id: str) -> bytes:
    """Return the body of an error."""
    return to_json({**error.body, "request_id": request_id})


def encode_error_event(error: APIError, request_id: str, number: int) -> bytes:
    """Return the event of an error: the stream's first, or one in its middle.

    Args:
        error: what went wrong.
        request_id: identifies the call.
        number: the event's own, counted from 1.
    """
    return _ERROR_EVENT % (number, error.status, encode_error(error, request_id))


class ResponseEncoder:
    """Writes the events of one stream; it numbers them and keeps the text so far."""

    def __init__(self, request: EngineRequest) -> None:
        self._incremental = request.incremental
        self._writer = BodyWriter(request)
        self._before, self._after = echo_around(request)
        self._events = 0
        self._text = ""
        self._reasoning = ""
        self._tool_calls: tuple[ToolCall, ...] = ()
        self._logprobs: Json | None = None
        self._call_numbers = CallNumbers()

    def event(self, delta: Delta) -> bytes:
        """Return the event for the next piece."""
        if delta.usage is not None:
            self._writer.set_usage(delta.usage)
        text, reasoning, tool_calls = delta.text, delta.reasoning, delta.tool_calls
        logprobs = delta.logprobs
        if self._before or delta.last:
            text = self._with_echo(delta)
        if tool_calls:
            tool_calls = tuple(map(self._call_numbers.numbered, tool_calls))
        if not self._incremental:
            text = self._text = self._text + text
            reasoning = self._reasoning = self._reasoning + reasoning
            tool_calls = self._tool_calls = join_tool_calls((*self._tool_calls, *tool_calls))
            logprobs = self._logprobs = join_logprobs((self._logprobs, logprobs))
        finish_reason = to_json(delta.finish_reason or "stop") if delta.last else GENERATING
        self._events += 1
        finds = NO_FINDS if delta.is_plain else Finds(delta.search_results, delta.images)
        body = self._writer.body(text, reasoning, tool_calls, finish_reason, logprobs, finds)
        return _RESULT_EVENT % self._events + body + b"\n\n"

    def _with_echo(self, delta: Delta) -> str:
        """Return the piece's text, with the echo before the first and behind the last."""
        text = delta.text
        if self._before:
            text, self._before = self._before + text, ""
        if delta.last and delta.finish_reason == "stop":
            text += self._after
        return text
