"""From the service's JSON to a :class:`Reply`.

Both reply shapes are read (``output.text`` and ``output.choices``), and an error wherever it
stands. Whatever cannot be read raises; an answer is never made up and never empty for want of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, NoReturn

from pydantic_core import from_json, to_json

from dashscope_oss.errors import DashScopeError, ProtocolError
from dashscope_oss.messages import Delta, Json, Reply, ToolCall, Usage
from dashscope_oss.prompts.echo import AnswerFilter
from dashscope_oss.protocol.error_mapping import from_response
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.sse import BOM, Decoder
from dashscope_oss.protocol.streaming.stop_sequences import StopSequenceFilter
from dashscope_oss.protocol.streaming.think_tags import ThinkTagSplitter
from dashscope_oss.protocol.tools import read_tool_call, text_or_empty
from dashscope_oss.tokens import estimates

SERVED_BY_HEADER = "x-dashscope-oss-served-by"
INCREMENTAL_HEADER = "x-dashscope-oss-incremental"
"""A gateway's word on whether events hold new pieces, ``true``, or all the text so far."""

NAMELESS = "the answer calls a tool without naming it"

# Far more than a message shows: where this cuts a key in two, nobody would take it out.
_SHOWN = 100_000
_LONE_SURROGATE = r"(?i)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}"


def decode(data: bytes, model: str | None = None) -> dict[str, object]:
    """Return the JSON object in ``data``.

    Raises:
        ProtocolError: if it is no JSON, or no object.
    """
    try:
        found: object = from_json(data.removeprefix(BOM) if data[:1] == BOM[:1] else data)
    except ValueError as error:
        if not data.strip():
            raise ProtocolError("the answer is empty", model=model) from None
        raise ProtocolError(f"the answer is not JSON: {shown(data)}", model=model) from error
    if not isinstance(found, dict):
        raise ProtocolError(f"the answer is no JSON object: {shown(data)}", model=model)
    return found


def shown(body: bytes) -> str:
    """Return the beginning of a body for a message; the message itself shows still less of it."""
    return repr(body[:_SHOWN].decode("utf-8", "replace"))


def error_body(body: bytes) -> tuple[dict[str, object] | None, int | None]:
    """Return the JSON of an error's body, bare or in an event, and the status of that event."""
    decoder = Decoder()
    events = () if body[:1] == b"{" else (*decoder.feed(body), *decoder.flush())
    for data, status in ((body, None), *((event.data, event.status) for event in events)):
        try:
            # The code is ASCII, however the words beside it are written.
            text = re.sub(_LONE_SURROGATE, _kept_pair, data.decode("utf-8", "replace"))
            return decode(text.encode()), status
        except ProtocolError:
            continue
    return _begun(body), None


def _kept_pair(found: re.Match[str]) -> str:
    return found[1] or r"\ufffd"


def _begun(body: bytes) -> dict[str, object] | None:
    """Return what there is of a JSON object that was cut."""
    try:
        found = from_json(body, allow_partial="trailing-strings")
    except ValueError:
        return None
    return found if isinstance(found, dict) and found else None


def reports_error(data: Mapping[str, object]) -> bool:
    """Whether a body that came with a good status is an error all the same.

    A success carries no code, an empty one, or one that says success; whatever has another is an
    error, text or no text.
    """
    if data.keys() <= _OF_SUCCESS:
        return False
    code = text_or_empty(_field(data, "code"))
    stated = any((_status_in(data.get(name)) or 0) >= 400 for name in ("status_code", "code"))
    return bool(code.lower() not in _GOOD_CODES or data.get("error") or stated)


_OF_SUCCESS = frozenset({"output", "usage", "request_id"})
_GOOD_CODES = ("", "200", "success", "ok")


def error_in(
    data: Mapping[str, object], *, status_code: int | None, model: str | None = None
) -> DashScopeError:
    """Return the error in a body, of the native or the OpenAI-compatible form."""
    inner = data.get("error")
    body = inner if isinstance(inner, dict) else data
    if status_code is None:
        status_code = _status_in(data.get("status_code")) or _status_in(data.get("code"))
    return from_response(
        status_code=status_code,
        code=text_or_empty(_field(body, "code")),
        message=_reason(body) or text_or_empty(inner),
        request_id=text_or_empty(data.get("request_id"))
        or text_or_empty(_field(data, "requestid"))
        or None,
        model=model,
    )


