"""The engine behind the OpenAI-compatible protocol: vLLM, SGLang, llama.cpp, Ollama, and others.

One translation serves all. A conversation goes to ``/chat/completions``. The prompt of a
prompt-only model goes to ``/completions`` as it was sent: its weights know their own marks.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from dashscope_oss.gateway.engines.openai.health_check import HealthChecker
from dashscope_oss.gateway.engines.openai.response_body import (
    SilenceLimit,
    read_body,
    read_events,
)
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.engines.openai.upstream_client import UpstreamClient, redirect_hint
from dashscope_oss.gateway.engines.openai.upstream_error import error_for_status
from dashscope_oss.gateway.engines.openai.upstream_request import (
    build_upstream_request,
    conversation,
)
from dashscope_oss.gateway.engines.openai.upstream_response import UpstreamResponseReader
from dashscope_oss.gateway.engines.openai.upstream_status import UpstreamState, UpstreamStatus
from dashscope_oss.gateway.interface.api_error import UnreadableBody
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.interface.served_models import unregistered_model, with_tools
from dashscope_oss.messages import Delta, Message
from dashscope_oss.protocol.streaming.sse import Event
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.retry import retry_after

_COUNTS_FIELD = "stream_options"
"""What asks for token counts in a stream. Some servers take no field that they do not know."""


class OpenAIEngine:
    """Passes requests on to an OpenAI-compatible server.

    Attributes:
        context: tokens that the weights take, if this engine knows.
    """

    context: int | None = None

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._status = UpstreamStatus(upstream)
        self._client: UpstreamClient | None = None
        self._health_checker: HealthChecker | None = None
        self._gives_counts = True

    async def start(self) -> None:
        """Prepare connections, and check the server's health; it may come up later.

        Raises:
            ConfigurationError: if the upstream's address or the authorities for TLS are wrong.
        """
        self._client = UpstreamClient(self._upstream, keep_alive=self._upstream.dialect.keep_alive)
        if (health_check := self._upstream.health_check) is not None:
            self._health_checker = HealthChecker(self._upstream, health_check, self._status)
            await self._health_checker.start()

    async def aclose(self) -> None:
        """Stop the health checks and close the connections."""
        health_checker, client = self._health_checker, self._client
        self._health_checker = self._client = None
        for opened in (health_checker, client):
            if opened is not None:
                await opened.aclose()

    def find_model(self, model: str) -> ModelInfo | None:
        """Return the record of ``model`` if it is served; a conservative one for a new id."""
        if self._upstream.default is None and model not in self._upstream.names:
            return None
        return with_tools(lookup.known_model(model) or unregistered_model(model))

    def models(self) -> list[ModelInfo]:
        """Return the models served by name; with a default, also all that the registry knows."""
        named = [lookup.known_model(id) or unregistered_model(id) for id in self._upstream.names]
        if self._upstream.default is None:
            return named
        unregistered = [model for model in named if lookup.known_model(model.id) is None]
        return [*lookup.all_models(), *unregistered]

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return the server's name for the weights."""
        return self._upstream.names.get(model_info.id) or self._upstream.default or model_info.id

    def upstreams(self) -> list[UpstreamState]:
        """Return the state of the server, alone in a list."""
        return [self._status.state()]

    @property
    def under_way(self) -> int:
        """Requests that the server is answering now."""
        return self._status.under_way

    @property
    def is_down(self) -> bool:
        """Whether the server failed its last health check, or could not be reached since."""
        return self._status.healthy is False

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the server's answer in pieces."""
        path, body = build_upstream_request(
            request,
            self._upstream,
            weights=self.weights_name(request.model_info),
            messages=self._messages(request),
        )
        self._warn_of_tools(request)
        body = self._with_defaults(body)
        reader = UpstreamResponseReader(self.context, max_tokens=body.get("max_tokens"))
        silence_limit = SilenceLimit(self._upstream.timeout)
        with self._status.track_call(request.request_id):
            async with self._post(path, body, silence_limit, request.request_id) as events:
                async for event in events:
                    delta = reader.push(event)
                    silence_limit.is_over = reader.is_over
                    if delta:
                        yield delta
                        silence_limit.restart()
            last = reader.finish()
        for oddity in reader.oddities:
            self._status.log_once(oddity)
        yield last

    @asynccontextmanager
    async def _post(
        self, path: str, body: dict[str, object], silence_limit: SilenceLimit, request_id: str
    ) -> AsyncGenerator[AsyncGenerator[Event, None], None]:
        """Send a request; the value is the events of the server's answer.

        A server that refuses to be asked for counts is asked without.
        """
        if self._client is None:
            raise RuntimeError("start() was not called")
        if not self._gives_counts:
            body = {name: value for name, value in body.items() if name != _COUNTS_FIELD}
        async with self._client.post(path, _to_json(body), request_id) as response:
            if response.is_success:
                read_end = self._upstream.dialect.keep_alive
                events = read_events(response, silence_limit, read_end=read_end)
                async with aclosing(events):
                    yield events
                return
            refusal = await read_body(response)
        if not (_COUNTS_FIELD in body and _refuses_counts(response.status_code, refusal)):
            error = error_for_status(response.status_code, refusal, self.context)
            error.cause += redirect_hint(response)
            error.retry_after = retry_after(response.headers, time.time())
            raise error
        self._gives_counts = False
        self._status.log_once(f"takes no {_COUNTS_FIELD}: its answers come without token counts")
        async with self._post(path, body, silence_limit, request_id) as events:
            yield events

    def _warn_of_tools(self, request: EngineRequest) -> None:
        known = lookup.known_model(request.model_info.id)
        if request.parameters.get("tools") and known is not None and not known.tools:
            self._status.log_once(f"gets tools for {known.id}, which had none at the service")

    def _messages(self, request: EngineRequest) -> Sequence[Message]:
        return conversation(request)

    def _with_defaults(self, body: dict[str, object]) -> dict[str, object]:
        return body


def _refuses_counts(status: int, body: bytes) -> bool:
    return status in (400, 422) and _COUNTS_FIELD.encode() in body


def _to_json(body: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:  # for example a number in a schema that no double holds
        raise UnreadableBody from None
