"""Numbers of a gateway in Prometheus's form: how many calls, how fast, how many tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from dashscope_oss.gateway.engines.engine import Engine
from dashscope_oss.gateway.engines.health import upstream_states
from dashscope_oss.gateway.observability.access_log import Entry

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# An engine may serve any id: callers must not be able to make up series without end.
_MOST_MODELS = 500
OTHER = "(other)"
_PREFIX = "dashscope_gateway"
_UPSTREAM = f"{_PREFIX}_upstream"
_BY, _BY_MODEL, _BY_STREAM = ("upstream",), ("model",), ("model", "stream")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


@dataclass(slots=True)
class Totals:
    """Of one model since the gateway began: calls, those that failed, tokens, calls under way."""

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    under_way: int = 0


class Metrics:
    """The numbers of one gateway; each gateway has its own.

    Attributes:
        totals: the same in short, by model, for the status page.
    """

    def __init__(self, engine: Engine) -> None:
        self.totals: dict[str, Totals] = {}
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "requests",
            "Calls that ended, by the true status; 499: the caller left",
            ("model", "status", "stream"),
        )
        self._seconds = self._histogram(
            "request_seconds", "Seconds from a request to the end of its answer", _BY_STREAM
        )
        self._first = self._histogram(
            "first_token_seconds", "Seconds from a request to the engine's first piece", _BY_MODEL
        )
        self._tokens = self._counter(
            "tokens", "Tokens as the engine counts them", ("model", "direction")
        )
        self._limited = self._counter(
            "rate_limited", "Calls refused by the gateway's own limits", ("key", "code")
        )
        name = f"{_PREFIX}_requests_under_way"
        under_way = Gauge(name, "Calls under way", _BY_MODEL, registry=self._registry)
        self._under_way = cache(under_way.labels)
        self._registry.register(_Upstreams(engine))

    # Finding a series costs more than counting in it: hence the caches.
    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        found = Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry)
        return cache(found.labels)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Histogram]:
        found = Histogram(
            f"{_PREFIX}_{name}", text, labels, buckets=_SECONDS, registry=self._registry
        )
        return cache(found.labels)

    def begin(self, entry: Entry) -> None:
        """Count a call that an engine is now given."""
        name = self._name(entry.model)
        self._under_way(name).inc()
        self.totals[name].under_way += 1

    def done(self, entry: Entry) -> None:
        """Count the end of a call that was begun."""
        name = self._name(entry.model)
        self._under_way(name).dec()
        self.totals[name].under_way -= 1

    def limited(self, entry: Entry, code: str) -> None:
        """Count a call that a limit refused."""
        self._limited(entry.caller, code).inc()

    def ended(self, entry: Entry) -> None:
        """Count a request for an answer, whatever became of it."""
        name = self._name(entry.model)
        stream = "true" if entry.call.wants_stream else "false"
        self._requests(name, str(entry.status), stream).inc()
        self._seconds(name, stream).observe(entry.seconds)
        if entry.first_seconds is not None:
            self._first(name).observe(entry.first_seconds)
        totals = self.totals[name]
        totals.requests += 1
        totals.failed += entry.status >= 400
        self._count(name, "in", entry.input_tokens)
        self._count(name, "out", entry.output_tokens)

    def _count(self, name: str, direction: str, tokens: int | None) -> None:
        if not tokens:
            return
        self._tokens(name, direction).inc(tokens)
        if direction == "in":
            self.totals[name].input_tokens += tokens
        else:
            self.totals[name].output_tokens += tokens

    def _name(self, model: str) -> str:
        if model not in self.totals:
            if len(self.totals) >= _MOST_MODELS:
                model = OTHER
            self.totals.setdefault(model, Totals())
        return model

    def text(self) -> bytes:
        """Return everything in the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _Upstreams(Collector):
    """The engine's upstreams, asked when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        healthy = GaugeMetricFamily(f"{_UPSTREAM}_healthy", "1 unless found down", labels=_BY)
        under_way = GaugeMetricFamily(f"{_UPSTREAM}_requests_under_way", "Calls now", labels=_BY)
        calls = CounterMetricFamily(f"{_UPSTREAM}_requests", "Calls sent to it", labels=_BY)
        failures = CounterMetricFamily(f"{_UPSTREAM}_failures", "By its fault", labels=_BY)
        for state in upstream_states(self._engine):
            name = (state.name,)
            healthy.add_metric(name, float(state.healthy is not False))
            under_way.add_metric(name, state.under_way)
            calls.add_metric(name, state.calls)
            failures.add_metric(name, state.failures)
        yield from (healthy, under_way, calls, failures)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()
