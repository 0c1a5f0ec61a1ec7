"""What each event of a stream added, whether events hold new text or all the text so far."""

from __future__ import annotations

import re
from math import log
from typing import Literal, TypeAlias

from dashscope_oss.errors import ProtocolError

StreamMode: TypeAlias = Literal["incremental", "cumulative", "expected", "unknown", "unasked"]
"""Whether events hold new text only, or all the text so far. ``expected``: new text was asked for
and the model's record promises it; ``unknown``: it was asked for, and nobody knows; ``unasked``:
it was not asked for, so that all the text so far should come."""

# A text of this length is repeated or continued by the next event's only if that holds all so far.
_MIN_TELLING_LENGTH = 16
# Drawings and numbers continue the text before them though they are new.
_MAX_DRAWN_CHARACTERS = 3
_ENOUGH = 2
"""As much weight proves that events hold all the text so far."""
_MAX_HELD = 8
"""Events that are held back at most: then the likely mode is taken."""
_MAX_TRIMMED = 24
"""Characters of white space, or of a stop text, that a last event may lack."""
_MARK = re.compile(r"\s*(<[^<>\s]{1,24}>)?\s*")
_UNFINISHED_CHARACTER = "\ufffd"
_TOKENS_OF_MARKS = 2
"""Tokens that are no text and may be counted: those of the beginning and the end."""


class Regime:
    """Whether the events of one stream hold new text or all the text so far.

    Text, thoughts and arguments of calls share it: what one of them proves holds for all.

    Attributes:
        mode: what is known of it.
        total: tokens of the answer by the newest event that counts them.
        new_tokens: tokens that the newest event added; ``None`` if that is not known.
        counts_run: whether the counts of the events have grown.
        has_thoughts: whether tokens were counted that are no text of the answer.
    """

    def __init__(self, mode: StreamMode) -> None:
        self.mode: StreamMode = mode
        self.total: int | None = None
        self.new_tokens: int | None = None
        self.counts_run = False
        self.has_thoughts = False
        self._newest_count: int | None = 0

    @property
    def is_decided(self) -> bool:
        """Whether it is certain."""
        return self.mode in ("incremental", "cumulative")

    def note_counts(self, usage: object) -> None:
        """Take what the next event reports, before its text."""
        count = usage.get("output_tokens") if isinstance(usage, dict) else None
        now = count if isinstance(count, int) and count > 0 else None
        before, self._newest_count = self._newest_count, now
        self.new_tokens = None if before is None or now is None else max(now - before, 0)
        self.counts_run = self.counts_run or bool(before and self.new_tokens)
        self.total = now or self.total


