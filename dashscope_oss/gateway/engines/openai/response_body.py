"""The body of an upstream's answer: its first bytes, or the JSON objects of its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import httpx2

from dashscope_oss.protocol.streaming.sse import Decoder

MAX_BODY_BYTES = 10_000_000
"""Most bytes of a body that is no stream, and of one event of a stream."""
_EVENT_STREAM = "text/event-stream"
_END_OF_STREAM = b"[DONE]"
_END_OF_BODY_TIMEOUT = 0.2


async def read_body(response: httpx2.Response) -> bytes:
    """Return the body, or its first 10 MB: an endless answer must not fill the memory."""
    body = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
    return bytes(body)


async def read_objects(
    response: httpx2.Response, idle_timeout: float, *, read_end: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the JSON texts of an answer: one for each event, or one if the server did not stream.

    Args:
        response: the answer, not read yet.
        idle_timeout: seconds that may pass between two events. Comments, which only keep a
            connection open, are not events.
        read_end: whether to read on after the last event, to the end of the body: only then can
            the connection be kept.

    Raises:
        TimeoutError: if no event came in time.
        ProtocolError: if an event is too long.
    """
    content_type = response.headers.get("content-type", _EVENT_STREAM)
    if not content_type.lower().startswith(_EVENT_STREAM):
        yield await read_body(response)
        return
    decoder, last_event = Decoder(MAX_BODY_BYTES), time.monotonic()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            if time.monotonic() - last_event > idle_timeout:
                raise TimeoutError(f"no event in {idle_timeout:g} s")
            for event in decoder.feed(chunk):
                if event.data == _END_OF_STREAM:
                    if read_end:
                        await _read_to_end(chunks)
                    return
                if event.data:
                    yield event.data
                last_event = time.monotonic()
    for event in decoder.flush():
        if event.data not in (b"", _END_OF_STREAM):
            yield event.data


async def _read_to_end(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of a body whose answer is complete."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_END_OF_BODY_TIMEOUT):
            async for _ in chunks:
                pass
