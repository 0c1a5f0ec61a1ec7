"""Reads the body of a chat completion: the result is the request that the native protocol makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.parameters import TOOL_CHOICES, check_parameters
from dashscope_oss.gateway.protocol.native.parse_input import Input, parse_input
from dashscope_oss.gateway.protocol.native.parse_request import (
    check_input_length,
    parse_object,
    requested_model,
    served_model,
)
from dashscope_oss.gateway.protocol.openai.errors import model_not_found
from dashscope_oss.gateway.protocol.openai.parse_messages import native_message
from dashscope_oss.messages import Message
from dashscope_oss.protocol.conversation import adapt_conversation
from dashscope_oss.protocol.tools import forced, function_name
from dashscope_oss.protocol.validation import NOT_PARAMETERS
from dashscope_oss.registry.model_info import ModelInfo

_NOT_TAKEN = {*NOT_PARAMETERS, "result_format", "incremental_output"}
"""Fields of a body that are no parameters; the last two follow from the protocol."""
_OLD_TOOLS = ("functions", "function_call")


def parse_request(
    body: bytes,
    *,
    stream: bool = False,
    request_id: str,
    find_model: Callable[[str], ModelInfo | None],
) -> EngineRequest:
    """Return the request that ``body`` holds.

    Args:
        body: JSON, as it arrived.
        stream: not used: this protocol asks for a stream in the body.
        request_id: identifies the call.
        find_model: returns how a model is served, ``None`` if it is not.

    Raises:
        APIError: for whatever the native protocol refuses, and for what OpenAI no longer has.
    """
    data = parse_object(body)
    model = requested_model(data)
    model_info = served_model(model, find_model)
    if model_info is None:
        raise model_not_found(model)
    stream = _wants_stream(data)
    messages, prompt = _parse_input(model_info, data.get("messages"))
    request = EngineRequest(
        model_info=model_info,
        messages=messages,
        prompt=prompt,
        parameters=_parameters(data, stream=stream),
        stream=stream,
        request_id=request_id,
    )
    check_parameters(request, tool_choices=(*TOOL_CHOICES, "required"))
    check_input_length(request)
    return request


def _wants_stream(data: Mapping[str, object]) -> bool:
    """Return whether the answer is to be streamed, and check the options of a stream."""
    options = data.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidParameter("Input should be a valid dictionary: stream_options")
    _is_on((options or {}).get("include_usage"), "stream_options.include_usage")
    return _is_on(data.get("stream"), "stream")


def _is_on(switch: object, name: str) -> bool:
    """Return whether a switch is on; without a value it is off."""
    if switch is not None and not isinstance(switch, bool):
        raise InvalidParameter(f"Input should be a valid boolean: {name}")
    return switch is True


def _parse_input(model_info: ModelInfo, messages: object) -> Input:
    """Return the conversation; for a model that takes prompts only, in its family's template."""
    if not isinstance(messages, list):
        raise InvalidParameter("Input should be a valid list: messages")
    native = {"messages": [native_message(message, model_info.id) for message in messages]}
    if model_info.takes_messages:
        return parse_input(model_info, native)
    turns, _ = parse_input(replace(model_info, inputs=("messages",)), native)
    return None, _written_prompt(model_info, turns or ())


def _written_prompt(model_info: ModelInfo, messages: tuple[Message, ...]) -> str:
    if model_info.template is None:
        raise InvalidParameter(
            f"The model {model_info.id} only supports prompt input, and no template is known to "
            "write messages with; call it by the native protocol."
        )
    try:
        return model_info.template.render(adapt_conversation(model_info, messages))
    except UnsupportedInputError as error:
        raise InvalidParameter(error.message) from None


def _parameters(data: Mapping[str, object], *, stream: bool) -> dict[str, object]:
    """Return the parameters by their native names, which are OpenAI's for all that both have."""
    for name in _OLD_TOOLS:
        if data.get(name) is not None:
            raise InvalidParameter(f"{name} is not supported: use tools and tool_choice.")
    parameters = {
        name: value for name, value in data.items() if value is not None and name not in _NOT_TAKEN
    }
    if stream:
        parameters["incremental_output"] = True  # chunks hold new text only
    if parameters.get("tool_choice") == "required":
        parameters["tool_choice"] = _required_tool(parameters.get("tools"))
    return {**parameters, "result_format": "message"}


def _required_tool(tools: object) -> object:
    """Return the choice of the only tool, which every engine can force; else "required"."""
    name = function_name(tools[0]) if isinstance(tools, list) and len(tools) == 1 else None
    return "required" if name is None else forced(name)
