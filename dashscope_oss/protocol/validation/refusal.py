"""How a request is refused before anything is sent."""

from __future__ import annotations

from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.registry.model_info import ModelInfo


def refuse(model_info: ModelInfo, text: str) -> NoReturn:
    """Raise :class:`UnsupportedInputError` for this model."""
    raise UnsupportedInputError(text, model=model_info.id)
