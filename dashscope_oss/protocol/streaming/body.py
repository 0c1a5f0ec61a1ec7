"""Whether a body is a stream of events or one piece of JSON: the body itself tells."""

from __future__ import annotations

import re

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.protocol.streaming.sse import BOM, Decoder, Event

EVENT_STREAM = "text/event-stream"

_FIRST_LINE = rb":|(?:data|event|id|retry)(?::|[\r\n])|error: ?\{"
_STARTS = (b"data:", b"event:", b"id:", b"retry:", b"error: {")
_BLANK = b" \t\r\n"
# A body whose first bytes, this many, are blank is what its content type says.
_MAX_LOOKED_AT = 64


def is_event_stream(content_type: str) -> bool:
    """Whether a content type calls its body a stream of events."""
    return "event-stream" in content_type.lower()


def is_stream(start: bytes, content_type: str) -> bool | None:
    """Whether a body is a stream of events, by how it begins; ``None`` if that is not clear yet.

    Servers and proxies mislabel bodies: JSON and HTML come as event streams, streams without a
    content type.

    Args:
        start: the body, or its first bytes.
        content_type: decides if the first line is no known field of an event.
    """
    labelled = is_event_stream(content_type)
    first = start[:_MAX_LOOKED_AT].removeprefix(BOM).lstrip(_BLANK)
    if not first or BOM.startswith(start):
        return None if len(start) < _MAX_LOOKED_AT else labelled
    if first[:1] in b'{[<"':
        return False
    if re.match(_FIRST_LINE, first):
        return True
    if any(field.startswith(first) for field in _STARTS):
        return None
    return labelled


class EventReader:
    """Takes a body as it arrives and returns its events; a body without events is kept whole.

    Args:
        content_type: of the body.
        max_bytes: of a whole body, and of an event or line of a stream; what is longer raises
            :class:`ProtocolError`. ``MAX_REPLY_BYTES`` if ``None``.

    Attributes:
        content_type: may be set until the first bytes are fed.
    """

    def __init__(self, content_type: str = EVENT_STREAM, max_bytes: int | None = None) -> None:
        self.content_type = content_type
        self._max_bytes = sse.MAX_REPLY_BYTES if max_bytes is None else max_bytes
        self._held = bytearray()
        self._is_stream: bool | None = None
        self._is_blank = False
        self._decoder = Decoder(max_bytes)

    @property
    def body(self) -> bytes:
        """What has come of a body that is no stream, or not known to be one."""
        return bytes(self._held)

    @property
    def is_within_answer(self) -> bool:
        """Whether the newest bytes belong to a whole body, or to an event that goes on.

        Blank ones do not: some servers send them while they have nothing to say.
        """
        if self._is_stream:
            return not self._decoder.is_between_events
        return not self._is_blank

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete."""
        if self._is_stream:
            return self._decoder.feed(chunk)
        self._hold(chunk)
        if self._is_stream is None:
            self._is_stream = is_stream(self.body, self.content_type)
        return self._decode_held() if self._is_stream else []

    def ends_as_stream(self) -> bool:
        """Say that the body has ended; return whether it was a stream."""
        if self._is_stream is None:
            self._is_stream = is_stream(self.body + b"\n", self.content_type) or False
        return self._is_stream

    def flush(self) -> list[Event]:
        """Return what was still held back of a stream that has ended."""
        return [*self._decode_held(), *self._decoder.flush()]

    def _decode_held(self) -> list[Event]:
        held = self.body
        self._held.clear()
        return self._decoder.feed(held)

    def _hold(self, chunk: bytes) -> None:
        self._held += chunk
        self._is_blank = not chunk.strip()
        if len(self._held) > self._max_bytes:
            raise ProtocolError(f"the answer is longer than {self._max_bytes} bytes")
