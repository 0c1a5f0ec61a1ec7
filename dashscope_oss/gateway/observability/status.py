"""The state of a gateway, for health checks and for the status page."""

from __future__ import annotations

from dataclasses import asdict

from dashscope_oss._version import __version__
from dashscope_oss.gateway.engines.health import is_ready, upstream_states
from dashscope_oss.gateway.interface.engine import Engine
from dashscope_oss.gateway.observability.metrics import Metrics, Totals
from dashscope_oss.registry.model_info import ModelInfo

_ABOUT = {"name": "dashscope-oss", "version": __version__, "api": "/api/v1"}


def health_report(engine: Engine) -> tuple[int, dict[str, object]]:
    """Return HTTP status and body for a health check: 503 if no upstream is healthy.

    Anybody may read it, so it tells no more of an upstream than its name.
    """
    ready = is_ready(engine)
    upstreams = [
        {"name": state.name, "healthy": state.healthy is not False}
        for state in upstream_states(engine)
    ]
    status = "ready" if ready else "unready"
    return 200 if ready else 503, {**_ABOUT, "status": status, "upstreams": upstreams}


def status_report(engine: Engine, metrics: Metrics) -> dict[str, object]:
    """Return what the status page shows: models, upstreams, and the numbers since the start."""
    return {
        **_ABOUT,
        "ready": is_ready(engine),
        "upstreams": [asdict(state) for state in upstream_states(engine)],
        "models": [_describe(engine, metrics, model_info) for model_info in engine.models()],
        "totals": asdict(_sum(metrics)),
    }


def _describe(engine: Engine, metrics: Metrics, model_info: ModelInfo) -> dict[str, object]:
    totals = metrics.totals.get(model_info.id, Totals())
    return {
        "model": model_info.id,
        "served_by": engine.weights_name(model_info),
        "endpoint": model_info.endpoint,
        "prompt_form": None if model_info.takes_messages else _prompt_form(model_info),
        **asdict(totals),
    }


def _prompt_form(model_info: ModelInfo) -> tuple[str, str]:
    """Return what the page writes around a question for a model that takes only prompts."""
    return model_info.template.user if model_info.template else ("", "")


def _sum(metrics: Metrics) -> Totals:
    total = Totals()
    for totals in metrics.totals.values():
        total.requests += totals.requests
        total.failed += totals.failed
        total.input_tokens += totals.input_tokens
        total.output_tokens += totals.output_tokens
        total.under_way += totals.under_way
    return total