def _field(body: Mapping[str, object], name: str) -> object:
    """Return a field of an error; the vendor's API gateway begins the names with a capital."""
    return body.get(name) or next((body[key] for key in body if key.lower() == name), None)


def _status_in(value: object) -> int | None:
    is_status = isinstance(value, int) and 100 <= value <= 999
    return value if is_status and not isinstance(value, bool) else None  # type: ignore[return-value]


def split(request: Request, text: str) -> tuple[str, str]:
    """Return text and thoughts of a whole answer."""
    if not request.split_think:
        return text, ""
    splitter = ThinkTagSplitter()
    answer, thought = splitter.push(text)
    more, further = splitter.end()
    return answer + more, thought + further


def _reason(body: Mapping[str, object]) -> str:
    """The words of an error: the vendor's ``message``, else whatever a proxy calls it."""
    for name in ("message", "detail", "error", "msg"):
        if said := _field(body, name):
            return said if isinstance(said, str) else shown(to_json(said))
    return ""


def parse(request: Request, data: Mapping[str, object], served_by: str | None = None) -> Reply:
    """Return the reply in the body of a call that did not stream.

    Raises:
        DashScopeError: if the body reports an error.
        ProtocolError: if it holds neither text nor choices.
    """
    if reports_error(data):
        raise error_in(data, status_code=None, model=request.model_info.id)
    try:
        part = _answered(data)
    except ProtocolError as error:
        error.model = request.model_info.id
        error.request_id = text_or_empty(data.get("request_id")) or None
        raise
    trim, cut = answer_filter(request), StopSequenceFilter(request.own_stops)
    answer, thought = split(request, trim.push(part.text) + trim.end())
    text = cut.push(answer) + cut.end()
    usage = usage_in(data.get("usage"))
    return Reply(
        text=text,
        reasoning=part.reasoning + thought,
        tool_calls=part.tool_calls,
        finish_reason="stop" if cut.hit else part.finish_reason,
        usage=usage or estimated(request, text),
        request_id=text_or_empty(data.get("request_id")) or None,
        served_by=served_by,
        logprobs=part.logprobs,
        raw=data,
    )


def _answered(data: Mapping[str, object]) -> Part:
    part = read(data)
    if part is None or not part.says_something:
        raise ProtocolError(f"the answer holds neither text nor choices: {shown(to_json(data))}")
    if not all(call.name for call in part.tool_calls):
        raise ProtocolError(NAMELESS)
    return part


def whole(delta: Reply) -> Delta:
    """Return a reply that came in one piece, though a stream was asked for, as its only delta."""
    return Delta(
        text=delta.text,
        reasoning=delta.reasoning,
        tool_calls=tuple(  # whole calls: whatever index they state, nothing is to be joined
            replace(call, index=place) for place, call in enumerate(delta.tool_calls)
        ),
        finish_reason=delta.finish_reason,
        usage=delta.usage,
        request_id=delta.request_id,
        served_by=delta.served_by,
        logprobs=delta.logprobs,
        raw=delta.raw,
        last=True,
    )


def joined(parts: Sequence[Delta]) -> Reply:
    """Return the whole reply that the deltas of a finished stream make up."""
    last = parts[-1]
    return Reply(
        text="".join(part.text for part in parts),
        reasoning="".join(part.reasoning for part in parts),
        tool_calls=merged_calls(call for part in parts for call in part.tool_calls),
        finish_reason=last.finish_reason,
        usage=last.usage,
        request_id=last.request_id,
        served_by=last.served_by,
        logprobs=_joined_logprobs(parts),
        raw=last.raw,
    )


def _joined_logprobs(parts: Sequence[Delta]) -> Json | None:
    """The lists of all pieces, one behind the other."""
    found: dict[str, object] = {}
    for part in parts:
        for name, value in (part.logprobs or {}).items():
            earlier = found.get(name)
            both = isinstance(earlier, list) and isinstance(value, list)
            found[name] = [*earlier, *value] if both else value  # type: ignore[misc]
    return found or None


def longer(reply: Reply, delta: Delta) -> Reply:
    """Return ``reply`` with what ``delta`` added: the answer so far, for who shows it whole."""
    return Reply(
        text=reply.text + delta.text,
        reasoning=reply.reasoning + delta.reasoning,
        tool_calls=merged_calls((*reply.tool_calls, *delta.tool_calls)),
        finish_reason=delta.finish_reason,
        usage=delta.usage,
        request_id=delta.request_id,
        served_by=delta.served_by,
        raw=delta.raw,
    )


