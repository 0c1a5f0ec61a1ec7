"""Where an answer ends: at its end mark, or where the model goes on with the user's next turn."""

from __future__ import annotations

from collections.abc import Sequence


class AnswerEnd:
    """Takes an answer in pieces and hands on what stands before its end.

    An end mark counts only at the very end, white space behind it apart: in the middle it is the
    model's text.

    Args:
        ends: end marks, such as ``</s>``.
        next_turns: texts with which the user's next turn begins.

    Attributes:
        has_marks: whether anything may be an end.
        is_reached: whether the user's next turn has begun; what follows is no answer.
    """

    def __init__(self, ends: Sequence[str], next_turns: Sequence[str] = ()) -> None:
        self._ends = tuple(ends)
        self._next_turns = tuple(next_turns)
        self._held = ""
        self.has_marks = bool(self._ends or self._next_turns)
        self.is_reached = False

    def push(self, piece: str) -> str:
        """Take the next piece; return what is certain to belong to the answer."""
        if not self.has_marks:
            return piece
        if self.is_reached:
            return ""
        text = self._held + piece
        places = [place for place in map(text.find, self._next_turns) if place >= 0]
        if places:
            self.is_reached, self._held = True, ""
            return self._without_marks(text[: min(places)].rstrip("\n"))
        size = len(text) - self._doubtful_length(text)
        self._held = text[size:]
        return text[:size]

    def end(self) -> str:
        """Say that the answer is complete; return what was held back and belongs to it."""
        text, self._held = self._held, ""
        return self._without_marks(text)

    def _doubtful_length(self, text: str) -> int:
        """Return how many of the last characters may be the end, or lead to it."""
        certain = text[: len(text) - unfinished_mark_length(text, (*self._ends, *self._next_turns))]
        certain = self._without_marks(certain)
        if self._next_turns:
            certain = certain.rstrip("\n")
        return len(text) - len(certain)

    def _without_marks(self, text: str) -> str:
        """Return ``text`` without the marks at its end and the white space behind them."""
        stripped = text.rstrip()
        mark = next((mark for mark in self._ends if stripped.endswith(mark)), None)
        return text if mark is None else self._without_marks(stripped.removesuffix(mark))


def unfinished_mark_length(text: str, marks: Sequence[str]) -> int:
    """Return how many of the last characters of ``text`` may be the beginning of a mark."""
    longest = max(map(len, marks), default=0)
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0
