"""A push decoder for the event streams of DashScope: bytes in, events out, no I/O.

It follows the server-sent-events grammar of the HTML standard and takes, besides, what the
service really sends: no space after the colon, the true status in a comment
(``:HTTP_STATUS/400``), events without a blank line between them, and a last line without an end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic_core import from_json

from dashscope_oss.errors import ProtocolError

_LINE_END = rb"\r\n|\n|\r"
_STATUS = re.compile(rb":\s*HTTP_STATUS/(\d{3})")
BOM = b"\xef\xbb\xbf"
_RESULT = b"\nevent:result\n:HTTP_STATUS/200"
# Lines of one event that are looked at for the end of an event whose blank line is missing.
_WATCHED_LINES = 16
_ANSWERING = ("", "result", "message", "data")
_SAYS_NOTHING = (b"", b"[DONE]")

MAX_REPLY_BYTES = 100_000_000
"""Most bytes of a reply, and of a line or an event of a stream."""


class Event(NamedTuple):
    """One event: its kind (``result`` or ``error``), the status of its comment, its data."""

    kind: str
    status: int | None
    data: bytes

    @property
    def failed(self) -> bool:
        """Whether it says that the call has failed."""
        return self.kind == "error" or (self.status or 0) >= 400

    @property
    def is_sign_of_life(self) -> bool:
        """Whether it only says that the server is there, or that no more will come."""
        if self.data.startswith(b"{") or self.failed:
            return False
        strange = self.kind not in _ANSWERING and not self.data.lstrip().startswith(b"{")
        return strange or self.data.strip() in _SAYS_NOTHING


class Decoder:
    """Feed it the body as it arrives; it returns the events that became complete.

    Args:
        max_event_bytes: an event or line longer than this raises :class:`ProtocolError`; 100 MB
            if ``None``.
    """

    def __init__(self, max_event_bytes: int | None = None) -> None:
        self._limit = MAX_REPLY_BYTES if max_event_bytes is None else max_event_bytes
        self._tail = bytearray()
        self._began = False
        self._after_cr = False
        self._kind = ""
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
            if not self._between:
                head, end, chunk = chunk.partition(b"\n\n")
                self._read(head + end, events)
            if self._between:
                chunk = self._blocks(chunk, events)
        self._read(chunk, events)
        return events

    @property
    def _between(self) -> bool:
        """Whether what was read so far ends with an event's end."""
        return not (self._tail or self._data or self._kind or self._status)

    def _blocks(self, chunk: bytes, events: list[Event]) -> bytes:
        """Read the whole events at the head of ``chunk``; return the rest.

        The form in which the service writes them is known, and taking each apart line by line
        would be half the cost of a stream.
        """
        *blocks, rest = chunk.split(b"\n\n")
        for at, block in enumerate(blocks):
            head, found, data = block.partition(b"\ndata:")
            if not (found and _is_usual(head)) or b"\n" in data:
                return b"\n\n".join((*blocks[at:], rest))
            self._check(len(data))
            events.append(Event("result", 200, data.removeprefix(b" ")))
        return rest

    def _read(self, chunk: bytes, events: list[Event]) -> None:
        if chunk:
            for line in self._lines(chunk):
                self._line(line, events)

    def flush(self) -> list[Event]:
        """Say that the body has ended; return the last event if it was not closed."""
        events: list[Event] = []
        if self._tail:
            self._line(self._without_bom(bytes(self._tail)), events)
            self._tail.clear()
        self._close(events, last=True)
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
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
        self._check(len(self._tail))

    def _without_bom(self, line: bytes) -> bytes:
        if self._began:
            return line
        self._began = True
        return line.removeprefix(BOM)

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._close(events)
        elif line.startswith(b":"):
            self._comment(line, events)
        else:
            name, _, value = line.partition(b":")
            self._field(name, value.removeprefix(b" "), events)

    def _comment(self, line: bytes, events: list[Event]) -> None:
        if found := _STATUS.match(line):
            self._close_if_data(events)
            self._status = int(found[1])

    def _field(self, name: bytes, value: bytes, events: list[Event]) -> None:
        if name == b"data":
            if self._is_whole():
                self._close(events)  # a second event whose blank line is missing
            self._data.append(value)
            self._size += len(value) + len(b"data:\n")
            self._check(self._size)
        elif name in (b"event", b"id"):
            self._close_if_data(events)
            if name == b"event":
                self._kind = value.decode("utf-8", "replace")

    def _is_whole(self) -> bool:
        if not self._data or not self._data[-1].endswith(b"}"):
            return False
        return len(self._data) <= _WATCHED_LINES and _is_json(b"\n".join(self._data))

    def _close_if_data(self, events: list[Event]) -> None:
        # A new event's first line while data is pending: the blank line between them is missing.
        if self._data:
            self._close(events)

    def _close(self, events: list[Event], *, last: bool = False) -> None:
        event = Event(self._kind, self._status, b"\n".join(self._data))
        if not self._data and self._kind != "error" and event.failed and not last:
            return  # a comment with a bad status, alone: it is about the event that follows
        if self._data or event.failed:
            events.append(event)
        self._kind, self._status, self._size = "", None, 0
        self._data.clear()

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ProtocolError(f"an event of the stream is longer than {self._limit} bytes")


def _is_usual(head: bytes) -> bool:
    return head.startswith(b"id:") and head.endswith(_RESULT) and head.count(b"\n") == 2


def _is_json(data: bytes) -> bool:
    try:
        from_json(data)
    except ValueError:
        return False
    return True
