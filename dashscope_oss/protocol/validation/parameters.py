"""Parameters that the service or a model refuses: ranges, types, misspelt names.

Ranges are the vendor's, from its description of the native API. Their texts are those of its
error page, so that a refusal reads the same wherever it happens; the gateway uses the same table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from dashscope_oss.errors import DashScopeWarning, warn_once
from dashscope_oss.messages import OPTION_NAMES
from dashscope_oss.protocol.validation.refusal import probably_intended, refuse
from dashscope_oss.registry.lookup import model_that_searches
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.input_length import warn_of_doubt


def check_parameters(
    model_info: ModelInfo, parameters: Mapping[str, object], *, strict: bool = False
) -> None:
    """Raise for parameters that the model or the service refuses.

    Args:
        strict: refuse also what the vendor's page of the model does not document.
    """
    for name, value in parameters.items():
        _check_parameter(model_info, name, value)
    if parameters.get("tools") and not model_info.tools:
        _refuse_if_certain(
            model_info,
            "tools",
            "this model knows no tools",
            "choose one that does, or say so in model_info",
        )
    _check_thinking(model_info, parameters)
    _check_search(model_info, parameters.get("enable_search"))
    _check_max_tokens(model_info, parameters)
    _check_effort(model_info, parameters.get("reasoning_effort"))
    _warn_of_unstated(model_info, parameters)
    answers = parameters.get("n")
    if isinstance(answers, int) and answers > 1:
        refuse(model_info, "one call gives one answer; make several calls instead of setting n")
    if strict:
        _check_documented(model_info, parameters)


def is_key_name(name: str) -> bool:
    """Whether a parameter of this name holds a key or the like, such as ``openai_api_key``."""
    return name.lower().replace("-", "_").endswith(_ENDS_OF_KEY_NAMES)


def wants_json(parameters: Mapping[str, object]) -> bool:
    """Whether ``response_format`` asks for anything but text."""
    response_format = parameters.get("response_format")
    if response_format is None or not isinstance(response_format, Mapping):
        return False
    return response_format.get("type") not in (None, "text")


def _check_parameter(model_info: ModelInfo, name: str, value: object) -> None:
    if not _can_be_sent(model_info, name, value):
        verb = "is" if isinstance(value, float) else "holds"
        refuse(model_info, f"{name} {verb} {value!s:.100}; give finite numbers")
    if name not in PARAMETERS:
        _check_unknown_name(model_info, name)
    if name == "stop" and (value == "" or (isinstance(value, list | tuple) and "" in value)):
        refuse(
            model_info, "stop holds an empty text, which ends every answer at once; leave it out"
        )
    if name in model_info.unsupported_parameters:
        refuse(model_info, f"the model does not support {name}; leave it out")
    accepts, text = RANGES.get(name, (None, ""))
    if accepts is not None and not accepts(value):
        refuse(model_info, f"{name} is {value!r:.100}. {text}")


def _check_unknown_name(model_info: ModelInfo, name: str) -> None:
    """Refuse a name that cannot be a parameter which the service has and this package lacks."""
    if is_key_name(name):
        refuse(model_info, f"{name} {NEVER_A_PARAMETER}; leave it out and set api_key")
    if advice := _OF_OPENAIS_CLIENT.get(name):
        refuse(model_info, f"{name} is for OpenAI's client, not for the service; {advice}")
    if intended := probably_intended(name, PARAMETERS):
        refuse(model_info, f"there is no parameter {name!r}; did you mean {intended!r}?")


def _can_be_sent(model_info: ModelInfo, name: str, value: object) -> bool:
    try:
        return _is_finite(value)
    except RecursionError:
        refuse(model_info, f"{name} is nested too deeply to be sent")


def _check_thinking(model_info: ModelInfo, parameters: Mapping[str, object]) -> None:
    for name in ("enable_thinking", "thinking_budget"):
        if parameters.get(name) and model_info.thinking == "none":
            remedy = f"leave {name} out"
            _refuse_if_certain(model_info, "thinking", "this model cannot think", remedy)
    if parameters.get("enable_thinking") is False and model_info.thinking == "always":
        remedy = "leave enable_thinking out"
        _refuse_if_certain(model_info, "thinking", "this model always thinks", remedy)


def _check_search(model_info: ModelInfo, switch: object) -> None:
    """Refuse a search to a hosted model without it: the vendor's list names hosted models only."""
    if not switch or model_info.web_search or model_info.status != "hosted":
        return
    _refuse_if_certain(
        model_info,
        "web_search",
        "this model cannot search the web",
        f"leave enable_search out, or choose a model that can, such as {model_that_searches()}",
    )


def _check_max_tokens(model_info: ModelInfo, parameters: Mapping[str, object]) -> None:
    """Refuse a limit above the model's own, which is one of thoughts too where those count."""
    limit = model_info.max_output
    names = ("max_tokens", *["max_completion_tokens"] * model_info.max_tokens_counts_thoughts)
    for name in names:
        most = parameters.get(name)
        if isinstance(most, int) and limit and most > limit:
            _refuse_if_certain(
                model_info,
                "max_output",
                f"{name} is {most}, but the model writes at most {limit} tokens",
                "lower it",
            )


