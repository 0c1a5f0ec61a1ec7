"""From what an OpenAI-compatible server says to deltas and the vendor's refusals. No I/O.

Servers differ, lie and break: whatever is not of the form raises; an answer is never made up,
cut short or empty for want of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from pydantic_core import to_json

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.api_error import UNAVAILABLE, APIError
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.protocol.tools import read_tool_call

# Reasons of servers -> the service's. Any other is no regular end.
_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_TOO_LONG = re.compile(
    r"context (?:length|size|window)|maximum context|longer than the model", re.IGNORECASE
)
_LIMIT = re.compile(
    r"(?:maximum context length(?: is| of)?|model's context length|available context size)"
    r"\D{0,20}(\d+)",
    re.IGNORECASE,
)
_BLOCKED = (
    "DataInspectionFailed",
    "Output data may contain inappropriate content.",
)
UNREADABLE = (500, "InternalError", "The engine's answer cannot be read.")
_SHOWN = 500
# Characters of an answer, and what a piece of it counts at least: none that is meant is so long,
# and one without end would fill the memory.
_MOST = 20_000_000
_LEAST = 10
_MOST_COUNT = 2**53


class AnswerReader:
    """Turns an OpenAI-compatible answer's objects into deltas; a stream has many, else one.

    Args:
        limit: tokens that the weights take, if the gateway knows.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._calls = _CallNumbers()
        self._size = 0

    def push(self, data: bytes) -> Delta | None:
        """Return what the next object adds; ``None`` if that is nothing.

        Raises:
            APIError: if it reports an error, or cannot be read.
        """
        try:
            found = read_json_object(data)
        except ProtocolError as error:
            raise APIError(*UNREADABLE) from error
        if found.get("error") or found.get("object") == "error":
            raise _failure(found, self._limit)
        self._usage = usage_in(found) or self._usage
        return self._choice(found.get("choices"))

    def end(self) -> Delta:
        """Return the last delta; an answer without a finish reason was cut off."""
        if self._reason is None:
            raise APIError(500, "InternalError", "The engine broke off its answer.")
        if self._reason == "content_filter":
            raise APIError(400, *_BLOCKED)
        reason = _FINISH.get(self._reason)
        if reason is None:
            raise APIError(500, "InternalError", f"The engine ended with {self._reason:.50}.")
        if reason == "stop" and self._calls.count:
            reason = "tool_calls"  # vLLM ends a forced call with "stop"
        return Delta(finish_reason=reason, usage=self._usage, last=True)

    def _choice(self, choices: object) -> Delta | None:
        if not choices:
            return None
        if not isinstance(choices, list) or not isinstance(choices[0], Mapping):
            raise APIError(*UNREADABLE)
        choice = choices[0]
        reason = choice.get("finish_reason")
        self._reason = reason if isinstance(reason, str) and reason else self._reason
        holder = choice.get("delta") or choice.get("message") or choice
        if not isinstance(holder, Mapping):
            raise APIError(*UNREADABLE)
        return self._delta(holder)

    def _delta(self, holder: Mapping[str, object]) -> Delta | None:
        found = Delta(
            text=_text(holder.get("content") or holder.get("text")),
            reasoning=_text(holder.get("reasoning_content") or holder.get("reasoning")),
            tool_calls=self._calls.numbered(holder.get("tool_calls")),
            usage=self._usage,
        )
        if not (found.text or found.reasoning or found.tool_calls):
            return None
        self._size += _LEAST + len(found.text) + len(found.reasoning)
        self._size += sum(len(call.name) + len(call.arguments) for call in found.tool_calls)
        if self._size > _MOST:
            raise APIError(500, "InternalError", "The engine's answer does not end.")
        return found


