"""Reads ``input`` of a request: a prompt, a prompt with the turns before it, or messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias, get_args

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.gateway.protocol.native.parse_content import parse_content
from dashscope_oss.messages import ROLES, Message, ToolCall
from dashscope_oss.protocol.validation import with_sendable_media
from dashscope_oss.registry.model_info import Modality, ModelInfo

Input: TypeAlias = tuple[tuple[Message, ...] | None, str | None]
"""Messages and prompt; exactly one of them is ``None``."""

_EMPTY_CONTENT = "Role must be user or assistant and Content length must be greater than 0."
_NO_INPUT = 'Either "prompt" or "messages" must exist and cannot both be none'
_UNPAIRED_TOOL_MESSAGE = (
    'Messages with role "tool" must be a response to a preceding message with "tool_calls"'
)
_MISPLACED_PARTIAL = "partial is for the last message, which must be of the role assistant"
_NO_LIMIT = 2**31 - 1


def parse_input(model_info: ModelInfo, data: Mapping[str, object]) -> Input:
    """Return the messages or the prompt of a call.

    Args:
        model_info: the model that is asked.
        data: the request's ``input``.

    Raises:
        InvalidParameter: if the service refuses it for this model.
    """
    prompt, messages = data.get("prompt"), data.get("messages")
    if messages is None:
        return _parse_prompt(model_info, prompt, data.get("history"))
    if not isinstance(messages, list):
        raise InvalidParameter("Input should be a valid list: input.messages")
    if not messages:
        raise InvalidParameter(_EMPTY_CONTENT.rstrip(".") if prompt else "[] is too short")
    if prompt:
        raise InvalidParameter('Only one of the parameters "prompt" and "messages" can be present')
    if not model_info.takes_messages:
        raise InvalidParameter(f"The model {model_info.id} only supports prompt input.")
    parsed = tuple(_parse_message(model_info, message) for message in messages)
    _check_conversation(parsed)
    return _with_media(model_info, parsed), None


def wrong_length(model_info: ModelInfo) -> InvalidParameter:
    """Return the error for an input that is empty or too long."""
    limit = model_info.input_limit or _NO_LIMIT
    return InvalidParameter(f"Range of input length should be [1, {limit}]")


def _parse_prompt(model_info: ModelInfo, prompt: object, history: object) -> Input:
    if prompt is None:
        raise InvalidParameter(_NO_INPUT)
    if not isinstance(prompt, str):
        raise InvalidParameter("Input should be a valid string: input.prompt")
    if not prompt.strip():
        raise wrong_length(model_info)
    if not model_info.takes_prompt:
        raise InvalidParameter(f"The model {model_info.id} only supports messages input.")
    messages = _parse_history(history)
    if not messages:
        return None, prompt
    messages.append(Message("user", prompt))
    if model_info.takes_messages or model_info.template is None:
        return tuple(messages), None
    return None, model_info.template.render(messages)


def _parse_history(history: object) -> list[Message]:
    """Return the messages of the older ``input.history``: a list of ``{"user": …, "bot": …}``."""
    if history is None:
        return []
    messages: list[Message] = []
    for turn in history if isinstance(history, list) else [history]:
        user, bot = (turn.get("user"), turn.get("bot")) if isinstance(turn, dict) else (None, None)
        if not isinstance(user, str) or not isinstance(bot, str):
            raise InvalidParameter(
                'Input should be a list of {"user": str, "bot": str}: input.history'
            )
        messages += [Message("user", user), Message("assistant", bot)]
    return messages


def _parse_message(model_info: ModelInfo, message: object) -> Message:
    if not isinstance(message, Mapping):
        raise InvalidParameter("Input should be a valid dictionary or instance of GPT3Message")
    role = message.get("role")
    if role not in ROLES:
        raise InvalidParameter(_EMPTY_CONTENT)
    tool_calls = _parse_tool_calls(message.get("tool_calls"))
    content = _parse_content(model_info, message, optional=bool(tool_calls))
    if role == "user" and not content.all_parts:
        raise InvalidParameter(_EMPTY_CONTENT)
    tool_call_id = message.get("tool_call_id")
    reasoning = message.get("reasoning_content")
    return Message(
        role,
        content.content,
        parts=content.parts,
        tool_calls=tool_calls,
        tool_call_id=tool_call_id if isinstance(tool_call_id, str) else None,
        reasoning=reasoning if isinstance(reasoning, str) and role == "assistant" else None,
        partial=_parse_partial(message),
    )


def _parse_partial(message: Mapping[str, object]) -> bool:
    partial = message.get("partial") or False
    if not isinstance(partial, bool):
        raise InvalidParameter("Input should be a valid boolean: input.messages.partial")
    return partial


def _parse_content(
    model_info: ModelInfo, message: Mapping[str, object], *, optional: bool
) -> Message:
    content = message.get("content")
    if content is None and not optional:
        raise InvalidParameter("The content field is a required field.")
    return parse_content(model_info, content or "")


def _with_media(model_info: ModelInfo, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages with the true type of each file; how large they are is no matter here.

    Which kinds of files the model takes was checked with each part.
    """
    unlimited = replace(
        model_info,
        modalities=get_args(Modality),
        max_image_bytes=_NO_LIMIT,
        max_video_bytes=_NO_LIMIT,
        max_audio_bytes=_NO_LIMIT,
    )
    try:
        return tuple(with_sendable_media(unlimited, messages, {}))
    except UnsupportedInputError as error:
        raise InvalidParameter(error.message) from None


def _parse_tool_calls(tool_calls: object) -> tuple[ToolCall, ...]:
    if tool_calls is None:
        return ()
    if not isinstance(tool_calls, list):
        raise InvalidParameter("Input should be a valid list: input.messages.tool_calls")
    return tuple(_parse_tool_call(call, index) for index, call in enumerate(tool_calls))


def _parse_tool_call(call: object, index: int) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise InvalidParameter("Input should be a valid dictionary: input.messages.tool_calls")
    id, name, arguments = call.get("id", ""), function.get("name"), function.get("arguments", "")
    if not (isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str)):
        raise InvalidParameter("Input should be a valid string: input.messages.tool_calls")
    return ToolCall(id=id, name=name, arguments=arguments, index=index)


def _check_conversation(messages: tuple[Message, ...]) -> None:
    known_calls: set[str] = set()
    for message in messages:
        known_calls.update(call.id for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id not in known_calls:
            raise InvalidParameter(_UNPAIRED_TOOL_MESSAGE)
    if any(message.partial for message in messages[:-1]) or (
        messages[-1].partial and messages[-1].role != "assistant"
    ):
        raise InvalidParameter(_MISPLACED_PARTIAL)
    if all(message.role == "system" for message in messages):
        raise InvalidParameter(_EMPTY_CONTENT)
