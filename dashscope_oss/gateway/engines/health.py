"""Whether an engine can answer: it can unless all of its upstreams are known to be down."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dashscope_oss.gateway.engines.openai.upstream_status import UpstreamState
from dashscope_oss.gateway.interface.engine import Engine


@runtime_checkable
class HasUpstreams(Protocol):
    """An engine that knows the state of its upstreams."""

    def upstreams(self) -> list[UpstreamState]:
        """Return the state of each upstream."""


def upstream_states(engine: Engine) -> list[UpstreamState]:
    """Return the state of each upstream; nothing for an engine without upstreams."""
    return engine.upstreams() if isinstance(engine, HasUpstreams) else []


def is_ready(engine: Engine) -> bool:
    """Return whether ``engine`` can answer."""
    states = upstream_states(engine)
    return not states or any(state.healthy is not False for state in states)
