"""Prompt templates: a conversation to one prompt and back, and the model's echo off its answer.

A prompt-only model takes one string; its family was trained on one way to write turns into it.
Each way is a :class:`PromptTemplate`. Single turns equal the prompts of the vendor's pages byte
for byte. Strings that mark a turn are broken up inside the caller's text by one space, so that
no text can forge a turn: ``<human>`` becomes ``< human>``, ``Human:`` becomes ``Human :``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message
from dashscope_oss.stops import open_end

Echo: TypeAlias = Literal["none", "spaced", "line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """How one family writes a conversation.

    Attributes:
        name: what messages and listings call it.
        user: text before and after a user turn; after it the model answers.
        answer: text before and after an earlier answer.
        system: text before and after a system turn; ``None`` folds it into the next user turn.
        system_inside: the system turn stands inside the first user turn (Llama 2).
        begin: the token that opens the whole prompt.
        bos: the part of the opening that a tokenizer adds by itself.
        controls: pattern of the strings that only the template may write.
        trims: outer white space of turns is taken off, as the family's own code does.
        ends: marks that may close an answer and are not part of it.
        stop: text at which an engine serving the weights must stop.
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

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt for ``messages``.

        Neighbouring turns of one role become one, joined by a blank line. The list must hold a
        user turn first (after system turns) and last.

        Raises:
            UnsupportedInputError: for a list of another shape, or with tool turns.
        """
        turns = merged(messages if self.system else folded(messages))
        check_order(turns)
        return self.begin + "".join(self._written(turns))

    def parse(self, prompt: str) -> list[Message] | None:
        """Return the turns that ``prompt`` was rendered from, or ``None`` if it was not.

        The inverse of :meth:`render`, but for folded system text, trimmed white space and the
        spaces that broke up control strings.
        """
        if not self.user[0] and not self.user[1]:
            return None
        rest = prompt.removeprefix(self.begin)
        system, rest = self._parse_system(rest)
        turns = self._parse_turns(rest)
        return system + turns if turns else None

    def is_in(self, prompt: str) -> bool:
        """Whether ``prompt`` is already written in this form, give or take white space at its end.

        The exact form is that of :meth:`parse`; makers and users write variants of it.
        """
        opens = prompt.startswith(self.begin + self.user[0].rstrip())
        return opens and prompt.rstrip().endswith(self.user[1].rstrip())

    def guarded(self, text: str) -> str:
        """Return ``text`` with every control string broken up by a space."""
        return re.sub(self.controls, _broken, text) if self.controls else text

    def _written(self, turns: Sequence[Message]) -> Iterable[str]:
        inside = ""
        for turn in turns:
            text = self.guarded(turn.content.strip() if self.trims else turn.content)
            if turn.role == "system" and self.system:
                text = self.system[0] + text + self.system[1]
                inside = text if self.system_inside else ""
                yield "" if self.system_inside else text
            elif turn.role == "user":
                yield self.user[0] + inside + text + self.user[1]
                inside = ""
            else:
                yield self.answer[0] + text + self.answer[1]

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
        text, _, left = rest[len(before) :].partition(after)
        if self.system_inside or after == self.user[0]:
            left = self.user[0] + left
        return ([Message("system", text)] if text else []), left

    def _parse_turns(self, rest: str) -> list[Message] | None:
        turns: list[Message] = []
        while rest.startswith(self.user[0]) and self.user[1] in rest[len(self.user[0]) :]:
            text, _, rest = rest[len(self.user[0]) :].partition(self.user[1])
            turns.append(Message("user", text))
            if not rest:
                return turns
            answer, found, _ = rest.partition(self.answer[1] + self.user[0])
            if not found:
                return None
            rest = rest[len(answer) + len(self.answer[1]) :]
            turns.append(Message("assistant", answer.removeprefix(self.answer[0])))
        return None


def merged(messages: Sequence[Message]) -> list[Message]:
    """Join neighbouring messages of one role by a blank line."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = replace(
                turns[-1],
                content=turns[-1].content + "\n\n" + message.content,
                tool_calls=turns[-1].tool_calls + message.tool_calls,
            )
        else:
            turns.append(message)
    return turns


