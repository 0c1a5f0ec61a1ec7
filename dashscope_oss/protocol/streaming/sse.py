"""A decoder for the event streams of DashScope: bytes in, events out, no I/O.

It follows the server-sent-events grammar of the HTML standard, and reads besides what the service
really sends: no space after the colon, the true status in a comment (``:HTTP_STATUS/400``),
events without a blank line between them, and a last line without an end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic_core import from_json

from dashscope_oss.errors import ProtocolError

_LINE_END = rb"\r\n|\n|\r"
_STATUS = re.compile(rb":\s*HTTP_STATUS/(\d{3})")
BOM = b"\xef\xbb\xbf"
_USUAL_HEAD = b"\nevent:result\n:HTTP_STATUS/200"
# Up to so many lines of an event are looked at for its end, in case its blank line is missing.
_MAX_WATCHED_LINES = 16
_ANSWER_KINDS = ("", "result", "message", "data")
_SILENT_KINDS = ("ping", "heartbeat", "keep-alive", "keepalive")
_END_OF_STREAM = b"[DONE]"
# As a JSON text or as bare words.
_EMPTY_DATA = (b"", b"null", b"[]", b"ping", b"pong", b"heartbeat", b"keep-alive")
_MAX_EMPTY_BYTES = 64

MAX_REPLY_BYTES = 100_000_000
"""Most bytes of a reply, and of a line or an event of a stream."""


class Event(NamedTuple):
    """One event of a stream.

    Attributes:
        kind: its event type, ``result`` or ``error``; empty if it states none.
        status: the HTTP status that its comment states.
        data: its data, as a rule JSON.
        id: its id; empty if it states none.
    """

    kind: str
    status: int | None
    data: bytes
    id: bytes = b""

    @property
    def failed(self) -> bool:
        """Whether it says that the call has failed."""
        return self.kind == "error" or (self.status or 0) >= 400

    @property
    def is_end(self) -> bool:
        """Whether it says that no more will come."""
        return self._is_short and self.data.strip() == _END_OF_STREAM

    @property
    def is_sign_of_life(self) -> bool:
        """Whether it only says that the server is there, or that no more will come."""
        if (not self._is_short and self.kind in _ANSWER_KINDS) or self.failed:
            return False
        if self.kind in _SILENT_KINDS:
            return True
        if self._is_short and (self.is_end or self.data.strip().strip(b'"').lower() in _EMPTY_DATA):
            return True
        return self.kind not in _ANSWER_KINDS and not self.data.lstrip().startswith(b"{")

    @property
    def _is_short(self) -> bool:
        return len(self.data) <= _MAX_EMPTY_BYTES


class Decoder:
    """Feed it the body as it arrives; it returns the events that each chunk completed.

    Args:
        max_event_bytes: an event or line longer than this raises :class:`ProtocolError`;
            ``MAX_REPLY_BYTES`` if ``None``.
    """

    def __init__(self, max_event_bytes: int | None = None) -> None:
        self._limit = MAX_REPLY_BYTES if max_event_bytes is None else max_event_bytes
        self._tail = bytearray()
        self._began = False
        self._after_cr = False
        self._kind = ""
        self._id = b""
        self._status: int | None = None
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes, cut anywhere; return the events they completed."""
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        events: list[Event] = []
        if self._began and b"\r" not in chunk:
            is_between = self.is_between_events
            if not is_between:
                head, end, chunk = chunk.partition(b"\n\n")
                self._read_lines(head + end, events)
                is_between = self.is_between_events
            if is_between:
                chunk = self._read_usual_events(chunk, events)
        self._read_lines(chunk, events)
        return events

    @property
    def is_between_events(self) -> bool:
        """Whether what was read so far ends with the end of an event."""
        return not (self._tail or self._data or self._kind or self._status)

    def _read_usual_events(self, chunk: bytes, events: list[Event]) -> bytes:
        """Read the events at the head of ``chunk`` that have the usual form; return the rest.

        The form in which the service writes them is known, and to take each apart line by line
        would be half the cost of a stream.
        """
        *blocks, rest = chunk.split(b"\n\n")
        for place, block in enumerate(blocks):
            head, separator, data = block.partition(b"\ndata:")
            if not (separator and _is_usual(head)) or b"\n" in data:
                return b"\n\n".join((*blocks[place:], rest))
            self._check_size(len(data))
            id = head[3 : head.index(b"\n")].strip()
            events.append(Event("result", 200, data.removeprefix(b" "), id))
        return rest

    def _read_lines(self, chunk: bytes, events: list[Event]) -> None:
        if chunk:
            for line in self._completed_lines(chunk):
                self._read_line(line, events)

    def flush(self) -> list[Event]:
        """Say that the body has ended; return the last event if it was not closed."""
        events: list[Event] = []
        if self._tail:
            self._read_line(self._without_bom(bytes(self._tail)), events)
            self._tail.clear()
        self._close(events, last=True)
        return events

    def _completed_lines(self, chunk: bytes) -> list[bytes]:
        lines = re.split(_LINE_END, chunk) if b"\r" in chunk else chunk.split(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        if len(lines) == 1:
            self._hold(chunk)
            return []
        lines[0] = self._without_bom(bytes(self._tail + lines[0]))
        rest = lines.pop()
        self._tail.clear()
        self._hold(rest)
        return lines

    def _hold(self, part: bytes) -> None:
        self._tail += part
        self._check_size(len(self._tail))

    def _without_bom(self, line: bytes) -> bytes:
        if self._began:
            return line
        self._began = True
        return line.removeprefix(BOM)

    def _read_line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._close(events)
        elif line.startswith(b":"):
            self._read_comment(line, events)
        else:
            name, _, value = line.partition(b":")
            self._read_field(name, value.removeprefix(b" "), events)

    def _read_comment(self, line: bytes, events: list[Event]) -> None:
        if status := _STATUS.match(line):
            self._close_if_data(events)
            self._status = int(status[1])

    def _read_field(self, name: bytes, value: bytes, events: list[Event]) -> None:
        if name == b"data":
            if self._has_whole_json():
                self._close(events)  # a second event whose blank line is missing
            self._data.append(value)
            self._size += len(value) + len(b"data:\n")
            self._check_size(self._size)
        elif name in (b"event", b"id"):
            self._close_if_data(events)
            if name == b"event":
                self._kind = value.decode("utf-8", "replace")
            else:
                self._id = value.strip()
        elif name == b"error" and value:
            # llama.cpp's servers of 2025 send errors in a field of this name.
            self._check_size(len(value))
            self._close_if_data(events)
            events.append(Event("error", self._status, value, self._id))

    def _has_whole_json(self) -> bool:
        if not self._data or not self._data[-1].endswith(b"}"):
            return False
        return len(self._data) <= _MAX_WATCHED_LINES and _is_json(b"\n".join(self._data))

    def _close_if_data(self, events: list[Event]) -> None:
        # A new event's first line while data is pending: the blank line between them is missing.
        if self._data:
            self._close(events)

    def _close(self, events: list[Event], *, last: bool = False) -> None:
        event = Event(self._kind, self._status, b"\n".join(self._data), self._id)
        if not self._data and self._kind != "error" and event.failed and not last:
            return  # nothing but a comment with a bad status: the event that follows is meant
        if self._data or event.failed:
            events.append(event)
        self._kind, self._id, self._status, self._size = "", b"", None, 0
        self._data.clear()

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise ProtocolError(f"an event of the stream is longer than {self._limit} bytes")


END_OF_STREAM = Event("", None, _END_OF_STREAM)
"""The event by which a server says that no more will come."""


def _is_usual(head: bytes) -> bool:
    return head.startswith(b"id:") and head.endswith(_USUAL_HEAD) and head.count(b"\n") == 2


def _is_json(data: bytes) -> bool:
    try:
        from_json(data)
    except ValueError:
        return False
    return True
