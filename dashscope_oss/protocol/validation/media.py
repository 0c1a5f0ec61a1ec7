"""Images, videos and recordings: what may be sent, and in which form.

What a file is, is seen in its bytes: neither its name nor the type that a caller states is
believed. Addresses are handed on as they are; nothing is fetched, and no local file is read.
"""

from __future__ import annotations

import math
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from dashscope_oss.errors import DashScopeWarning, UnsupportedInputError, warn_once
from dashscope_oss.messages import (
    FileSource,
    Json,
    MediaKind,
    MediaPart,
    Message,
    Part,
    TextPart,
    VideoPart,
)
from dashscope_oss.protocol.validation.refusal import probably_intended
from dashscope_oss.registry.lookup import model_that_takes
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.input_length import warn_of_doubt

MAX_INLINE_BYTES = 20 * 2**20 // 4 * 3
"""Most bytes of a file that is sent along, unless the record states another limit.

The vendor's pages on images and on error codes (docs.qwencloud.com, ``multimodal/vision`` and
``error-messages``, 2026) give base64 10 MiB: "Exceeded limit on max bytes per data-uri item :
10485760". Public reports of 2026 show the same text with 20971520, which is 20 MiB. So a file of
more than 20 MiB is refused, and one of more than 10 MiB is sent with a warning.
"""
_STATED_BYTES = 10 * 2**20 // 4 * 3

ADDRESSES = ("https://", "http://", "oss://")
"""How the address of a file begins that the service fetches."""

PART_OPTIONS = ("min_pixels", "max_pixels", "total_pixels", "max_frames", "fps")
"""How an image or a video is read: options that stand beside it in its part."""

# The kinds that an option belongs to; other options go with images and videos.
_KINDS_WITH: Mapping[str, tuple[MediaKind, ...]] = {
    "total_pixels": ("video",),
    "max_frames": ("video",),
    "fps": ("video",),
}
# Some containers of videos hold recordings.
_FILE_TYPES: Mapping[MediaKind, tuple[str, ...]] = {
    "image": ("image/",),
    "video": ("video/",),
    "audio": ("audio/", "video/3gpp", "video/mp4", "video/webm"),
}
_NAMES: Mapping[MediaKind, str] = {"image": "an image", "video": "a video", "audio": "audio"}


def warn_of_detail(detail: object, model: str) -> None:
    """Warn that OpenAI's ``detail`` of an image is not sent, if it asks for anything."""
    if detail not in (None, "auto"):
        warn_once(
            f"{model}: the service knows no detail={detail!r:.20} of an image, so it is left out; "
            "set vl_high_resolution_images, or max_pixels in media_options",
            DashScopeWarning,
        )


def check_modalities(model_info: ModelInfo, messages: Sequence[Message]) -> None:
    """Raise for images, videos and recordings that the model does not take.

    Raises:
        UnsupportedInputError: with the place, and a model that takes them.
    """
    for index, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            if not isinstance(part, TextPart):
                _check_modality(_Place(model_info, part, position, message.role, index))


def with_sendable_media(
    model_info: ModelInfo, messages: Sequence[Message], options: Json
) -> list[Message]:
    """Return ``messages`` with an address or a ``data:`` URL for every file in them.

    Args:
        model_info: the model.
        messages: the conversation.
        options: for each image and video that has none of that name itself.

    Raises:
        UnsupportedInputError: for a file that the model does not take, that is not of its kind,
            that is too large, or whose base64 is broken.
    """
    return [
        _with_sendable_parts(model_info, message, index, options) if message.parts else message
        for index, message in enumerate(messages)
    ]


def _with_sendable_parts(
    model_info: ModelInfo, message: Message, index: int, options: Json
) -> Message:
    parts: list[Part] = []
    for position, part in enumerate(message.parts):
        if isinstance(part, TextPart):
            parts.append(part)
        else:
            place = _Place(model_info, part, position, message.role, index)
            parts.append(_sendable(place, options))
    return replace(message, parts=tuple(parts))


@dataclass(frozen=True, slots=True)
class _Place:
    """A part and where it stands, for errors; places are counted from 0."""

    model_info: ModelInfo
    part: MediaPart
    position: int
    role: str
    message: int

    def refuse(self, text: str) -> NoReturn:
        name = f" ({self.part.name})" if self.part.name else ""
        error = UnsupportedInputError(f"part {self.position + 1}{name}: {text}")
        raise error.at_message(self.message, self.role, self.model_info.id)


def _sendable(place: _Place, options: Json) -> MediaPart:
    part = place.part
    _check_modality(place)
    shared = {
        name: value
        for name, value in options.items()
        if part.kind in _KINDS_WITH.get(name, ("image", "video"))
    }
    part = replace(part, options=_checked_options(place, {**shared, **part.options}))
    if isinstance(part, VideoPart):
        return replace(part, source=_sendable_video(place, part.source))
    return replace(part, source=_sendable_source(place, part.source, part.kind))


