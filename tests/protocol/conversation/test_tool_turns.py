"""Calls of tools and their results, as services and chat templates want them: in pairs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from dashscope_oss import Message, ToolCall, UnsupportedInputError
from dashscope_oss.messages import ImagePart, TextPart
from dashscope_oss.protocol.conversation.tool_turns import (
    NO_RESULT,
    pair_calls_with_results,
    tell_tools_in_words,
    with_sendable_arguments,
    write_arguments,
)

QUESTION = Message("user", "q")
NEXT = Message("user", "and now?")


def calls(*ids, text="", names="fgh"):
    return Message("assistant", text, tuple(map(ToolCall, ids, names)))


def result(id, text="3", name=None):
    return Message("tool", text, tool_call_id=id, tool_name=name)


def shown(messages):
    """Each turn in short: calls by their ids, results by id and text, all else by role and text."""
    return [_shown(message) for message in messages]


def _shown(message):
    if message.tool_calls:
        return ("assistant", *(call.id for call in message.tool_calls))
    if message.role == "tool":
        return ("tool", message.tool_call_id, message.content)
    return (message.role, message.content)


PAIRED = {
    "a whole round": (
        [QUESTION, calls("a", "b"), result("b"), result("a")],
        [("user", "q"), ("assistant", "a", "b"), ("tool", "b", "3"), ("tool", "a", "3")],
    ),
    "a call that was interrupted": (
        [QUESTION, calls("a"), NEXT],
        [("user", "q"), ("assistant", "a"), ("tool", "a", NO_RESULT), ("user", "and now?")],
    ),
    "parallel calls that were partly answered": (
        [QUESTION, calls("a", "b"), result("b"), NEXT],
        [
            ("user", "q"),
            ("assistant", "a", "b"),
            ("tool", "b", "3"),
            ("tool", "a", NO_RESULT),
            ("user", "and now?"),
        ],
    ),
    "a result behind what the user said meanwhile": (
        [QUESTION, calls("a"), NEXT, Message("system", "S"), result("a")],
        [
            ("user", "q"),
            ("assistant", "a"),
            ("tool", "a", "3"),
            ("user", "and now?"),
            ("system", "S"),
        ],
    ),
    "a result behind the next answer": (
        [calls("a"), Message("assistant", "I wait."), result("a")],
        [
            ("assistant", "a"),
            ("tool", "a", NO_RESULT),
            ("assistant", "I wait."),
            ("user", "Result of f:\n3"),
        ],
    ),
    "a memory that begins with a result": (
        [result("a"), Message("assistant", "It is 3."), NEXT],
        [("user", "Result of the tool:\n3"), ("assistant", "It is 3."), ("user", "and now?")],
    ),
    "a result before its call": (
        [QUESTION, result("a"), calls("a")],
        [("user", "q"), ("user", "Result of f:\n3"), ("assistant", "a"), ("tool", "a", NO_RESULT)],
    ),
    "a second result": (
        [calls("a", "b"), result("a"), result("a", "4"), result("b")],
        [
            ("assistant", "a", "b"),
            ("tool", "a", "3"),
            ("tool", "b", "3"),
            ("user", "Result of f:\n4"),
        ],
    ),
    "answers of parallel branches": (
        [QUESTION, calls("a"), calls("b"), result("a"), result("b")],
        [("user", "q"), ("assistant", "a", "b"), ("tool", "a", "3"), ("tool", "b", "3")],
    ),
    "ids that come again in each round": (
        [calls("a"), result("a"), calls("a"), result("a", "4")],
        [("assistant", "a"), ("tool", "a", "3"), ("assistant", "a"), ("tool", "a", "4")],
    ),
    "calls and results without ids": (
        [calls("", ""), result(None), result("", "4"), calls(""), result(None, "5")],
        [
            ("assistant", "call_1", "call_2"),
            ("tool", "call_1", "3"),
            ("tool", "call_2", "4"),
            ("assistant", "call_3"),
            ("tool", "call_3", "5"),
        ],
    ),
    "results without ids that name their tool": (
        [calls("", ""), result(None, "4", "g"), result(None, "3", "f")],
        [("assistant", "call_1", "call_2"), ("tool", "call_2", "4"), ("tool", "call_1", "3")],
    ),
    "results that name their tool in place of the id, as Gemini's do": (
        [calls("", ""), result("g", "4"), result("f")],
        [("assistant", "call_1", "call_2"), ("tool", "call_2", "4"), ("tool", "call_1", "3")],
    ),
    "two calls with one id": (
        [calls("call_1", "call_1"), result("call_1"), result("call_1", "4")],
        [("assistant", "call_1", "call_2"), ("tool", "call_1", "3"), ("tool", "call_2", "4")],
    ),
    "no tools": ([QUESTION, NEXT], [("user", "q"), ("user", "and now?")]),
}


@pytest.mark.parametrize("case", PAIRED)
def test_each_call_is_followed_by_one_result(case):
    before, after = PAIRED[case]
    assert shown(pair_calls_with_results(before)) == after


def test_thoughts_of_answers_that_become_one_are_kept():
    branches = [Message("assistant", n, (ToolCall(n, n),), reasoning=f"I {n}.") for n in "ab"]
    first, *_ = pair_calls_with_results(branches)
    assert (first.content, first.reasoning) == ("a\n\nb", "I a.\n\nI b.")


CALL = Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),))


def test_calls_and_results_are_told_in_words():
    assert shown(tell_tools_in_words([QUESTION, CALL, result("c1")])) == [
        ("user", "q"),
        ("assistant", 'Call of add: {"a": 1}'),
        ("user", "Result of add:\n3"),
    ]


def test_a_call_in_words_follows_the_text_of_its_turn():
    call = Message("assistant", "Let me see.", tool_calls=CALL.tool_calls)
    (told,) = tell_tools_in_words([call])
    assert told == Message("assistant", 'Let me see.\nCall of add: {"a": 1}')


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (result(None, name="sum"), "sum"),
        (result("c9"), "the tool"),
        (result(None), "the tool"),
    ],
)
def test_a_result_is_named_as_well_as_it_is_known(result, name):
    assert shown(tell_tools_in_words([CALL, result]))[1] == ("user", f"Result of {name}:\n3")


def test_a_result_that_is_a_picture_is_told_with_it():
    picture = ImagePart("https://example.org/x.png")
    shot = replace(Message.of_parts("tool", [picture]), tool_call_id="c1")
    assert tell_tools_in_words([CALL, shot])[1].parts == (TextPart("Result of add:\n"), picture)


def test_a_result_names_the_tool_of_the_newest_call_with_its_id():
    rounds = [Message("assistant", "", (ToolCall("c", name),)) for name in ("f", "g")]
    told = tell_tools_in_words([rounds[0], result("c"), rounds[1], result("c", "4")])
    assert shown(told)[1::2] == [("user", "Result of f:\n3"), ("user", "Result of g:\n4")]


def test_a_call_without_a_name_gets_one():
    assert with_sendable_arguments(ToolCall("c1")) == ToolCall("c1", "unnamed_tool", "{}")


@pytest.mark.parametrize("text", ["{x", "[1]", '{"a": NaN}', "[" * 100_000])
def test_arguments_that_are_no_json_object_are_kept_as_text_in_one(text):
    """NaN is Python's, not JSON's."""
    call = with_sendable_arguments(ToolCall("c1", "f", text))

    assert json.loads(call.arguments) == {"raw_arguments": text}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"a": "字"}, '{"a": "字"}'), ({}, "{}"), (None, "{}"), ("{x", "{x"), ("", "")],
)
def test_arguments_are_written_as_json_and_text_is_kept(arguments, text):
    assert write_arguments(arguments) == text


@pytest.mark.parametrize("arguments", [{"a": math.nan}, {"a": object()}])
def test_arguments_that_json_cannot_hold_are_refused(arguments):
    with pytest.raises(UnsupportedInputError, match="cannot be written as JSON"):
        write_arguments(arguments)
