"""Checks ``parameters`` of a request: ranges, types, and what the model is able to do.

Unknown names pass, as the service lets them; an engine takes only those that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashscope_oss.gateway.interface.api_error import APIError, InvalidParameter
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.protocol.tools import function_name
from dashscope_oss.protocol.validation import RANGES, wants_json

TOOL_CHOICES = ("none", "auto")

_MAX_INTEGER = 2**31 - 1
_FLOATS = ("temperature", "top_p")
_BOOLEANS = (
    "enable_thinking",
    "incremental_output",
    "logprobs",
    "parallel_tool_calls",
    "preserve_thinking",
    "enable_search",
)
_POSITIVE_INTEGERS = {
    "max_completion_tokens": f"Range of max_completion_tokens should be [1, {_MAX_INTEGER}]",
    "thinking_budget": "thinking_budget should be greater than 0",
}
_TOP_LOGPROBS = "Input should be an integer of at least 0: parameters.top_logprobs"
_NOT_STREAMED = "parameter incremental_output only support stream call"
_RESPONSE_FORMATS = ("text", "json_object", "json_schema")
_JSON_NOT_MENTIONED = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
    "'json_object'."
)
_STREAM_ONLY = (
    "This model only support stream mode, please enable the stream parameter to access the model."
)


def check_parameters(request: EngineRequest, *, tool_choices: Sequence[str] = TOOL_CHOICES) -> None:
    """Check what the service checks, and raise its own errors.

    Args:
        request: the request.
        tool_choices: the words that ``tool_choice`` may be.

    Raises:
        APIError: if it would refuse a parameter; the text names the parameter.
    """
    _check_ranges(request.parameters)
    _check_types(request.parameters)
    _check_supported(request.parameters)
    _check_tools(request, tool_choices)
    _check_response_format(request)
    _check_output(request)
    if request.parameters.get("enable_thinking") is not None:
        _check_thinking(request)
    if request.parameters.get("incremental_output") and not request.stream:
        raise InvalidParameter(_NOT_STREAMED)


def _check_ranges(parameters: Mapping[str, object]) -> None:
    for name, value in parameters.items():
        if name in _FLOATS and not _is_number(value):
            raise InvalidParameter(f"'{name}' must be Float")
        if name in RANGES:
            is_valid, message = RANGES[name]
            if not is_valid(value):
                raise InvalidParameter(message)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_types(parameters: Mapping[str, object]) -> None:
    for name in _BOOLEANS:
        if not isinstance(parameters.get(name, False), bool):
            raise InvalidParameter(f"Input should be a valid boolean: parameters.{name}")
    for name, message in _POSITIVE_INTEGERS.items():
        value = parameters.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_INTEGER:
            raise InvalidParameter(message)
    top_logprobs = parameters.get("top_logprobs", 0)
    if type(top_logprobs) is not int or top_logprobs < 0:
        raise InvalidParameter(_TOP_LOGPROBS)
    if not isinstance(parameters.get("reasoning_effort", ""), str):
        raise InvalidParameter("Input should be a valid string: parameters.reasoning_effort")


def _check_supported(parameters: Mapping[str, object]) -> None:
    """Refuse what the service can do and this gateway cannot."""
    if parameters.get("n", 1) != 1:
        raise InvalidParameter("This gateway gives one answer a call: Range of n should be [1, 1]")


def _check_tools(request: EngineRequest, tool_choices: Sequence[str]) -> None:
    tools, choice = request.parameters.get("tools", []), request.parameters.get("tool_choice")
    if not isinstance(tools, list):
        raise InvalidParameter("Input should be a valid list: parameters.tools")
    if tools and not request.model_info.tools:
        raise InvalidParameter("The tool call is not supported.")
    if any(function_name(tool) is None for tool in tools):
        raise InvalidParameter(
            'Input should be {"type": "function", "function": {"name": str}}: parameters.tools'
        )
    if choice not in (None, *tool_choices) and function_name(choice) is None:
        words = ", ".join(f'"{word}"' for word in tool_choices)
        raise InvalidParameter(f"tool_choice is one of the strings that should be [{words}]")


def _check_response_format(request: EngineRequest) -> None:
    response_format = request.parameters.get("response_format", {})
    if not isinstance(response_format, Mapping):
        raise InvalidParameter("Input should be a valid dictionary: parameters.response_format")
    kind = response_format.get("type", "text")
    if kind not in _RESPONSE_FORMATS:
        raise InvalidParameter(
            f"'response_format.type' Invalid value: {kind!r:.50}. Supported values are: "
            "'json_object' and 'text'."
        )
    if wants_json(request.parameters) and request.model_info.thinks(_enable_thinking(request)):
        raise InvalidParameter("Json mode response is not supported when enable_thinking is true")
    if kind == "json_object" and not any("json" in text.lower() for text in request.texts):
        raise InvalidParameter(_JSON_NOT_MENTIONED)


def _check_output(request: EngineRequest) -> None:
    model_info, max_tokens = request.model_info, request.parameters.get("max_tokens")
    limit = None if model_info.doubt("max_output") else model_info.max_output
    if limit is not None and isinstance(max_tokens, int) and max_tokens > limit:
        raise InvalidParameter(f"Range of max_tokens should be [1, {limit}]")
    if model_info.stream_only and not request.stream:
        raise InvalidParameter(_STREAM_ONLY)
    if model_info.incremental == "forced" and not request.incremental:
        raise InvalidParameter(
            "The incremental_output parameter of this model cannot be set to False."
        )


def _enable_thinking(request: EngineRequest) -> bool | None:
    value = request.parameters.get("enable_thinking")
    return value if isinstance(value, bool) else None


def _check_thinking(request: EngineRequest) -> None:
    """Check the switch against the model, and what thinking needs."""
    enabled, model_info = _enable_thinking(request), request.model_info
    if enabled and model_info.thinking == "none":
        raise APIError(
            400,
            "InvalidParameter.NotSupportEnableThinking",
            "The model does not support enable_thinking.",
        )
    if enabled and request.is_partial:
        raise InvalidParameter("Partial mode is not supported when enable_thinking is true")
    if enabled is False and model_info.thinking == "always":
        raise InvalidParameter("The value of the enable_thinking parameter is restricted to True.")
    if enabled and model_info.thinking_streams:
        _check_thinking_stream(request)


def _check_thinking_stream(request: EngineRequest) -> None:
    """Check what a model needs that thinks only in streams."""
    if not request.stream:
        raise InvalidParameter(
            "parameter.enable_thinking must be set to false for non-streaming calls"
        )
    if not request.incremental:
        raise InvalidParameter(
            'The incremental_output parameter must be "true" when enable_thinking is true'
        )
    if not request.as_message and request.model_info.endpoint != "multimodal-generation":
        raise InvalidParameter(
            'The result_format parameter must be "message" when enable_thinking is true'
        )
