"""Ends an answer at a stop text, for models of which no page promises that the service does it."""

from __future__ import annotations

from collections.abc import Sequence

from dashscope_oss.prompts.answer_end import unfinished_mark_length


class StopSequenceFilter:
    """Takes an answer in pieces and hands on what stands before the first stop text.

    The first is the one that is complete first, as where the model itself is stopped.

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
        matches = [(text.find(stop) + len(stop), text.find(stop)) for stop in self._stops]
        _, end = min((match for match in matches if match[1] >= 0), default=(0, None))
        self.hit = end is not None
        if end is None:
            end = len(text) - unfinished_mark_length(text, self._stops)
        self._held = "" if self.hit else text[end:]
        return text[:end]

    def end(self) -> str:
        """Say that the answer is complete; return what was held back."""
        text, self._held = self._held, ""
        return text
