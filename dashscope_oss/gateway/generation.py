"""Answers calls for text: reads the request, lets the engine generate, sends what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.engines.health import HasUpstreams
from dashscope_oss.gateway.http.disconnect import run_until_disconnect
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.gateway.interface.engine_request import EngineRequest, RecordedRequest
from dashscope_oss.gateway.interface.served_models import modernize
from dashscope_oss.gateway.observability.access_log import AccessLogEntry
from dashscope_oss.gateway.observability.metrics import Metrics
from dashscope_oss.gateway.protocol.wire_protocol import ParseRequest
from dashscope_oss.gateway.security.usage_limits import UsageLimits
from dashscope_oss.messages import Delta
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates


class GenerationHandler:
    """Answers one call after another with what ``engine`` generates.

    Args:
        engine: what answers.
        usage_limits: how much callers may use.
        metrics: where calls are counted.
        modern: whether no model echoes its prompt, and every model reports usage.
        on_request: is called with every request, before it is checked.
    """

    def __init__(
        self,
        engine: Engine,
        usage_limits: UsageLimits,
        metrics: Metrics,
        *,
        modern: bool = False,
        on_request: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        self._engine = engine
        # Decided once: to look for a protocol's methods costs as much as reading a call.
        self._has_upstreams = isinstance(engine, HasUpstreams)
        self._usage_limits = usage_limits
        self._metrics = metrics
        self._modern = modern
        self._on_request = on_request

    async def handle(self, entry: AccessLogEntry, parse_request: ParseRequest) -> None:
        """Answer one call.

        Args:
            entry: holds the request and its response; what becomes known is noted in it.
            parse_request: reads the body.

        Raises:
            APIError: if the call is refused, or the engine fails.
        """
        http_request = entry.request
        body = await self._read_body(http_request)
        entry.response.errors_as_events = (
            entry.response.protocol.refuses_in_events and http_request.wants_stream
        )
        if self._on_request is not None:
            self._on_request(_recorded(http_request, body))
        if http_request.headers.get("x-dashscope-async"):
            raise APIError(
                403, "AccessDenied", "Current user api does not support asynchronous calls."
            )
        request = parse_request(
            body,
            stream=http_request.wants_stream,
            request_id=http_request.request_id,
            find_model=partial(self._find_model, entry),
        )
        entry.stream = request.stream
        self._admit(entry)
        entry.response.served_by = self._engine.weights_name(request.model_info)
        await self._generate(entry, request)

    async def _read_body(self, request: HttpRequest) -> bytes:
        limits = self._usage_limits.limits
        self._usage_limits.check_body_size(request.announced_size)
        try:
            async with asyncio.timeout(limits.slow_client_seconds):
                return await request.body(limits.max_body_bytes)
        except TimeoutError:
            message = "Request timed out, please try again later."
            raise APIError(408, "RequestTimeOut", message) from None

    def _find_model(self, entry: AccessLogEntry, model: str) -> ModelInfo | None:
        model_info = self._engine.find_model(model)
        if model_info is None:
            return None
        entry.model = model_info.id
        return self._usage_limits.with_input_limit(
            modernize(model_info) if self._modern else model_info
        )

    def _admit(self, entry: AccessLogEntry) -> None:
        try:
            self._usage_limits.admit(entry.key_name, entry.model)
        except APIError as error:
            self._metrics.rate_limited(entry, error.code)
            raise

    async def _generate(self, entry: AccessLogEntry, request: EngineRequest) -> None:
        self._metrics.generation_began(entry)
        try:
            await run_until_disconnect(self._send(entry, request), entry.request, entry.response)
        finally:
            self._metrics.generation_ended(entry)
            self._usage_limits.charge(entry.key_name, entry.model, entry.used_tokens)

    async def _send(self, entry: AccessLogEntry, request: EngineRequest) -> None:
        pieces = self._engine.generate(request)
        estimate_tokens = self._usage_limits.counts_tokens(entry.key_name, entry.model)
        if estimate_tokens or self._has_upstreams:
            pieces = _noted(pieces, entry, request, estimate_tokens=estimate_tokens)
        async with aclosing(pieces) as deltas:
            if request.stream:
                await entry.response.send_stream(request, deltas)
            else:
                await entry.response.send_reply(request, deltas)


async def _noted(
    pieces: AsyncGenerator[Delta, None],
    entry: AccessLogEntry,
    request: EngineRequest,
    *,
    estimate_tokens: bool,
) -> AsyncGenerator[Delta, None]:
    """Hand on the pieces; note in the entry who answers and, if asked, an estimate of tokens."""
    family = request.model_info.tokenizer
    async with aclosing(pieces) as deltas:
        async for delta in deltas:
            entry.response.served_by = delta.served_by or entry.response.served_by
            entry.upstream = str(delta.raw.get("upstream", "")) or entry.upstream
            if estimate_tokens:
                entry.estimated_tokens = entry.estimated_tokens or _input_estimate(request)
                entry.estimated_tokens += estimates.estimate(delta.reasoning + delta.text, family)
            yield delta


def _input_estimate(request: EngineRequest) -> int:
    family = request.model_info.tokenizer
    return sum(estimates.estimate(text, family) for text in request.texts)


def _recorded(request: HttpRequest, body: bytes) -> RecordedRequest:
    """Return the request as it came; a body that is not a JSON object counts as empty."""
    try:
        data = read_json_object(body)
    except ProtocolError:
        data = {}
    return RecordedRequest(request.path, request.headers, data)
