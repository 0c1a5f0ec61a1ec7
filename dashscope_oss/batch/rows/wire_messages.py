"""Messages as files hold them: in OpenAI's form, which is the service's too."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message
from dashscope_oss.protocol.json_body import text_or_empty
from dashscope_oss.protocol.tools import read_tool_call

_FORM = 'A message is {"role": "user", "content": "…"}.'


def read_messages(value: object, column: str) -> list[Message]:
    """Return the messages in a column: a list, or its JSON text.

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
            f"{column} holds {type(value).__name__}, not a list of messages. {_FORM}"
        )
    return [_read(message, f"{column}[{place}]") for place, message in enumerate(value)]


def _read(message: object, place: str) -> Message:
    if not isinstance(message, Mapping) or "role" not in message:
        raise UnsupportedInputError(f"{place} is no message. {_FORM}")
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(c, Mapping) for c in calls):
        raise UnsupportedInputError(f"{place}.tool_calls is not a list of calls")
    return Message(
        message["role"],  # checked with all others when the request is made
        _read_content(message.get("content"), place),
        tool_calls=tuple(map(read_tool_call, calls)),
        tool_call_id=text_or_empty(message.get("tool_call_id")) or None,
        reasoning=text_or_empty(message.get("reasoning_content")) or None,
        partial=message.get("partial") is True,
        tool_name=text_or_empty(message.get("name")) or None,
    )


def _read_content(content: object, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UnsupportedInputError(
            f"{place}.content holds {type(content).__name__}, not text or a list of parts"
        )
    return "".join(_read_part(part, f"{place}.content[{n}]") for n, part in enumerate(content))


def _read_part(part: object, place: str) -> str:
    text = part.get("text") if isinstance(part, Mapping) else None
    if not isinstance(text, str):
        raise UnsupportedInputError(f'{place} is not {{"type": "text", "text": "…"}}')
    return text
