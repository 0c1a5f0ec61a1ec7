"""Metrics of a gateway in Prometheus's format: how many calls, how fast, how many tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from dashscope_oss.gateway.engines.health import upstream_states
from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.gateway.observability.access_log import AccessLogEntry

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

OTHER_MODELS = "(other)"
"""The name that all models share once there are too many."""

# An engine may serve any id; callers must not be able to create series without end.
_MAX_MODELS = 500
_PREFIX = "dashscope_gateway"
_BY_MODEL, _BY_STREAM = ("model",), ("model", "stream")
_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


@dataclass(slots=True)
class Totals:
    """The numbers of one model since the gateway began."""

    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    under_way: int = 0


class Metrics:
    """The metrics of one gateway; each gateway has its own.

    Attributes:
        totals: the same in short, by model, for the status page.
    """

    def __init__(self, engine: Engine) -> None:
        self.totals: dict[str, Totals] = {}
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "requests",
            "Calls that ended, by their true status; 499: the caller left before the end",
            ("model", "status", "stream"),
        )
        self._seconds = self._histogram(
            "request_seconds", "Seconds from a request to the end of its answer", _BY_STREAM
        )
        self._first_piece_seconds = self._histogram(
            "first_token_seconds", "Seconds from a request to the engine's first piece", _BY_MODEL
        )
        self._tokens = self._counter(
            "tokens", "Tokens as the engine counts them", ("model", "direction")
        )
        self._rate_limited = self._counter(
            "rate_limited", "Calls refused by the gateway's own limits", ("key", "code")
        )
        self._under_way = self._gauge("requests_under_way", "Calls under way", _BY_MODEL)
        self._registry.register(_UpstreamCollector(engine))
        ProcessCollector(registry=self._registry)  # memory, open files, start: Linux only

    # Finding a series costs more than counting in it: hence the caches.
    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        counter = Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry)
        return cache(counter.labels)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Gauge]:
        return cache(Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry).labels)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Histogram]:
        histogram = Histogram(
            f"{_PREFIX}_{name}", text, labels, buckets=_SECONDS_BUCKETS, registry=self._registry
        )
        return cache(histogram.labels)

    def generation_began(self, entry: AccessLogEntry) -> None:
        """Count a call that the engine now answers."""
        name = self._series_name(entry.model)
        self._under_way(name).inc()
        self.totals[name].under_way += 1

    def generation_ended(self, entry: AccessLogEntry) -> None:
        """Count the end of a call that the engine has answered, or has failed to."""
        name = self._series_name(entry.model)
        self._under_way(name).dec()
        self.totals[name].under_way -= 1

    def rate_limited(self, entry: AccessLogEntry, code: str) -> None:
        """Count a call that a limit refused."""
        self._rate_limited(entry.key_name, code).inc()

    def request_ended(self, entry: AccessLogEntry) -> None:
        """Count a request for an answer, whatever became of it."""
        name = self._series_name(entry.model)
        stream = "true" if entry.stream else "false"
        self._requests(name, str(entry.status), stream).inc()
        self._seconds(name, stream).observe(entry.seconds)
        if entry.first_piece_seconds is not None:
            self._first_piece_seconds(name).observe(entry.first_piece_seconds)
        input_tokens, output_tokens = entry.input_tokens or 0, entry.output_tokens or 0
        self._count_tokens(name, input_tokens, output_tokens)
        totals = self.totals[name]
        totals.requests += 1
        totals.failed += entry.status >= 400
        totals.input_tokens += input_tokens
        totals.output_tokens += output_tokens

    def _count_tokens(self, name: str, input_tokens: int, output_tokens: int) -> None:
        if input_tokens:
            self._tokens(name, "in").inc(input_tokens)
        if output_tokens:
            self._tokens(name, "out").inc(output_tokens)

    def _series_name(self, model: str) -> str:
        if model not in self.totals:
            if len(self.totals) >= _MAX_MODELS:
                model = OTHER_MODELS
            self.totals.setdefault(model, Totals())
        return model

    def to_text(self) -> bytes:
        """Return all metrics in the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _UpstreamCollector(Collector):
    """Reads the state of the engine's upstreams when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        healthy = _upstream_gauge("healthy", "0 if it is known to be down, else 1")
        under_way = _upstream_gauge("requests_under_way", "Calls under way")
        calls = _upstream_counter("requests", "Calls sent to it")
        failures = _upstream_counter("failures", "Calls that failed because of it")
        for state in upstream_states(self._engine):
            name = (state.name,)
            healthy.add_metric(name, float(state.healthy is not False))
            under_way.add_metric(name, state.under_way)
            calls.add_metric(name, state.calls)
            failures.add_metric(name, state.failures)
        yield from (healthy, under_way, calls, failures)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()


def _upstream_gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_upstream_{name}", text, labels=("upstream",))


def _upstream_counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_upstream_{name}", text, labels=("upstream",))
