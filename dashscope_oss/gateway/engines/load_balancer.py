"""Several upstreams as one engine: who answers which model, and who stands in for whom.

Each call goes to the healthy upstream with the least to do for its weight. If that one fails
before its first piece, by its own fault (no connection, 5xx, 429, nonsense) or for want of a
parameter that other kinds have, the next healthy one is asked; once a piece is out, never, for the
caller has read it. A refusal of the request itself is the answer. If no upstream is healthy all
are tried: the last look at them may be old.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from dashscope_oss.gateway.api_error import UNAVAILABLE, APIError, UnsupportedByUpstream
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.engines.openai.engine import OpenAIEngine, is_servers_fault
from dashscope_oss.gateway.engines.openai.upstream import Upstream, UpstreamState
from dashscope_oss.messages import Delta
from dashscope_oss.registry.model_info import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An upstream of a fleet.

    Attributes:
        upstream: the server; its ``names`` hold what it serves.
        weight: how much of the calls it takes, beside the others' weights.
    """

    upstream: Upstream
    weight: float = 1.0


class LoadBalancer:
    """Answers each model from any of the upstreams that serve it.

    Args:
        records: what is served, by id.
        members: who serves; each id must be in the ``names`` of one at least.
    """

    def __init__(self, records: Iterable[ModelInfo], members: Sequence[Backend]) -> None:
        self._records = {model_info.id: model_info for model_info in records}
        self._engines = [OpenAIEngine(member.upstream) for member in members]
        pairs = list(zip(members, self._engines, strict=True))
        self._places: Mapping[str, list[_Route]] = {
            id: [
                _Route(m.upstream.name, engine, m.weight)
                for m, engine in pairs
                if id in m.upstream.names
            ]
            for id in self._records
        }

    async def start(self) -> None:
        """Look at every upstream; those that are down may come up later."""
        await asyncio.gather(*(engine.start() for engine in self._engines))

    async def aclose(self) -> None:
        """Close the connections to all."""
        await asyncio.gather(*(engine.aclose() for engine in self._engines))

    def record_of(self, model: str) -> ModelInfo | None:
        """Return the record under which ``model`` is served."""
        return self._records.get(model)

    def models(self) -> list[ModelInfo]:
        """Return what is served."""
        return list(self._records.values())

    def weights_of(self, model_info: ModelInfo) -> str:
        """Return the upstreams' name for the weights; all, if they call them differently."""
        names = (place.engine.weights_of(model_info) for place in self._places[model_info.id])
        return ", ".join(dict.fromkeys(names))

    def upstreams(self) -> list[UpstreamState]:
        """Return what is known of every upstream."""
        return [state for engine in self._engines for state in engine.upstreams()]

    async def generate(self, job: EngineRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer of the first upstream that gives one."""
        failure: APIError | None = None
        for place in _in_order(self._places[job.model_info.id]):
            begun = False
            try:
                async with aclosing(place.engine.generate(job)) as deltas:
                    async for delta in deltas:
                        yield delta if begun else place.marked(delta, job)
                        begun = True
                return
            except APIError as refusal:
                if begun or not _is_of_place(refusal):
                    raise
                failure = _worse(failure, refusal)
        raise failure or APIError(*UNAVAILABLE)


class _Route:
    """An upstream's place among those that serve one model."""

    def __init__(self, name: str, engine: OpenAIEngine, weight: float) -> None:
        self.name = name
        self.engine = engine
        self.weight = weight
        self.credit = 0.0

    @property
    def load(self) -> float:
        return self.engine.under_way / self.weight

    def marked(self, delta: Delta, job: EngineRequest) -> Delta:
        """Say in the first piece who answers."""
        by = self.engine.weights_of(job.model_info)
        return replace(delta, served_by=by, raw={"upstream": self.name})


def _in_order(places: Sequence[_Route]) -> list[_Route]:
    """The places to try, best first; shares between idle ones are as their weights."""
    able = [place for place in places if not place.engine.is_down] or list(places)
    for place in able:
        place.credit += place.weight
    able.sort(key=lambda place: (place.load, -place.credit))
    able[0].credit -= sum(place.weight for place in able)
    return able


def _is_of_place(refusal: APIError) -> bool:
    """Whether another place may answer what this one did not."""
    return is_servers_fault(refusal) or isinstance(refusal, UnsupportedByUpstream)


def _worse(found: APIError | None, other: APIError) -> APIError:
    """What to tell if all failed: too many calls rather than anything else, for that passes.

    What one cannot take is told only if no other was there to take it.
    """
    if found is None:
        return other
    return found if found.status == 429 or isinstance(other, UnsupportedByUpstream) else other
