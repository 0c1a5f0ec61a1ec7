"""An image in a column: its address, its bytes, or the path of its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashscope_oss.batch.files.jsonl import json_type
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import ImagePart

_ADDRESSES = ("https://", "http://", "oss://", "data:")


def read_image(value: object, folder: Path) -> ImagePart:
    """Return the image that a column holds. Whether it is one is checked with the request.

    Args:
        value: text or bytes; or an object with ``bytes`` or ``path``, as image data sets have it.
        folder: where a path begins.

    Raises:
        UnsupportedInputError: if it is none of these, or the file cannot be read.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return ImagePart(value)
    if not isinstance(value, str):
        raise UnsupportedInputError(
            f"the image is {json_type(value)}, not an address, bytes or the path of a file"
        )
    if value.startswith(_ADDRESSES):
        return ImagePart(value)
    try:
        return ImagePart((folder / Path(value).expanduser()).read_bytes(), name=value)
    except OSError as error:
        raise UnsupportedInputError(
            f"cannot read the image {value}: {error.strerror}; a path begins in the input's folder"
        ) from error