class _CallNumbers:
    """Gives calls of tools numbers of their own.

    Some servers number parallel calls all alike (Ollama), some not at all: a new id is a new
    call; a piece without an id, or with the same one, goes on with the last of its number.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[object, tuple[str, int]] = {}

    def numbered(self, calls: object) -> tuple[ToolCall, ...]:
        if not calls:
            return ()
        if not isinstance(calls, list):
            raise APIError(*UNREADABLE)
        return tuple(map(self._numbered, calls))

    def _numbered(self, call: object) -> ToolCall:
        function = (call.get("function") or {}) if isinstance(call, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(function, Mapping):
            raise APIError(*UNREADABLE)
        piece = read_tool_call(call, _text)
        return replace(piece, index=self._number(piece.index, piece.id, piece.name))

    def _number(self, key: int | None, id: str, name: str) -> int:
        last = self._last.get(key)
        goes_on = last is not None and (id == last[0] if id else not name or key is not None)
        if last is None or not goes_on:
            last = self._last[key] = (id, self.count)
            self.count += 1
        return last[1]


def usage_in(data: Mapping[str, object]) -> Usage | None:
    """Return the counts so far: the server's usage, or llama.cpp's timings while it writes."""
    usage, timings = data.get("usage"), data.get("timings")
    if isinstance(usage, Mapping):
        given, made = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        # SGLang counts thoughts beside the rest, others below it.
        thought = _detail(usage, "completion_tokens_details", "reasoning_tokens")
        cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
        thought = _count(usage.get("reasoning_tokens")) or None if thought is None else thought
    elif isinstance(timings, Mapping):
        fresh, cached = _count(timings.get("prompt_n")), _count(timings.get("cache_n"))
        given = None if fresh is None else fresh + (cached or 0)
        made, thought = _count(timings.get("predicted_n")), None
    else:
        return None
    if given is None or made is None:
        return None
    return Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=given + made,
        cached_tokens=cached,
        reasoning_tokens=thought,
    )


def refusal_for(status: int, body: bytes, limit: int | None = None) -> APIError:
    """Return the vendor's refusal for an error of the server.

    Args:
        limit: tokens that the weights take, if the gateway knows.
    """
    text = words_of(body)
    refusal = _refusal(status, text, limit)
    refusal.cause = f"HTTP {status}: {text}"
    return refusal


def _refusal(status: int, text: str, limit: int | None) -> APIError:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        said = "Requests rate limit exceeded, try again later."
        return APIError(429, "Throttling.RateQuota", said)
    if status in (502, 503, 504):
        return APIError(*UNAVAILABLE)
    if status == HTTPStatus.NOT_FOUND:
        return APIError(404, "ModelNotFound", "Model can not be found.")
    if status in (400, 413, 422):
        return _bad_request(text, limit)
    return APIError(500, "InternalError", "The engine behind this gateway failed.")


def words_of(body: bytes) -> str:
    """Return what an error's body says, in one line, in whatever form servers put it; never HTML.

    Known: ``{"error": {"message"}}`` (vLLM, llama.cpp, Ollama, OpenAI), ``{"error": "text"}``
    (Ollama's own API), ``{"message"}`` (SGLang, older vLLM), ``{"detail"}`` (FastAPI), each also
    inside a list.
    """
    from json import loads  # noqa: PLC0415 - only an error needs it

    try:
        found = _words(loads(body))
    except (ValueError, RecursionError):
        found = body.decode("utf-8", "replace").strip()
        found = "" if found.startswith("<") else found
    return one_line(found) or "it said nothing"


def one_line(text: str) -> str:
    """Return what a server said, which may repeat a caller's text, as it can stand in a log.

    No line break, no control character and no lone surrogate is left.
    """
    shown = "".join(sign if sign.isprintable() else " " for sign in text[:_SHOWN])
    return " ".join(shown.split())


def ids_in(listed: bytes) -> set[str]:
    """Return the models that a server lists at ``/models``; none if it is no such list."""
    try:
        models = read_json_object(listed).get("data")
    except ProtocolError:
        return set()
    ids = (
        m.get("id") for m in (models if isinstance(models, list) else ()) if isinstance(m, Mapping)
    )
    return {id for id in ids if isinstance(id, str)}


def _words(data: object) -> str:
    if isinstance(data, list):
        return "; ".join(filter(None, map(_words, data)))
    if not isinstance(data, Mapping):
        return data if isinstance(data, str) else ""
    for name in ("error", "message", "detail", "msg", "errors"):
        if said := _words(data.get(name)):
            return said
    return ""


def _bad_request(text: str, limit: int | None) -> APIError:
    if not _TOO_LONG.search(text):
        said = f"<400> InternalError.Algo.InvalidParameter: {text}"
    elif limit is not None:
        said = f"Range of input length should be [1, {limit}], the stand-in's limit"
    else:
        number = _LIMIT.search(text)
        what = "max_tokens" if "max_tokens" in text and "too large" in text else "input length"
        most = f"{number[1]}]" if number else f"N]. {text}"
        said = f"Range of {what} should be [1, {most}"
    return APIError(400, "InvalidParameter", said)


def _failure(data: Mapping[str, object], limit: int | None) -> APIError:
    """An error inside an answer that began with a good status; its own code counts if it is one."""
    inner = data.get("error")
    code = (inner if isinstance(inner, Mapping) else data).get("code")
    if isinstance(code, int) and code in (400, 413, 422, 429, 503):
        return refusal_for(code, to_json(data), limit)
    said = "The engine failed while it answered."
    return APIError(500, "InternalError.Algo", said, cause=words_of(to_json(data)))


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in value]
        if all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
    raise APIError(*UNREADABLE)


def _detail(usage: Mapping[str, object], table: str, name: str) -> int | None:
    inner = usage.get(table)
    return _count(inner.get(name)) if isinstance(inner, Mapping) else None


def _count(value: object) -> int | None:
    # Not more than a double holds: metrics count in doubles.
    return value if type(value) is int and 0 <= value <= _MOST_COUNT else None
