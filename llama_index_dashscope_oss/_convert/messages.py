"""From LlamaIndex's messages to the core's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    TextBlock,
)

from dashscope_oss import Message, UnsupportedInputError
from dashscope_oss.messages import Role
from dashscope_oss.protocol.conversation.content_blocks import warn_of_left_out
from dashscope_oss.protocol.conversation.roles import ROLES_BY_NAME
from llama_index_dashscope_oss._convert.tool_calls import tool_calls_of

# Thoughts and tool calls have fields of their own, a cache point is only a hint.
_NOT_TEXT = ("thinking", "tool_call", "cache")


def to_messages(messages: Sequence[ChatMessage], model: str) -> list[Message]:
    """Return ``messages`` as the core takes them; text blocks are joined by line breaks.

    Args:
        messages: the conversation.
        model: its id, for errors.

    Raises:
        UnsupportedInputError: for a block that is no text, or a call that cannot be read.
    """
    turns: list[Message] = []
    for place, message in enumerate(messages):
        try:
            turns.append(_to_message(message, model))
        except UnsupportedInputError as error:
            raise error.at_message(place, message.role.value, model) from error.__cause__
    return turns


def with_user_message(
    chat_history: Sequence[ChatMessage] | None, user_msg: str | ChatMessage | None
) -> list[ChatMessage]:
    """Return the history, if there is any, with the user's message at its end."""
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
    return messages


def _to_message(message: ChatMessage, model: str) -> Message:
    role, facts = ROLES_BY_NAME[message.role.value], message.additional_kwargs
    return Message(
        role=role,
        content="\n".join(_texts(message.blocks, role)),
        tool_calls=tool_calls_of(message),
        tool_call_id=facts.get("tool_call_id") if role == "tool" else None,
        tool_name=facts.get("name") if role == "tool" else None,
        reasoning=_reasoning(message, model) if role == "assistant" else None,
        partial=bool(facts.get("partial")),
    )


def _texts(blocks: Iterable[ContentBlock], role: Role) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, CitableBlock):
            yield from _texts(block.content, role)
        elif isinstance(block, CitationBlock):
            yield from _texts([block.cited_content], role)
        elif block.block_type not in _NOT_TEXT or _is_misplaced(block, role):
            raise UnsupportedInputError(
                f"a {type(block).__name__} cannot be sent, only text; leave it out"
            )


def _is_misplaced(block: ContentBlock, role: Role) -> bool:
    """Whether a block holds thoughts of somebody who is no model."""
    return block.block_type == "thinking" and role != "assistant"


def _reasoning(message: ChatMessage, model: str) -> str | None:
    """Return what the model thought before an earlier answer.

    It is in blocks, or in ``additional_kwargs`` where llama-index-core is too old to have them.
    Thoughts of other makers may be encrypted: such a block has no text.
    """
    blocks = [block for block in message.blocks if block.block_type == "thinking"]
    if any(not block.content and block.additional_information for block in blocks):
        warn_of_left_out("thinking (encrypted)", model)
    thoughts = "".join(block.content or "" for block in blocks)
    return thoughts or message.additional_kwargs.get("reasoning_content") or None
