"""From an OpenAI-compatible server's answer to deltas. No I/O.

Servers differ, lie and break: whatever does not have the known form raises; an answer is never
invented, cut short or empty because something was missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.engines.openai.upstream_error import (
    BLOCKED_OUTPUT,
    UNREADABLE,
    error_in_answer,
)
from dashscope_oss.gateway.interface.api_error import AnswerBrokenOff, APIError
from dashscope_oss.messages import Delta, Json, ToolCall, Usage
from dashscope_oss.protocol.error_mapping import reports_error
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.protocol.streaming.deltas import join_tool_calls
from dashscope_oss.protocol.streaming.sse import Event
from dashscope_oss.protocol.streaming.tool_calls import ToolCallAssembler
from dashscope_oss.protocol.tools import read_tool_call

# The servers' finish reasons, in small letters -> the service's. Any other is no regular end.
_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}
# What holds the reason of an error in an object without an answer (FastAPI, Baidu).
_REASONS = frozenset(("message", "msg", "detail", "error_msg", "errors"))
_FILTERED = ("content_filter", "sensitive", "safety")
_NO_FINISH_REASON = (
    "ends its answers without a finish reason: an answer with text counts as whole if the server "
    "says [DONE], and as cut off by its limit if it is as long as that"
)
_NO_CALLS = "announced calls of tools and sent none: the answer ends with stop"
# No real answer is so long, and one without end would fill the memory. A piece counts as ten
# characters at least.
_MAX_ANSWER_CHARACTERS = 20_000_000
_MIN_PIECE_CHARACTERS = 10
_MAX_COUNT = 2**53  # what a double holds exactly: metrics count in doubles


class UpstreamResponseReader:
    """Turns the events of one answer into deltas; a stream has many, a whole reply has one.

    Args:
        context: tokens that the weights take, if the gateway knows.
        max_tokens: the limit of the answer's length that was asked for.

    Attributes:
        is_over: whether the server has said why the answer ended; only counts may still come.
        oddities: in which ways the server did not keep to the protocol, though the answer is
            whole.
    """

    def __init__(self, context: int | None = None, *, max_tokens: object = None) -> None:
        self.is_over = False
        self.oddities: list[str] = []
        self._context = context
        self._max_tokens = max_tokens
        self._ended = False
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._tool_calls = ToolCallAssembler()
        self._call_pieces: list[ToolCall] = []
        self._has_text = False
        self._characters = 0

    def push(self, event: Event) -> Delta | None:
        """Return what the next event adds; ``None`` if that is nothing.

        Raises:
            APIError: if it reports an error, or cannot be read.
        """
        self._ended = self._ended or event.is_end
        if event.is_sign_of_life or not event.data:
            return None
        if event.failed:
            raise error_in_answer(event.data, self._context)
        try:
            data = read_json_object(event.data)
        except ProtocolError as error:
            raise APIError(*UNREADABLE, cause=_not_json(event.data)) from error
        if _is_error(data):
            raise error_in_answer(event.data, self._context)
        self._usage = read_usage(data) or self._usage
        return self._read_choices(data.get("choices"))

    def finish(self) -> Delta:
        """Return the last delta.

        Raises:
            APIError: if the answer is not whole, or ended irregularly.
        """
        reason = self._finish_reason or self._proven_end()
        if reason in _FILTERED:
            raise APIError(*BLOCKED_OUTPUT)
        finish_reason = _FINISH_REASONS.get(reason)
        if finish_reason is None:
            message = f"The engine ended with {reason:.50}."
            raise APIError(500, "InternalError", message)
        if not self._tool_calls.are_named:
            raise APIError(*UNREADABLE)
        return Delta(
            tool_calls=self._tool_calls.missing_ids(),
            finish_reason=self._checked_by_calls(finish_reason),
            usage=self._usage,
            last=True,
        )

    def _proven_end(self) -> str:
        """Return the finish reason of an answer that has none.

        Raises:
            AnswerBrokenOff: if nothing proves that it is whole.
        """
        calls = join_tool_calls(self._call_pieces)
        is_whole = self._has_text or calls
        if not (self._ended and is_whole and all(_is_json(call.arguments) for call in calls)):
            what = "ended without a finish reason" if self._characters else "holds nothing"
            raise AnswerBrokenOff(cause=f"the answer {what}")
        self.oddities.append(_NO_FINISH_REASON)
        written = self._usage.output_tokens if self._usage else None
        is_cut = isinstance(self._max_tokens, int) and (written or 0) >= self._max_tokens
        return "length" if is_cut else "stop"

    def _checked_by_calls(self, finish_reason: str) -> str:
        """Return the finish reason that the calls of tools prove."""
        if self._tool_calls.count:
            # vLLM ends a forced call with "stop".
            return "tool_calls" if finish_reason == "stop" else finish_reason
        if finish_reason != "tool_calls":
            return finish_reason
        if not self._has_text:
            raise AnswerBrokenOff(cause="it announced calls of tools and sent none")
        self.oddities.append(_NO_CALLS)
        return "stop"

    def _read_choices(self, choices: object) -> Delta | None:
        if not choices:
            return None
        if not isinstance(choices, list) or not isinstance(choices[0], Mapping):
            raise APIError(*UNREADABLE)
        choice = choices[0]
        finish_reason = _read_finish_reason(choice.get("finish_reason"))
        self._finish_reason = finish_reason or self._finish_reason
        message = choice.get("delta") or choice.get("message") or choice
        if not isinstance(message, Mapping):
            raise APIError(*UNREADABLE)
        logprobs = choice.get("logprobs")
        delta = self._read_message(message, logprobs if isinstance(logprobs, dict) else None)
        if delta or finish_reason:  # some servers give a reason behind the thoughts, and go on
            self.is_over = finish_reason is not None
        return delta

    def _read_message(self, message: Mapping[str, object], logprobs: Json | None) -> Delta | None:
        delta = Delta(
            text=_read_text(_first(message, "content", "text", "refusal")),
            reasoning=_read_text(_first(message, "reasoning_content", "reasoning")),
            tool_calls=self._read_tool_calls(message),
            usage=self._usage,
            logprobs=logprobs,
        )
        if not (delta.text or delta.reasoning or delta.tool_calls or delta.logprobs):
            return None
        self._has_text = self._has_text or bool(delta.text)
        self._check_length(delta)
        return delta

    def _read_tool_calls(self, message: Mapping[str, object]) -> tuple[ToolCall, ...]:
        tool_calls = message.get("tool_calls")
        if not tool_calls and message.get("function_call"):  # OpenAI's older form of one call
            tool_calls = {"function": message["function_call"], "index": 0}
        if isinstance(tool_calls, Mapping):  # TGI's older form of one call
            tool_calls = [tool_calls]
        if not tool_calls:
            return ()
        if not isinstance(tool_calls, list):
            raise APIError(*UNREADABLE)
        pieces = tuple(self._tool_calls.push(_read_call(call)) for call in tool_calls)
        self._call_pieces += pieces
        return pieces

    def _check_length(self, delta: Delta) -> None:
        self._characters += _MIN_PIECE_CHARACTERS + len(delta.text) + len(delta.reasoning)
        self._characters += sum(len(call.name) + len(call.arguments) for call in delta.tool_calls)
        if self._characters > _MAX_ANSWER_CHARACTERS:
            raise APIError(500, "InternalError", "The engine's answer does not end.")


def _not_json(data: bytes) -> str:
    """Say what the bytes are, in words that the log may hold: not those of an answer."""
    what = "an HTML page" if data.lstrip().startswith(b"<") else f"{len(data)} bytes of no JSON"
    return f"it sent {what} where a piece of an answer belongs"


def _read_finish_reason(value: object) -> str | None:
    reason = value.lower() if isinstance(value, str) else ""
    return None if reason in ("", "null", "none") else reason


def _is_error(data: Mapping[str, object]) -> bool:
    if "error" in (data.get("object"), data.get("type")) or data.get("error"):
        return True
    if "choices" in data or "usage" in data:
        return False
    return reports_error(data) or not _REASONS.isdisjoint(data)


def _first(message: Mapping[str, object], *names: str) -> object:
    return next((message[name] for name in names if message.get(name)), None)


def _is_json(arguments: str) -> bool:
    try:
        from_json(arguments or "{}")
    except ValueError:
        return False
    return True


def _read_call(call: object) -> ToolCall:
    function = (call.get("function") or {}) if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise APIError(*UNREADABLE)
    return read_tool_call(call, _read_text)


def read_usage(event: Mapping[str, object]) -> Usage | None:
    """Return the token counts so far: the server's usage, or llama.cpp's running timings."""
    usage, timings = event.get("usage"), event.get("timings")
    if isinstance(usage, Mapping):
        return _read_usage(usage)
    if isinstance(timings, Mapping):
        return _read_timings(timings)
    return None


def _read_usage(usage: Mapping[str, object]) -> Usage | None:
    reasoning_tokens = _read_detail(usage, "completion_tokens_details", "reasoning_tokens")
    if reasoning_tokens is None:
        # SGLang counts them beside the other numbers, and says 0 where there were none.
        reasoning_tokens = _read_count(usage.get("reasoning_tokens")) or None
    return _to_usage(
        _read_count(usage.get("prompt_tokens")),
        _read_count(usage.get("completion_tokens")),
        _read_detail(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens,
    )


def _read_timings(timings: Mapping[str, object]) -> Usage | None:
    new_tokens, cached_tokens = (
        _read_count(timings.get("prompt_n")),
        _read_count(timings.get("cache_n")),
    )
    input_tokens = None if new_tokens is None else new_tokens + (cached_tokens or 0)
    return _to_usage(input_tokens, _read_count(timings.get("predicted_n")), cached_tokens, None)


def _to_usage(
    input_tokens: int | None,
    output_tokens: int | None,
    cached_tokens: int | None,
    reasoning_tokens: int | None,
) -> Usage | None:
    if input_tokens is None or output_tokens is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        reasoning_tokens=reasoning_tokens,
    )


def _read_detail(usage: Mapping[str, object], table: str, name: str) -> int | None:
    details = usage.get(table)
    return _read_count(details.get(name)) if isinstance(details, Mapping) else None


def _read_count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None


def listed_model_ids(body: bytes) -> set[str]:
    """Return the models that a server lists at ``/models``; none if the body is no such list."""
    try:
        models = read_json_object(body).get("data")
    except ProtocolError:
        return set()
    if not isinstance(models, list):
        return set()
    ids = (model.get("id") for model in models if isinstance(model, Mapping))
    return {id for id in ids if isinstance(id, str)}


def _read_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in value]
        if all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    raise APIError(*UNREADABLE)
