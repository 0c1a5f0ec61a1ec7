"""Reads the body of an answer, up to a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Self, cast

import httpx2

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.transport.http.deadlines import Deadline

MAX_ERROR_BODY_BYTES = 20_000_000
"""What is read of an answer that is an error; a longer one costs its connection."""
_EXPLOSIVE_ENCODINGS = ("br", "zstd")


class ResponseBody:
    """The body of an answer, whose head has arrived.

    Args:
        response: the answer.
        head: its headers.
        deadline: when all of it must be there.
        is_success: whether its status is one of success.
        is_raw: whether nobody has read of it, or changed it.
        is_timed: whether its reads keep the deadline.
    """

    def __init__(
        self,
        response: httpx2.Response,
        head: Mapping[str, str],
        deadline: Deadline,
        *,
        is_success: bool,
        is_raw: bool,
        is_timed: bool,
    ) -> None:
        self.is_success = is_success
        self._response = response
        self._encoding = head.get("content-encoding", "").strip().lower()
        self._is_timed = is_timed
        # What is not encoded needs none of httpx2's steps.
        self._is_raw = is_raw and not self._encoding
        self._deadline = deadline
        self._parts: list[bytes] = []
        self._size = 0

    def chunks(self) -> Iterator[bytes]:
        """Return the chunks as they arrive.

        Raises:
            httpx2.DecodingError: for an encoding that was not asked for.
        """
        self._refuse_explosive_encoding()
        if self._is_raw:
            return iter(cast("httpx2.SyncByteStream", self._response.stream))
        return self._response.iter_bytes()

    def achunks(self) -> AsyncIterator[bytes]:
        """Return the chunks of an asyncio answer; see :meth:`chunks`."""
        self._refuse_explosive_encoding()
        if self._is_raw:
            return aiter(cast("httpx2.AsyncByteStream", self._response.stream))
        return self._response.aiter_bytes()

    def achunks_in_time(self) -> AsyncIterator[bytes]:
        """Return the chunks of an asyncio answer, each of which comes before the deadline."""
        chunks = self.achunks()
        return chunks if self._is_timed else _InTime(chunks, self._deadline)

    def read(self) -> bytes:
        """Return all of the body, or as much of an error's as can be read.

        Raises:
            ProtocolError: if an answer is longer than any may be.
            TimeoutError: if the deadline has passed.
        """
        try:
            for chunk in self.chunks():
                if not self._add(chunk):
                    break
        except httpx2.HTTPError:
            if self.is_success:  # that an answer is an error matters more
                raise
        return b"".join(self._parts)

    async def aread(self) -> bytes:
        """Return all of the body of an asyncio answer; see :meth:`read`."""
        try:
            async for chunk in self.achunks():
                if not self._add(chunk):
                    break
        except httpx2.HTTPError:
            if self.is_success:  # as in read
                raise
        return b"".join(self._parts)

    def _add(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more are wanted."""
        self._parts.append(chunk)
        self._size += len(chunk)
        if not self.is_success and self._size > MAX_ERROR_BODY_BYTES:
            return False
        if self.is_success and self._size > sse.MAX_REPLY_BYTES:
            raise ProtocolError(f"the answer is longer than {sse.MAX_REPLY_BYTES} bytes")
        self._deadline.check()
        return True

    def _refuse_explosive_encoding(self) -> None:
        # Encoded once by gzip or deflate, one read gives some 70 MB at most. httpx2 also reads
        # other encodings and encodings of encodings, where a kilobyte may hold gigabytes. What it
        # does not know it leaves as it is.
        if "," in self._encoding or self._encoding in _EXPLOSIVE_ENCODINGS:
            raise httpx2.DecodingError("its Content-Encoding was not asked for")


class _InTime:
    """Chunks of an answer, each of which must arrive before the deadline."""

    def __init__(self, chunks: AsyncIterator[bytes], deadline: Deadline) -> None:
        self._chunks = chunks
        self._deadline = deadline

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        async with self._deadline.asyncio_timeout():
            return await anext(self._chunks)
