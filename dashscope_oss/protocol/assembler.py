"""From the bytes of a stream to :class:`Delta`: what each event added, and every way to fail.

Both kinds of stream are read: new pieces, or the whole text so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import httpx2

from dashscope_oss.errors import NO_REASON, DashScopeError, ProtocolError
from dashscope_oss.messages import Delta, Json, Reply, ToolCall
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.response import (
    NAMELESS,
    Part,
    answer_filter,
    decode,
    error_body,
    error_in,
    estimated,
    joined,
    parse,
    read,
    reports_error,
    shown,
    usage_in,
    whole,
)
from dashscope_oss.protocol.streaming.body import EVENT_STREAM, BodyReader, claims_events, is_stream
from dashscope_oss.protocol.streaming.incremental import IncrementalText, Regime, regime_of
from dashscope_oss.protocol.streaming.sse import Event
from dashscope_oss.protocol.streaming.stop_sequences import StopSequenceFilter
from dashscope_oss.protocol.streaming.think_tags import ThinkTagSplitter
from dashscope_oss.protocol.tools import text_or_empty

MAX_TEXT = 100_000_000
"""Most characters of one answer, thoughts and tool calls included."""


def reply_in(
    request: Request, body: bytes, served_by: str | None, incremental: str | None, kind: str
) -> Reply:
    """Return the reply in a whole body, JSON or a stream; the arguments are those of ``begin``.

    Raises:
        DashScopeError: if it holds an error, or no whole answer.
    """
    if not is_stream(body, kind):
        return parse(request, decode(body, request.model_info.id), served_by)
    deltas = Assembler(request)
    deltas.begin(served_by, incremental, kind)
    return joined([*deltas.feed(body), *deltas.close()])


class Assembler:
    """Feed it an answer's bytes, take out what each event added; :meth:`close` it at the end.

    JSON in place of a stream becomes one delta.

    Attributes:
        served_by: the weights that answer, if the gateway's header named them.
        finished: whether the answer is whole.
        request: the call that is answered.
        handed_on: whether anything has been yielded yet.
    """

    def __init__(self, request: Request) -> None:
        self.served_by: str | None = None
        self.finished = False
        self.handed_on = False
        self.request = request
        self._framing = BodyReader()
        self._size = 0
        self._trim = answer_filter(request)
        self._cut = StopSequenceFilter(request.own_stops)
        self._split = ThinkTagSplitter() if request.split_think else None
        self._read_as(regime_of(request))
        self._pieces: list[str] = []
        self._calls: dict[int, str] = {}
        self._places: dict[tuple[int, str], int] = {}
        self._moved: dict[int, int] = {}
        self._call_id = ""
        self._usage: object = None
        self._request_id: str | None = None
        self._raw: Mapping[str, object] = {}
        self._owes_finish = request.model_info.reports_finish
        self._began = False

    def begin(
        self, served_by: str | None, incremental: str | None, kind: str = EVENT_STREAM
    ) -> None:
        """Take what the head of the answer says: who answers, what events hold, content type."""
        self.served_by = served_by
        self._framing.kind = kind
        if incremental is not None:
            self._read_as("pieces" if incremental == "true" else "snapshots")

    @property
    def cut(self) -> bool:
        """Whether a stop text ended the answer before the service did."""
        return self._cut.hit

    def so_far(self) -> str:
        """Return the text of a stream that is over: what was handed on and what was held back."""
        return "".join(self._pieces) + self._held()[0]

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Take the next bytes; yield what each completed event added.

        Raises:
            DashScopeError: if an event is an error; ``partial_text`` holds the text so far.
        """
        for event in self._events(chunk):
            if delta := self._push(event):
                self.handed_on = True
                yield delta

    def close(self) -> Iterator[Delta]:
        """Say that the body has ended; yield what was still held back.

        Raises:
            ProtocolError: if it ended too soon; ``partial_text`` holds the text so far.
        """
        if not self._framing.ends_as_stream():
            yield self._all()
            return
        for event in self._framing.flush():
            if delta := self._push(event):
                self.handed_on = True
                yield delta
        if not self.finished:
            last = self._end()
            self.handed_on = True
            yield last

    def _events(self, chunk: bytes) -> list[Event]:
        try:
            return self._framing.feed(chunk)
        except ProtocolError as error:
            raise self._broken(error.message) from None

    def _all(self) -> Delta:
        """What a body that is no stream holds."""
        body = self._framing.body
        if not body.strip() and claims_events(self._framing.kind):
            raise self._broken("the stream ended without an answer")
        try:
            reply = parse(self.request, decode(body, self.request.model_info.id), self.served_by)
        except DashScopeError as error:
            error.partial_text = ""
            raise
        self.finished = self.handed_on = True
        return whole(reply)

    def _read_as(self, regime: Regime) -> None:
        self._regime = regime
        self._text = IncrementalText(regime)
        self._reasoning = IncrementalText(regime)
        self._arguments: dict[int, IncrementalText] = {}
        self._passes = regime == "pieces" and not (
            self._trim.may_hold or self.request.own_stops or self._split
        )

    def _push(self, event: Event) -> Delta | None:
        if self.finished or event.is_sign_of_life:
            return None
        data = self._checked(event)
        try:
            part = read(data)
            if part is None:
                return None
            if self._passes and part.is_plain:
                return self._plain(data, part)
            text, thought = self._told_apart(self._trim.push(self._text.push(part.text)))
            reasoning = self._reasoning.push(part.reasoning) + thought
            text = self._cut.push(text)
            calls = tuple(map(self._piece, part.tool_calls))
        except ProtocolError as error:
            raise self._broken(error.message) from None
        self._note(data, part)
        delta = self._delta(text, reasoning, calls, part.logprobs)
        if self._cut.hit:
            return self._last(delta, "stop")
        if part.finish_reason is not None:
            if not self._began:
                raise self._broken("the stream finished without an answer")
            return self._last(delta, part.finish_reason)
        return delta if text or reasoning or part.tool_calls else None

    def _plain(self, data: Mapping[str, object], part: Part) -> Delta | None:
        """The short way of most events: a piece of text that nothing is to be done to."""
        text = self._text.push(part.text)
        self._note(data, part)
        return self._delta(text, "", (), None) if text else None

    def _note(self, data: Mapping[str, object], part: Part) -> None:
        self._began = self._began or part.says_something
        self._raw = data
        self._owes_finish = self._owes_finish or part.says_finish
        self._usage = data.get("usage") or self._usage
        self._request_id = text_or_empty(data.get("request_id")) or self._request_id

    def _end(self) -> Delta:
        if not self._began:
            raise self._broken("the stream ended without an answer")
        if self._owes_finish:
            raise self._broken("the stream broke off: it ended without a finish reason")
        return self._last(self._delta("", "", (), None), None)

    def _checked(self, event: Event) -> dict[str, object]:
        try:
            return self._read_event(event)
        except DashScopeError as error:
            error.partial_text = self.so_far()
            error.request_id = error.request_id or self._request_id
            raise

    def _read_event(self, event: Event) -> dict[str, object]:
        model = self.request.model_info.id
        data = self._failure(event.data) if event.failed else decode(event.data, model)
        if event.failed or reports_error(data):
            status = event.status if event.failed else None
            error = error_in(data, status_code=status, model=model)
            error.response = httpx2.Response(event.status or 200, content=event.data)
            raise error
        return data

    @staticmethod
    def _failure(body: bytes) -> dict[str, object]:
        said = error_body(body)[0] if body else None
        return said or {"message": f"{NO_REASON}: {shown(body)}" if body else NO_REASON}

    def _piece(self, call: ToolCall) -> ToolCall:
        """Give a piece of a call its place; take id and name off where they were said before.

        Whoever joins pieces would double them. A piece without an index continues the call before
        it, unless it has an id or a name of its own.
        """
        index = self._place(call)
        first, named = index not in self._calls, self._calls.get(index)
        self._calls[index] = named or call.name
        self._call_id = call.id or self._call_id
        arguments = self._new_arguments(index, call.arguments)
        if first:
            return replace(call, index=index, arguments=arguments)
        return ToolCall(name="" if named else call.name, arguments=arguments, index=index)

    def _place(self, call: ToolCall) -> int:
        if call.index is None:
            begins = call.id != self._call_id if call.id else bool(call.name)
            begins = begins or not self._calls
            return len(self._calls) if begins else next(reversed(self._calls))
        place = (call.index, call.id)
        if call.id and place in self._places:
            return self._places[place]
        index = self._moved.get(call.index, call.index)
        if call.name and call.id and index in self._places.values():
            # A second call under the index of the first; some engines count none.
            index = self._moved[call.index] = max(self._calls) + 1
        if call.id:
            self._places[place] = index
        return index

    def _new_arguments(self, index: int, text: str) -> str:
        if self._regime != "snapshots":
            return text
        return self._arguments.setdefault(index, IncrementalText("snapshots")).push(text)

    def _delta(
        self,
        text: str,
        reasoning: str,
        tool_calls: tuple[ToolCall, ...],
        logprobs: Json | None,
    ) -> Delta:
        if text:
            self._pieces.append(text)
        self._size += len(text) + len(reasoning)
        if tool_calls:
            self._size += sum(len(call.arguments) for call in tool_calls)
        if self._size > MAX_TEXT:
            raise self._broken(f"the answer is longer than {MAX_TEXT} characters")
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
        if not all(self._calls.values()):
            raise self._broken(NAMELESS)
        self.finished = True
        held, thought = self._held()
        if held:
            self._pieces.append(held)
        return replace(
            delta,
            text=delta.text + held,
            reasoning=delta.reasoning + self._reasoning.end() + thought,
            finish_reason=finish_reason,
            usage=usage_in(self._usage) or estimated(self.request, "".join(self._pieces)),
            last=True,
        )

    def _told_apart(self, text: str) -> tuple[str, str]:
        return self._split.push(text) if self._split else (text, "")

    def _held(self) -> tuple[str, str]:
        text, thought = self._told_apart(self._trim.push(self._text.end()) + self._trim.end())
        more, further = self._split.end() if self._split else ("", "")
        return self._cut.push(text + more) + self._cut.end(), thought + further

    def _broken(self, text: str) -> ProtocolError:
        return ProtocolError(
            text,
            model=self.request.model_info.id,
            request_id=self._request_id,
            partial_text=self.so_far(),
        )
