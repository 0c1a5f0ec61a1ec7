"""Turns that a model was not trained on: joined, folded, told in words, or refused."""

import pytest

from dashscope_oss import Message, ToolCall, UnsupportedInputError
from dashscope_oss.prompts.turn_order import (
    check_turn_order,
    fold_stray_turns,
    fold_system_turns,
    merge_turns,
)


def turns(text):
    """``"system:S user:q"`` as messages."""
    return [Message(*part.split(":")) for part in text.split()]


def shown(messages):
    return [(message.role, message.content) for message in messages]


CALL = Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),))


def test_neighbours_of_one_role_are_joined_by_a_blank_line():
    merged = merge_turns([*turns("user:a user:b assistant:c"), CALL])
    assert shown(merged) == [("user", "a\n\nb"), ("assistant", "c")]
    assert merged[1].tool_calls == CALL.tool_calls


def test_joined_answers_are_partial_if_the_last_is():
    begun = Message("assistant", "b", partial=True)
    assert merge_turns([*turns("assistant:a"), begun])[0].partial
    check_turn_order([*turns("user:q"), begun])


def test_system_turns_become_the_users_and_empty_ones_nothing():
    folded = fold_system_turns([*turns("system:S user:q"), Message("system", " ")])
    assert shown(folded) == [("user", "S"), ("user", "q")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("system:S user:q", [("system", "S"), ("user", "q")]),
        ("user:q system:S", [("user", "q"), ("user", "S")]),
        (
            "system:S assistant:hi user:q",
            [("system", "S"), ("user", "Your earlier answer: hi"), ("user", "q")],
        ),
        ("assistant:hi", [("assistant", "hi")]),
        ("system:S assistant:hi", [("system", "S"), ("assistant", "hi")]),
        ("", []),
    ],
)
def test_the_user_says_what_stands_where_only_a_users_turn_may(before, after):
    assert shown(fold_stray_turns(turns(before))) == after


def test_an_empty_early_answer_is_left_out():
    assert shown(fold_stray_turns([Message("assistant", " "), Message("user", "q")])) == [
        ("user", "q")
    ]


@pytest.mark.parametrize("text", ["user:q", "system:S user:q assistant:a user:q"])
def test_the_order_that_strict_models_want(text):
    check_turn_order(turns(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no user message"),
        ("system:S", "no user message"),
        ("user:q system:S", "must come first"),
        ("assistant:a user:q", "begin with a user message"),
        ("user:q assistant:a", "last message"),
        ("user:q tool:r", "knows no tools"),
    ],
)
def test_any_other_order_is_refused_with_what_to_do(text, told):
    with pytest.raises(UnsupportedInputError, match=told):
        check_turn_order(turns(text))
