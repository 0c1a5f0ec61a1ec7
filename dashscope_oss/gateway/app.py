"""The gateway: DashScope's native protocol from the other side, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    MutableMapping,
)
from contextlib import aclosing, suppress
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from pydantic_core import to_json

from dashscope_oss._version import __version__
from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.frames import Frames, reply_body
from dashscope_oss.gateway.job import Cut, Engine, Job, Received
from dashscope_oss.gateway.refusals import MAX_BODY_BYTES, Refusal, read_job
from dashscope_oss.messages import Delta
from dashscope_oss.record import Endpoint, ModelInfo
from dashscope_oss.reply import INCREMENTAL_HEADER, SERVED_BY_HEADER, decode
from dashscope_oss.request import SERVICE_PATH

# ASGI's own dictionaries hold anything.
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BASE = "/api/v1"
_ENDPOINTS: dict[str, Endpoint] = {
    f"{BASE}/{SERVICE_PATH.format(endpoint=endpoint)}": endpoint
    for endpoint in ("text-generation", "multimodal-generation")
}
_PAGE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_log = logging.getLogger("dashscope_oss.gateway")


class Gateway:
    """An ASGI application in front of ``engine``.

    Args:
        engine: what answers.
        api_keys: keys that callers may use; anybody may call if there are none.
        on_request: told of every generation request, before it is checked.

    Attributes:
        failure: why the engine did not start, if it did not.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        api_keys: tuple[str, ...] = (),
        on_request: Callable[[Received], None] | None = None,
    ) -> None:
        self._engine = engine
        self._keys = api_keys
        self._on_request = on_request
        self.failure = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(_Call(scope, receive, send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    await self._engine.start()
                except Exception as error:  # noqa: BLE001 - the server must report any failure
                    self.failure = str(error)
                    await send({"type": "lifespan.startup.failed", "message": self.failure})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._engine.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, call: _Call) -> None:
        try:
            await self._route(call)
        except Refusal as refusal:
            await call.refuse(refusal)
        except Cut:
            await call.begin_and_leave()
        except Exception:  # noqa: BLE001 - a bad request must never end the gateway
            _log.exception("request %s failed", call.request_id)
            await call.refuse(Refusal(500, "InternalError", "An internal error has occurred."))

    async def _route(self, call: _Call) -> None:
        self._check_key(call.headers)
        if call.path in _ENDPOINTS:
            _check_method(call.method, "POST")
            await self._generate(call, _ENDPOINTS[call.path])
        elif call.path == f"{BASE}/models":
            _check_method(call.method, "GET")
            await call.json(200, self._models(call))
        elif call.path in ("/", BASE, "/health"):
            await call.json(200, {"name": "dashscope-oss", "version": __version__, "api": BASE})
        else:
            raise Refusal(
                404, "NotFound", f"Nothing is served at {call.path}; the API is below {BASE}."
            )

    def _check_key(self, headers: Mapping[str, str]) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ").strip().encode()
        if self._keys and not any(hmac.compare_digest(given, k.encode()) for k in self._keys):
            raise Refusal(401, "InvalidApiKey", "Invalid API-key provided.")

    async def _generate(self, call: _Call, endpoint: Endpoint) -> None:
        body = await call.body()
        if self._on_request is not None:
            self._on_request(Received(call.path, call.headers, _shown(body)))
        if call.headers.get("x-dashscope-async"):
            raise Refusal(
                403, "AccessDenied", "Current user api does not support asynchronous calls."
            )
        job = read_job(
            body,
            endpoint=endpoint,
            stream=call.wants_stream,
            request_id=call.request_id,
            record_of=self._engine.record_of,
        )
        call.served_by = self._engine.weights_of(job.record)
        await call.unless_gone(self._work(call, job))

    async def _work(self, call: _Call, job: Job) -> None:
        async with aclosing(self._engine.generate(job)) as deltas:
            if job.stream:
                await _stream(call, job, deltas)
            else:
                await call.json(200, reply_body(job, [delta async for delta in deltas]))

    def _models(self, call: _Call) -> dict[str, object]:
        wanted = call.query.get("model")
        served = [record for record in self._engine.models() if wanted in (None, record.id)]
        number, size = _page(call.query)
        shown = served[(number - 1) * size : number * size]
        return {
            "output": {
                "page_no": number,
                "page_size": size,
                "total_count": len(served),
                "models": [self._model(record) for record in shown],
            },
            "request_id": call.request_id,
        }

    def _model(self, record: ModelInfo) -> dict[str, object]:
        return {
            "model": record.id,
            "provider": record.maker,
            "opensource": True,
            "served_by": self._engine.weights_of(record),
        }


class _Call:
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


async def _stream(call: _Call, job: Job, deltas: AsyncIterator[Delta]) -> None:
    # What fails before the first piece is still answered with a status of its own.
    first = await anext(deltas)
    frames = await call.start_events(job)
    await call.event(frames.event(first))
    async for delta in deltas:
        await call.event(frames.event(delta))
    await call.event(b"", more=False)


def _check_method(method: str, wanted: str) -> None:
    if method != wanted:
        raise Refusal(400, "InvalidParameter", f"Request method '{method}' is not supported.")


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    number, size = query.get("page_no", "1"), query.get("page_size", "10")
    if not (_PAGE.fullmatch(number) and _PAGE.fullmatch(size)):
        raise Refusal(
            400,
            "InvalidParameter",
            "Required parameter(page_no, page_size) missing or invalid, please check the request "
            "parameters.",
        )
    return int(number), int(size)


def _shown(body: bytes) -> dict[str, object]:
    try:
        return decode(body)
    except ProtocolError:
        return {}