def merged_calls(pieces: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Join the pieces of streamed tool calls; pieces of one ``index`` belong together."""
    calls: dict[int, ToolCall] = {}
    for piece in pieces:
        index = piece.index if piece.index is not None else len(calls)
        so_far = calls.get(index, ToolCall(index=index))
        calls[index] = ToolCall(
            id=so_far.id or piece.id,
            name=so_far.name or piece.name,
            arguments=so_far.arguments + piece.arguments,
            index=index,
        )
    return tuple(calls[index] for index in sorted(calls))


class Part(NamedTuple):
    """What one body or event says, in either shape.

    ``says_finish`` tells whether it has a place for the finish reason at all, ``says_something``
    whether it has one for text, reasoning or tool calls.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    says_finish: bool
    says_something: bool
    logprobs: Json | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is text of an answer that goes on, and nothing else."""
        return self.finish_reason is None and not (
            self.reasoning or self.tool_calls or self.logprobs
        )


def read(data: Mapping[str, object]) -> Part | None:
    """Return what a body or an event says, ``None`` if it is a mere sign of life.

    Raises:
        ProtocolError: if text is no text.
    """
    output = data.get("output")
    if not isinstance(output, dict):
        return None
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
        return _read_choice(choice, output) if not choice.get("index") else None
    if "text" in output or output.get("finish_reason"):
        says = output.get("text") is not None
        return Part(_content(output.get("text")), "", (), *_finish(output), says)
    return None


def _read_choice(choice: Mapping[str, object], output: Mapping[str, object]) -> Part:
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}
    thought, asked = message.get("reasoning_content"), message.get("tool_calls")
    reasoning = _content(thought) if thought else ""
    calls = _tool_calls(asked) if asked else ()
    return Part(
        _content(message.get("content")),
        reasoning,
        calls,
        *_finish(choice if "finish_reason" in choice else output),
        "content" in message or bool(reasoning or calls),
        _logprobs(choice.get("logprobs")),
    )


def _finish(holder: Mapping[str, object]) -> tuple[str | None, bool]:
    reason = holder.get("finish_reason")
    said = reason if isinstance(reason, str) and reason not in ("", "null") else None
    return said, "finish_reason" in holder


def _content(content: object) -> str:
    """Return the text of a content; one of nothing but other parts, or of no text, raises."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part["text"] for part in content if isinstance(part, dict) and "text" in part]
        return "".join(map(_text, parts)) if parts or not content else _no_text(content)
    return _text(content)


def _text(content: object) -> str:
    return content if isinstance(content, str) else "" if content is None else _no_text(content)


def _no_text(content: object) -> NoReturn:
    raise ProtocolError(f"the answer's text is no text: {shown(to_json(content))}")


def _logprobs(found: object) -> Json | None:
    return found if isinstance(found, dict) else None


def _tool_calls(calls: object) -> tuple[ToolCall, ...]:
    listed = isinstance(calls, list) and all(isinstance(call, dict) for call in calls)
    if calls and not listed:
        raise ProtocolError(
            f"the answer's tool calls are no list of calls: {shown(to_json(calls))}"
        )
    return tuple(map(read_tool_call, calls)) if isinstance(calls, list) else ()


def usage_in(usage: object) -> Usage | None:
    """Counts as reported. Nought in and nought out is the vendor's filler for "not counted"."""
    if not isinstance(usage, dict):
        return None
    given, made = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if not given and not made:
        return None
    total = _count(usage.get("total_tokens"))
    return Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=total if total is not None else _sum(given, made),
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(usage, "output_tokens_details", "reasoning_tokens"),
    )


def estimated(request: Request, text: str) -> Usage | None:
    """Return estimated counts for a call with this answer, if the caller asked for them."""
    if not request.estimate_usage:
        return None
    given, made = (
        estimates.estimate(part, request.model_info.tokenizer) for part in (request.text, text)
    )
    return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made, estimated=True)


def _sum(given: int | None, made: int | None) -> int | None:
    return None if given is None or made is None else given + made


def _detail(usage: Mapping[str, object], group: str, name: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if good else None  # type: ignore[return-value]


def answer_filter(request: Request) -> AnswerFilter:
    """Return what takes echo and end marks off the answer to this request."""
    model_info = request.model_info
    if request.prompt is None:
        return AnswerFilter("none", "")
    ends = model_info.template.ends if model_info.template else ()
    return AnswerFilter(model_info.echo, request.prompt, ends)
