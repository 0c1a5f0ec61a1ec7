"""Blocks of images, videos and recordings as parts of a message.

LangChain's standard blocks are read, and the forms of OpenAI, Anthropic and the vendor that stand
in saved conversations and in code written for other models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import MEDIA_PARTS, FileSource, MediaKind, MediaPart, VideoPart
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
    kind = (isinstance(block_type, str) and _KINDS.get(block_type)) or _kind_of_file(block)
    if kind is None:
        return None
    value, detail = _value(block)
    warn_of_detail(detail, model)
    options = {name: field(block, name) for name in PART_OPTIONS if field(block, name) is not None}
    shared: dict[str, Any] = {"cache_mark": has_cache_mark(block, model), "options": options}
    if kind == "video" and isinstance(value, list):
        return VideoPart(tuple(_frame(frame) for frame in value), **shared)
    if not isinstance(value, str | bytes):
        fault = "has no address and no data" if value is None else f"holds {value!r:.80}"
        raise UnsupportedInputError(
            f"a content block of type {block_type!r} {fault}; give its url as text, or its bytes "
            "as base64",
            model=model,
        )
    return MEDIA_PARTS[kind](value, **shared)


def _kind_of_file(block: Mapping[str, Any]) -> MediaKind | None:
    """Return the kind of a block of LangChain's or Gemini's for files of any kind."""
    if block.get("type") not in ("file", "media"):
        return None
    kind = str(block.get("mime_type")).partition("/")[0]
    return MEDIA_PARTS[kind].kind if kind in MEDIA_PARTS else None


def _frame(frame: object) -> FileSource:
    """Return one image of a video: an address, data, or a block that holds either."""
    return _value(frame)[0] if isinstance(frame, Mapping) else frame  # type: ignore[return-value] # checked where it is sent


def has_cache_mark(block: Mapping[str, Any], model: str) -> bool:
    """Whether a block is marked for the service's context cache."""
    return is_cache_mark(field(block, "cache_control"), model)


def field(block: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - as the caller gave it
    """Return a field of a block that LangChain's standard does not know; it may be in extras."""
    extras = block.get("extras")
    value = block.get(name)
    return extras.get(name) if value is None and isinstance(extras, Mapping) else value


_HAS_SCHEME = re.compile(r"(data|https?|oss):", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\s-]+")


def _value(block: Mapping[str, Any]) -> tuple[object, object]:
    """Return address, data or frames, and OpenAI's detail, wherever a form has them."""
    names = (*_KINDS, "source", "url")
    value = next((block[name] for name in names if block.get(name)), None)
    if value is not None and not isinstance(value, Mapping):
        return value, block.get("detail")
    fields = value or block
    data = fields.get("base64") or fields.get("data")
    return _data_source(data) if data else fields.get("url"), fields.get("detail")


def _data_source(data: object) -> object:
    """Return data as a ``data:`` URL, or the bytes of the file.

    The base64 may be bytes, as b64encode returns it, or a ``data:`` URL already; the service's
    pages also write an address there. The stated type is not passed on: the core looks at the file
    itself.
    """
    if isinstance(data, bytes) and _BASE64.fullmatch(data):
        data = data.decode("ascii")
    if not isinstance(data, str) or _HAS_SCHEME.match(data):
        return data
    return f"data:;base64,{data}"
