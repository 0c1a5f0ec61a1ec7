"""Several upstreams as one engine: which of them answers a request, and which one stands in.

A request goes to the healthy upstream with the fewest requests under way for its weight; those
that have just failed with this model come last, because a health check does not see all. If that
one fails before its first piece (no connection, 5xx, 429, an unreadable answer), or its kind lacks
a parameter, the next healthy one is asked. After the first piece nobody else is asked: the caller
has read it. If an upstream rejects the request itself with a 400, that is the answer. If no
upstream is healthy, all are tried: their last health check may be out of date.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import reduce
from http import HTTPStatus

from dashscope_oss.gateway.engines.openai.engine import OpenAIEngine
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.engines.openai.upstream_error import is_servers_fault
from dashscope_oss.gateway.engines.openai.upstream_status import UpstreamState
from dashscope_oss.gateway.interface.api_error import APIError, UnsupportedByUpstream
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import Delta
from dashscope_oss.registry.model_info import ModelInfo

REST_SECONDS = 10.0
"""How long an upstream that failed is asked only after the others that serve the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One upstream of a load balancer.

    Attributes:
        upstream: the server; its ``names`` hold the models that it serves.
        weight: its share of the requests, in relation to the other weights.
    """

    upstream: Upstream
    weight: float = 1.0


class LoadBalancer:
    """Answers for each model from any of the upstreams that serve it.

    Args:
        models: what is served; each id must be in the ``names`` of at least one backend.
        backends: the upstreams.
    """

    def __init__(self, models: Iterable[ModelInfo], backends: Sequence[Backend]) -> None:
        self._models = {model_info.id: model_info for model_info in models}
        self._engines = [OpenAIEngine(backend.upstream) for backend in backends]
        self._routes: Mapping[str, list[_Route]] = {
            id: [
                _Route(backend, engine)
                for backend, engine in zip(backends, self._engines, strict=True)
                if id in backend.upstream.names
            ]
            for id in self._models
        }

    async def start(self) -> None:
        """Check every upstream once; those that are down may come up later.

        Raises:
            ConfigurationError: if an upstream's address or the authorities for TLS are wrong.
        """
        starts = (engine.start() for engine in self._engines)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                await self.aclose()
                raise outcome

    async def aclose(self) -> None:
        """Close the connections to all upstreams."""
        await asyncio.gather(*(engine.aclose() for engine in self._engines))

    def find_model(self, model: str) -> ModelInfo | None:
        """Return how ``model`` is served, or ``None`` if it is not."""
        return self._models.get(model)

    def models(self) -> list[ModelInfo]:
        """Return the models that are served."""
        return list(self._models.values())

    def weights_name(self, model_info: ModelInfo) -> str:
        """Return the upstreams' name for the weights; all names, if they differ."""
        names = (route.engine.weights_name(model_info) for route in self._routes[model_info.id])
        return ", ".join(dict.fromkeys(names))

    def upstreams(self) -> list[UpstreamState]:
        """Return the state of every upstream."""
        return [state for engine in self._engines for state in engine.upstreams()]

    async def generate(self, request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer of the first upstream that gives one."""
        errors: list[APIError] = []
        for route in _by_load(self._routes[request.model_info.id]):
            started = False
            try:
                async with aclosing(route.engine.generate(request)) as deltas:
                    async for delta in deltas:
                        if started:
                            yield delta
                        else:
                            started, route.failed_at = True, None
                            yield route.sign(delta, request)
                return
            except APIError as error:
                route.record(error)
                if started or not _may_succeed_elsewhere(error):
                    raise
                errors.append(error)
        raise reduce(_error_to_report, errors)


class _Route:
    """One of the upstreams that serve a model.

    Attributes:
        failed_at: when it failed with this model, in seconds of ``time.monotonic``; ``None`` if
            it has answered since.
        credit: what the upstream is owed of the requests, as in smooth weighted round-robin.
    """

    def __init__(self, backend: Backend, engine: OpenAIEngine) -> None:
        self.name = backend.upstream.name
        self.engine = engine
        self.weight = backend.weight
        self.credit = 0.0
        self.failed_at: float | None = None

    @property
    def load(self) -> float:
        return self.engine.under_way / self.weight

    @property
    def rests(self) -> bool:
        """Whether it has failed so lately that others are asked first."""
        return self.failed_at is not None and time.monotonic() - self.failed_at < REST_SECONDS

    def begin_trial(self) -> None:
        """If it failed, let it rest anew: it gets no other request until it has answered this."""
        if self.failed_at is not None:
            self.failed_at = time.monotonic()

    def record(self, error: APIError) -> None:
        """Keep the time of a failure of the server; one that is only busy can be asked again."""
        if is_servers_fault(error) and error.status != HTTPStatus.TOO_MANY_REQUESTS:
            self.failed_at = time.monotonic()

    def sign(self, delta: Delta, request: EngineRequest) -> Delta:
        """Return the first piece with the names of the upstream and of its weights."""
        weights = self.engine.weights_name(request.model_info)
        return replace(delta, served_by=weights, raw={"upstream": self.name})


def _by_load(routes: Sequence[_Route]) -> list[_Route]:
    """Return the routes to try, best first; idle upstreams share requests by their weights."""
    healthy = [route for route in routes if not route.engine.is_down] or list(routes)
    # One that rests earns no credit: it would get every request afterwards.
    ready = [route for route in healthy if not route.rests] or healthy
    for route in ready:
        route.credit += route.weight
    ready.sort(key=lambda route: (route.load, -route.credit))
    ready[0].credit -= sum(route.weight for route in ready)
    ready[0].begin_trial()
    resting = (route for route in healthy if route not in ready)
    return [*ready, *sorted(resting, key=lambda route: route.load)]


def _may_succeed_elsewhere(error: APIError) -> bool:
    return is_servers_fault(error) or isinstance(error, UnsupportedByUpstream)


def _error_to_report(first: APIError, second: APIError) -> APIError:
    """Return which of two upstreams' errors the caller gets.

    A 429 comes before all others, because the caller can wait for its end. A parameter that one
    kind of upstream lacks comes last: another upstream has it, but could not answer now.
    """
    if first.status == 429 or isinstance(second, UnsupportedByUpstream):
        return first
    return second
