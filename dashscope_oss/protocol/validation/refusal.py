"""How a request is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.registry.model_info import ModelInfo

_MIN_LIKENESS = 0.85


def refuse(model_info: ModelInfo, text: str) -> NoReturn:
    """Raise :class:`UnsupportedInputError` for this model."""
    raise UnsupportedInputError(text, model=model_info.id)


def probably_intended(name: str, known: Sequence[str]) -> str | None:
    """Return which of the known names ``name`` is a misspelling of, ``None`` if of none."""
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    return next(iter(get_close_matches(name, known, 1, _MIN_LIKENESS)), None)