def _refuse_if_certain(model_info: ModelInfo, field: str, fact: str, remedy: str) -> None:
    """Refuse what a field of the record rules out; warn if the record is not certain of it."""
    if doubt := model_info.doubt(field):
        warn_of_doubt(model_info, f"{fact}, says its record", doubt)
        return
    refuse(model_info, f"{fact}; {remedy}")


def _check_effort(model_info: ModelInfo, effort: object) -> None:
    levels = model_info.reasoning_efforts
    if effort is None or (not levels and model_info.thinking != "none"):
        return
    if not levels:
        refuse(model_info, "this model cannot think; leave reasoning_effort out")
    if effort not in levels:
        _refuse_if_certain(
            model_info,
            "reasoning_efforts",
            f"reasoning_effort is {effort!r:.100}, but the model knows {', '.join(levels)}",
            "set one of them",
        )


def _warn_of_unstated(model_info: ModelInfo, parameters: Mapping[str, object]) -> None:
    """Warn once of what the record does not say that the model takes; it is sent all the same."""
    stated = {
        "reasoning_effort": bool(model_info.reasoning_efforts),
        "preserve_thinking": model_info.preserve_thinking,
        "max_completion_tokens": model_info.max_completion_tokens,
    }
    for name, is_stated in stated.items():
        if parameters.get(name) and not is_stated:
            warn_once(
                f"{model_info.id}: the record of the model does not say that it takes {name}; it "
                "is sent, and the service decides",
                DashScopeWarning,
            )


def _check_documented(model_info: ModelInfo, parameters: Mapping[str, object]) -> None:
    documented = model_info.documented_parameters
    if documented is None:
        return
    if unknown := [name for name in parameters if name not in documented]:
        refuse(
            model_info,
            f"the vendor's page of this model documents no {', '.join(unknown)}; leave it "
            "out, or turn off the strict check",
        )


def _is_finite(value: object) -> bool:
    if isinstance(value, str | int):
        return True
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


NEVER_A_PARAMETER = "looks like a secret, which is never sent as a parameter"
_ENDS_OF_KEY_NAMES = ("api_key", "apikey", "authorization", "access_token", "secret", "password")

PARAMETERS = (
    *OPTION_NAMES,
    "result_format",
    "incremental_output",
    "n",
    "logprobs",
    "top_logprobs",
    "max_length",
    "clear_thinking",
    "frequency_penalty",
)
"""Names of parameters; one that is almost one of these is taken for a misspelling."""
NOT_PARAMETERS = ("model", "messages", "stream", "user", "metadata", "store", "service_tier")
"""Fields of OpenAI's chat completions that say who answers what, and to whom; not how."""
_OF_OPENAIS_CLIENT = {
    "extra_body": "pass what it holds as parameters",
    "extra_headers": "set default_headers",
    "extra_query": "leave it out",
}
"""What programs that called OpenAI's client still pass: the service would ignore it unseen."""

_STOP = (
    'The "stop" parameter must be of type "str", "list[str]", "list[int]", or "list[list[int]]", '
    "and all elements within the list must be of the same type."
)


def _number(value: object) -> float:
    """Return ``value`` if it is a number, else NaN, which no range accepts."""
    # Not as a float: the largest seed would be rounded up, out of its range.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _integer(value: object) -> float:
    return _number(value) if isinstance(value, int) else math.nan


def _is_stop(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list | tuple) and any(
        all(map(is_kind, value)) for is_kind in (_is_text, _is_token_id, _is_token_ids)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_token_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_token_ids(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_token_id, value))


RANGES: dict[str, tuple[Callable[[object], bool], str]] = {
    "temperature": (lambda v: 0 <= _number(v) < 2, "Temperature should be in [0.0, 2.0)"),
    "top_p": (lambda v: 0 < _number(v) <= 1, "Range of top_p should be (0.0, 1.0]"),
    "top_k": (lambda v: _integer(v) >= 0, "Parameter top_k be greater than or equal to 0"),
    "repetition_penalty": (
        lambda v: _number(v) > 0,
        "Repetition_penalty should be greater than 0.0",
    ),
    "presence_penalty": (
        lambda v: -2 <= _number(v) <= 2,
        "Presence_penalty should be in [-2.0, 2.0]",
    ),
    "n": (lambda v: 1 <= _integer(v) <= 4, "Range of n should be [1, 4]"),
    "seed": (
        lambda v: 0 <= _integer(v) <= 2**63 - 1,
        "Range of seed should be [0, 9223372036854775807]",
    ),
    "max_tokens": (
        lambda v: 1 <= _integer(v) <= 2**31 - 1,
        "Range of max_tokens should be [1, 2147483647]",
    ),
    "max_completion_tokens": (
        lambda v: 1 <= _integer(v) <= 2**31 - 1,
        "Range of max_completion_tokens should be [1, 2147483647]",
    ),
    "search_options": (
        lambda v: isinstance(v, Mapping),
        "Input should be a valid dictionary: parameters.search_options",
    ),
    "stop": (_is_stop, _STOP),
    "result_format": (
        lambda v: v in ("text", "message"),
        "Required parameter(result_format) missing or invalid, please check the request "
        "parameters.",
    ),
}
"""For each parameter: whether a value is in its range, and what the vendor says if it is not."""
