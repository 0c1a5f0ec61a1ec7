"""Whether a body is a stream of events or one piece of JSON, told by the body itself."""

from __future__ import annotations

import re

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.protocol.streaming.sse import BOM, Decoder, Event

EVENT_STREAM = "text/event-stream"

_FIRST_LINE = rb":|(?:data|event|id|retry)(?::|[\r\n])"
_STARTS = (b"data:", b"event:", b"id:", b"retry:")
_BLANK = b" \t\r\n"
# Bytes of a body that tell what it is; one that is blank so far is what its type says.
_LOOKED_AT = 64


def claims_events(kind: str) -> bool:
    """Whether a content type calls its body a stream."""
    return "event-stream" in kind.lower()


def is_stream(start: bytes, kind: str) -> bool | None:
    """Whether a body is a stream of events, by how it begins; ``None``: that cannot be told yet.

    Servers and proxies mislabel bodies: JSON and pages come as streams, streams without a name.

    Args:
        start: the body, or its first bytes.
        kind: its content type, which decides only where the first line may be a field that
            nobody knows.
    """
    labelled = claims_events(kind)
    first = start[:_LOOKED_AT].removeprefix(BOM).lstrip(_BLANK)
    if not first or BOM.startswith(start):
        return None if len(start) < _LOOKED_AT else labelled
    if re.match(_FIRST_LINE, first):
        return True
    if any(field.startswith(first) for field in _STARTS):
        return None
    return labelled and first[:1] not in b'{[<"'


class BodyReader:
    """Takes a body as it arrives and gives its events; a body that has none, it keeps.

    Args:
        kind: the content type.
    """

    def __init__(self, kind: str = EVENT_STREAM) -> None:
        self.kind = kind
        self._held = bytearray()
        self._streams: bool | None = None
        self._decoder = Decoder()

    @property
    def body(self) -> bytes:
        """What there is of a body that is no stream."""
        return bytes(self._held)

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events that they complete."""
        if self._streams:
            return self._decoder.feed(chunk)
        self._hold(chunk)
        if self._streams is None:
            self._streams = is_stream(self.body, self.kind)
        return self._taken() if self._streams else []

    def ends_as_stream(self) -> bool:
        """Say that the body has ended; return whether it was a stream."""
        if self._streams is None:
            self._streams = is_stream(self.body + b"\n", self.kind) or False
        return self._streams

    def flush(self) -> list[Event]:
        """Return what was still held back of a stream that has ended."""
        return [*self._taken(), *self._decoder.flush()]

    def _taken(self) -> list[Event]:
        start = self.body
        self._held.clear()
        return self._decoder.feed(start)

    def _hold(self, chunk: bytes) -> None:
        self._held += chunk
        if len(self._held) > sse.MAX_REPLY_BYTES:
            raise ProtocolError(f"the answer is longer than {sse.MAX_REPLY_BYTES} bytes")
