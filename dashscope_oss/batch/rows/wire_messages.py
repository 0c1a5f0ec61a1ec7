"""Messages as files hold them: in OpenAI's form, which is the service's too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic_core import from_json

from dashscope_oss.batch.files.jsonl import json_type
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message, Part, TextPart
from dashscope_oss.protocol.conversation.content_blocks import block_text
from dashscope_oss.protocol.conversation.media_blocks import has_cache_mark, media_part
from dashscope_oss.protocol.json_body import text_or_empty
from dashscope_oss.protocol.tools import read_tool_call

_FORM = 'A message is {"role": "user", "content": "…"}.'


def read_messages(value: object, column: str, model: str) -> list[Message]:
    """Return the messages in a column: a list, or its JSON text.

    Args:
        value: the column's.
        column: its name, for errors.
        model: the model that is asked, for errors.

    Raises:
        UnsupportedInputError: if it holds anything else; names the column and the message.
    """
    if isinstance(value, str):
        try:
            value = from_json(value)
        except ValueError as error:
            raise UnsupportedInputError(f"{column} is not JSON: {error}. {_FORM}") from error
    if not isinstance(value, list):
        raise UnsupportedInputError(
            f"{column} holds {json_type(value)}, not a list of messages. {_FORM}"
        )
    return [_read(message, f"{column}[{place}]", model) for place, message in enumerate(value)]


def _read(message: object, place: str, model: str) -> Message:
    if not isinstance(message, Mapping) or "role" not in message:
        raise UnsupportedInputError(f"{place} is no message. {_FORM}")
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(c, Mapping) for c in calls):
        raise UnsupportedInputError(f"{place}.tool_calls is not a list of calls")
    # What the role is, is checked with all else when the request is made.
    turn = Message.of_parts(message["role"], _parts(message.get("content"), place, model))
    return replace(
        turn,
        tool_calls=tuple(map(read_tool_call, calls)),
        tool_call_id=text_or_empty(message.get("tool_call_id")) or None,
        reasoning=text_or_empty(message.get("reasoning_content")) or None,
        partial=message.get("partial") is True,
        tool_name=text_or_empty(message.get("name")) or None,
    )


def _parts(content: object, place: str, model: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [TextPart(content)]
    if not isinstance(content, list):
        raise UnsupportedInputError(
            f"{place}.content holds {json_type(content)}, not text or a list of parts"
        )
    return [_part(part, f"{place}.content[{n}]", model) for n, part in enumerate(content)]


def _part(block: object, place: str, model: str) -> Part:
    if not isinstance(block, Mapping):
        raise UnsupportedInputError(f"{place} is no part of a message")
    if (text := block_text(block)) is not None:
        return TextPart(text, has_cache_mark(block, model))
    # A table of Parquet has every field in every part.
    media = media_part({name: v for name, v in block.items() if v is not None}, model)
    if media is None:
        raise UnsupportedInputError(
            f'{place} is not {{"type": "text", "text": "…"}}, nor an image, a video or audio'
        )
    return media
