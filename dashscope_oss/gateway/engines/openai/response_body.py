"""The body of an upstream's answer: its first bytes, or its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx2

from dashscope_oss.protocol.streaming.body import EventReader
from dashscope_oss.protocol.streaming.sse import END_OF_STREAM, Event

MAX_BODY_BYTES = 10_000_000
"""Most bytes of a body that is no stream, and of one event of a stream."""
_END_OF_BODY_TIMEOUT = 0.2
_AFTER_THE_ANSWER_TIMEOUT = 2.0
"""Seconds for the counts and [DONE] behind a finish reason: some servers never send them."""


class SilenceLimit:
    """Ends an answer that does not go on, though bytes may still come.

    Args:
        seconds: that may pass between two pieces of the answer.

    Attributes:
        is_over: whether the answer is over. What may follow must follow soon, and need not.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._seconds = seconds
        self._newest_piece = time.monotonic()

    def restart(self) -> None:
        """Say that a piece of the answer has come."""
        self._newest_piece = time.monotonic()

    def check(self) -> None:
        """Raise ``TimeoutError`` if the newest piece came too long ago."""
        if time.monotonic() - self._newest_piece > self._seconds:
            raise TimeoutError(f"no piece of an answer in {self._seconds:g} s")


async def read_body(response: httpx2.Response) -> bytes:
    """Return the body, or its first 10 MB: an endless answer must not fill the memory."""
    body = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
    return bytes(body)


async def read_events(
    response: httpx2.Response, silence_limit: SilenceLimit, *, read_end: bool
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer; a whole body in place of a stream is two: itself and the end.

    Args:
        response: the answer, not read yet.
        silence_limit: is checked as bytes arrive; restarted by what belongs to a larger piece.
        read_end: whether to read on after the last event, to the end of the body: only then can
            the connection be kept.

    Raises:
        TimeoutError: if the answer did not go on in time.
        ProtocolError: if an event, or the whole body, is too long.
    """
    silence_limit.restart()
    reader = EventReader(response.headers.get("content-type", ""), MAX_BODY_BYTES)
    async with aclosing(response.aiter_bytes()) as chunks:
        while (chunk := await _next_chunk(chunks, silence_limit)) is not None:
            silence_limit.check()
            for event in reader.feed(chunk):
                yield event
                if event.is_end:
                    if read_end:
                        await _read_to_end(chunks)
                    return
            if reader.is_within_answer:
                silence_limit.restart()
    if reader.ends_as_stream():
        for event in reader.flush():
            yield event
    else:
        yield Event("", None, reader.body)
        yield END_OF_STREAM


async def _next_chunk(chunks: AsyncIterator[bytes], silence_limit: SilenceLimit) -> bytes | None:
    """Return the next bytes of a body; ``None`` if there are none, or none are needed."""
    if not silence_limit.is_over:
        return await anext(chunks, None)
    try:
        async with asyncio.timeout(_AFTER_THE_ANSWER_TIMEOUT):
            return await anext(chunks, None)
    except (TimeoutError, httpx2.HTTPError):
        return None


async def _read_to_end(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of a body whose answer is complete."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_END_OF_BODY_TIMEOUT):
            async for _ in chunks:
                pass
