"""Reads the body of an answer, up to a limit."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.transport.http.deadlines import Deadline

MAX_ERROR_BODY_BYTES = 20_000_000
"""What is read of an answer that is an error; a longer one costs its connection."""
_EXPLOSIVE_ENCODINGS = ("br", "zstd")


class ResponseBody:
    """Collects the body of an answer, up to the limit of its kind.

    Args:
        deadline: when it must be there.
        is_success: whether the status of the answer is one of success.
    """

    def __init__(self, deadline: Deadline, *, is_success: bool) -> None:
        self.is_success = is_success
        self._deadline = deadline
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def body(self) -> bytes:
        """What has been collected."""
        return b"".join(self._parts)

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more are wanted.

        Raises:
            ProtocolError: if an answer is longer than any may be.
            TimeoutError: if the deadline has passed.
        """
        self._parts.append(chunk)
        self._size += len(chunk)
        if not self.is_success and self._size > MAX_ERROR_BODY_BYTES:
            return False
        if self.is_success and self._size > sse.MAX_REPLY_BYTES:
            raise ProtocolError(f"the answer is longer than {sse.MAX_REPLY_BYTES} bytes")
        self._deadline.check()
        return True


def refuse_explosive_encoding(headers: Mapping[str, str]) -> None:
    """Raise for an encoding in which a few bytes may unpack to gigabytes.

    Encoded once by gzip or deflate, one read gives some 70 MB at most. httpx2 also reads other
    encodings and encodings of encodings, where a kilobyte may hold gigabytes. What it does not know
    it leaves as it is.

    Raises:
        httpx2.DecodingError: for an encoding that was not asked for.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if "," in encoding or encoding in _EXPLOSIVE_ENCODINGS:
        raise httpx2.DecodingError("its Content-Encoding was not asked for")
