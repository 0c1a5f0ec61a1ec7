"""From LlamaIndex's messages to the core's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    TextBlock,
)

from dashscope_oss import Message, UnsupportedInputError
from dashscope_oss.messages import Part, Role, TextPart
from dashscope_oss.protocol.conversation.content_blocks import warn_of_left_out
from dashscope_oss.protocol.conversation.media_blocks import media_part as foreign_media_part
from dashscope_oss.protocol.conversation.roles import ROLES_BY_NAME
from dashscope_oss.protocol.validation import is_cache_mark
from llama_index_dashscope_oss._convert.media_blocks import media_part
from llama_index_dashscope_oss._convert.other_blocks import (
    ForeignBlock,
    document_text,
    with_own_blocks,
)
from llama_index_dashscope_oss._convert.tool_calls import tool_calls_of

# Thoughts and tool calls have fields of their own.
_SENT_ELSEWHERE = ("thinking", "tool_call")


def to_messages(messages: Sequence[ChatMessage], model: str) -> list[Message]:
    """Return ``messages`` as the core takes them; text behind text begins a new line.

    Args:
        messages: the conversation.
        model: its id, for errors.

    Raises:
        UnsupportedInputError: for a block that the protocol has no place for, or a call that
            cannot be read.
    """
    turns: list[Message] = []
    for place, message in enumerate(messages):
        if not isinstance(message, ChatMessage):
            raise UnsupportedInputError(
                f"messages[{place}] is a {type(message).__name__}; make a ChatMessage of it: "
                'ChatMessage(role="user", content="...")',
                model=model,
            )
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
    if not facts and len(message.blocks) == 1 and type(message.blocks[0]) is TextBlock:
        return Message(role, message.blocks[0].text)
    message = with_own_blocks(message)
    turn = Message.of_parts(role, _parts(message.blocks, role, model))
    return Message(
        role=role,
        content=turn.content,
        parts=turn.parts,
        tool_calls=tool_calls_of(message),
        tool_call_id=facts.get("tool_call_id") if role == "tool" else None,
        tool_name=facts.get("name") if role == "tool" else None,
        reasoning=_reasoning(message, model) if role == "assistant" else None,
        partial=bool(facts.get("partial")),
    )


def _parts(blocks: Iterable[ContentBlock | ForeignBlock], role: Role, model: str) -> list[Part]:
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, CachePoint):
            _mark_last(parts, block, model)
        elif block.block_type not in _SENT_ELSEWHERE or _is_misplaced(block, role):
            for part in _parts_of(block, role, model):
                parts.append(_behind(parts, part))
    return parts


def _parts_of(block: ContentBlock | ForeignBlock, role: Role, model: str) -> list[Part]:
    if isinstance(block, TextBlock):
        return [TextPart(block.text)]
    if isinstance(block, CitableBlock):
        return _parts(block.content, role, model)
    if isinstance(block, CitationBlock):
        return _parts([block.cited_content], role, model)
    if isinstance(block, DocumentBlock) and (text := document_text(block, model)):
        return [TextPart(text)]
    if isinstance(block, ForeignBlock):
        return _parts_of_foreign(block, role, model)
    media = media_part(block, model)
    return [media] if media else _refuse(type(block).__name__)


def _parts_of_foreign(block: ForeignBlock, role: Role, model: str) -> list[Part]:
    if media := foreign_media_part(block.fields, model):
        return [media]
    if role != "assistant":
        _refuse(f"block of type {block.block_type!r}")
    warn_of_left_out(block.block_type, model)
    return []


def _refuse(name: str) -> NoReturn:
    raise UnsupportedInputError(
        f"a {name} cannot be sent, only text, images, videos and audio; leave it out"
    )


def _behind(parts: Sequence[Part], part: Part) -> Part:
    """Return ``part``; text that follows text begins a new line."""
    if isinstance(part, TextPart) and parts and isinstance(parts[-1], TextPart):
        return replace(part, text=f"\n{part.text}")
    return part


def _mark_last(parts: list[Part], point: CachePoint, model: str) -> None:
    if not parts:
        raise UnsupportedInputError(
            "a CachePoint stands before all blocks of its message; put it behind the block up to "
            "which the cache is to reach"
        )
    marked = is_cache_mark(point.cache_control.model_dump(), model)
    parts[-1] = replace(parts[-1], cache_mark=marked)


def _is_misplaced(block: ContentBlock | ForeignBlock, role: Role) -> bool:
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
