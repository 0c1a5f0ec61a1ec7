"""Thoughts that a model writes into its answer, between ``<think>`` and ``</think>``."""

from __future__ import annotations

from typing import Literal

from dashscope_oss.prompts.answer_end import unfinished_mark_length

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTagSplitter:
    """Takes an answer in pieces and splits it into its text and its thoughts.

    Only thoughts at the very beginning count, where such models write them; an answer that merely
    mentions the tags is left alone. Line breaks between thoughts and text belong to neither.

    Args:
        may_lack_opening: the opening tag may stand in the prompt, as some templates have it; what
            comes before a closing tag is thought then. An answer without tags is held back until
            its end.
    """

    def __init__(self, *, may_lack_opening: bool = False) -> None:
        self._held = ""
        self._may_lack_opening = may_lack_opening
        self._state: Literal["before", "unsure", "inside", "behind", "text"] = "before"

    def thoughts_come_apart(self) -> None:
        """Say that thoughts come beside the text: what lacks an opening tag is text then."""
        self._may_lack_opening = False
        if self._state == "unsure":
            self._state = "text"

    def push(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what is certain to be text, and to be thought."""
        self._held += piece
        thought = ""
        if self._state == "before":
            self._look_for_opening()
        if self._state == "unsure" and _CLOSE in self._held:
            self._state = "inside"
        if self._state == "inside":
            thought = self._take_thought()
        if self._state == "behind" and (text := self._held.lstrip("\n")):
            self._held, self._state = text, "text"
        return (self._take_held() if self._state == "text" else ""), thought

    def end(self) -> tuple[str, str]:
        """Say that the answer is complete; return what was held back, as text and as thought."""
        held = self._take_held()
        return ("", held) if self._state == "inside" else (held, "")

    def _look_for_opening(self) -> None:
        text = self._held.lstrip()
        if text.startswith(_OPEN):
            self._held, self._state = text[len(_OPEN) :], "inside"
        elif not _OPEN.startswith(text):
            self._state = "unsure" if self._may_lack_opening else "text"

    def _take_thought(self) -> str:
        thought, closing, rest = self._held.partition(_CLOSE)
        if closing:
            self._held, self._state = rest, "behind"
            return thought
        end = len(self._held) - unfinished_mark_length(self._held, (_CLOSE,))
        thought, self._held = self._held[:end], self._held[end:]
        return thought

    def _take_held(self) -> str:
        held, self._held = self._held, ""
        return held
