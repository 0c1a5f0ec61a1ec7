"""From the service's JSON to a :class:`Reply`, and from a stream's events to :class:`Delta`.

Both reply shapes are read (``output.text`` and ``output.choices``), both kinds of stream (new
pieces, or the whole text so far), and an error wherever it stands. Whatever cannot be read
raises; an answer is never made up and never empty for want of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic_core import from_json

from dashscope_oss import tokens
from dashscope_oss.errors import DashScopeError, ProtocolError, from_response
from dashscope_oss.messages import Delta, Json, Reply, ToolCall, Usage
from dashscope_oss.request import Request
from dashscope_oss.sse import Decoder, Event
from dashscope_oss.stops import StopCut
from dashscope_oss.templates import AnswerFilter

SERVED_BY_HEADER = "x-dashscope-oss-served-by"

# Text of this length is not repeated by chance as the beginning of the next piece.
_TELLING = 16


def decode(data: bytes, model: str | None = None) -> dict[str, object]:
    """Return the JSON object in ``data``.

    Raises:
        ProtocolError: if it is no JSON, or no object.
    """
    try:
        found: object = from_json(data)
    except ValueError as error:
        shown = data[:200].decode("utf-8", "replace")
        raise ProtocolError(f"the answer is not JSON: {shown!r}", model=model) from error
    if not isinstance(found, dict):
        raise ProtocolError(f"the answer is no JSON object: {found!r:.200}", model=model)
    return found


def error_body(body: bytes) -> dict[str, object] | None:
    """Return the JSON of an error's body, bare or in an event; ``None`` if there is none."""
    decoder = Decoder()
    for data in (body, *(event.data for event in (*decoder.feed(body), *decoder.flush()))):
        try:
            return decode(data)
        except ProtocolError:
            continue
    return None


def reports_error(data: Mapping[str, object]) -> bool:
    """Whether a body that came with a good status is an error all the same."""
    return not data.get("output") and bool(data.get("code") or data.get("error"))


def error_in(
    data: Mapping[str, object], *, status_code: int | None, model: str | None = None
) -> DashScopeError:
    """Return the error in a body, of the native or the OpenAI-compatible form."""
    inner = data.get("error")
    body = inner if isinstance(inner, Mapping) else data
    stated = data.get("status_code")
    return from_response(
        status_code=stated if status_code is None and isinstance(stated, int) else status_code,
        code=_text(body.get("code")),
        message=_text(body.get("message")),
        request_id=_text(data.get("request_id")) or None,
        model=model,
    )


def parse(request: Request, data: Mapping[str, object], served_by: str | None = None) -> Reply:
    """Return the reply in the body of a call that did not stream.

    Raises:
        DashScopeError: if the body reports an error.
        ProtocolError: if it holds neither text nor choices.
    """
    if reports_error(data):
        raise error_in(data, status_code=None, model=request.record.id)
    part = _read(data)
    if part is None:
        raise ProtocolError("the answer holds neither text nor choices", model=request.record.id)
    trim, cut = _filter(request), StopCut(request.own_stops)
    text = cut.push(trim.push(part.text) + trim.end()) + cut.end()
    usage = _usage(data.get("usage"))
    return Reply(
        text=text,
        reasoning=part.reasoning,
        tool_calls=part.tool_calls,
        finish_reason="stop" if cut.hit else part.finish_reason,
        usage=usage or _estimated(request, text),
        request_id=_text(data.get("request_id")) or None,
        served_by=served_by,
        logprobs=part.logprobs,
        raw=data,
    )


