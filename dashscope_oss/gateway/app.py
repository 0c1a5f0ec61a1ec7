"""The gateway: DashScope's two protocols from the server's side, as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from dashscope_oss.gateway.generation import GenerationHandler
from dashscope_oss.gateway.http.asgi import Receive, Scope, Send
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.http.response import HttpResponse
from dashscope_oss.gateway.interface.api_error import APIError, InvalidParameter, ModelUnavailable
from dashscope_oss.gateway.interface.engine import DropConnection, Engine
from dashscope_oss.gateway.interface.engine_request import RecordedRequest
from dashscope_oss.gateway.observability import metrics, status_page
from dashscope_oss.gateway.observability.access_log import AccessLogEntry, write_entry
from dashscope_oss.gateway.observability.metrics import Metrics
from dashscope_oss.gateway.observability.status import health_report, status_report
from dashscope_oss.gateway.protocol.native import model_list as native_model_list
from dashscope_oss.gateway.protocol.native import parse_request as native_request
from dashscope_oss.gateway.protocol.openai import model_list as openai_model_list
from dashscope_oss.gateway.protocol.openai import parse_request as openai_request
from dashscope_oss.gateway.protocol.wire_protocol import NATIVE, OPENAI, ParseRequest, WireProtocol
from dashscope_oss.gateway.security.authentication import Authenticator
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.gateway.security.origin_check import HostCheck, check_fetch_site
from dashscope_oss.gateway.security.usage_limits import UsageLimits
from dashscope_oss.protocol.request import SERVICE_PATH
from dashscope_oss.registry.model_info import ServiceEndpoint

BASE_PATH = "/api/v1"

OPENAI_BASE_PATH = "/compatible-mode/v1"

_NATIVE_ENDPOINTS: tuple[ServiceEndpoint, ...] = ("text-generation", "multimodal-generation")
_GENERATIONS: dict[str, ParseRequest] = {
    **{
        f"{BASE_PATH}/{SERVICE_PATH.format(endpoint=endpoint)}": partial(
            native_request.parse_request, endpoint=endpoint
        )
        for endpoint in _NATIVE_ENDPOINTS
    },
    f"{OPENAI_BASE_PATH}/chat/completions": openai_request.parse_request,
}
"""Where answers are asked for, and what reads the bodies there."""
_OPENAI_MODELS = f"{OPENAI_BASE_PATH}/models"
# Load balancers and browsers must see these without a key.
_PUBLIC_PATHS = ("/", BASE_PATH, "/health", "/healthz")
_OPENAI_PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/v1/models")
_UNLOGGED_PATHS = ("/health", "/healthz", "/metrics", "/status")
_log = logging.getLogger("dashscope_oss.gateway")


class Gateway:
    """An ASGI application in front of ``engine``.

    Args:
        engine: what answers.
        api_keys: keys that callers may use; anybody may call if there are none here nor in
            ``access``.
        access: keys by hash, and limits.
        modern: whether no model echoes its prompt, and every model reports usage.
        on_request: is called with every generation request, before it is checked.

    Attributes:
        usage_limits: how much callers may use.
        metrics: what was done so far.
        start_error: why the engine did not start; "" if it did.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        api_keys: tuple[str, ...] = (),
        access: AccessConfig | None = None,
        modern: bool = False,
        on_request: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        keys = {f"key-{number}": key for number, key in enumerate(api_keys, 1)}
        self._authenticator = Authenticator(access, keys=keys)
        self.usage_limits = UsageLimits(access, self._authenticator.key_names)
        self.metrics = Metrics(engine)
        self.start_error = ""
        self._engine = engine
        self._host_check = HostCheck(access.hosts if access else ())
        self._generation = GenerationHandler(
            engine, self.usage_limits, self.metrics, modern=modern, on_request=on_request
        )
        self._created = int(time.time())
        self._pages = {
            "/": self._send_root,
            BASE_PATH: self._send_health,
            "/health": self._send_health,
            "/healthz": self._send_health,
            "/status": self._send_status,
            "/metrics": self._send_metrics,
            f"{BASE_PATH}/models": self._send_models,
            _OPENAI_MODELS: self._send_openai_models,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._start(receive, send)
        elif scope["type"] == "http":
            request = HttpRequest(scope, receive)
            protocol = _protocol_at(request.path)
            response = HttpResponse(request, send, protocol)
            entry = AccessLogEntry(request, response, stream=request.wants_stream)
            try:
                await self._answer(entry)
            finally:
                self._record(entry)

    async def _start(self, receive: Receive, send: Send) -> None:
        """Start the engine, and close it when the server shuts down."""
        await receive()
        try:
            await self._engine.start()
        except Exception as error:  # noqa: BLE001 - the server must report any failure
            self.start_error = str(error)
            await send({"type": "lifespan.startup.failed", "message": self.start_error})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._engine.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, entry: AccessLogEntry) -> None:
        response = entry.response
        try:
            await self._route(entry)
        except APIError as error:
            await response.send_error(error)
        except DropConnection:
            await response.begin_only()
        except asyncio.CancelledError:
            # The server's time to finish is over; it cancels calls at no other time.
            await response.send_error(ModelUnavailable())
        except Exception:  # noqa: BLE001 - a bad request must never end the gateway
            _log.exception("request %s failed", entry.request.request_id)
            message = "An internal error has occurred."
            await response.send_error(APIError(500, "InternalError", message))

    def _record(self, entry: AccessLogEntry) -> None:
        entry.stop_clock()
        if entry.request.path in _GENERATIONS:
            self.metrics.request_ended(entry)
        if entry.request.path not in _UNLOGGED_PATHS:
            write_entry(entry)

    async def _route(self, entry: AccessLogEntry) -> None:
        request = entry.request
        self._check_caller(entry)
        if parse_request := _GENERATIONS.get(request.path):
            _check_method(request, "POST")
            await self._generation.handle(entry, parse_request)
            return
        send_page = self._pages.get(request.path)
        if request.path.startswith(f"{_OPENAI_MODELS}/"):
            send_page = self._send_openai_model
        if send_page is None:
            raise APIError(404, "NotFound", _nothing_at(request.path))
        _check_method(request, "GET", "HEAD")
        await send_page(request, entry.response)

    def _check_caller(self, entry: AccessLogEntry) -> None:
        request = entry.request
        check_fetch_site(request.method, request.headers)
        if self._authenticator.is_open:
            self._host_check.check(request.headers, request.server_address)
        if request.path not in _PUBLIC_PATHS:
            entry.key_name = self._authenticator.authenticate(request.headers)

    async def _send_models(self, request: HttpRequest, response: HttpResponse) -> None:
        models = native_model_list.list_models(self._engine, request.query)
        await response.send_json(200, {"output": models, "request_id": request.request_id})

    async def _send_openai_models(self, request: HttpRequest, response: HttpResponse) -> None:
        models = openai_model_list.list_models(self._engine, self._created)
        await response.send_json(200, models)

    async def _send_openai_model(self, request: HttpRequest, response: HttpResponse) -> None:
        id = request.path.removeprefix(f"{_OPENAI_MODELS}/")
        model = openai_model_list.describe_model(self._engine, id, self._created)
        await response.send_json(200, model)

    async def _send_root(self, request: HttpRequest, response: HttpResponse) -> None:
        if "text/html" not in request.headers.get("accept", ""):
            await self._send_health(request, response)
            return
        html, headers = status_page.status_page()
        await response.send_content(200, status_page.CONTENT_TYPE, html, headers)

    async def _send_health(self, request: HttpRequest, response: HttpResponse) -> None:
        await response.send_json(*health_report(self._engine))

    async def _send_status(self, request: HttpRequest, response: HttpResponse) -> None:
        await response.send_json(200, status_report(self._engine, self.metrics))

    async def _send_metrics(self, request: HttpRequest, response: HttpResponse) -> None:
        await response.send_content(200, metrics.CONTENT_TYPE, self.metrics.to_text())


def _protocol_at(path: str) -> WireProtocol:
    return OPENAI if f"{path}/".startswith(f"{OPENAI_BASE_PATH}/") else NATIVE


def _nothing_at(path: str) -> str:
    if path == f"{OPENAI_BASE_PATH}/embeddings":
        return "This gateway serves language models only: it has no embeddings."
    if _protocol_at(path) is OPENAI:
        return (
            f"Nothing is served at {path:.200}; below {OPENAI_BASE_PATH} there are "
            "chat/completions and models."
        )
    message = f"Nothing is served at {path:.200}; the API is below {BASE_PATH}."
    if path.endswith(_OPENAI_PATHS):
        message += f" The base_url for a client of OpenAI's ends in {OPENAI_BASE_PATH}."
    return message


def _check_method(request: HttpRequest, *allowed: str) -> None:
    if request.method not in allowed:
        raise InvalidParameter(f"Request method '{request.method}' is not supported.")