class IncrementalText:
    """Takes the text of each event and returns what it added.

    While the mode is not certain it looks. An event whose text does not begin with the text before
    it proves ``incremental``; texts that keep growing upon each other prove ``cumulative``, and
    until then whatever is doubtful is held back. What is doubtful still at the end is told by the
    token counts, else by what was asked for. This project's gateway states its mode, so that
    nothing need be guessed.

    Args:
        regime: that of the stream.
    """

    def __init__(self, regime: Regime) -> None:
        self._regime = regime
        self._newest = ""
        self._handed_on = 0
        self._held: list[str] = []
        self._weight = 0
        self._tokens: list[int | None] = []

    def push(self, text: str) -> str:
        """Take the text of the next event; return what it added.

        Raises:
            ProtocolError: if the service changed text that it had sent.
        """
        mode = self._regime.mode
        if mode == "incremental":
            return self._released() + text if self._held else text
        if not text:
            return ""
        if mode == "cumulative":
            return self._added(text)
        if not self._newest:
            self._newest, self._handed_on = text, len(text)
            self._tokens.append(self._regime.new_tokens)
            return text
        return self._watched(text)

    def end(self) -> str:
        """Say that the answer is complete; return what was held back."""
        if self._held and not self._regime.is_decided:
            self._regime.mode = self._likely_mode()
        if self._regime.mode == "incremental":
            return self._released()
        rest, self._handed_on = self._newest[self._handed_on :], len(self._newest)
        self._held.clear()
        return rest

    def _added(self, text: str) -> str:
        known = self._newest.rstrip(_UNFINISHED_CHARACTER)
        if not text.startswith(known):
            if known.startswith(text) and len(known) - len(text) <= _MAX_TRIMMED:
                return ""
            raise ProtocolError("the stream changed text that it had already sent")
        self._held.clear()
        # A character that is not complete yet is another one in the next event.
        end = max(len(text.rstrip(_UNFINISHED_CHARACTER)), self._handed_on)
        added, self._newest, self._handed_on = text[self._handed_on : end], text, end
        return added

    def _watched(self, text: str) -> str:
        """Take the next text while it is not certain what events hold."""
        before, regime = self._newest, self._regime
        if not text.startswith(before):
            is_trimmed = before.startswith(text) and _MARK.fullmatch(before, len(text))
            regime.mode = "cumulative" if is_trimmed and self._has_grown() else "incremental"
            return self.push(text)
        if self._proves_new_text(text):
            regime.mode = "incremental"
            return self.push(text)
        if self._is_sent_twice(text):
            return ""
        self._weight += self._weight_of(text)
        self._held.append(text)
        self._tokens.append(regime.new_tokens)
        self._newest = text
        if self._weight >= _ENOUGH:
            regime.mode = "cumulative"
            return self._added(text)
        if len(self._held) >= _MAX_HELD:
            regime.mode = self._likely_mode()
            return self._released() if regime.mode == "incremental" else self._added(text)
        return ""

    def _released(self) -> str:
        """Return texts that were held back and are all new."""
        held = "".join(self._held)
        self._held.clear()
        self._newest, self._handed_on = "", 0
        return held

    def _proves_new_text(self, text: str) -> bool:
        """Whether the event counts more tokens than what it adds to the text before can be."""
        new = self._regime.new_tokens
        if not new:
            return False
        if text == self._newest:
            return new == self._tokens[-1]  # the same text is as many tokens
        return new > len(text[len(self._newest) :].encode())

    def _is_sent_twice(self, text: str) -> bool:
        """Whether the event repeats the one before it and counts no further token."""
        is_counted = self._regime.counts_run or self._regime.mode == "expected"
        return text == self._newest and self._regime.new_tokens == 0 and is_counted

    def _weight_of(self, text: str) -> int:
        """Return how much the next text says for text so far."""
        before = self._newest
        if text == before or _may_be_new(before, text):
            return 0
        return _ENOUGH if len(before) >= _MIN_TELLING_LENGTH else 1

    def _has_grown(self) -> bool:
        """Whether texts have grown upon each other, as far as that tells anything."""
        if self._regime.mode == "expected":
            return self._weight > 0
        return len(self._newest) > self._handed_on

    def _likely_mode(self) -> StreamMode:
        """Return the mode of a stream that ended before it was certain."""
        if self._weight:
            return "cumulative"
        if (mode := self._mode_by_counts()) is not None:
            return mode
        only_repeats = all(text == self._newest for text in self._held)
        is_long = len(self._newest) >= _MIN_TELLING_LENGTH and not _is_drawing(self._newest)
        is_told_twice = only_repeats and (is_long or self._regime.mode == "unasked")
        return "cumulative" if is_told_twice or self._has_grown() else "incremental"

    def _mode_by_counts(self) -> StreamMode | None:
        """Return what the counts say at the end: those of each event, or the last one."""
        first, *later = self._tokens
        if first and all(later) and self._newest[: self._handed_on].strip():
            growth = log(len(self._newest) / self._handed_on)
            as_text_so_far = abs(growth - log(sum(filter(None, self._tokens)) / first))
            as_new_text = abs(growth - log((later[-1] or 1) / first))
            return "cumulative" if as_text_so_far <= as_new_text else "incremental"
        total = self._regime.total
        if total is None or self._regime.has_thoughts or not _is_drawing(self._newest):
            return None
        if total > len(self._newest.encode()) + _TOKENS_OF_MARKS:
            return "incremental"
        return "cumulative" if total < len(self._tokens) else None


def _may_be_new(before: str, text: str) -> bool:
    """Whether a text that continues another is new as likely: a drawing, a number, white space."""
    if text.isdigit() or not before.strip():
        return True
    return _is_drawing(text) and set(text[len(before) :]) <= set(before)


def _is_drawing(text: str) -> bool:
    return len(set(text)) <= _MAX_DRAWN_CHARACTERS
