"""What ``parameters`` may hold: ranges, types, and what the model asked is able to do.

Unknown names are let through, as the service does; an engine takes only those that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dashscope_oss.gateway.api_error import APIError, invalid
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.protocol.validation import RANGES, wants_json

_MOST = 2**31 - 1
_FLOATS = ("temperature", "top_p")
_SWITCHES = (
    "enable_thinking",
    "incremental_output",
    "logprobs",
    "parallel_tool_calls",
    "preserve_thinking",
    "enable_search",
)
_FORMS = ("text", "json_object", "json_schema")
_CHOICE = 'tool_choice is one of the strings that should be ["none", "auto"]'
_NO_JSON = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
    "'json_object'."
)
_STREAM_ONLY = (
    "This model only support stream mode, please enable the stream parameter to access the model."
)


def check_parameters(job: EngineRequest) -> None:
    """Refuse parameters that the service refuses, by its own words.

    Raises:
        APIError: naming the parameter.
    """
    given = job.parameters
    _check_ranges(given)
    _check_types(given)
    _check_tools(job)
    _check_form(job)
    _check_mode(job)
    if job.parameters.get("enable_thinking") is not None:
        _check_thinking(job)


def _check_ranges(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if name in _FLOATS and not _is_number(value):
            invalid(f"'{name}' must be Float")
        if name in RANGES:
            accepts, text = RANGES[name]
            if not accepts(value):
                invalid(text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_types(given: Mapping[str, object]) -> None:
    for name in _SWITCHES:
        if not isinstance(given.get(name, False), bool):
            invalid(f"Input should be a valid boolean: parameters.{name}")
    for name in ("max_completion_tokens", "thinking_budget"):
        value = given.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
            invalid(_TOO_FEW[name])
    if not isinstance(given.get("reasoning_effort", ""), str):
        invalid("Input should be a valid string: parameters.reasoning_effort")
    if given.get("logprobs"):
        invalid("logprobs is not supported by this gateway.")
    if given.get("n", 1) != 1:
        invalid("This gateway gives one answer a call: Range of n should be [1, 1]")


_TOO_FEW = {
    "max_completion_tokens": f"Range of max_completion_tokens should be [1, {_MOST}]",
    "thinking_budget": "thinking_budget should be greater than 0",
}


def _check_tools(job: EngineRequest) -> None:
    tools, choice = job.parameters.get("tools", []), job.parameters.get("tool_choice")
    if not isinstance(tools, list):
        invalid("Input should be a valid list: parameters.tools")
    if tools and not job.model_info.tools:
        invalid("The tool call is not supported.")
    if not all(_is_function(tool) for tool in tools):
        invalid('Input should be {"type": "function", "function": {"name": str}}: parameters.tools')
    if choice not in (None, "auto", "none") and not _is_function(choice):
        invalid(_CHOICE)


def _is_function(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def _check_form(job: EngineRequest) -> None:
    form = job.parameters.get("response_format", {})
    if not isinstance(form, Mapping):
        invalid("Input should be a valid dictionary: parameters.response_format")
    kind = form.get("type", "text")
    if kind not in _FORMS:
        invalid(
            f"'response_format.type' Invalid value: {kind!r:.50}. Supported values are: "
            "'json_object' and 'text'."
        )
    if wants_json(job.parameters) and job.model_info.thinks(_switch(job)):
        invalid("Json mode response is not supported when enable_thinking is true")
    if kind == "json_object" and not any("json" in text.lower() for text in job.texts):
        invalid(_NO_JSON)


def _check_mode(job: EngineRequest) -> None:
    model_info, asked = job.model_info, job.parameters.get("max_tokens")
    if (
        model_info.max_output is not None
        and isinstance(asked, int)
        and asked > model_info.max_output
    ):
        invalid(f"Range of max_tokens should be [1, {model_info.max_output}]")
    if model_info.stream_only and not job.stream:
        invalid(_STREAM_ONLY)
    if model_info.incremental == "forced" and job.parameters.get("incremental_output") is False:
        invalid("The incremental_output parameter of this model cannot be set to False.")


def _switch(job: EngineRequest) -> bool | None:
    switch = job.parameters.get("enable_thinking")
    return switch if isinstance(switch, bool) else None


def _check_thinking(job: EngineRequest) -> None:
    """What the switch that thinking needs; models that think in any call are freer."""
    switch, model_info = _switch(job), job.model_info
    if switch and model_info.thinking == "none":
        raise APIError(
            400,
            "InvalidParameter.NotSupportEnableThinking",
            "The model does not support enable_thinking.",
        )
    if switch is False and model_info.thinking == "always":
        invalid("The value of the enable_thinking parameter is restricted to True.")
    if not switch or not model_info.thinking_streams:
        return
    if not job.stream:
        invalid("parameter.enable_thinking must be set to false for non-streaming calls")
    for holds, text in _THINKING:
        if not holds(job):
            invalid(text)


_THINKING: tuple[tuple[Callable[[EngineRequest], bool], str], ...] = (
    (
        lambda job: job.incremental,
        'The incremental_output parameter must be "true" when enable_thinking is true',
    ),
    (
        lambda job: job.as_message or job.model_info.endpoint == "multimodal-generation",
        'The result_format parameter must be "message" when enable_thinking is true',
    ),
)
