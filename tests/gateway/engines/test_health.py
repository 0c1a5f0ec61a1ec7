"""Whether an engine can answer, by the states of its upstreams."""

import pytest

from dashscope_oss.gateway.engines.health import is_ready, upstream_states
from dashscope_oss.gateway.engines.openai.upstream_status import UpstreamState


class EngineWithUpstreams:
    def __init__(self, *healthy):
        self._states = [UpstreamState(name="a", url="http://a/v1", healthy=h) for h in healthy]

    def upstreams(self):
        return self._states


@pytest.mark.parametrize(
    ("healthy", "ready"),
    [((True,), True), ((None,), True), ((False, True), True), ((False, False), False)],
)
def test_an_engine_is_ready_unless_all_its_upstreams_are_down(healthy, ready):
    """An upstream that was never checked may well answer."""
    engine = EngineWithUpstreams(*healthy)

    assert is_ready(engine) is ready
    assert [state.healthy for state in upstream_states(engine)] == list(healthy)
