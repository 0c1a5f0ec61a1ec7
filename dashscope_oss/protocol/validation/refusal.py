"""How a request is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError, similar_names
from dashscope_oss.registry.model_info import ModelInfo

_MIN_LIKENESS = 0.85
"""High, because a name that is merely new, such as ``min_tokens``, must not be refused."""


def refuse(model_info: ModelInfo, text: str) -> NoReturn:
    """Raise :class:`UnsupportedInputError` for this model."""
    raise UnsupportedInputError(text, model=model_info.id)


def probably_intended(name: str, known: Sequence[str]) -> str | None:
    """Return which of the known names ``name`` is a misspelling of, ``None`` if of none."""
    return next(iter(similar_names(name, known, _MIN_LIKENESS)), None)