def folded(messages: Sequence[Message]) -> list[Message]:
    """Turn system messages into text at the head of the user turn that follows."""
    said = [m for m in messages if m.role != "system" or m.content.strip()]
    return [replace(m, role="user") if m.role == "system" else m for m in said]


def check_order(turns: Sequence[Message]) -> None:
    """Raise :class:`UnsupportedInputError` unless turns go system? user (assistant user)*."""
    roles = [turn.role for turn in turns]
    if "tool" in roles or any(turn.tool_calls for turn in turns):
        raise UnsupportedInputError(
            "this model knows no tools; put the tool's result into a user message"
        )
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if not talk:
        raise UnsupportedInputError("there is no user message to answer; add one")
    if "system" in talk:
        raise UnsupportedInputError(
            "a system message must come first, before any user message; move it to the front"
        )
    if talk[0] != "user":
        raise UnsupportedInputError(
            "the conversation must begin with a user message; drop the leading answer"
        )
    if talk[-1] != "user":
        raise UnsupportedInputError(
            "the last message must come from the user; add the question to answer"
        )


def _broken(found: re.Match[str]) -> str:
    mark = found[0]
    return f"{mark[:-1]} {mark[-1]}" if mark[0].isalpha() else f"{mark[0]} {mark[1:]}"


