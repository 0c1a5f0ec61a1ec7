"""Messages in OpenAI's form, written as the native protocol has them."""

from __future__ import annotations

from collections.abc import Mapping

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.protocol.conversation.content_blocks import block_text
from dashscope_oss.protocol.conversation.media_blocks import media_part

_SYSTEM_ROLES = ("system", "developer")
"""OpenAI has two names for it."""


def native_message(message: object, model: str) -> object:
    """Return a message as the native protocol has it; what is no message is returned as it is.

    Args:
        message: in OpenAI's form. Fields that the native protocol does not have stay, and are
            ignored as it ignores them.
        model: the model that is asked, for errors.

    Raises:
        InvalidParameter: for a part without an address or data.
    """
    if not isinstance(message, Mapping):
        return message
    role, content = message.get("role"), message.get("content")
    if role in _SYSTEM_ROLES:
        role = "system"
    if isinstance(content, list):
        content = [_native_part(part, model) for part in content]
    return {**message, "role": role, "content": content}


def _native_part(part: object, model: str) -> object:
    """Return a part keyed by its kind; one of an unknown kind as it is, to be refused."""
    if not isinstance(part, Mapping):
        return part
    mark = {name: part[name] for name in ("cache_control",) if name in part}
    if (text := block_text(part)) is not None:
        return {"text": text, **mark}
    try:
        media = media_part(_without_detail(part), model)
    except UnsupportedInputError as error:
        raise InvalidParameter(error.message) from None
    return part if media is None else {media.kind: _listed(media.source), **media.options, **mark}


def _without_detail(part: Mapping[str, object]) -> dict[str, object]:
    """Return a part without OpenAI's ``detail`` of an image, which this service does not have."""
    return {
        name: {key: v for key, v in value.items() if key != "detail"}
        if isinstance(value, Mapping)
        else value
        for name, value in part.items()
        if name != "detail"
    }


def _listed(source: object) -> object:
    """Return the frames of a video as JSON has them."""
    return list(source) if isinstance(source, tuple) else source
