"""What each event of a stream added, whether events hold new text or all the text so far."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dashscope_oss.errors import ProtocolError

StreamMode: TypeAlias = Literal["incremental", "cumulative", "unknown"]
"""Whether events hold new text only, or all the text so far."""

# A text of this length does not begin the next event's text by chance.
_MIN_TELLING_LENGTH = 16
# As many events in a row that repeat the text before them may still be a table that is drawn.
_MAX_CHANCE_REPEATS = 3


class IncrementalText:
    """Takes the text of each event and returns what it added.

    In mode ``unknown`` it finds out. An event whose text does not begin with the text before it
    proves ``incremental``; texts that keep growing upon each other prove ``cumulative``. Until
    then whatever is doubtful is held back. An incremental answer that begins by repeating itself,
    each time longer, is therefore misread as cumulative. This project's gateway states its mode,
    so that nothing need be guessed.
    """

    def __init__(self, mode: StreamMode) -> None:
        self._mode: StreamMode = mode
        self._first = ""
        self._newest = ""
        self._held: list[str] = []
        self._grew = False
        self._repeats = 0
        self._events = 0

    def push(self, text: str) -> str:
        """Take the text of the next event; return what it added.

        Raises:
            ProtocolError: if events that should add text repeat it, or the service changed text
                that it had sent.
        """
        if self._mode == "incremental":
            return self._checked(text)
        if self._mode == "cumulative":
            return self._added(text)
        return self._watched(text)

    def end(self) -> str:
        """Say that the answer is complete; return what was held back."""
        held = self._newest[len(self._first) :] if self._held else ""
        self._held.clear()
        return held

    def _checked(self, text: str) -> str:
        """Return new text as it is, unless the service sends all the text so far instead."""
        if not text:
            return text
        self._events += 1
        grows = len(text) > len(self._newest) and text.startswith(self._newest)
        self._repeats = self._repeats + 1 if grows else 0
        if grows and self._repeats > _MAX_CHANCE_REPEATS and self._repeats_no_drawing():
            raise ProtocolError(
                "the service repeats the text so far in each event of the stream, though only "
                "new text was asked for"
            )
        self._newest = text
        return text

    def _repeats_no_drawing(self) -> bool:
        """Whether texts that each begin with the one before cannot be lines of a drawing."""
        if len(self._newest) >= _MIN_TELLING_LENGTH:
            return True
        from_the_first = self._repeats == self._events > _MAX_CHANCE_REPEATS + 1
        return from_the_first and len(set(self._newest)) > _MAX_CHANCE_REPEATS

    def _added(self, text: str) -> str:
        if not text:
            return ""
        if not text.startswith(self._newest):
            raise ProtocolError("the stream changed text that it had already sent")
        added = text[len(self._newest) :]
        self._newest = text
        return added

    def _watched(self, text: str) -> str:
        if not self._newest:
            self._first = self._newest = text
            return text
        if not text.startswith(self._newest):
            return self._found_incremental() + text
        grew = len(text) > len(self._newest)
        self._newest = text
        self._held.append(text)
        if grew and (self._grew or len(self._first) >= _MIN_TELLING_LENGTH):
            return self._found_cumulative()
        self._grew = self._grew or grew
        return ""

    def _found_incremental(self) -> str:
        self._mode = "incremental"
        held = "".join(self._held)
        self._held.clear()
        return held

    def _found_cumulative(self) -> str:
        self._mode = "cumulative"
        self._held.clear()
        return self._newest[len(self._first) :]
