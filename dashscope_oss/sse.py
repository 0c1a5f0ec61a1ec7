"""A push decoder for the event streams of DashScope: bytes in, events out, no I/O.

It follows the server-sent-events grammar of the HTML standard and takes, besides, what the
service really sends: no space after the colon, the true status in a comment
(``:HTTP_STATUS/400``), events without a blank line between them, and a last line without an end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_core import from_json

from dashscope_oss.errors import ProtocolError

_LINE_END = re.compile(rb"\r\n|\n|\r")
_STATUS = re.compile(rb":\s*HTTP_STATUS/(\d{3})")
_BOM = b"\xef\xbb\xbf"

MAX_EVENT_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its kind (``result`` or ``error``), the status of its comment, its data."""

    kind: str
    status: int | None
    data: bytes


class Decoder:
    """Feed it the body as it arrives; it returns the events that became complete.

    Args:
        max_event_bytes: an event or line longer than this raises :class:`ProtocolError`.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._tail: list[bytes] = []
        self._held = 0
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
        for line in self._lines(chunk):
            self._line(line, events)
        return events

    def flush(self) -> list[Event]:
        """Say that the body has ended; return the last event if it was not closed."""
        events: list[Event] = []
        if self._tail:
            self._line(self._without_bom(b"".join(self._tail)), events)
            self._tail.clear()
        self._close(events)
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        lines = _LINE_END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        if len(lines) == 1:
            self._hold(chunk)
            return []
        lines[0] = self._without_bom(b"".join((*self._tail, lines[0])))
        rest = lines.pop()
        self._tail.clear()
        self._held = 0
        self._hold(rest)
        return lines

    def _hold(self, part: bytes) -> None:
        if part:
            self._tail.append(part)
            self._held += len(part)
            self._check(self._held)

    def _without_bom(self, line: bytes) -> bytes:
        if self._began:
            return line
        self._began = True
        return line.removeprefix(_BOM)

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
            if self._data and self._data[-1].endswith(b"}") and _is_json(b"\n".join(self._data)):
                self._close(events)  # a second event whose blank line is missing
            self._data.append(value)
            self._size += len(value)
            self._check(self._size)
        elif name in (b"event", b"id"):
            self._close_if_data(events)
            if name == b"event":
                self._kind = value.decode("utf-8", "replace")

    def _close_if_data(self, events: list[Event]) -> None:
        # A new event's first line while data is pending: the blank line between them is missing.
        if self._data:
            self._close(events)

    def _close(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._kind, self._status, b"\n".join(self._data)))
        self._kind, self._status, self._size = "", None, 0
        self._data.clear()

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ProtocolError(f"an event of the stream is longer than {self._limit} bytes")


def _is_json(data: bytes) -> bool:
    try:
        from_json(data)
    except ValueError:
        return False
    return True
