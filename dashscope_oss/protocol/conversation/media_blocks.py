"""Blocks of images, videos and recordings as parts of a message.

LangChain's standard blocks are read, and the forms of OpenAI, Anthropic and the vendor that stand
in saved conversations and in code written for other models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import AudioPart, FileSource, ImagePart, MediaKind, MediaPart, VideoPart
from dashscope_oss.protocol.validation import PART_OPTIONS, is_cache_mark, warn_of_detail

_KINDS: dict[str, MediaKind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "input_audio": "audio",
}
"""Types of blocks, and the names of their values."""


def media_part(block: Mapping[str, Any], model: str) -> MediaPart | None:
    """Return the part that a block stands for, ``None`` for one of another kind.

    Raises:
        UnsupportedInputError: for a block without address or data.
    """
    block_type = block.get("type") or next(filter(_KINDS.get, block), "")
    kind = _KINDS.get(block_type)
    if kind is None:
        return None
    value, detail = _value(block)
    warn_of_detail(detail, model)
    options = {name: field(block, name) for name in PART_OPTIONS if field(block, name) is not None}
    shared: dict[str, Any] = {"cache_mark": has_cache_mark(block, model), "options": options}
    if kind == "video" and isinstance(value, list):
        return VideoPart(tuple(value), **shared)
    if not isinstance(value, str | bytes):
        raise UnsupportedInputError(
            f"a content block of type {block_type!r} has no address and no data; give it url or "
            "base64",
            model=model,
        )
    return _PARTS[kind](value, **shared)


def has_cache_mark(block: Mapping[str, Any], model: str) -> bool:
    """Whether a block is marked for the service's context cache."""
    return is_cache_mark(field(block, "cache_control"), model)


def field(block: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - as the caller gave it
    """Return a field of a block that LangChain's standard does not know; it may be in extras."""
    extras = block.get("extras")
    value = block.get(name)
    return extras.get(name) if value is None and isinstance(extras, Mapping) else value


_PARTS: dict[MediaKind, type[ImagePart | VideoPart | AudioPart]] = {
    "image": ImagePart,
    "video": VideoPart,
    "audio": AudioPart,
}


def _value(block: Mapping[str, Any]) -> tuple[FileSource | list[FileSource] | None, object]:
    """Return address, data or frames, and OpenAI's detail, wherever a form has them."""
    names = (*_KINDS, "source", "url")
    value = next((block[name] for name in names if block.get(name)), None)
    if isinstance(value, str | list):
        return value, block.get("detail")
    fields = value if isinstance(value, Mapping) else block
    data = fields.get("base64") or fields.get("data")
    # The stated type is not passed on: the core looks at the file itself.
    source = f"data:;base64,{data}" if isinstance(data, str) else data or fields.get("url")
    return source, fields.get("detail")
