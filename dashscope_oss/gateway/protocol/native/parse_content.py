"""Reads the content of a message: text, or parts that are keyed by their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.interface.api_error import InvalidParameter
from dashscope_oss.messages import MEDIA_PARTS, MediaPart, Message, Part, TextPart, VideoPart
from dashscope_oss.protocol.validation import is_cache_mark
from dashscope_oss.registry.model_info import ModelInfo

_NO_TEXT = "input content must be a string."
_UNKNOWN_PART = "The item of content should be a message of a certain modal."
_OTHER_FIELDS = ("type", "cache_control")


def parse_content(model_info: ModelInfo, content: object) -> Message:
    """Return a message of the user's with this content.

    Raises:
        InvalidParameter: for content that the model does not take.
    """
    if isinstance(content, str):
        return Message("user", content)
    if not isinstance(content, list):
        raise InvalidParameter(_NO_TEXT)
    return Message.of_parts("user", [_parse_part(model_info, part) for part in content])


def _parse_part(model_info: ModelInfo, part: object) -> Part:
    if not isinstance(part, Mapping):
        raise InvalidParameter(_UNKNOWN_PART)
    try:
        cache_mark = is_cache_mark(part.get("cache_control"), model_info.id)
    except UnsupportedInputError as error:
        raise InvalidParameter(error.message) from None
    if isinstance(text := part.get("text"), str):
        return TextPart(text, cache_mark=cache_mark)
    return _parse_media(model_info, part, cache_mark=cache_mark)


def _parse_media(
    model_info: ModelInfo, part: Mapping[str, object], *, cache_mark: bool
) -> MediaPart:
    kind = next((kind for kind in MEDIA_PARTS if kind in part), None)
    may_take = kind in model_info.modalities or model_info.doubt("modalities")
    if kind is None or not may_take:
        _refuse_part(model_info)
    source = part[kind]
    options = {name: part[name] for name in part if name not in (kind, *_OTHER_FIELDS)}
    if isinstance(source, str):
        return MEDIA_PARTS[kind](source, cache_mark=cache_mark, options=options)
    if kind == "video" and isinstance(source, list):
        frames = tuple(frame for frame in source if isinstance(frame, str))
        if len(frames) == len(source):
            return VideoPart(frames, cache_mark=cache_mark, options=options)
    raise InvalidParameter(f"Input should be a valid string: input.messages.content.{kind}")


def _refuse_part(model_info: ModelInfo) -> NoReturn:
    is_of_text = model_info.modalities == ("text",) and model_info.endpoint == "text-generation"
    raise InvalidParameter(_NO_TEXT if is_of_text else _UNKNOWN_PART)
