"""From the bytes of an answer to deltas: what each event added, and how a stream can fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dashscope_oss.errors import DashScopeError, ProtocolError
from dashscope_oss.messages import Delta, Json, Reply, SearchResult, ToolCall
from dashscope_oss.protocol.error_mapping import error_in_event, reports_error
from dashscope_oss.protocol.json_body import read_json_object, text_or_empty
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.response import (
    NAMELESS_CALL,
    Output,
    answer_text,
    estimate_usage,
    read_output,
    read_reply,
    read_search_results,
    read_usage,
)
from dashscope_oss.protocol.streaming.body import (
    EVENT_STREAM,
    EventReader,
    is_event_stream,
    is_stream,
)
from dashscope_oss.protocol.streaming.deltas import delta_of, join_deltas
from dashscope_oss.protocol.streaming.incremental import Regime, StreamMode
from dashscope_oss.protocol.streaming.repeated_events import RepeatedEvents
from dashscope_oss.protocol.streaming.sse import Event
from dashscope_oss.protocol.streaming.tool_calls import ToolCallAssembler

MAX_ANSWER_CHARACTERS = 100_000_000
"""Most characters of one answer, thoughts and arguments of tool calls included."""

_MODES: dict[str, StreamMode] = {
    "yes": "expected",
    "forced": "expected",
    "no": "cumulative",
    "unknown": "unknown",
}


def reply_in(
    request: Request, body: bytes, served_by: str | None, incremental: str | None, content_type: str
) -> Reply:
    """Return the reply in a whole body, JSON or a stream.

    Args:
        request: the call that is answered.
        body: all of it.
        served_by: as for :meth:`Assembler.begin`.
        incremental: as for :meth:`Assembler.begin`.
        content_type: as for :meth:`Assembler.begin`.

    Raises:
        DashScopeError: if it holds an error, or no whole answer.
    """
    if not is_stream(body, content_type):
        return read_reply(request, read_json_object(body, request.model_info.id), served_by)
    assembler = Assembler(request)
    assembler.begin(served_by, incremental, content_type)
    return join_deltas([*assembler.feed(body), *assembler.close()])


class Assembler:
    """Feed it the bytes of an answer, take out what each event added; :meth:`close` it at the end.

    JSON in place of a stream becomes one delta.

    Attributes:
        request: the call that is answered.
        served_by: the weights that answer, if a gateway's header named them.
        finished: whether the answer is whole.
        handed_on: whether anything has been yielded yet.
        grew: whether the bytes fed last held some of the answer, and not only signs of life.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.served_by: str | None = None
        self.finished = False
        self.handed_on = False
        self.grew = False
        self._tokens: list[object] = []
        self._events = EventReader()
        self._repeated = RepeatedEvents()
        self._facts = _Facts(owes_finish_reason=_owes_finish_reason(request))
        self._size = 0
        self._expect(_expected_mode(request))

    def begin(
        self, served_by: str | None, incremental: str | None, content_type: str = EVENT_STREAM
    ) -> None:
        """Take what the head of the answer says, before any of its bytes.

        Args:
            served_by: the weights that answer; ``None`` if no header says so.
            incremental: ``"true"`` if events hold new text only; ``None`` if no header says so.
            content_type: of the body.
        """
        self.served_by = served_by
        self._events.content_type = content_type
        if incremental is not None:
            self._expect("incremental" if incremental == "true" else "cumulative")

    @property
    def cut(self) -> bool:
        """Whether a stop text ended the answer before the service did."""
        return not self._text.is_unfiltered and self._text.is_stopped

    def so_far(self) -> str:
        """Return the text of a stream that is over: what was handed on and what was held back."""
        return self._text.all_text()

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Take the next bytes; return what each completed event added, as an iterator.

        Raises:
            DashScopeError: if an event is an error; ``partial_text`` holds the text so far.
        """
        try:
            events = self._events.feed(chunk)
        except ProtocolError as error:
            raise self._broken(error.message) from None
        self.grew = self._events.is_within_answer
        return self._deltas(self._repeated.without(events))

    def close(self) -> Iterator[Delta]:
        """Say that the body has ended; yield what was still held back.

        Raises:
            ProtocolError: if it ended too soon; ``partial_text`` holds the text so far.
        """
        if not self._events.ends_as_stream():
            yield self._whole_body()
            return
        last_events = self._repeated.without(self._events.flush())
        yield from self._deltas([*last_events, *self._repeated.end()])
        if not self.finished:
            last = self._end()
            self.handed_on = True
            yield last

    def _expect(self, mode: StreamMode) -> None:
        self._regime = Regime(mode)
        self._text = answer_text(self.request, self._regime)
        self._tool_calls = ToolCallAssembler(self._regime)

    def _deltas(self, events: list[Event]) -> Iterator[Delta]:
        for event in events:
            if delta := self._push(event):
                self.handed_on = True
                yield delta

    def _whole_body(self) -> Delta:
        """What a body that is no stream holds."""
        body = self._events.body
        if not body.strip() and is_event_stream(self._events.content_type):
            raise self._broken("the stream ended without an answer")
        try:
            data = read_json_object(body, self.request.model_info.id)
            reply = read_reply(self.request, data, self.served_by)
        except DashScopeError as error:
            error.partial_text = ""
            raise
        self.finished = self.handed_on = True
        return delta_of(reply)

    def _push(self, event: Event) -> Delta | None:
        if self.finished or event.is_sign_of_life:
            return None
        data = self._checked(event)
        try:
            output = read_output(data)
            if output is None:
                return None
            if not self._regime.is_decided:
                self._regime.note_counts(data.get("usage"))
            if self._text.is_unfiltered and output.is_plain:
                return self._push_plain(data, output)
            return self._push_output(data, output)
        except ProtocolError as error:
            raise self._broken(error.message) from None

    def _push_plain(self, data: Mapping[str, object], output: Output) -> Delta | None:
        """The short way that most events take: their text is handed on as it is."""
        text = self._text.push_unfiltered(output.text)
        self._note(data, output)
        return self._delta(text) if text else None

    def _push_output(self, data: Mapping[str, object], output: Output) -> Delta | None:
        text, reasoning = self._text.push(output.text, output.reasoning)
        tool_calls = tuple(map(self._tool_calls.push, output.tool_calls))
        search_results, images = self._facts.note_finds(output)
        self._note(data, output)
        logprobs = self._added_logprobs(output.logprobs) if output.logprobs else None
        delta = self._delta(text, reasoning, tool_calls, logprobs)
        delta.search_results, delta.images = search_results, images
        if self._text.is_stopped:
            return self._last(delta, "stop")
        if output.finish_reason is not None:
            if not self._facts.has_answer:
                raise ProtocolError("the stream finished without an answer")
            return self._last(delta, output.finish_reason)
        return None if delta.is_plain and not text else delta

    def _added_logprobs(self, logprobs: Json) -> Json:
        """Return the log probabilities of the tokens that an event adds."""
        tokens, before = logprobs.get("content"), self._tokens
        if not isinstance(tokens, list):
            return logprobs
        self._tokens = tokens
        if self._regime.mode != "cumulative" or tokens[: len(before)] != before:
            return logprobs
        return {**logprobs, "content": tokens[len(before) :]}

    def _note(self, data: Mapping[str, object], output: Output) -> None:
        self._facts.note(data, output)
        if output.text or output.reasoning or output.tool_calls:
            self.grew = True

    def _checked(self, event: Event) -> dict[str, object]:
        """Return the data of an event; raise the error that it reports."""
        model = self.request.model_info.id
        try:
            data = None if event.failed else read_json_object(event.data, model)
            if data is None or reports_error(data):
                raise error_in_event(event, model)
        except DashScopeError as error:
            error.partial_text = self.so_far()
            error.request_id = error.request_id or self._facts.request_id
            raise
        return data

    def _delta(
        self,
        text: str,
        reasoning: str = "",
        tool_calls: tuple[ToolCall, ...] = (),
        logprobs: Json | None = None,
    ) -> Delta:
        self._size += len(text) + len(reasoning)
        if tool_calls:
            self._size += sum(len(call.arguments) for call in tool_calls)
        if self._size > MAX_ANSWER_CHARACTERS:
            raise ProtocolError(f"the answer is longer than {MAX_ANSWER_CHARACTERS} characters")
        return Delta(
            text=text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            request_id=self._facts.request_id,
            served_by=self.served_by,
            logprobs=logprobs,
            raw=self._facts.raw,
        )

    def _end(self) -> Delta:
        """The last delta of a stream that ended without a finish reason."""
        if not self._facts.has_answer:
            raise self._broken("the stream ended without an answer")
        if self._facts.owes_finish_reason:
            raise self._broken("the stream broke off: it ended without a finish reason")
        try:
            return self._last(self._delta(""), None)
        except ProtocolError as error:
            raise self._broken(error.message) from None

    def _last(self, delta: Delta, finish_reason: str | None) -> Delta:
        if not self._tool_calls.are_named:
            raise ProtocolError(NAMELESS_CALL)
        self.finished = True
        text, reasoning = self._text.end()
        usage = read_usage(self._facts.usage)
        return replace(
            delta,
            text=delta.text + text,
            reasoning=delta.reasoning + reasoning,
            tool_calls=delta.tool_calls + self._tool_calls.missing_ids(),
            raw=self._facts.whole_raw(),
            finish_reason=finish_reason,
            usage=usage or estimate_usage(self.request, self._text.all_text()),
            last=True,
        )

    def _broken(self, text: str) -> ProtocolError:
        return ProtocolError(
            text,
            model=self.request.model_info.id,
            request_id=self._facts.request_id,
            partial_text=self.so_far(),
        )


@dataclass(slots=True)
class _Facts:
    """What the events so far say beside text.

    Attributes:
        owes_finish_reason: whether a stream that ends without a finish reason broke off.
        has_answer: whether any event had a place for text, reasoning or tool calls.
        usage: the newest counts.
        request_id: the service's id of the call.
        search_info: the web pages that the model read; most services name them in one event only.
        images: the images of the answer.
        raw: the newest event.
    """

    owes_finish_reason: bool
    has_answer: bool = False
    usage: object = None
    request_id: str | None = None
    search_info: Json | None = None
    images: tuple[str, ...] = ()
    raw: Json = field(default_factory=dict)

    def note(self, data: Mapping[str, object], output: Output) -> None:
        self.has_answer = self.has_answer or output.is_answer
        self.owes_finish_reason = self.owes_finish_reason or output.has_finish_reason
        self.usage = data.get("usage") or self.usage
        self.request_id = text_or_empty(data.get("request_id")) or self.request_id
        self.raw = data

    def note_finds(self, output: Output) -> tuple[tuple[SearchResult, ...], tuple[str, ...]]:
        """Return the web pages and the images that no event before this one named."""
        images = tuple(image for image in output.images if image not in self.images)
        self.images += images
        if output.search_info is None or output.search_info == self.search_info:
            return (), images
        self.search_info = output.search_info
        return read_search_results(output.search_info), images

    def whole_raw(self) -> Json:
        """Return the newest event, with the web pages that an earlier one named."""
        output = self.raw.get("output")
        if self.search_info is None or not isinstance(output, dict):
            return self.raw
        return {**self.raw, "output": {"search_info": self.search_info, **output}}


def _expected_mode(request: Request) -> StreamMode:
    asked = request.parameters.get("incremental_output")
    if asked is False:
        return "cumulative"
    mode = _MODES[request.model_info.incremental]
    return "unasked" if mode == "unknown" and asked is None else mode


def _owes_finish_reason(request: Request) -> bool:
    """Whether an answer without a finish reason broke off, though no event speaks of one.

    The samples of text answers have none; only the service's messages always do.
    """
    is_message = request.parameters.get("result_format") == "message"
    is_text = request.model_info.text_reply and not is_message
    return request.model_info.reports_finish and not is_text
