"""Reads JSON bodies, and quotes them in messages."""

from __future__ import annotations

from pydantic_core import from_json

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.streaming.sse import BOM

# Far more than a message shows: a key that this cuts in two would not be recognised and taken out.
_MAX_QUOTED = 100_000


def read_json_object(data: bytes, model: str | None = None) -> dict[str, object]:
    """Return the JSON object in ``data``.

    Args:
        data: bytes of UTF-8, with or without a byte order mark.
        model: id for the error.

    Raises:
        ProtocolError: if it is no JSON, or no object.
    """
    try:
        value: object = from_json(data.removeprefix(BOM) if data[:1] == BOM[:1] else data)
    except ValueError as error:
        if not data.strip():
            raise ProtocolError("the answer is empty", model=model) from None
        raise ProtocolError(f"the answer is not JSON: {quoted(data)}", model=model) from error
    if not isinstance(value, dict):
        raise ProtocolError(f"the answer is not a JSON object: {quoted(data)}", model=model)
    return value


def quoted(body: bytes) -> str:
    """Return the beginning of a body in quotes; errors shorten their messages further."""
    return repr(body[:_MAX_QUOTED].decode("utf-8", "replace"))


def text_or_empty(value: object) -> str:
    """Return ``value`` if it is text, else the empty text."""
    return value if isinstance(value, str) else ""
