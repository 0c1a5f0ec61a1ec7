"""The text of an answer: echo off, thoughts split off, ended at a stop text, in this order."""

import pytest

from dashscope_oss.prompts.echo import EchoFilter
from dashscope_oss.protocol.streaming.answer_text import AnswerText
from dashscope_oss.protocol.streaming.incremental import Regime

NO_ECHO = EchoFilter("none", "")


def answer(mode="incremental", echo=NO_ECHO, **settings):
    return AnswerText(Regime(mode), echo=echo, **settings)


def everything(text, pieces, reasoning=()):
    pairs = [text.push(piece, "") for piece in pieces]
    pairs += [text.push("", piece) for piece in reasoning]
    pairs.append(text.end())
    return "".join(added for added, _ in pairs), "".join(thought for _, thought in pairs)


def test_text_goes_through_all_filters():
    echo = EchoFilter("line", "one\ntwo", ("</s>",))
    text = answer(echo=echo, stops=["##"], splits_thoughts=True)
    pieces = ["one\n", "two\n<thi", "nk>hm</think>sev", "en #", "# eight</s>"]
    assert everything(text, pieces) == ("seven ", "hm")
    assert text.is_stopped
    assert text.all_text() == "seven "


def test_thoughts_that_the_service_sends_apart_are_kept_apart():
    text = answer("cumulative", splits_thoughts=True)
    assert everything(text, ["a", "ab"], ["x", "xy"]) == ("ab", "xy")


def test_what_is_held_back_belongs_to_all_text():
    text = answer("unknown")
    text.push("ha", "")
    text.push("haha", "")
    assert text.all_text() == "haha"
    assert text.all_text() == "haha"


@pytest.mark.parametrize(
    ("mode", "settings", "unfiltered"),
    [
        ("incremental", {}, True),
        ("cumulative", {}, False),
        ("unknown", {}, False),
        ("incremental", {"stops": ["##"]}, False),
        ("incremental", {"splits_thoughts": True}, False),
        ("incremental", {"echo": EchoFilter("none", "", ("</s>",))}, False),
        ("incremental", {"echo": EchoFilter("line", "prompt")}, False),
    ],
)
def test_text_is_unfiltered_only_if_nothing_can_change_it(mode, settings, unfiltered):
    assert answer(mode, **settings).is_unfiltered is unfiltered


def test_unfiltered_text_is_part_of_all_text():
    text = answer()
    assert text.push_unfiltered("a") + text.push("b", "")[0] == text.all_text() == "ab"
