"""Blocks of images, videos and recordings as the core's parts.

LlamaIndex's own methods for the contents of a block fetch addresses; nothing is fetched here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import ContentBlock

from dashscope_oss import UnsupportedInputError
from dashscope_oss.messages import MEDIA_PARTS, FileSource, MediaPart
from dashscope_oss.protocol.validation import warn_of_detail

MAX_FILE_BYTES = 100_000_000
"""Larger files are refused unread: no model takes them along with a call."""


def media_part(block: ContentBlock, model: str) -> MediaPart | None:
    """Return the part that a block stands for, ``None`` for one of another kind.

    Raises:
        UnsupportedInputError: for a block that holds nothing, or a file that cannot be read.
    """
    part = MEDIA_PARTS.get(block.block_type)
    if part is None:
        return None
    fields: Any = block  # the three classes have no common base for their fields
    warn_of_detail(getattr(block, "detail", None), model)
    fps = getattr(block, "fps", None)
    return part(
        file_source(fields, getattr(fields, block.block_type), model),
        options={} if fps is None else {"fps": fps},
        name=str(fields.path or ""),
    )


def file_source(block: Any, data: Any, model: str) -> FileSource:  # noqa: ANN401 - see above
    """Return the bytes or the address in a block; LlamaIndex keeps bytes as base64.

    Args:
        block: has ``path`` and ``url``.
        data: its bytes, if it has them.
        model: its id, for errors.

    Raises:
        UnsupportedInputError: if it holds nothing, or its file cannot be read.
    """
    if isinstance(data, bytes):
        return f"data:;base64,{data.decode('ascii', 'replace')}"
    if data is not None:
        data.seek(0)
        content: bytes = data.read()
        return content
    if block.path is not None:
        return _read_file(Path(block.path), model)
    if block.url is not None:
        return str(block.url)
    raise UnsupportedInputError(
        f"{type(block).__name__} holds neither data nor path nor url; give it one", model=model
    )


def _read_file(path: Path, model: str) -> bytes:
    try:
        size = path.stat().st_size
        if size <= MAX_FILE_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise UnsupportedInputError(f"cannot read {path}: {error.strerror}", model=model) from error
    raise UnsupportedInputError(
        f"{path} has {size} bytes, more than can be sent along; make it smaller, or upload it and "
        "give its url",
        model=model,
    )
