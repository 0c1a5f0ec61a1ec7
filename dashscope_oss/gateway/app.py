"""The gateway: DashScope's native protocol from the other side, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import ClassVar

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.api_error import UNAVAILABLE, APIError
from dashscope_oss.gateway.engines.engine import DropConnection, Engine
from dashscope_oss.gateway.engines.engine_request import EngineRequest, RecordedRequest
from dashscope_oss.gateway.engines.health import HasUpstreams
from dashscope_oss.gateway.engines.served_models import modernize
from dashscope_oss.gateway.http.http_io import Exchange, Receive, Scope, Send
from dashscope_oss.gateway.http.model_list import models_page
from dashscope_oss.gateway.http.parse_request import parse_request
from dashscope_oss.gateway.observability.access_log import Entry, followed, log
from dashscope_oss.gateway.observability.metrics import CONTENT_TYPE, Metrics
from dashscope_oss.gateway.observability.status_page import HTML, health, overview, page
from dashscope_oss.gateway.security.access import Access, AccessSettings
from dashscope_oss.gateway.security.origin_check import Names, check_site
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.protocol.request import SERVICE_PATH
from dashscope_oss.registry.model_info import Endpoint, ModelInfo

BASE = "/api/v1"
_ENDPOINTS: dict[str, Endpoint] = {
    f"{BASE}/{SERVICE_PATH.format(endpoint=endpoint)}": endpoint
    for endpoint in ("text-generation", "multimodal-generation")
}
# What load balancers and browsers must see without a key.
_OPEN = ("/", BASE, "/health", "/healthz")
_PROBES = ("/health", "/healthz", "/metrics", "/status")
_log = logging.getLogger("dashscope_oss.gateway")


class Gateway:
    """An ASGI application in front of ``engine``.

    Args:
        engine: what answers.
        api_keys: keys that callers may use; anybody may call if there are none here or in
            ``access``.
        access: keys by hash, and limits.
        modern: no model echoes its prompt, and every model reports usage.
        on_request: told of every generation request, before it is checked.

    Attributes:
        access: who may call.
        metrics: what was done.
        failure: why the engine did not start, if it did not.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        api_keys: tuple[str, ...] = (),
        access: AccessSettings | None = None,
        modern: bool = False,
        on_request: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        self._engine = engine
        # Asked once: to look for the methods of a protocol costs as much as reading a call.
        self._has_upstreams = isinstance(engine, HasUpstreams)
        self._modern = modern
        self._on_request = on_request
        named = {f"key-{number}": key for number, key in enumerate(api_keys, 1)}
        self.access = Access(access, keys=named)
        self._names = Names(access.hosts if access else ())
        self.metrics = Metrics(engine)
        self.failure = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            entry = Entry(Exchange(scope, receive, send))
            try:
                await self._answer(entry)
            finally:
                self._keep(entry)

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

    async def _answer(self, entry: Entry) -> None:
        call = entry.call
        try:
            await self._route(entry)
        except APIError as refusal:
            await call.refuse(refusal)
        except DropConnection:
            await call.begin_and_leave()
        except asyncio.CancelledError:
            # The server's time to finish is over; it cancels calls at no other time.
            await call.refuse(APIError(*UNAVAILABLE))
        except Exception:  # noqa: BLE001 - a bad request must never end the gateway
            _log.exception("request %s failed", call.request_id)
            await call.refuse(APIError(500, "InternalError", "An internal error has occurred."))

    def _keep(self, entry: Entry) -> None:
        entry.end()
        if entry.call.path in _ENDPOINTS:
            self.metrics.ended(entry)
        if entry.call.path not in _PROBES:
            log(entry)

    async def _route(self, entry: Entry) -> None:
        call = entry.call
        check_site(call.method, call.headers)
        if self.access.open:
            self._names.check(call.headers, call.address)
        if call.path not in _OPEN:
            entry.caller = self.access.caller(call.headers)
        if call.path in _ENDPOINTS:
            _check_method(call.method, "POST")
            await self._generate(entry, _ENDPOINTS[call.path])
            return
        show = self._shown.get(call.path)
        if show is None:
            raise APIError(
                404, "NotFound", f"Nothing is served at {call.path}; the API is below {BASE}."
            )
        _check_method(call.method, "GET", "HEAD")
        await show(self, call)

    async def _models(self, call: Exchange) -> None:
        listed = models_page(self._engine, call.query)
        await call.json(200, {"output": listed, "request_id": call.request_id})

    async def _root(self, call: Exchange) -> None:
        if "text/html" not in call.headers.get("accept", ""):
            await self._health(call)
            return
        content, headers = page()
        await call.answer(200, HTML, content, *headers)

    async def _health(self, call: Exchange) -> None:
        await call.json(*health(self._engine))

    async def _status(self, call: Exchange) -> None:
        await call.json(200, overview(self._engine, self.metrics))

    async def _numbers(self, call: Exchange) -> None:
        await call.answer(200, CONTENT_TYPE, self.metrics.text())

    _shown: ClassVar[Mapping[str, Callable[[Gateway, Exchange], Awaitable[None]]]] = {
        "/": _root,
        BASE: _health,
        "/health": _health,
        "/healthz": _health,
        "/status": _status,
        "/metrics": _numbers,
        f"{BASE}/models": _models,
    }

    async def _generate(self, entry: Entry, endpoint: Endpoint) -> None:
        call = entry.call
        body = await self._body(call)
        call.past_front = True
        if self._on_request is not None:
            self._on_request(RecordedRequest(call.path, call.headers, _readable(body)))
        if call.headers.get("x-dashscope-async"):
            raise APIError(
                403, "AccessDenied", "Current user api does not support asynchronous calls."
            )
        job = parse_request(
            body,
            endpoint=endpoint,
            stream=call.wants_stream,
            request_id=call.request_id,
            record_of=self._record_of,
        )
        entry.model = job.model_info.id
        self._admit(entry)
        call.served_by = self._engine.weights_name(job.model_info)
        await self._work(entry, job)

    async def _body(self, call: Exchange) -> bytes:
        said = call.headers.get("content-length", "")
        self.access.check_size(int(said) if said.isdecimal() else 0)
        try:
            async with asyncio.timeout(self.access.limits.slow_client_seconds):
                return await call.body(self.access.limits.max_body_bytes)
        except TimeoutError:
            text = "Request timed out, please try again later."
            raise APIError(408, "RequestTimeOut", text) from None

    def _record_of(self, model: str) -> ModelInfo | None:
        model_info = self._engine.find_model(model)
        if model_info is None:
            return None
        return self.access.limited(modernize(model_info) if self._modern else model_info)

    def _admit(self, entry: Entry) -> None:
        try:
            self.access.admit(entry.caller, entry.model)
        except APIError as refusal:
            self.metrics.limited(entry, refusal.code)
            raise

    async def _work(self, entry: Entry, job: EngineRequest) -> None:
        self.metrics.begin(entry)
        try:
            await entry.call.unless_gone(self._play(entry, job))
        finally:
            self.metrics.done(entry)
            self.access.charge(entry.caller, entry.model, entry.used_tokens)

    async def _play(self, entry: Entry, job: EngineRequest) -> None:
        generated = self._engine.generate(job)
        estimate = self.access.counts_tokens(entry.caller, entry.model)
        if estimate or self._has_upstreams:
            generated = followed(entry, job, generated, estimate=estimate)
        async with aclosing(generated) as deltas:
            if job.stream:
                await entry.call.stream(job, deltas)
            else:
                await entry.call.reply(job, deltas)


def _check_method(method: str, *wanted: str) -> None:
    if method not in wanted:
        raise APIError(400, "InvalidParameter", f"Request method '{method}' is not supported.")


def _readable(body: bytes) -> dict[str, object]:
    try:
        return read_json_object(body)
    except ProtocolError:
        return {}
