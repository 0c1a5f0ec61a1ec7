"""Blocks that are none of LlamaIndex's own, and documents that are text.

Code of a user's, a saved conversation or another integration may put dicts and classes of its own
among a message's blocks; LlamaIndex checks them only when the message is made.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from mimetypes import guess_type
from typing import Any, get_args

from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, DocumentBlock, TextBlock
from pydantic import TypeAdapter, ValidationError

from dashscope_oss.protocol.conversation.content_blocks import (
    block_call,
    block_text,
    block_thoughts,
    block_use,
)
from llama_index_dashscope_oss._convert.media_blocks import file_source

_OWN_BLOCKS = get_args(get_args(ContentBlock)[0])
_TEXT_TYPES = frozenset(("json", "xml", "yaml", "x-yaml", "toml", "javascript", "sql"))


@dataclass(frozen=True, slots=True)
class ForeignBlock:
    """A block that LlamaIndex has no class for."""

    block_type: str
    fields: Mapping[str, Any]


def with_own_blocks(message: ChatMessage) -> ChatMessage:
    """Return ``message`` with LlamaIndex's own blocks, and :class:`ForeignBlock` for others."""
    if all(isinstance(block, _OWN_BLOCKS) for block in message.blocks):
        return message
    return message.model_copy(update={"blocks": [*map(_own_block, message.blocks)]})


def document_text(block: DocumentBlock, model: str) -> str | None:
    """Return the text of a document, ``None`` if its type says that it is no text, or nothing.

    Raises:
        UnsupportedInputError: for a file that cannot be read.
    """
    mime = block.document_mimetype or guess_type(str(block.path or block.url or block.title))[0]
    kind, _, subtype = (mime or "").partition("/")
    if block.data is None and block.path is None:
        return None  # an address; nothing is fetched here
    if (
        kind != "text"
        and subtype.partition("+")[2] not in _TEXT_TYPES
        and subtype not in _TEXT_TYPES
    ):
        return None
    source = file_source(block, block.data, model)
    content = source if isinstance(source, bytes) else base64.b64decode(source.partition(",")[2])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _own_block(block: Any) -> Any:  # noqa: ANN401 - whatever stands among the blocks
    if isinstance(block, _OWN_BLOCKS):
        return block
    fields = _fields(block)
    try:
        return TypeAdapter(ContentBlock).validate_python(fields)
    except ValidationError:
        foreign = ForeignBlock(str(fields.get("type") or type(block).__name__), fields)
        return _made_of(fields) or foreign


def _made_of(fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - one of LlamaIndex's blocks
    """Return the block of LlamaIndex's own that fields of another maker's amount to."""
    use, text = block_use(fields), block_text(fields)
    if use == "text" and text is not None:
        return TextBlock(text=text)
    if use == "thoughts" and hasattr(types, "ThinkingBlock"):
        return types.ThinkingBlock(
            content=block_thoughts(fields), additional_information={**fields}
        )
    call = block_call(fields) if use == "call" else None
    if call is not None and hasattr(types, "ToolCallBlock"):
        return types.ToolCallBlock(
            tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments
        )
    return None


def _fields(block: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    if isinstance(block, str):
        return {"type": "text", "text": block}
    fields = block if isinstance(block, Mapping) else getattr(block, "__dict__", {})
    named = {"type": fields["block_type"]} if "block_type" in fields else {}
    return {**named, **fields}
