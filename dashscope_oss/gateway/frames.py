"""From an engine's pieces to the service's JSON: reply bodies and events. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic_core import to_json

from dashscope_oss.gateway.job import Job
from dashscope_oss.gateway.refusals import Refusal
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.reply import joined, merged_calls


def reply_body(job: Job, deltas: Sequence[Delta]) -> dict[str, object]:
    """Return the body of a call that does not stream."""
    whole = joined(deltas)
    return _body(
        job, whole.text, whole.reasoning, whole.tool_calls, whole.finish_reason, whole.usage
    )


class Frames:
    """Writes a stream's events; it counts them and keeps the text so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._sent = 0
        self._text = ""
        self._reasoning = ""
        self._calls: tuple[ToolCall, ...] = ()
        self._usage: Usage | None = None
        self._numbers = 0

    def event(self, delta: Delta) -> bytes:
        """Return the event for the next piece."""
        self._usage = delta.usage or self._usage
        delta = replace(delta, tool_calls=tuple(map(self._numbered, delta.tool_calls)))
        if self._job.incremental:
            text, reasoning, calls = delta.text, delta.reasoning, delta.tool_calls
        else:
            text = self._text = self._text + delta.text
            reasoning = self._reasoning = self._reasoning + delta.reasoning
            calls = self._calls = merged_calls((*self._calls, *delta.tool_calls))
        reason = (delta.finish_reason or "stop") if delta.last else "null"
        body = _body(self._job, text, reasoning, calls, reason, self._usage)
        return self._frame("result", 200, body)

    def _numbered(self, call: ToolCall) -> ToolCall:
        """Give a call without a number the next one of the whole answer."""
        if call.index is not None:
            return call
        self._numbers += 1
        return replace(call, index=self._numbers - 1)

    def error(self, refusal: Refusal) -> bytes:
        """Return the event of a failure in the middle of the stream."""
        body = {**refusal.body, "request_id": self._job.request_id}
        return self._frame("error", refusal.status, body)

    def _frame(self, kind: str, status: int, body: dict[str, object]) -> bytes:
        self._sent += 1
        head = f"id:{self._sent}\nevent:{kind}\n:HTTP_STATUS/{status}\ndata:"
        return head.encode() + to_json(body) + b"\n\n"


def _body(
    job: Job,
    text: str,
    reasoning: str,
    calls: Sequence[ToolCall],
    reason: str | None,
    usage: Usage | None,
) -> dict[str, object]:
    if job.as_message or job.record.endpoint == "multimodal-generation":
        message = _message(job, text, reasoning, calls)
        output: dict[str, object] = {"choices": [{"finish_reason": reason, "message": message}]}
    else:
        output = {"finish_reason": reason, "text": text}
    body: dict[str, object] = {"output": output}
    if usage is not None and job.record.reports_usage:
        body["usage"] = _usage(usage)
    body["request_id"] = job.request_id
    return body


def _message(job: Job, text: str, reasoning: str, calls: Sequence[ToolCall]) -> dict[str, object]:
    parts = job.record.endpoint == "multimodal-generation"
    message: dict[str, object] = {
        "role": "assistant",
        "content": ([{"text": text}] if text else []) if parts else text,
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [_call(call, index) for index, call in enumerate(calls)]
    return message


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
