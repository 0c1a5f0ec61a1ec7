"""How an object is asked for, in LangChain's names for the core's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from dashscope_oss.errors import ConfigurationError, DashScopeWarning, warn
from dashscope_oss.protocol import structured_output
from dashscope_oss.registry.model_info import ModelInfo
from langchain_dashscope_oss._structured.schemas import Schema, response_format, tool_name

Method: TypeAlias = Literal["function_calling", "json_mode", "json_schema", "prompt"]
METHODS: tuple[Method, ...] = get_args(Method)

_CORE_METHODS: dict[Method, structured_output.Method] = {
    "function_calling": "tool",
    "json_mode": "json_object",
    "json_schema": "json_schema",
    "prompt": "words",
}
_NAMES = {method: name for name, method in _CORE_METHODS.items()}


def choose_method(
    model_info: ModelInfo, method: Method | None, enable_thinking: bool | None
) -> Method:
    """Return the method to use with this model: the wanted one, or the nearest that it knows.

    Args:
        model_info: the model.
        method: what the caller wants; ``None``: the surest method.
        enable_thinking: the call's switch.

    Raises:
        ConfigurationError: for a method that does not exist.
    """
    if method is None:
        return _NAMES[structured_output.best_method(model_info, enable_thinking)]
    if method not in METHODS:
        raise ConfigurationError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    thinking = not model_info.can_be_forced(enable_thinking)
    known = structured_output.known_methods(model_info, thinking=thinking)
    nearest = _NAMES[structured_output.nearest_method(_CORE_METHODS[method], known)]
    if nearest != method:
        _warn_of_fallback(model_info, method, nearest, known)
    return nearest


def check_arguments(
    schema: Schema | None, method: Method, tools: Sequence[Any] | None, *, include_raw: bool
) -> None:
    """Raise for arguments of ``with_structured_output`` that cannot be combined.

    Raises:
        ConfigurationError: saying which, and what to pass instead.
    """
    if schema is None and method in ("function_calling", "json_schema"):
        raise ConfigurationError(f"method={method!r} needs a schema; pass one, or 'json_mode'")
    if tools and not include_raw:
        raise ConfigurationError("with tools an answer may be a call: pass include_raw=True")


def bound_parameters(
    model_info: ModelInfo,
    schema: Schema | None,
    method: Method,
    strict: bool | None,
    enable_thinking: bool | None,
) -> dict[str, Any]:
    """Return what to bind to the model, tools excepted."""
    trace = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    parameters: dict[str, Any] = {"ls_structured_output_format": trace}
    if method == "function_calling":
        parameters["tool_choice"] = _forced_tool(model_info, schema, enable_thinking)
    if method == "json_mode":
        parameters["response_format"] = response_format(None)
    if method == "json_schema":
        parameters["response_format"] = response_format(schema, strict=strict)
    return parameters


def _warn_of_fallback(
    model_info: ModelInfo,
    method: Method,
    nearest: Method,
    known: Sequence[structured_output.Method],
) -> None:
    at_rest = structured_output.known_methods(model_info)
    lacks = "thinks, and then has no" if _CORE_METHODS[method] in at_rest else "does not know"
    names = [name for name in METHODS if _CORE_METHODS[name] in known]
    warn(
        f"{model_info.id} {lacks} method={method!r}; it falls back to {nearest!r}, with the "
        f"schema in the prompt. It knows {', '.join(names)}.",
        DashScopeWarning,
    )


def _forced_tool(
    model_info: ModelInfo, schema: Schema | None, enable_thinking: bool | None
) -> str | None:
    if model_info.can_be_forced(enable_thinking):
        return tool_name(schema)
    warn(
        f"{model_info.id} thinks, so the service cannot force it to call a tool: it may answer in "
        "words, which raises an error. method='prompt' always works.",
        DashScopeWarning,
    )
    return None
