"""How a conversation is written as one prompt, and read back from it.

A prompt-only model takes one string; its family was trained on one way to write turns into it.
Strings that mark a turn are broken up inside the caller's text by one space, so that no text can
forge a turn: ``<human>`` becomes ``< human>``, ``Human:`` becomes ``Human :``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dashscope_oss.messages import Message
from dashscope_oss.prompts.turn_order import check_turn_order, fold_system_turns, merge_turns


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """How one family writes a conversation.

    Attributes:
        name: what listings and the gateway's settings call it.
        user: text before and after a user turn; after it the model answers.
        answer: text before and after an earlier answer.
        system: text before and after a system turn; ``None`` folds it into the next user turn.
        system_inside: the system turn stands inside the first user turn (Llama 2).
        begin: the token that opens the whole prompt.
        bos: the part of the opening that a tokenizer adds by itself.
        controls: pattern of the strings that only the template may write.
        trims: outer white space of turns is taken off, as the family's own code does.
        ends: marks that may close an answer and are not part of it.
        stop: texts at which an engine that serves the weights must stop.
        source: where the form was read.
    """

    name: str
    user: tuple[str, str]
    answer: tuple[str, str] = ("", "")
    system: tuple[str, str] | None = None
    system_inside: bool = False
    begin: str = ""
    bos: str = ""
    controls: str = ""
    trims: bool = False
    ends: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    source: str = ""

    @property
    def next_turns(self) -> tuple[str, ...]:
        """Texts with which a model that runs on begins the user's next turn."""
        return tuple(text for text in self.stop if text not in self.ends)

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt for ``messages``.

        Neighbouring turns of one role become one, joined by a blank line. The list must hold a
        user turn first (after system turns), and last unless a partial answer is to go on.

        Raises:
            UnsupportedInputError: for a list of another shape, or with tool turns.
        """
        turns = merge_turns(messages if self.system else fold_system_turns(messages))
        check_turn_order(turns)
        return self.begin + "".join(self._render_turns(turns))

    def parse(self, prompt: str) -> list[Message] | None:
        """Return the turns that ``prompt`` was rendered from, or ``None`` if it was not.

        The inverse of :meth:`render`, but for folded system text, trimmed white space and the
        spaces that broke up control strings.
        """
        if not self.has_marks:
            return None
        rest = (self.bos + prompt.removeprefix(self.bos)).removeprefix(self.begin)
        system, rest = self._parse_system(rest)
        turns = self._parse_turns(rest)
        return system + turns if turns else None

    def is_in(self, prompt: str) -> bool:
        """Whether ``prompt`` is written in this form already.

        Only its beginning and its end are looked at, and white space around them may differ:
        makers and users write variants of the form, also without the token that a tokenizer adds
        by itself. :meth:`parse` wants it exact.
        """
        openings = [self.begin + self.user[0].rstrip()]
        if self.system and self.system[0] and not self.system_inside:
            openings.append(self.begin + self.system[0].rstrip())
        openings += [opening.removeprefix(self.bos) for opening in openings]
        begins = prompt.startswith(tuple(openings))
        return begins and prompt.rstrip().endswith(self.user[1].rstrip())

    @property
    def has_marks(self) -> bool:
        """Whether it marks turns at all; base models just go on with a text."""
        return bool(self.user[0] or self.user[1])

    def escape(self, text: str) -> str:
        """Return ``text`` with every control string broken up by a space."""
        return re.sub(self.controls, _broken_up, text) if self.controls else text

    def _render_turns(self, turns: Sequence[Message]) -> Iterable[str]:
        inside_user = ""
        for turn in turns:
            text = self.escape(self._trimmed(turn))
            if turn.role == "system" and self.system:
                text = self.system[0] + text + self.system[1]
                inside_user = text if self.system_inside else ""
                yield "" if self.system_inside else text
            elif turn.role == "user":
                yield self.user[0] + inside_user + text + self.user[1]
                inside_user = ""
            else:
                yield self.answer[0] + text + ("" if turn.partial else self.answer[1])

    def _trimmed(self, turn: Message) -> str:
        if not self.trims:
            return turn.content
        return turn.content.lstrip() if turn.partial else turn.content.strip()

    def _parse_system(self, rest: str) -> tuple[list[Message], str]:
        if self.system is None:
            return [], rest
        before, after = self.system
        if self.system_inside:
            before = self.user[0] + before
        elif not before and not after:
            after = self.user[0]
        if not rest.startswith(before) or after not in rest[len(before) :]:
            return [], rest
        text, _, turns = rest[len(before) :].partition(after)
        if self.system_inside or after == self.user[0]:
            turns = self.user[0] + turns
        return ([Message("system", text)] if text else []), turns

    def _parse_turns(self, rest: str) -> list[Message] | None:
        turns: list[Message] = []
        while rest.startswith(self.user[0]) and self.user[1] in rest[len(self.user[0]) :]:
            text, _, rest = rest[len(self.user[0]) :].partition(self.user[1])
            turns.append(Message("user", text))
            if not rest:
                return turns
            answer, next_user, _ = rest.partition(self.answer[1] + self.user[0])
            if not next_user:
                return None
            rest = rest[len(answer) + len(self.answer[1]) :]
            turns.append(Message("assistant", answer.removeprefix(self.answer[0])))
        return None


def _broken_up(control: re.Match[str]) -> str:
    mark = control[0]
    return f"{mark[:-1]} {mark[-1]}" if mark[0].isalpha() else f"{mark[0]} {mark[1:]}"
