"""What each event of a stream added, whether events hold new text or all the text so far."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dashscope_oss.errors import ProtocolError

StreamMode: TypeAlias = Literal["incremental", "cumulative", "expected", "unknown"]
"""Whether events hold new text only, or all the text so far. ``expected``: new text was asked for
and the model's record promises it; ``unknown``: it was asked for, and nobody knows."""

# A text of this length does not begin the next event's text by chance.
_MIN_TELLING_LENGTH = 16
# Nor does one of more different characters, unless it is short.
_MAX_DRAWN_CHARACTERS = 3
# As many events in a row that repeat the text before them may still be a drawing, or numbers.
_MAX_CHANCE_REPEATS = 3


class IncrementalText:
    """Takes the text of each event and returns what it added.

    In the modes ``expected`` and ``unknown`` it looks. An event whose text does not begin with the
    text before it proves ``incremental``; texts that keep growing upon each other prove
    ``cumulative``, and until then whatever is doubtful is held back. Events that only repeat each
    other are new text, for that was asked for. An incremental answer that begins by repeating
    itself, each time longer, is therefore misread as cumulative. This project's gateway states its
    mode, so that nothing need be guessed.
    """

    def __init__(self, mode: StreamMode) -> None:
        self._mode: StreamMode = mode
        self._first = ""
        self._newest = ""
        self._held: list[str] = []
        self._grew = False
        self._repeats = 0

    def push(self, text: str) -> str:
        """Take the text of the next event; return what it added.

        Raises:
            ProtocolError: if the service changed text that it had sent, or repeats it in each
                event though new text was asked for.
        """
        if self._mode == "incremental" or not text:
            return text
        if self._mode == "cumulative":
            return self._added(text)
        if not self._newest:
            self._first = self._newest = text
            return text
        return self._expected(text) if self._mode == "expected" else self._watched(text)

    def end(self) -> str:
        """Say that the answer is complete; return what was held back."""
        if not self._held:
            return ""
        return self._found_cumulative() if self._grew else self._found_incremental()

    def _added(self, text: str) -> str:
        if not text.startswith(self._newest):
            if self._is_trimmed(text):
                return ""
            raise ProtocolError("the stream changed text that it had already sent")
        added = text[len(self._newest) :]
        self._newest = text
        return added

    def _expected(self, text: str) -> str:
        """Take the next text where new text is promised: only clear proof is against it."""
        if self._held and (text == self._newest or self._is_trimmed(text)):
            return self._found_cumulative()
        before = self._newest
        if not text.startswith(before) or text == before:
            return self._found_incremental() + text
        self._newest = text
        self._repeats += 1
        if len(set(before)) <= _MAX_DRAWN_CHARACTERS:
            return text
        if self._repeats > len(self._held) + 1:  # repeated text has been handed on
            return self._unless_repeated(text)
        self._held.append(text)
        self._grew = True
        if len(before) >= _MIN_TELLING_LENGTH or len(self._held) > 1:
            return self._found_cumulative()
        return ""

    def _unless_repeated(self, text: str) -> str:
        if self._repeats > _MAX_CHANCE_REPEATS:
            raise ProtocolError(
                "the service repeats the text so far in each event of the stream, though only "
                "new text was asked for"
            )
        return text

    def _watched(self, text: str) -> str:
        """Take the next text where nobody knows what events hold."""
        if not text.startswith(self._newest):
            if self._grew and self._is_trimmed(text):
                return self._found_cumulative()
            return self._found_incremental() + text
        grew = len(text) > len(self._newest)
        self._newest = text
        self._held.append(text)
        if grew and (self._grew or len(self._first) >= _MIN_TELLING_LENGTH):
            return self._found_cumulative()
        self._grew = self._grew or grew
        return ""

    def _is_trimmed(self, text: str) -> bool:
        """Whether ``text`` is the newest one without its last white space, as last events are."""
        return text == self._newest.rstrip()

    def _found_incremental(self) -> str:
        self._mode = "incremental"
        held = "".join(self._held)
        self._held.clear()
        return held

    def _found_cumulative(self) -> str:
        self._mode = "cumulative"
        self._held.clear()
        return self._newest[len(self._first) :]
