"""Thoughts between tags are split off the text, whole and in any pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss.prompts.echo import EchoFilter
from dashscope_oss.protocol.streaming.answer_text import AnswerText
from dashscope_oss.protocol.streaming.incremental import Regime
from dashscope_oss.protocol.streaming.think_tags import ThinkTagSplitter

ANSWER = "<think>Let me see. <b></think>\n\nIt is 7, <think>really</think>."


def split(pieces):
    splitter = ThinkTagSplitter()
    parts = [*map(splitter.push, pieces), splitter.end()]
    return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_any_cut_gives_the_same(cuts):
    """Only the thoughts at the beginning are thoughts."""
    marks = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[a:b] for a, b in pairwise(marks)]

    assert split(pieces) == ("It is 7, <think>really</think>.", "Let me see. <b>")


@pytest.mark.parametrize(
    ("answer", "text", "thought"),
    [
        ("no thoughts", "no thoughts", ""),
        (" \n<think>hm</think>yes", "yes", "hm"),
        ("<think>cut off", "", "cut off"),
        ("<think>cut off</thi", "", "cut off</thi"),
        ("<thin", "<thin", ""),
        ("<thing>", "<thing>", ""),
        ("", "", ""),
    ],
)
def test_what_is_text_and_what_is_thought(answer, text, thought):
    assert split(list(answer)) == split([answer]) == (text, thought)


def split_without_opening(pieces):
    splitter = ThinkTagSplitter(may_lack_opening=True)
    parts = [*map(splitter.push, pieces), splitter.end()]
    return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)


@pytest.mark.parametrize(
    ("answer", "text", "thought"),
    [
        ("Let me see.\n</think>\n\nIt is 7.", "It is 7.", "Let me see.\n"),
        ("</think>It is 7.", "It is 7.", ""),
        ("<think>Let me see.</think>It is 7.", "It is 7.", "Let me see."),
        ("It is 7.", "It is 7.", ""),
        ("It is </th 7.", "It is </th 7.", ""),
    ],
)
def test_thoughts_whose_opening_tag_stands_in_the_prompt_end_at_the_closing_one(
    answer, text, thought
):
    assert split_without_opening([answer]) == (text, thought)
    assert split_without_opening(list(answer)) == (text, thought)


def test_text_beside_thoughts_of_its_own_is_not_held_back():
    answer = AnswerText(
        Regime("incremental"),
        echo=EchoFilter("none", ""),
        splits_thoughts=True,
        may_lack_opening=True,
    )
    assert answer.push("It is ", "Let me see.") == ("It is ", "Let me see.")


def test_text_that_was_held_back_goes_on_once_thoughts_come_beside_it():
    splitter = ThinkTagSplitter(may_lack_opening=True)
    assert splitter.push("It is") == ("", "")
    splitter.thoughts_come_apart()
    assert splitter.push(" 7") == ("It is 7", "")