class Deltas:
    """Feed it a stream's bytes, take out what each event added; :meth:`close` it at the end.

    Attributes:
        served_by: the weights that answer, if the gateway's header named them.
        finished: whether the answer is whole.
        handed_on: whether anything has been yielded yet.
    """

    def __init__(self, request: Request) -> None:
        self.served_by: str | None = None
        self.finished = False
        self.handed_on = False
        self._request = request
        self._decoder = Decoder()
        regime = _regime_of(request)
        self._text = _Channel(regime)
        self._reasoning = _Channel(regime)
        self._trim = _filter(request)
        self._cut = StopCut(request.own_stops)
        self._pieces: list[str] = []
        self._calls: set[int] = set()
        self._usage: Usage | None = None
        self._request_id: str | None = None
        self._raw: Mapping[str, object] = {}
        self._owes_finish = request.record.reports_finish
        self._began = False

    @property
    def cut(self) -> bool:
        """Whether a stop text ended the answer before the service did."""
        return self._cut.hit

    def so_far(self) -> str:
        """Return the text of a stream that is over: what was handed on and what was held back."""
        return "".join(self._pieces) + self._held()

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Take the next bytes; yield what each completed event added.

        Raises:
            DashScopeError: if an event is an error; ``partial_text`` holds the text so far.
        """
        for event in self._decoder.feed(chunk):
            if delta := self._push(event):
                self.handed_on = True
                yield delta

    def close(self) -> Iterator[Delta]:
        """Say that the body has ended; yield what was still held back.

        Raises:
            ProtocolError: if it ended too soon; ``partial_text`` holds the text so far.
        """
        for event in self._decoder.flush():
            if delta := self._push(event):
                self.handed_on = True
                yield delta
        if not self.finished:
            last = self._end()
            self.handed_on = True
            yield last

    def _push(self, event: Event) -> Delta | None:
        if self.finished:
            return None
        data = self._checked(event)
        part = _read(data)
        if part is None:
            return None
        self._began = True
        self._raw = data
        self._owes_finish = self._owes_finish or part.says_finish
        self._usage = _usage(data.get("usage")) or self._usage
        self._request_id = _text(data.get("request_id")) or self._request_id
        try:
            text = self._cut.push(self._trim.push(self._text.push(part.text)))
            reasoning = self._reasoning.push(part.reasoning)
        except ProtocolError as error:
            raise self._broken(str(error)) from None
        calls = tuple(map(self._piece, part.tool_calls))
        delta = self._delta(text, reasoning, calls, part.logprobs)
        if self._cut.hit:
            return self._last(delta, "stop")
        if part.finish_reason is not None:
            return self._last(delta, part.finish_reason)
        return delta if text or reasoning or part.tool_calls else None

    def _end(self) -> Delta:
        if not self._began:
            raise self._broken("the stream ended without an answer")
        if self._owes_finish:
            raise self._broken("the stream broke off: it ended without a finish reason")
        return self._last(self._delta("", "", (), None), None)

    def _checked(self, event: Event) -> dict[str, object]:
        model = self._request.record.id
        try:
            data = decode(event.data, model)
            failed = event.kind == "error" or (event.status or 0) >= 400
            if failed or reports_error(data):
                raise error_in(data, status_code=event.status if failed else None, model=model)
        except DashScopeError as error:
            error.partial_text = self.so_far()
            raise
        return data

    def _piece(self, call: ToolCall) -> ToolCall:
        """Take id and name off a later piece of a call: whoever joins pieces would double them."""
        if call.index in self._calls:
            return replace(call, id="", name="")
        if call.index is not None:
            self._calls.add(call.index)
        return call

    def _delta(
        self,
        text: str,
        reasoning: str,
        tool_calls: tuple[ToolCall, ...],
        logprobs: Json | None,
    ) -> Delta:
        if text:
            self._pieces.append(text)
        return Delta(
            text=text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            request_id=self._request_id,
            served_by=self.served_by,
            logprobs=logprobs,
            raw=self._raw,
        )

    def _last(self, delta: Delta, finish_reason: str | None) -> Delta:
        self.finished = True
        held = self._held()
        if held:
            self._pieces.append(held)
        return replace(
            delta,
            text=delta.text + held,
            reasoning=delta.reasoning + self._reasoning.end(),
            finish_reason=finish_reason,
            usage=self._usage or _estimated(self._request, "".join(self._pieces)),
            last=True,
        )

    def _held(self) -> str:
        text = self._trim.push(self._text.end()) + self._trim.end()
        return self._cut.push(text) + self._cut.end()

    def _broken(self, text: str) -> ProtocolError:
        return ProtocolError(
            text,
            model=self._request.record.id,
            request_id=self._request_id,
            partial_text=self.so_far(),
        )


def whole(delta: Reply) -> Delta:
    """Return a reply that came in one piece, though a stream was asked for, as its only delta."""
    return Delta(
        text=delta.text,
        reasoning=delta.reasoning,
        tool_calls=delta.tool_calls,
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
        raw=last.raw,
    )


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


_Regime = Literal["pieces", "snapshots", "unknown"]
_REGIMES: dict[str, _Regime] = {
    "yes": "pieces",
    "forced": "pieces",
    "no": "snapshots",
    "unknown": "unknown",
}


def _regime_of(request: Request) -> _Regime:
    refused = request.parameters.get("incremental_output") is False
    return "snapshots" if refused else _REGIMES[request.record.incremental]


class _Channel:
    """Turns what frames hold into what each added.

    Where nobody knows whether frames hold pieces or the whole so far, it watches: a frame that
    does not begin with the one before it proves pieces; frames that keep growing upon each other
    prove snapshots. Until then nothing doubtful is handed on, so no text is lost or doubled.
    """

    def __init__(self, regime: _Regime) -> None:
        self._regime: _Regime = regime
        self._first = ""
        self._newest = ""
        self._owed: list[str] = []
        self._grew = False

    def push(self, text: str) -> str:
        if self._regime == "pieces":
            return text
        if self._regime == "snapshots":
            return self._added(text)
        return self._watch(text)

    def end(self) -> str:
        return self._newest[len(self._first) :] if self._owed else ""

    def _added(self, text: str) -> str:
        if not text:
            return ""
        if not text.startswith(self._newest):
            raise ProtocolError("the service changed text that it had already sent")
        added = text[len(self._newest) :]
        self._newest = text
        return added

    def _watch(self, text: str) -> str:
        if not self._newest:
            self._first = self._newest = text
            return text
        if not text.startswith(self._newest):
            return self._are_pieces() + text
        grew = len(text) > len(self._newest)
        self._newest = text
        self._owed.append(text)
        if grew and (self._grew or len(self._first) >= _TELLING):
            return self._are_snapshots()
        self._grew = self._grew or grew
        return ""

    def _are_pieces(self) -> str:
        self._regime = "pieces"
        owed = "".join(self._owed)
        self._owed.clear()
        return owed

    def _are_snapshots(self) -> str:
        self._regime = "snapshots"
        self._owed.clear()
        return self._newest[len(self._first) :]


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    says_finish: bool
    logprobs: Json | None = None


def _read(data: Mapping[str, object]) -> _Part | None:
    output = data.get("output")
    if not isinstance(output, Mapping):
        return None
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return _read_choice(choices[0], output)
    if isinstance(output.get("text"), str) or output.get("finish_reason"):
        return _Part(_text(output.get("text")), "", (), *_finish(output))
    return None


def _read_choice(choice: Mapping[str, object], output: Mapping[str, object]) -> _Part:
    message = choice.get("message")
    if not isinstance(message, Mapping):
        message = {}
    return _Part(
        _content(message.get("content")),
        _content(message.get("reasoning_content")),
        _tool_calls(message.get("tool_calls")),
        *_finish(choice if "finish_reason" in choice else output),
        _logprobs(choice.get("logprobs")),
    )


def _finish(holder: Mapping[str, object]) -> tuple[str | None, bool]:
    reason = holder.get("finish_reason")
    said = reason if isinstance(reason, str) and reason not in ("", "null") else None
    return said, "finish_reason" in holder


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, Mapping))
    return _text(content)


def _logprobs(found: object) -> Json | None:
    return found if isinstance(found, Mapping) else None


def _tool_calls(calls: object) -> tuple[ToolCall, ...]:
    if not isinstance(calls, list):
        return ()
    return tuple(_tool_call(call) for call in calls if isinstance(call, Mapping))


def _tool_call(call: Mapping[str, object]) -> ToolCall:
    function = call.get("function")
    if not isinstance(function, Mapping):
        function = {}
    index = call.get("index")
    return ToolCall(
        id=_text(call.get("id")),
        name=_text(function.get("name")),
        arguments=_text(function.get("arguments")),
        index=index if isinstance(index, int) else None,
    )


def _usage(usage: object) -> Usage | None:
    """Counts as reported. Nought in and nought out is the vendor's filler for "not counted"."""
    if not isinstance(usage, Mapping):
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


def _estimated(request: Request, text: str) -> Usage | None:
    if not request.estimate_usage:
        return None
    given, made = (tokens.estimate(part, request.record.tokenizer) for part in (request.text, text))
    return Usage(input_tokens=given, output_tokens=made, total_tokens=given + made, estimated=True)


def _sum(given: int | None, made: int | None) -> int | None:
    return None if given is None or made is None else given + made


def _detail(usage: Mapping[str, object], group: str, name: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(name)) if isinstance(details, Mapping) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _filter(request: Request) -> AnswerFilter:
    record = request.record
    if request.prompt is None:
        return AnswerFilter("none", "")
    ends = record.template.ends if record.template else ()
    return AnswerFilter(record.echo, request.prompt, ends)
