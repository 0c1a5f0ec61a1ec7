"""Thoughts between tags are told from the text, whole and in any pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import Message, Options, chat_request, find_model
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.response import read_reply
from dashscope_oss.protocol.streaming.think_tags import ThinkTagSplitter

ANSWER = "<think>Let me see. <b></think>\n\nIt is 7, <think>really</think>."


def split(pieces):
    splitter = ThinkTagSplitter()
    found = [*map(splitter.push, pieces), splitter.end()]
    return "".join(text for text, _ in found), "".join(thought for _, thought in found)


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


@pytest.mark.parametrize("wanted", [True, False])
def test_replies_and_streams_split_only_if_asked(wanted):
    """Row 26: the option turns tagged thoughts into reasoning; without it text stays as it is."""
    options = Options(split_think=wanted)
    request = chat_request(find_model("glm-5"), [Message("user", "3 + 4?")], options, stream=True)
    choice = {"finish_reason": "stop", "message": {"content": ANSWER}}
    body = {"output": {"choices": [choice]}}

    reply = read_reply(request, body)
    deltas = Assembler(request)
    streamed = list(deltas.feed(b"data:" + json.dumps(body).encode() + b"\n\n"))[-1]

    expected = ("It is 7, <think>really</think>.", "Let me see. <b>") if wanted else (ANSWER, "")
    assert (reply.text, reply.reasoning) == expected
    assert (streamed.text, streamed.reasoning) == expected
    assert "split_think" not in request.body["parameters"]