ZIYA = PromptTemplate(
    name="ziya",
    user=("<human>:", "\n<bot>:"),
    answer=("", "</s>"),
    controls=r"<human>|<bot>|</?s>",
    ends=("</s>",),
    stop=("</s>", "<human>"),
    source="vendor page; Fengshenbang-LM finetune_ziya_llama.py",
)
BELLE = PromptTemplate(
    name="belle",
    # The vendor page writes no space after "Human:", the upstream model card does: the page wins.
    user=("Human:", "\n\nAssistant:"),
    controls=r"Human:|Assistant:|</?s>",
    ends=("</s>",),
    stop=("\n\nHuman:", "</s>"),
    source="vendor page; BELLE model card",
)
BILLA = PromptTemplate(
    name="billa",
    user=("Human: ", "\nAssistant: "),
    answer=("", "\n"),
    controls=r"Human:|Assistant:|</?s>",
    ends=("</s>",),
    stop=("\nHuman:", "</s>"),
    source="vendor page, HTTP sample; Neutralzz/BiLLa README (the last space is needed)",
)
PLAIN = PromptTemplate(
    name="plain",
    # A base model continues text. A conversation becomes its few-shot form: question and answer
    # on one line, which is the vendor page's own sample ("登鹳雀楼->王之涣\n夜雨寄北->").
    user=("", ""),
    answer=("", "\n"),
    source="vendor page; baichuan-inc/Baichuan-7B README",
)
BAICHUAN2 = PromptTemplate(
    name="baichuan2",
    user=("<reserved_106>", "<reserved_107>"),
    system=("", ""),
    controls=r"<reserved_\d+>|</?s>",
    ends=("</s>",),
    stop=("<reserved_106>", "</s>"),
    source="Baichuan2 generation_utils.build_chat_input",
)
LLAMA2 = PromptTemplate(
    name="llama2",
    user=("<s>[INST] ", " [/INST]"),
    answer=(" ", " </s>"),
    system=("<<SYS>>\n", "\n<</SYS>>\n\n"),
    system_inside=True,
    bos="<s>",
    controls=r"\[/?INST\]|<</?SYS>>|</?s>",
    trims=True,
    ends=("</s>",),
    stop=("</s>", "[INST]"),
    source="meta-llama/llama generation.py",
)
LLAMA3 = PromptTemplate(
    name="llama3",
    begin="<|begin_of_text|>",
    bos="<|begin_of_text|>",
    user=(
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    answer=("", "<|eot_id|>"),
    system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    controls=r"<\|[a-z0-9_]+\|>",
    trims=True,
    ends=("<|eot_id|>", "<|end_of_text|>"),
    stop=("<|eot_id|>", "<|end_of_text|>"),
    source="meta-llama/llama3 tokenizer.py ChatFormat",
)


class AnswerFilter:
    """Takes an answer in pieces and hands on what the model added: no echo, no end mark.

    Two echoes are known. ``spaced`` (Ziya): ``<s>`` and the prompt, its white space changed by
    the tokenizer, then one space; without ``<s>`` only a prompt with a mark like ``<human>``
    counts. ``line`` (Baichuan): an exact copy of the prompt, then a line break; without the line
    break only a copy of several lines counts, because a short answer may well begin with the
    words of a short prompt. Text that is no echo passes unchanged.

    Args:
        echo: which of them to expect.
        prompt: the prompt as it was sent.
        ends: marks to take off the end.
    """

    def __init__(self, echo: Echo, prompt: str, ends: Sequence[str] = ()) -> None:
        self._echo = _echo_of(echo, prompt)
        self._ends = tuple(ends)
        self._held = ""

    @property
    def may_hold(self) -> bool:
        """Whether it may yet keep something of a piece back."""
        return self._echo is not None or bool(self._ends)

    def push(self, piece: str) -> str:
        """Take the next piece; return what is certain to belong to the answer."""
        text = self._held + piece
        if self._echo is not None:
            end = self._echo.end_in(text)
            if end is None:
                self._held = text
                return ""
            text = text[end:]
            self._echo = None
        keep = open_end(text, self._ends)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        """Say that the answer is complete; return what was held back and belongs to it."""
        text, self._held = self._held, ""
        if self._echo is not None and self._echo.complete(text):
            return ""
        return next((text.removesuffix(m) for m in self._ends if text.endswith(m)), text)


class _LineEcho:
    """The prompt to the letter, then a line break."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt

    def end_in(self, text: str) -> int | None:
        """Where the echo ends in ``text``: 0 if there is none, ``None`` if that is still open."""
        size = len(self._prompt)
        if len(text) <= size:
            return None if self._prompt.startswith(text) else 0
        if not text.startswith(self._prompt):
            return 0
        if text[size] == "\n":
            return size + 1
        return size if "\n" in self._prompt else 0

    def complete(self, text: str) -> bool:
        return text == self._prompt and "\n" in text


class _SpacedEcho:
    """``<s>`` and the prompt but for its white space; it remembers how far it has read."""

    def __init__(self, prompt: str) -> None:
        self._chars = "".join(prompt.split())
        self._marked = re.search(r"<\w+>", prompt) is not None
        self._matched = 0
        self._at = 0

    def end_in(self, text: str) -> int | None:
        """Where the echo ends in ``text``: 0 if there is none, ``None`` if that is still open."""
        if self._at == 0:
            if "<s>".startswith(text):
                return None
            self._at = 3 if text.startswith("<s>") else 0
            if not self._at and not self._marked:
                return 0
        while self._at < len(text) and self._matched < len(self._chars):
            char = text[self._at]
            if not char.isspace():
                if char != self._chars[self._matched]:
                    return 0
                self._matched += 1
            self._at += 1
        if self._at == len(text):
            return None
        return self._at + 1 if text[self._at] == " " else self._at

    def complete(self, text: str) -> bool:
        return bool(text) and self._matched == len(self._chars)


def _echo_of(echo: Echo, prompt: str) -> _LineEcho | _SpacedEcho | None:
    if echo == "none" or not prompt.strip():
        return None
    return _LineEcho(prompt) if echo == "line" else _SpacedEcho(prompt)
