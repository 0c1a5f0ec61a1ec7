"""The text of an answer as its caller gets it, whether it streams or comes whole."""

from __future__ import annotations

from collections.abc import Sequence

from dashscope_oss.prompts.echo import EchoFilter
from dashscope_oss.protocol.streaming.incremental import IncrementalText, Regime
from dashscope_oss.protocol.streaming.stop_sequences import StopSequenceFilter
from dashscope_oss.protocol.streaming.think_tags import ThinkTagSplitter


class AnswerText:
    """Takes text and thoughts as the events of an answer hold them; returns what each added.

    Echo, end marks and a next turn are taken off, then thoughts between tags are split off, then a
    stop text ends it.

    Args:
        regime: whether events hold new text or all the text so far.
        echo: what takes off the echo of the prompt.
        stops: texts at which to end.
        splits_thoughts: take thoughts between ``<think>`` and ``</think>`` out of the text.
        may_lack_opening: the opening tag may stand in the prompt.
    """

    def __init__(
        self,
        regime: Regime,
        *,
        echo: EchoFilter,
        stops: Sequence[str] = (),
        splits_thoughts: bool = False,
        may_lack_opening: bool = False,
    ) -> None:
        self._regime = regime
        self._text = IncrementalText(regime)
        self._reasoning = IncrementalText(regime)
        self._echo = echo
        self._stops = StopSequenceFilter(stops)
        self._think_tags = (
            ThinkTagSplitter(may_lack_opening=may_lack_opening) if splits_thoughts else None
        )
        self._pieces: list[str] = []
        self.is_unfiltered = regime.mode in ("incremental", "expected") and not (
            echo.may_hold or stops or splits_thoughts
        )
        """Whether text is handed on as it comes."""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop text has ended it, or the next turn that the model writes itself."""
        return self._stops.hit or self._echo.is_ended

    def push(self, text: str, reasoning: str) -> tuple[str, str]:
        """Take what the next event holds; return what it added to text and to thoughts.

        Raises:
            ProtocolError: if the service changed or repeated what it had sent.
        """
        if reasoning:
            self._regime.has_thoughts = True
            if self._think_tags:
                self._think_tags.thoughts_come_apart()
        added, thought = self._split(self._echo.push(self._text.push(text)))
        return self._kept(self._stops.push(added)), self._reasoning.push(reasoning) + thought

    def push_unfiltered(self, text: str) -> str:
        """Take what the next event holds, if it holds text only and ``is_unfiltered``."""
        return self._kept(self._text.push(text))

    def end(self) -> tuple[str, str]:
        """Say that the answer is complete; return what was held back of text and thoughts."""
        text, thought = self._split(self._echo.push(self._text.end()) + self._echo.end())
        more, further = self._think_tags.end() if self._think_tags else ("", "")
        held = self._stops.push(text + more) + self._stops.end()
        return self._kept(held), self._reasoning.end() + thought + further

    def all_text(self) -> str:
        """Return the text of an answer that is over: handed on and held back."""
        self.end()
        return "".join(self._pieces)

    def _split(self, text: str) -> tuple[str, str]:
        return self._think_tags.push(text) if self._think_tags else (text, "")

    def _kept(self, text: str) -> str:
        if text:
            self._pieces.append(text)
        return text
