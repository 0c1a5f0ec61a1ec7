"""LangChain's messages as the core's neutral ones; what cannot be sent is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from dashscope_oss.errors import DashScopeWarning, UnsupportedInputError, warn
from dashscope_oss.messages import ROLES, Message, Role, ToolCall

_ROLES: dict[type[BaseMessage], Role] = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
}
_NAMED_ROLES: dict[str, Role] = {role: role for role in ROLES}
_CALL_BLOCKS = ("tool_call", "tool_use", "tool_call_chunk", "invalid_tool_call", "function_call")
_REASONING_BLOCKS = ("reasoning", "thinking")
_TEXT_BLOCKS = ("text", "input_text", "output_text", "refusal", None)
# What only the maker of an earlier answer can read: its own tools, and encrypted thoughts.
_FOREIGN_BLOCKS = (
    "citation",
    "code_execution_result",
    "code_interpreter_call",
    "executable_code",
    "file_search_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
    "mcp_tool_use",
    "non_standard",
    "redacted_thinking",
    "server_tool_call",
    "server_tool_result",
    "server_tool_use",
    "web_search_call",
    "web_search_result",
    "web_search_tool_result",
)
_warned_blocks: set[str] = set()


def to_messages(messages: Sequence[BaseMessage], model: str) -> list[Message]:
    """Return ``messages`` as neutral ones for ``model``.

    Text, thoughts and tool calls are carried. What another provider put into an earlier answer and
    alone can read, such as a search by its own tool, is left out with one warning. A message's
    ``name`` is not carried: the protocol has no place for it, so it stays LangChain's own label;
    who speaks must stand in the text.

    Args:
        messages: the conversation.
        model: named in errors.

    Raises:
        UnsupportedInputError: for a role or a content block that the protocol cannot carry.
    """
    return [_to_message(message, model) for message in messages]


def _to_message(message: BaseMessage, model: str) -> Message:
    return Message(
        role=_role(message, model),
        content=_text(message, model),
        tool_calls=_tool_calls(message, model) if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        reasoning=_reasoning(message),
        partial=bool(message.additional_kwargs.get("partial")),
    )


def _role(message: BaseMessage, model: str) -> Role:
    if isinstance(message, ChatMessage):
        if message.role in _NAMED_ROLES:
            return _NAMED_ROLES[message.role]
        _refuse(f"unknown role {message.role!r}; use one of {', '.join(ROLES)}", model)
    role = next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)
    if role is None:
        _refuse(f"a {type(message).__name__} cannot be sent; use a message of another kind", model)
    return role


def _text(message: BaseMessage, model: str) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_block_text(block, message, model) for block in message.content)


def _block_text(block: str | dict[str, Any], message: BaseMessage, model: str) -> str:
    if isinstance(block, str):
        return block
    if isinstance(message, AIMessage) and (
        _is_sent_elsewhere(block, message) or _is_foreign(block, model)
    ):
        return ""
    text = block.get("refusal" if block.get("type") == "refusal" else "text")
    if block.get("type") not in _TEXT_BLOCKS or not isinstance(text, str):
        _refuse(f"a content block of type {block.get('type')!r} cannot be sent, only text", model)
    return text


def _is_sent_elsewhere(block: Mapping[str, Any], message: AIMessage) -> bool:
    """Whether a block only repeats what the message has in a field of its own."""
    if block.get("type") in _CALL_BLOCKS:
        return bool(message.tool_calls or message.invalid_tool_calls)
    return block.get("type") in _REASONING_BLOCKS


def _is_foreign(block: Mapping[str, Any], model: str) -> bool:
    """Whether only another provider can read a block; the first of its type is warned of."""
    block_type = block.get("type")
    if block_type not in _FOREIGN_BLOCKS:
        return False
    if block_type not in _warned_blocks:
        _warned_blocks.add(block_type)
        warn(
            f"{model}: content blocks of type {block_type!r} in earlier answers are left out; only "
            "the provider that made them can read them",
            DashScopeWarning,
        )
    return True


def _reasoning(message: BaseMessage) -> str | None:
    """Return the reasoning of an earlier answer, in either form that LangChain keeps it in."""
    if not isinstance(message, AIMessage):
        return None
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str):
        return reasoning or None
    blocks = message.content if isinstance(message.content, list) else ()
    texts = (
        str(block.get("reasoning") or block.get("thinking") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") in _REASONING_BLOCKS
    )
    return "".join(texts) or None


def _tool_calls(message: AIMessage, model: str) -> tuple[ToolCall, ...]:
    valid = (
        ToolCall(call["id"] or "", call["name"], _json(call["args"], model))
        for call in message.tool_calls
    )
    invalid = (
        ToolCall(call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    )
    return (*valid, *invalid)


def _json(arguments: dict[str, Any], model: str) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"the arguments of a tool call cannot be written as JSON: {error}", model)


def _refuse(text: str, model: str) -> NoReturn:
    raise UnsupportedInputError(text, model=model)
