"""The turns that a model was trained on: what is joined, folded, told in words, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import Message


def merge_turns(messages: Sequence[Message]) -> list[Message]:
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


def fold_system_turns(messages: Sequence[Message]) -> list[Message]:
    """Turn system messages into user turns; merging then joins them with the turn that follows."""
    turns = [turn for turn in messages if turn.role != "system" or turn.content.strip()]
    return [replace(turn, role="user") if turn.role == "system" else turn for turn in turns]


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
    quoted = [_quoted_answer(answer) for answer in answers if answer.content.strip()]
    return [*system, *quoted, *rest[len(answers) :]]


def move_system_first(messages: Sequence[Message]) -> list[Message]:
    """Make one system turn of the leading ones, and let the user say the words of later ones.

    Later words join the user's turn beside them, or become one. Between a call of a tool and its
    result they wait: a result must follow its call.
    """
    leading = list(takewhile(lambda turn: turn.role == "system", messages))
    turns = merge_turns(leading)
    waiting: list[Message] = []
    for turn in messages[len(leading) :]:
        if turn.role == "system":
            waiting.append(replace(turn, role="user"))
        elif turn.role == "user":
            turns += merge_turns([*waiting, turn])
            waiting.clear()
        else:
            if waiting and turn.role == "assistant":
                _add_user_words(turns, waiting)
            turns.append(turn)
    _add_user_words(turns, waiting)
    return turns


def _add_user_words(turns: list[Message], words: list[Message]) -> None:
    """Add turns of the user's, merged with the newest one if that is the user's too."""
    if words:
        before = [turns.pop()] if turns and turns[-1].role == "user" else []
        turns += merge_turns([*before, *words])
        words.clear()


def tell_tools_in_words(messages: Sequence[Message]) -> list[Message]:
    """Write calls of tools and their results as text, for a model that knows no tools.

    A call is added to the assistant's text, a result becomes a turn of the user's.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_without_tools(message, names) for message in messages]


def _without_tools(message: Message, names: Mapping[str, str]) -> Message:
    if message.role == "tool":
        name = message.tool_name or names.get(message.tool_call_id or "") or "the tool"
        return Message("user", f"Result of {name}:\n{message.content}")
    if not message.tool_calls:
        return message
    calls = [f"Call of {call.name}: {call.arguments}" for call in message.tool_calls]
    text = [message.content] if message.content else []
    return replace(message, content="\n".join([*text, *calls]), tool_calls=())


def _quoted_answer(answer: Message) -> Message:
    text = f"Your earlier answer: {answer.content}"
    return replace(answer, role="user", content=text, reasoning=None, partial=False)


def check_turn_order(turns: Sequence[Message]) -> None:
    """Raise :class:`UnsupportedInputError` unless turns go system? user (assistant user)*."""
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
    if roles[-1] != "user":
        raise UnsupportedInputError(
            "the last message must come from the user; add the question to answer"
        )
