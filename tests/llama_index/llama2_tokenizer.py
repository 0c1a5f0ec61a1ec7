"""Llama 2's real tokenizer, as far as the texts of these tests need it.

``llama2_pieces.txt`` holds, best first, those of its 32,000 pieces that occur in the prompts of
``engines/test_small_windows.py``. A text with others in it is counted too long, never too short.
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

_PIECES = Path(__file__).with_name("llama2_pieces.txt").read_text("utf-8").split("\n")
_RANK = {piece: rank for rank, piece in enumerate(_PIECES)}
_SPACE = "\u2581"


def count(text: str) -> int:
    """Tokens of ``text``, the mark of its beginning left out."""
    marked = _SPACE + text.replace(" ", _SPACE)
    return sum(map(_word, re.findall(f"{_SPACE}+[^{_SPACE}]*", marked)))


@cache
def _word(word: str) -> int:
    """Tokens of one word and the spaces before it: no piece goes further."""
    parts = list(word)
    while (best := _best(parts)) is not None:
        parts[best : best + 2] = ["".join(parts[best : best + 2])]
    return sum(1 if part in _RANK else len(part.encode()) for part in parts)


def _best(parts: list[str]) -> int | None:
    pairs = map("".join, pairwise(parts))
    ranked = [(_RANK[pair], at) for at, pair in enumerate(pairs) if pair in _RANK]
    return min(ranked)[1] if ranked else None
