"""How a gateway is: for health checks, and for the status page in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path

from dashscope_oss._version import __version__
from dashscope_oss.gateway.engines.engine import Engine
from dashscope_oss.gateway.engines.health import is_ready, upstream_states
from dashscope_oss.gateway.observability.metrics import Metrics, Totals
from dashscope_oss.registry.model_info import ModelInfo

HTML = b"text/html; charset=utf-8"
_ABOUT = {"name": "dashscope-oss", "version": __version__, "api": "/api/v1"}


def health(engine: Engine) -> tuple[int, dict[str, object]]:
    """Return HTTP status and body for a health check: 503 if no upstream is healthy.

    It is open to anybody: upstreams are told by name only.
    """
    well = is_ready(engine)
    upstreams = [
        {"name": state.name, "healthy": state.healthy is not False}
        for state in upstream_states(engine)
    ]
    status = "ready" if well else "unready"
    return 200 if well else 503, {**_ABOUT, "status": status, "upstreams": upstreams}


def overview(engine: Engine, metrics: Metrics) -> dict[str, object]:
    """Return what the status page shows: models, upstreams, and the numbers since the start."""
    return {
        **_ABOUT,
        "ready": is_ready(engine),
        "upstreams": [asdict(state) for state in upstream_states(engine)],
        "models": [_model(engine, metrics, model_info) for model_info in engine.models()],
        "totals": asdict(_sum(metrics)),
    }


def _model(engine: Engine, metrics: Metrics, model_info: ModelInfo) -> dict[str, object]:
    totals = metrics.totals.get(model_info.id, Totals())
    return {
        "model": model_info.id,
        "served_by": engine.weights_name(model_info),
        "endpoint": model_info.endpoint,
        "prompt_form": None if model_info.takes_messages else _prompt_form(model_info),
        **asdict(totals),
    }


def _prompt_form(model_info: ModelInfo) -> tuple[str, str]:
    """What the page writes around a question, as callers of a prompt-only model do."""
    return model_info.template.user if model_info.template else ("", "")


def _sum(metrics: Metrics) -> Totals:
    whole = Totals()
    for totals in metrics.totals.values():
        whole.requests += totals.requests
        whole.failed += totals.failed
        whole.input_tokens += totals.input_tokens
        whole.output_tokens += totals.output_tokens
        whole.under_way += totals.under_way
    return whole


@cache
def page() -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the status page and the headers that keep it to itself.

    Only its own script and style run, by their hashes, and it may speak to this gateway only.
    """
    text = Path(__file__).with_name("status.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(text, 'script')}; "
        f"style-src {_hash(text, 'style')}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )


def _hash(text: str, element: str) -> str:
    found = re.search(f"<{element}>(.*?)</{element}>", text, flags=re.DOTALL)
    content = found[1] if found else ""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
