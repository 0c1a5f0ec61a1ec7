"""The gateway: DashScope's native protocol from the other side, as a plain ASGI application."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import (
    AsyncIterator,
    Callable,
    Mapping,
)
from contextlib import aclosing

from dashscope_oss._version import __version__
from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.exchange import Exchange, Receive, Scope, Send
from dashscope_oss.gateway.frames import reply_body
from dashscope_oss.gateway.job import Cut, Engine, Job, Received
from dashscope_oss.gateway.refusals import Refusal, read_job
from dashscope_oss.messages import Delta
from dashscope_oss.record import Endpoint, ModelInfo
from dashscope_oss.reply import decode
from dashscope_oss.request import SERVICE_PATH

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
            await self._answer(Exchange(scope, receive, send))

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

    async def _answer(self, call: Exchange) -> None:
        try:
            await self._route(call)
        except Refusal as refusal:
            await call.refuse(refusal)
        except Cut:
            await call.begin_and_leave()
        except Exception:  # noqa: BLE001 - a bad request must never end the gateway
            _log.exception("request %s failed", call.request_id)
            await call.refuse(Refusal(500, "InternalError", "An internal error has occurred."))

    async def _route(self, call: Exchange) -> None:
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

    async def _generate(self, call: Exchange, endpoint: Endpoint) -> None:
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

    async def _work(self, call: Exchange, job: Job) -> None:
        async with aclosing(self._engine.generate(job)) as deltas:
            if job.stream:
                await _stream(call, job, deltas)
            else:
                await call.json(200, reply_body(job, [delta async for delta in deltas]))

    def _models(self, call: Exchange) -> dict[str, object]:
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


async def _stream(call: Exchange, job: Job, deltas: AsyncIterator[Delta]) -> None:
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
