"""Answers as LangChain's standard content blocks: thoughts, text, tool calls.

LangChain's own fallback passes over the calls of a chunk that has text too, and gives text and
calls indices that run into each other when chunks are added up.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_dashscope_oss._convert import PROVIDER


def blocks(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of an answer of ours.

    Raises:
        NotImplementedError: for a message whose content is no plain text, which LangChain then
            reads by itself.
    """
    return _cast([*_words(message), *_calls(message)])


def chunk_blocks(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a piece of an answer, or of pieces added up; see ``blocks``."""
    pieces = message.tool_call_chunks
    whole = message.chunk_position == "last" and all(piece["name"] for piece in pieces)
    words = [{**block, "index": f"lc_{block['type']}"} for block in _words(message)]
    calls = _calls(message) if whole else [{**piece, "type": "tool_call_chunk"} for piece in pieces]
    return _cast([*words, *calls])


def register() -> None:
    """Make LangChain ask here for the blocks of this provider's answers."""
    register_translator(PROVIDER, blocks, chunk_blocks)


def _words(message: AIMessage) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        raise NotImplementedError
    thoughts = message.additional_kwargs.get("reasoning_content")
    found: list[dict[str, Any]] = []
    if thoughts:
        found.append({"type": "reasoning", "reasoning": thoughts})
    if message.content:
        found.append({"type": "text", "text": message.content})
    return found


def _calls(message: AIMessage) -> list[dict[str, Any]]:
    calls = [{**call, "type": "tool_call"} for call in message.tool_calls]
    broken = [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return [*calls, *broken]


def _cast(found: list[dict[str, Any]]) -> list[types.ContentBlock]:
    return cast("list[types.ContentBlock]", found)
