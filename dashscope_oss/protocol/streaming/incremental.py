"""What each frame of a stream added, whether frames hold pieces or the whole text so far."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dashscope_oss.errors import ProtocolError
from dashscope_oss.protocol.request import Request

# Text of this length is not repeated by chance as the beginning of the next piece.
_TELLING = 16
# But one such piece after the other may be a table that is drawn.
_PROOF = 3

Regime: TypeAlias = Literal["pieces", "snapshots", "unknown"]
_REGIMES: dict[str, Regime] = {
    "yes": "pieces",
    "forced": "pieces",
    "no": "snapshots",
    "unknown": "unknown",
}


def regime_of(request: Request) -> Regime:
    """Return what the frames of this call's answer hold."""
    refused = request.parameters.get("incremental_output") is False
    return "snapshots" if refused else _REGIMES[request.model_info.incremental]


class IncrementalText:
    """Turns what frames hold into what each added.

    Where nobody knows whether frames hold pieces or the whole so far, it watches: a frame that
    does not begin with the one before it proves pieces; frames that keep growing upon each other
    prove snapshots. Until then nothing doubtful is handed on. An answer that begins by repeating
    itself, each time longer, is read as snapshots; this project's gateway says which it sends, and
    then nothing is guessed.
    """

    def __init__(self, regime: Regime) -> None:
        self._regime: Regime = regime
        self._first = ""
        self._newest = ""
        self._owed: list[str] = []
        self._grew = False
        self._repeats = 0
        self._pieces = 0

    def push(self, text: str) -> str:
        """Take what the next frame holds; return what it added.

        Raises:
            ProtocolError: if frames that should add to each other repeat each other.
        """
        if self._regime == "pieces":
            return self._piece(text)
        if self._regime == "snapshots":
            return self._added(text)
        return self._watch(text)

    def end(self) -> str:
        """Return what was held back because it was not sure."""
        return self._newest[len(self._first) :] if self._owed else ""

    def _piece(self, text: str) -> str:
        if not text:
            return text
        self._pieces += 1
        grows = len(text) > len(self._newest) and text.startswith(self._newest)
        self._repeats = self._repeats + 1 if grows else 0
        if grows and self._repeats > _PROOF and self._are_no_pieces():
            raise ProtocolError(
                "the service repeats the text so far where pieces of it were asked for"
            )
        self._newest = text
        return text

    def _are_no_pieces(self) -> bool:
        """Whether frames that grew upon each other cannot be a table or a line that is drawn."""
        if len(self._newest) >= _TELLING:
            return True
        from_the_first = self._repeats == self._pieces > _PROOF + 1
        return from_the_first and len(set(self._newest)) > _PROOF

    def _added(self, text: str) -> str:
        if not text:
            return ""
        if not text.startswith(self._newest):
            raise ProtocolError("the service changed text that it had already sent")
        added = text[len(self._newest) :]
        self._newest = text
        return added

    def _watch(self, text: str) -> str:
        if not self._newest:
            self._first = self._newest = text
            return text
        if not text.startswith(self._newest):
            return self._are_pieces() + text
        grew = len(text) > len(self._newest)
        self._newest = text
        self._owed.append(text)
        if grew and (self._grew or len(self._first) >= _TELLING):
            return self._are_snapshots()
        self._grew = self._grew or grew
        return ""

    def _are_pieces(self) -> str:
        self._regime = "pieces"
        owed = "".join(self._owed)
        self._owed.clear()
        return owed

    def _are_snapshots(self) -> str:
        self._regime = "snapshots"
        self._owed.clear()
        return self._newest[len(self._first) :]
