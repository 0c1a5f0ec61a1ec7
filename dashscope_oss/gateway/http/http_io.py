"""One HTTP request and its answer over ASGI: what was asked, and the bytes of what is said.

Where a failure goes: who calls, where and how much (key, path, method, size) is judged by the
service's front, which answers with the true HTTP status and JSON whatever was asked for. All the
rest (body, model, parameters, limits, the engine) is judged behind it: a plain call gets the true
status and JSON, a stream gets HTTP 200 and one ``event:error`` with the true status in its
comment. So the captures of the service show it: its 401 lacks ``x-dashscope-call-gateway``, which
its 400 of a plain call and its error event of a stream carry.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    MutableMapping,
    Sequence,
)
from contextlib import aclosing
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from pydantic_core import to_json

from dashscope_oss.gateway.api_error import BROKEN_OFF, MAX_BODY_BYTES, APIError
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.http.coalesce import coalesce
from dashscope_oss.gateway.http.response_encoder import ResponseEncoder, error_event, reply_body
from dashscope_oss.messages import Delta, Usage
from dashscope_oss.protocol.response import INCREMENTAL_HEADER, SERVED_BY_HEADER

# ASGI's own dictionaries hold anything.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_EVENTS = b"text/event-stream;charset=UTF-8"
_JSON = b"application/json"


class Exchange:
    """One HTTP request and its answer.

    Attributes:
        method: in capitals.
        path: without a slash at its end.
        request_id: goes back in header and body.
        served_by: the weights that answer, for a header; ``None`` leaves it out.
        past_front: whether the front has let the call through; see the module.
        status: the true status of the answer, also where HTTP says 200; ``None`` before it.
        code: the vendor's code of a refusal, else empty.
        usage: token counts so far as the engine reports them, also where the wire has none.
        pieces: events sent.
        began: when the request came, in seconds of ``time.perf_counter``.
        first_piece: when the engine gave its first piece.
        gone: whether the caller left before the end.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.began = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"].rstrip("/") or "/"
        self.request_id = str(uuid.uuid4())
        self.served_by: str | None = None
        self.past_front = False
        self.status: int | None = None
        self.code = ""
        self.usage: Usage | None = None
        self.pieces = 0
        self.first_piece: float | None = None
        self.gone = False
        self._finished = False

    @cached_property
    def headers(self) -> dict[str, str]:
        """Headers, their names in lower case."""
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self._scope["headers"]
        }

    @property
    def address(self) -> str:
        """The server's own address at which the call arrived; "" if it is none of IP."""
        address, port = self._scope.get("server") or ("", None)
        return "" if port is None else str(address)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query string; the first of several values counts."""
        query = parse_qs(self._scope["query_string"].decode("latin-1"))
        return {name: values[0] for name, values in query.items()}

    @cached_property
    def wants_stream(self) -> bool:
        """Either of the two headers turns events on."""
        asked = self.headers.get("x-dashscope-sse", "").lower() == "enable"
        return asked or "text/event-stream" in self.headers.get("accept", "")

    async def body(self, most: int = MAX_BODY_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            APIError: if it is longer than ``most`` bytes, or the caller left in its middle.
        """
        event = await self._part()
        parts: bytes = event.get("body", b"")
        if not event.get("more_body"):
            return _limited(parts, most)
        grown = bytearray(parts)
        while event.get("more_body"):
            event = await self._part()
            grown += _limited(event.get("body", b""), most - len(grown))
        return bytes(grown)

    async def _part(self) -> MutableMapping[str, Any]:
        event = await self._receive()
        if event["type"] == "http.disconnect":
            self.gone = True
            raise APIError(400, "ClientDisconnect", "The client left before it had said all.")
        return event

    async def json(self, status: int, body: dict[str, object]) -> None:
        """Send a JSON answer."""
        await self.answer(status, _JSON, to_json(body))

    async def answer(
        self, status: int, kind: bytes, content: bytes, *more: tuple[bytes, bytes]
    ) -> None:
        """Send an answer of one piece: its content type, its bytes, more headers."""
        await self._start(status, kind, ((b"content-length", b"%d" % len(content)), *more))
        await self._say(content, more=False)

    async def reply(self, job: EngineRequest, deltas: AsyncGenerator[Delta, None]) -> None:
        """Send the whole answer as JSON."""
        parts = []
        async for delta in deltas:
            self._note((delta,))
            parts.append(delta)
        if not parts or not parts[-1].last:
            raise APIError(*BROKEN_OFF)
        await self.answer(200, _JSON, reply_body(job, parts))

    async def stream(self, job: EngineRequest, deltas: AsyncGenerator[Delta, None]) -> None:
        """Send an event for each piece.

        The head leaves with the first of them; it says whether events hold pieces or all the
        text so far.
        """
        frames = ResponseEncoder(job)
        async with aclosing(coalesce(deltas)) as together:
            async for burst in together:
                self._note(burst)
                if not self.pieces:
                    regime = b"true" if job.incremental else b"false"
                    await self._start_events((INCREMENTAL_HEADER.encode(), regime))
                self.pieces += len(burst)
                last = burst[-1].last
                await self._say(b"".join(map(frames.event, burst)), more=not last)
                if last:
                    return
        raise APIError(*BROKEN_OFF)

    def _note(self, deltas: Sequence[Delta]) -> None:
        if self.first_piece is None:
            self.first_piece = time.perf_counter()
        for delta in deltas:
            if delta.usage is not None:
                self.usage = delta.usage

    async def refuse(self, refusal: APIError) -> None:
        """Send an error, in the form that the module describes."""
        started = self.status is not None
        if started or (self.past_front and self.wants_stream):
            if not started:
                await self._start_events()
            self.pieces += 1
            await self._say(error_event(refusal, self.request_id, self.pieces), more=False)
        else:
            body = {**refusal.body, "request_id": self.request_id}
            await self.json(refusal.status, body)
        self.status, self.code = refusal.status, refusal.code

    async def begin_and_leave(self) -> None:
        """Leave the answer unfinished, so that the server breaks the connection."""
        if self.status is None:
            await self._start(200, _JSON, ((b"content-length", b"1000"),))

    async def unless_gone(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``, and stop it when the caller goes away."""
        worker = asyncio.current_task()
        watch = asyncio.ensure_future(self._until_gone(worker))
        try:
            await work
        except asyncio.CancelledError:
            # Only the watcher's own wish ends here; the server's goes on.
            if not self.gone or worker is None or worker.uncancel() > 0:
                raise
        finally:
            watch.cancel()

    async def _until_gone(self, worker: asyncio.Task[Any] | None) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        # The server reports the end of a finished answer in the same way.
        if not self._finished and worker is not None:
            self.gone = True
            worker.cancel()

    async def _start_events(self, *more: tuple[bytes, bytes]) -> None:
        # A proxy that buffers would hold the events back.
        buffering = (b"x-accel-buffering", b"no")
        await self._start(200, _EVENTS, ((b"cache-control", b"no-cache"), buffering, *more))

    async def _say(self, content: bytes, *, more: bool) -> None:
        self._finished = not more
        await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def _start(self, status: int, kind: bytes, more: tuple[tuple[bytes, bytes], ...]) -> None:
        self.status = status
        found = [
            (b"content-type", kind),
            (b"x-request-id", self.request_id.encode()),
            *more,
        ]
        if self.served_by is not None:
            found.append((SERVED_BY_HEADER.encode(), self.served_by.encode("ascii", "replace")))
        await self._send({"type": "http.response.start", "status": status, "headers": found})


def _limited(part: bytes, room: int) -> bytes:
    if len(part) > room:
        raise APIError(400, "BadRequest.TooLarge", "Payload Too Large")
    return part
