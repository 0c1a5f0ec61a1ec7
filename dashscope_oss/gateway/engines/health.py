"""Whether an engine can answer: it has no upstreams, or one of them is not known to be down."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dashscope_oss.gateway.engines.engine import Engine
from dashscope_oss.gateway.engines.openai.upstream import UpstreamState


@runtime_checkable
class HasUpstreams(Protocol):
    """An engine that can say how its upstreams are."""

    def upstreams(self) -> list[UpstreamState]:
        """Return all of them."""


def upstream_states(engine: Engine) -> list[UpstreamState]:
    """Return how the upstreams of ``engine`` are; nothing if it has none."""
    return engine.upstreams() if isinstance(engine, HasUpstreams) else []


def is_ready(engine: Engine) -> bool:
    """Whether ``engine`` can answer."""
    known = upstream_states(engine)
    return not known or any(state.healthy is not False for state in known)
