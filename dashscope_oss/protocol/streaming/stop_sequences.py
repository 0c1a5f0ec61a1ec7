"""Ends an answer at a stop text, for models of which no page promises that the service does it."""

from __future__ import annotations

from collections.abc import Sequence

from dashscope_oss.prompts.answer_end import unfinished_mark_length


class StopSequenceFilter:
    """Takes an answer in pieces and hands on what stands before the first stop text.

    Args:
        stops: texts that end the answer and are not part of it.

    Attributes:
        hit: whether one has come.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def push(self, piece: str) -> str:
        """Take the next piece; return what surely stands before any stop text."""
        if self.hit or not self._stops:
            return "" if self.hit else piece
        text = self._held + piece
        places = [place for place in map(text.find, self._stops) if place >= 0]
        self.hit = bool(places)
        end = min(places) if places else len(text) - unfinished_mark_length(text, self._stops)
        self._held = "" if self.hit else text[end:]
        return text[:end]

    def end(self) -> str:
        """Say that the answer is complete; return what was held back."""
        text, self._held = self._held, ""
        return text
