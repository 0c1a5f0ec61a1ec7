"""From the bytes of a stream to :class:`Delta`: what each event added, and every way to fail.

Both kinds of stream are read: new pieces, or the whole text so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from dashscope_oss.errors import DashScopeError, ProtocolError
from dashscope_oss.messages import Delta, Json, ToolCall
from dashscope_oss.reply import (
    Part,
    answer_filter,
    decode,
    error_in,
    estimated,
    read,
    reports_error,
    text_in,
    usage_in,
)
from dashscope_oss.request import Request
from dashscope_oss.sse import Decoder, Event
from dashscope_oss.stops import StopCut
from dashscope_oss.thoughts import ThinkSplit

MAX_TEXT = 100_000_000
"""Most characters of one answer."""

# Text of this length is not repeated by chance as the beginning of the next piece.
_TELLING = 16


class Deltas:
    """Feed it a stream's bytes, take out what each event added; :meth:`close` it at the end.

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
        self._decoder = Decoder()
        self._size = 0
        self._read_as(_regime_of(request))
        self._trim = answer_filter(request)
        self._cut = StopCut(request.own_stops)
        self._split = ThinkSplit() if request.split_think else None
        self._pieces: list[str] = []
        self._calls: set[int] = set()
        self._usage: object = None
        self._request_id: str | None = None
        self._raw: Mapping[str, object] = {}
        self._owes_finish = request.record.reports_finish
        self._began = False

    def begin(self, served_by: str | None, incremental: str | None) -> None:
        """Take what the head of the answer says: who answers, and what events hold."""
        self.served_by = served_by
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

    def _read_as(self, regime: _Regime) -> None:
        self._text = _Channel(regime)
        self._reasoning = _Channel(regime)

    def _push(self, event: Event) -> Delta | None:
        if self.finished:
            return None
        data = self._checked(event)
        try:
            part = read(data)
            if part is None:
                return None
            text, thought = self._told_apart(self._trim.push(self._text.push(part.text)))
            reasoning = self._reasoning.push(part.reasoning) + thought
            text = self._cut.push(text)
        except ProtocolError as error:
            raise self._broken(error.message) from None
        self._note(data, part)
        calls = tuple(map(self._piece, part.tool_calls))
        delta = self._delta(text, reasoning, calls, part.logprobs)
        if self._cut.hit:
            return self._last(delta, "stop")
        if part.finish_reason is not None:
            if not self._began:
                raise self._broken("the stream finished without an answer")
            return self._last(delta, part.finish_reason)
        return delta if text or reasoning or part.tool_calls else None

    def _note(self, data: Mapping[str, object], part: Part) -> None:
        self._began = self._began or part.says_something
        self._raw = data
        self._owes_finish = self._owes_finish or part.says_finish
        self._usage = data.get("usage") or self._usage
        self._request_id = text_in(data.get("request_id")) or self._request_id

    def _end(self) -> Delta:
        if not self._began:
            raise self._broken("the stream ended without an answer")
        if self._owes_finish:
            raise self._broken("the stream broke off: it ended without a finish reason")
        return self._last(self._delta("", "", (), None), None)

    def _checked(self, event: Event) -> dict[str, object]:
        model = self.request.record.id
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
            self._size += len(text)
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
            model=self.request.record.id,
            request_id=self._request_id,
            partial_text=self.so_far(),
        )


_Regime: TypeAlias = Literal["pieces", "snapshots", "unknown"]
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
    prove snapshots. Until then nothing doubtful is handed on. An answer that begins by repeating
    itself, each time longer, is read as snapshots; this project's gateway says which it sends, and
    then nothing is guessed.
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
