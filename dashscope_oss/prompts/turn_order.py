"""The turns that a model was trained on: what is left out, joined, folded, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby, takewhile

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message, Part, TextPart

_BLANK_LINE = "\n\n"


def leave_out_empty_turns(messages: Sequence[Message]) -> list[Message]:
    """Leave out system turns without words, and answers without words and calls.

    Services refuse them, and they say nothing.
    """
    return [
        turn
        for turn in messages
        if turn.role in ("user", "tool") or turn.tool_calls or holds_anything(turn)
    ]


def let_system_turns_ask(messages: Sequence[Message]) -> list[Message]:
    """Let the user say the words of system turns that nothing follows.

    Services and chat templates refuse a conversation without a user's turn.
    """
    if any(turn.role != "system" for turn in messages):
        return list(messages)
    return merge_turns(fold_system_turns(messages))


def merge_turns(messages: Sequence[Message]) -> list[Message]:
    """Join neighbouring messages of one role; their words are parted by a blank line."""
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = _joined(turns[-1], message)
        else:
            turns.append(message)
    return turns


def _joined(first: Message, second: Message) -> Message:
    return replace(
        second,
        content=_paragraphs(first.content, second.content),
        tool_calls=first.tool_calls + second.tool_calls,
        reasoning=_paragraphs(first.reasoning or "", second.reasoning or "") or None,
        parts=_joined_parts(first, second),
    )


def _paragraphs(*texts: str) -> str:
    return _BLANK_LINE.join(text for text in texts if text.strip())


def _joined_parts(first: Message, second: Message) -> tuple[Part, ...]:
    """Return the parts of both, none if both are mere text."""
    if not first.parts and not second.parts:
        return ()
    is_text_behind_text = first.content.strip() and second.content.strip()
    later = with_words_before(second, _BLANK_LINE) if is_text_behind_text else second
    return (*first.all_parts, *later.all_parts)


def with_words_before(message: Message, words: str) -> Message:
    """Return ``message`` with ``words`` in front of its text, or of all it holds."""
    parts = message.parts
    if parts and isinstance(parts[0], TextPart):
        parts = (replace(parts[0], text=words + parts[0].text), *parts[1:])
    elif parts and words.strip():
        parts = (TextPart(words), *parts)
    return replace(message, content=words + message.content, parts=parts)


def with_words_behind(message: Message, words: str) -> Message:
    """Return ``message`` with ``words`` as its last line."""
    text = f"\n{words}" if message.content else words
    parts = (*message.parts, TextPart(text)) if message.parts else ()
    return replace(message, content=message.content + text, parts=parts)


def fold_system_turns(messages: Sequence[Message]) -> list[Message]:
    """Turn system messages into user turns; merging then joins them with the turn that follows."""
    turns = [turn for turn in messages if turn.role != "system" or holds_anything(turn)]
    return [replace(turn, role="user") if turn.role == "system" else turn for turn in turns]


def holds_anything(message: Message) -> bool:
    """Whether a message has words, or parts of another kind."""
    return bool(message.parts or message.content.strip())


def fold_stray_turns(messages: Sequence[Message]) -> list[Message]:
    """Turn messages into user turns where strict models accept nothing else.

    These are answers before the first question, quoted as earlier answers, and system turns after
    the first other turn. Without any question the turns stay as they are.
    """
    system = list(takewhile(lambda turn: turn.role == "system", messages))
    rest = fold_system_turns(messages[len(system) :])
    answers = list(takewhile(lambda turn: turn.role == "assistant", rest))
    if len(answers) == len(rest):
        return [*system, *answers]
    quoted = [_quoted_answer(answer) for answer in answers if holds_anything(answer)]
    return [*system, *quoted, *rest[len(answers) :]]


def move_system_first(messages: Sequence[Message]) -> list[Message]:
    """Make one system turn of the leading ones, and let the user say the words of later ones.

    Later words join the user's turns beside them, or become one. If the user says nothing and
    tools have answered, as in an agent's memory that was cut, the leading words are the user's:
    templates that want the system turn first want a turn of the user's too.
    """
    leading = list(takewhile(lambda turn: turn.role == "system", messages))
    rest = messages[len(leading) :]
    if {turn.role for turn in rest} in ({"tool"}, {"assistant", "tool"}):
        leading = fold_system_turns(leading)
    runs = groupby(rest, lambda turn: turn.role in ("system", "user"))
    return [*merge_turns(leading), *chain.from_iterable(_without_system(run) for _, run in runs)]


def _without_system(run: Iterable[Message]) -> list[Message]:
    """Return neighbouring turns as they are, or as one of the user's if a system turn is there."""
    turns = list(run)
    if any(turn.role == "system" for turn in turns):
        return merge_turns(fold_system_turns(turns))
    return turns


def _quoted_answer(answer: Message) -> Message:
    quoted = with_words_before(answer, "Your earlier answer: ")
    return replace(quoted, role="user", reasoning=None, partial=False)


def check_question(turns: Sequence[Message], *, by_user: bool) -> None:
    """Raise :class:`UnsupportedInputError` if there is nothing to answer.

    Args:
        turns: the conversation.
        by_user: a result of a tool is no question, as some models' templates have it.
    """
    asking = ("user",) if by_user else ("user", "tool")
    if not any(turn.role in asking for turn in turns):
        raise UnsupportedInputError("there is no user message to answer; add one")


def check_turn_order(turns: Sequence[Message]) -> None:
    """Raise :class:`UnsupportedInputError` unless turns go system? user (assistant user)*.

    An answer that is to go on may stand last.
    """
    roles = [turn.role for turn in turns]
    if "tool" in roles or any(turn.tool_calls for turn in turns):
        raise UnsupportedInputError(
            "this model knows no tools; put the tool's result into a user message"
        )
    roles = roles[1:] if roles[:1] == ["system"] else roles
    if not roles:
        raise UnsupportedInputError("there is no user message to answer; add one")
    if "system" in roles:
        raise UnsupportedInputError(
            "a system message must come first, before any user message; move it to the front"
        )
    if roles[0] != "user":
        raise UnsupportedInputError(
            "the conversation must begin with a user message; leave out the answer before it"
        )
    if roles[-1] != "user" and not turns[-1].partial:
        raise UnsupportedInputError(
            "the last message must come from the user; add the question to answer"
        )
