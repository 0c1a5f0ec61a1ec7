"""From LlamaIndex's messages to the core's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    MessageRole,
    TextBlock,
)

from dashscope_oss import Message, UnsupportedInputError
from dashscope_oss.messages import Role
from llama_index_dashscope_oss._convert.tool_calls import tool_calls_of

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
}
# Thoughts and tool calls have fields of their own, a cache point is only a hint.
_NOT_TEXT = ("thinking", "tool_call", "cache")


def to_messages(
    messages: Sequence[ChatMessage],
    model: str,
    *,
    knows_tools: bool = True,
) -> list[Message]:
    """Return ``messages`` as the core takes them; text blocks are joined by line breaks.

    Args:
        messages: the conversation.
        model: its id, for errors.
        knows_tools: ``False``: the results of tools will be written as text, so they need not
            name their call, and may come in the role ``function``.

    Raises:
        UnsupportedInputError: for a block that is no text; for a model with tools, for the role
            ``function`` or a tool's result without ``additional_kwargs["tool_call_id"]``.
    """
    roles = _ROLES if knows_tools else {**_ROLES, MessageRole.FUNCTION: "tool"}
    turns = [_to_message(message, model, roles) for message in messages]
    if knows_tools:
        _check_results(turns, model)
    return turns


def with_user_message(
    chat_history: Sequence[ChatMessage] | None, user_msg: str | ChatMessage | None
) -> list[ChatMessage]:
    """Return the history, if there is any, with the user's message at its end."""
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
    return messages


def _to_message(message: ChatMessage, model: str, roles: Mapping[MessageRole, Role]) -> Message:
    role, facts = _role(message, model, roles), message.additional_kwargs
    return Message(
        role=role,
        content="\n".join(_texts(message.blocks, model)),
        tool_calls=tool_calls_of(message),
        tool_call_id=facts.get("tool_call_id") if role == "tool" else None,
        tool_name=facts.get("name") if role == "tool" else None,
        reasoning=_reasoning(message) if role == "assistant" else None,
        partial=bool(facts.get("partial")),
    )


def _role(message: ChatMessage, model: str, roles: Mapping[MessageRole, Role]) -> Role:
    role = roles.get(message.role)
    if role is None:
        raise UnsupportedInputError(
            f"a message has the role {message.role.value!r}, which the service does not know; use "
            f"one of {', '.join(known.value for known in roles)}",
            model=model,
        )
    return role


def _check_results(turns: Iterable[Message], model: str) -> None:
    if any(turn.role == "tool" and not turn.tool_call_id for turn in turns):
        raise UnsupportedInputError(
            "a tool's result does not say which call it belongs to; put the call's id into "
            "additional_kwargs['tool_call_id']",
            model=model,
        )


def _texts(blocks: Iterable[ContentBlock], model: str) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, CitableBlock):
            yield from _texts(block.content, model)
        elif isinstance(block, CitationBlock):
            yield from _texts([block.cited_content], model)
        elif block.block_type not in _NOT_TEXT:
            raise UnsupportedInputError(
                f"a {type(block).__name__} cannot be sent, only text; leave it out", model=model
            )


def _reasoning(message: ChatMessage) -> str | None:
    """Return what the model thought before an earlier answer.

    It is in blocks, or in ``additional_kwargs`` where llama-index-core is too old to have them.
    """
    blocks = (block for block in message.blocks if block.block_type == "thinking")
    thoughts = "".join(block.content or "" for block in blocks)
    return thoughts or message.additional_kwargs.get("reasoning_content") or None