def _sendable_video(
    place: _Place, source: FileSource | tuple[FileSource, ...]
) -> str | tuple[str, ...]:
    if not isinstance(source, tuple):
        return _sendable_source(place, source, "video")
    if not source:
        place.refuse("a video without frames; give its images")
    return tuple(_sendable_source(place, frame, "image") for frame in source)


def _check_modality(place: _Place) -> None:
    model_info, kind = place.model_info, place.part.kind
    if kind in model_info.modalities or model_info.status == "unknown":
        return
    fact = f"{_NAMES[kind]}, which the model does not take"
    if doubt := model_info.doubt("modalities"):
        warn_of_doubt(model_info, f"{fact}, says its record", doubt)
        return
    other = model_that_takes(kind)
    advice = f"choose a model that does, such as {other}," if other else "change it into text"
    place.refuse(f"{fact}; {advice} or leave it out")


def _checked_options(place: _Place, options: Json) -> Json:
    for name, value in options.items():
        if name not in PART_OPTIONS and (intended := probably_intended(name, PART_OPTIONS)):
            place.refuse(f"there is no option {name!r}; did you mean {intended!r}?")
        if not isinstance(value, int | float) or not (0 < value < math.inf or value is False):
            place.refuse(f"{name} is {value!r:.100}; give a number above 0")
    return options


def _sendable_source(place: _Place, source: FileSource, kind: MediaKind) -> str:
    """Return the address of a file, or a ``data:`` URL that holds it and its true type."""
    if isinstance(source, bytes):
        return _data_url(place, source, b64encode(source).decode("ascii"), kind)
    source = source.strip() if isinstance(source, str) else source
    scheme = source[:8].lower() if isinstance(source, str) else ""
    if not scheme.startswith((*ADDRESSES, "data:")):
        place.refuse(
            f"{source!r:.80} is no address; give one that begins with https://, http:// or oss://, "
            "a data: URL, or the bytes of the file"
        )
    if scheme.startswith(ADDRESSES):
        return source.replace(" ", "%20")
    encoded = _encoded_file(place, source)
    return _data_url(place, _decoded(place, encoded), encoded, kind)


def _encoded_file(place: _Place, url: str) -> str:
    """Return the base64 text in a ``data:`` URL, without white space, in its usual alphabet."""
    head, _, payload = url.partition(",")
    if not head.lower().endswith(";base64"):
        place.refuse("its data: URL holds no base64; it must begin as data:image/png;base64,")
    return "".join(payload.split()).replace("-", "+").replace("_", "/")


def _decoded(place: _Place, encoded: str) -> bytes:
    try:
        return a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        place.refuse(f"broken base64 ({error}); encode the whole file with base64.b64encode")


def _data_url(place: _Place, data: bytes, encoded: str, kind: MediaKind) -> str:
    """Return the URL of a file that is of its kind and not too large."""
    _check_size(place, len(data), kind)
    media_type = seen_type(data)
    if not media_type.startswith(_FILE_TYPES[kind]):
        place.refuse(f"its bytes are {media_type}, not {_NAMES[kind]}; give the right file")
    return f"data:{media_type};base64,{encoded}"


def _check_size(place: _Place, size: int, kind: MediaKind) -> None:
    stated = _stated_limit(place.model_info, kind)
    limit = stated or MAX_INLINE_BYTES
    if size > limit:
        place.refuse(
            f"{_NAMES[kind]} of {size} bytes; at most {limit} can be sent along, so make it "
            "smaller, or upload it and give its address"
        )
    if stated is None and size > _STATED_BYTES:
        warn_once(
            f"{place.model_info.id}: {_NAMES[kind]} of more than {_STATED_BYTES} bytes, which the "
            "vendor's page allows, is sent; if the service refuses it, make it smaller, or upload "
            "it and give its address",
            DashScopeWarning,
        )


def seen_type(data: bytes) -> str:
    """Return the media type that the bytes of a file show, or words on what they look like."""
    import filetype  # type: ignore[import-untyped]  # noqa: PLC0415 - needed for files only

    if not data:
        return "empty"
    media_type = filetype.guess_mime(data)
    if media_type is not None:
        return str(media_type)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"of an unknown type (they begin with {data[:8].hex(' ')})"
    return "SVG, which is text (draw it as PNG first)" if "<svg" in text else "text/plain"


def _stated_limit(model_info: ModelInfo, kind: MediaKind) -> int | None:
    limits = {
        "image": model_info.max_image_bytes,
        "video": model_info.max_video_bytes,
        "audio": model_info.max_audio_bytes,
    }
    return limits[kind]
