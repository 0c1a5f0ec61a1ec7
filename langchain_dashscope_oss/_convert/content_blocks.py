"""Answers as LangChain's standard content blocks: reasoning, text with its sources, tool calls.

LangChain's own fallback passes over the calls of a chunk that has text too, and gives text and
calls indices that run into each other when chunks are added up.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, block_translators
from langchain_core.messages import content as types

from langchain_dashscope_oss._convert.metadata import PROVIDER


def register_translator() -> None:
    """Make LangChain ask this module for the content blocks of this package's messages.

    It stands under the package's own name: no other integration is affected.
    """
    block_translators.register_translator(PROVIDER, _message_blocks, _chunk_blocks)


def _message_blocks(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a whole answer.

    Raises:
        NotImplementedError: for a message whose content is no plain text, which LangChain then
            reads by itself.
    """
    return _cast([*_text_blocks(message), *_call_blocks(message)])


def _chunk_blocks(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a piece of an answer, or of pieces added up."""
    pieces = message.tool_call_chunks
    whole = message.chunk_position == "last" and all(piece["name"] for piece in pieces)
    texts = [{**block, "index": f"lc_{block['type']}"} for block in _text_blocks(message)]
    parts = [{**piece, "type": "tool_call_chunk"} for piece in pieces]
    return _cast([*texts, *(_call_blocks(message) if whole else parts)])


def _text_blocks(message: AIMessage) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        raise NotImplementedError
    reasoning = message.additional_kwargs.get("reasoning_content")
    blocks: list[dict[str, Any]] = []
    if reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    citations = _citations(message)
    if message.content or citations:
        text = {"type": "text", "text": message.content}
        blocks.append({**text, "annotations": citations} if citations else text)
    return blocks


def _citations(message: AIMessage) -> list[dict[str, Any]]:
    """Return the web pages that the model read; the service does not say where it used which."""
    return [
        {
            "type": "citation",
            "url": page["url"],
            "title": page["title"],
            "extras": {"index": page["index"], "site_name": page["site_name"]},
        }
        for page in message.additional_kwargs.get("search_results") or ()
    ]


def _call_blocks(message: AIMessage) -> list[dict[str, Any]]:
    valid = [{**call, "type": "tool_call"} for call in message.tool_calls]
    invalid = [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return [*valid, *invalid]


def _cast(blocks: list[dict[str, Any]]) -> list[types.ContentBlock]:
    return cast("list[types.ContentBlock]", blocks)
