"""What is said of a model that the hosted service has retired, or whose key it refuses."""

from __future__ import annotations

from dashscope_oss.errors import (
    AuthenticationError,
    DashScopeError,
    ModelNotFoundError,
    PermissionDeniedError,
    RetiredModelWarning,
    warn,
)
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.endpoint import Endpoint, is_vendor

_warned: set[str] = set()


def warn_if_retired(model_info: ModelInfo, endpoint: Endpoint) -> None:
    """Warn once if a retired model is asked of the vendor; the call is made all the same.

    The registry may be older than the service.
    """
    if model_info.status == "retired" and endpoint.is_vendor and model_info.id not in _warned:
        _warned.add(model_info.id)
        warn(f"{model_info.id}: {advice_on_retired(model_info)}", RetiredModelWarning)


def add_advice(error: DashScopeError, model_info: ModelInfo, url: str) -> None:
    """Add to an error what its reader can do, by who refused which model."""
    if isinstance(error, AuthenticationError) and not is_vendor(url):
        error.advice = "Check api_key or DASHSCOPE_API_KEY: this server has keys of its own."
    is_refused = isinstance(error, ModelNotFoundError | PermissionDeniedError)
    if is_refused and model_info.status == "retired" and is_vendor(url):
        error.hint = advice_on_retired(model_info)


def advice_on_retired(model_info: ModelInfo) -> str:
    """Return when the service retired a model, and what to do instead."""
    successors = ", ".join(model_info.successors)
    named = f" The vendor names {successors} instead." if successors else ""
    return (
        f"The hosted service retired this model on {model_info.retired_on}.{named} To keep it, "
        "serve its open weights with `dashscope-oss serve` and pass that base_url."
    )
