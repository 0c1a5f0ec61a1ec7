"""The order of turns that a model wants: which are joined, which are folded, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    """Turn system messages into text at the head of the user turn that follows."""
    said = [m for m in messages if m.role != "system" or m.content.strip()]
    return [replace(m, role="user") if m.role == "system" else m for m in said]


def check_turn_order(turns: Sequence[Message]) -> None:
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
