"""One HTTP request and its answer over ASGI: what was asked, and the bytes of what is said."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from pydantic_core import to_json

from dashscope_oss.gateway.frames import Frames
from dashscope_oss.gateway.job import Job
from dashscope_oss.gateway.refusals import MAX_BODY_BYTES, Refusal
from dashscope_oss.reply import INCREMENTAL_HEADER, SERVED_BY_HEADER

# ASGI's own dictionaries hold anything.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Exchange:
    """One HTTP request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"].rstrip("/") or "/"
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        query = parse_qs(scope["query_string"].decode("latin-1"))
        self.query = {name: values[0] for name, values in query.items()}
        self.request_id = str(uuid.uuid4())
        self.served_by: str | None = None
        self.frames: Frames | None = None

    @property
    def wants_stream(self) -> bool:
        """Either of the two headers turns events on."""
        asked = self.headers.get("x-dashscope-sse", "").lower() == "enable"
        return asked or "text/event-stream" in self.headers.get("accept", "")

    async def body(self) -> bytes:
        """Return the whole body."""
        parts = bytearray()
        while True:
            event = await self._receive()
            parts += event.get("body", b"")
            if len(parts) > MAX_BODY_BYTES:
                raise Refusal(400, "BadRequest.TooLarge", "Payload Too Large")
            if not event.get("more_body"):
                return bytes(parts)

    async def json(self, status: int, body: dict[str, object]) -> None:
        """Send a JSON answer."""
        content = to_json(body)
        length = [(b"content-length", str(len(content)).encode())]
        await self._start(status, "application/json", length)
        await self._send({"type": "http.response.body", "body": content})

    async def start_events(self, job: Job) -> Frames:
        """Begin an answer of events; it says whether they hold pieces or all the text so far."""
        incremental = b"true" if job.incremental else b"false"
        more = [(b"cache-control", b"no-cache"), (INCREMENTAL_HEADER.encode(), incremental)]
        await self._start(200, "text/event-stream;charset=UTF-8", more)
        self.frames = Frames(job)
        return self.frames

    async def event(self, content: bytes, *, more: bool = True) -> None:
        """Send an event."""
        await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error: as an answer of its own, or as the last event."""
        if self.frames is not None:
            await self.event(self.frames.error(refusal), more=False)
        else:
            body = {**refusal.body, "request_id": self.request_id}
            await self.json(refusal.status, body)

    async def begin_and_leave(self) -> None:
        """Leave the answer unfinished, so that the server breaks the connection."""
        if self.frames is None:
            await self._start(200, "application/json", [(b"content-length", b"1000")])

    async def unless_gone(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``, and stop it when the caller goes away."""
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _start(self, status: int, kind: str, more: list[tuple[bytes, bytes]]) -> None:
        found = [
            (b"content-type", kind.encode()),
            (b"x-request-id", self.request_id.encode()),
            *more,
        ]
        if self.served_by is not None:
            found.append((SERVED_BY_HEADER.encode(), self.served_by.encode("ascii", "replace")))
        await self._send({"type": "http.response.start", "status": status, "headers": found})
