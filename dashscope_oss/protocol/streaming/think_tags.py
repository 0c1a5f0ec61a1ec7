"""Thoughts that a model writes into its answer, between ``<think>`` and ``</think>``."""

from __future__ import annotations

from dashscope_oss.prompts.echo import unfinished_mark

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTagSplitter:
    """Takes an answer in pieces and tells its thoughts from its text.

    Only thoughts at the very beginning count, where such models write them; an answer that merely
    mentions the tags is left alone. Line breaks between thoughts and text belong to neither.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "before"

    def push(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what is certain to be text, and to be thought."""
        self._held += piece
        thought = ""
        if self._state == "before":
            self._begin()
        if self._state == "inside":
            thought = self._think()
        if self._state == "behind" and (text := self._held.lstrip("\n")):
            self._held, self._state = text, "text"
        return (self._taken() if self._state == "text" else ""), thought

    def end(self) -> tuple[str, str]:
        """Say that the answer is complete; return what was held back, as text and as thought."""
        held = self._taken()
        return ("", held) if self._state == "inside" else (held, "")

    def _begin(self) -> None:
        text = self._held.lstrip()
        if text.startswith(_OPEN):
            self._held, self._state = text[len(_OPEN) :], "inside"
        elif not _OPEN.startswith(text):
            self._state = "text"

    def _think(self) -> str:
        thought, found, rest = self._held.partition(_CLOSE)
        if found:
            self._held, self._state = rest, "behind"
            return thought
        keep = len(self._held) - unfinished_mark(self._held, (_CLOSE,))
        thought, self._held = self._held[:keep], self._held[keep:]
        return thought

    def _taken(self) -> str:
        taken, self._held = self._held, ""
        return taken
