"""Removes from an answer what repeats the prompt, and the marks at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from dashscope_oss.prompts.answer_end import AnswerEnd

_BEGIN = "<s>"

Echo: TypeAlias = Literal["none", "spaced", "line"]
"""How an answer repeats its prompt, see :class:`EchoFilter`."""


class EchoFilter:
    """Takes an answer in pieces and hands on what the model added: no echo, no mark, no next turn.

    Two echoes are known. ``spaced`` (Ziya): ``<s>`` and the prompt, its white space changed by
    the tokenizer, then one space; without ``<s>`` only a prompt with a mark like ``<human>``
    counts, and ``<s>`` alone is taken off too. ``line`` (Baichuan): an exact copy of the prompt,
    then a line break; without the line break only a copy of several lines counts, because a short
    answer may well begin with the words of a short prompt. Text that is no echo passes unchanged.

    Args:
        echo: which of them to expect.
        prompt: the prompt as it was sent.
        ends: marks to take off the end, and white space behind them.
        next_turns: texts with which a model that runs on begins the user's next turn. The answer
            ends there.
    """

    def __init__(
        self, echo: Echo, prompt: str, ends: Sequence[str] = (), next_turns: Sequence[str] = ()
    ) -> None:
        self._echo = _expected_echo(echo, prompt)
        self._end = AnswerEnd(ends, next_turns)
        self._held = ""

    @property
    def may_hold(self) -> bool:
        """Whether it may yet keep something of a piece back."""
        return self._echo is not None or self._end.has_marks

    @property
    def is_ended(self) -> bool:
        """Whether the model has begun the user's next turn."""
        return self._end.is_reached

    def push(self, piece: str) -> str:
        """Take the next piece; return what is certain to belong to the answer."""
        text = self._held + piece
        if self._echo is not None:
            end = self._echo.end_in(text)
            if end is None:
                self._held = text
                return ""
            text, self._held, self._echo = text[end:], "", None
        return self._end.push(text)

    def end(self) -> str:
        """Say that the answer is complete; return what was held back and belongs to it."""
        text, self._held = self._held, ""
        echo, self._echo = self._echo, None
        if echo is not None and echo.is_whole(text):
            text = ""
        return self._end.push(text) + self._end.end()


class _LineEcho:
    """The prompt to the letter, then a line break."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt

    def end_in(self, text: str) -> int | None:
        """Return where the echo ends: 0 if there is none, ``None`` if that is not clear yet."""
        size = len(self._prompt)
        if len(text) <= size:
            return None if self._prompt.startswith(text) else 0
        if not text.startswith(self._prompt):
            return 0
        if text[size] == "\n":
            return size + 1
        return size if "\n" in self._prompt else 0

    def is_whole(self, text: str) -> bool:
        """Whether an answer that ends here is nothing but the echo."""
        return text == self._prompt and "\n" in text


class _SpacedEcho:
    """``<s>`` and the prompt, white space apart; it remembers how far it has compared."""

    def __init__(self, prompt: str) -> None:
        self._characters = "".join(prompt.split())
        self._has_mark = re.search(r"<\w+>", prompt) is not None
        self._matched = 0
        self._position = 0
        self._begin = 0

    def end_in(self, text: str) -> int | None:
        """Return where the echo ends: 0 if there is none, ``None`` if that is not clear yet."""
        if self._position == 0:
            if _BEGIN.startswith(text):
                return None
            self._position = len(_BEGIN) if text.startswith(_BEGIN) else 0
            if not self._position and not self._has_mark:
                return 0
            self._begin = self._position
        while self._position < len(text) and self._matched < len(self._characters):
            character = text[self._position]
            if not character.isspace():
                if character != self._characters[self._matched]:
                    return self._begin and _behind_space(text, self._begin)
                self._matched += 1
            self._position += 1
        if self._position == len(text):
            return None
        return _behind_space(text, self._position)

    def is_whole(self, text: str) -> bool:
        """Whether an answer that ends here is nothing but the echo."""
        is_mark = text.strip() == _BEGIN
        return is_mark or (bool(text) and self._matched == len(self._characters))


def _expected_echo(echo: Echo, prompt: str) -> _LineEcho | _SpacedEcho | None:
    if echo == "none" or not prompt.strip():
        return None
    return _LineEcho(prompt) if echo == "line" else _SpacedEcho(prompt)


def _behind_space(text: str, place: int) -> int:
    """Return ``place``, or the one behind it if a space stands there, as tokenizers put it."""
    return place + (text[place] == " ")
