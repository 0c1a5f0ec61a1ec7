"""An answer without what the model repeats: echoed prompts and end marks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import Message
from dashscope_oss.prompts.echo import Echo, EchoFilter
from dashscope_oss.prompts.templates import BELLE, BILLA, ZIYA

ZIYA_PROMPT = "<human>:帮我写一份去西安的旅游计划\n<bot>:"
ZIYA_ECHO = "<s><human> :帮我写一份去西安的旅游计划\n<bot> : "
ANSWER = "好的,第一天:\n<b>大雁塔</b> <s>钟楼</s>。"


def filtered(
    pieces: Iterable[str],
    echo: Echo,
    prompt: str,
    ends: tuple[str, ...] = ("</s>",),
    next_turns: tuple[str, ...] = (),
) -> str:
    echo_filter = EchoFilter(echo, prompt, ends, next_turns)
    return "".join(map(echo_filter.push, pieces)) + echo_filter.end()


def cut(text: str, places: Iterable[int]) -> list[str]:
    ends = [*sorted(places), len(text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, ends, strict=False)]


def every_cut(text: str) -> Iterable[list[str]]:
    """Return ``text`` whole, in single characters, and in two and three pieces in all ways."""
    yield [text]
    yield list(text)
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1, 3):
            yield cut(text, (first, second))


@pytest.mark.parametrize(
    "echo",
    [
        ZIYA_ECHO,
        "<s> <human>: 帮我写一份去西安的旅游计划\n<bot>: ",
        "<human> :帮我写一份去西安的旅游计划 \n<bot> : ",
        "<s><human>:帮我写一份去西安的旅游计划<bot>:",
    ],
    ids=["page", "spaced-otherwise", "no-bos", "no-spaces"],
)
def test_ziyas_echo_is_removed_wherever_the_stream_is_cut(echo):
    for pieces in every_cut(echo + ANSWER + "</s>"):
        assert filtered(pieces, "spaced", ZIYA_PROMPT) == ANSWER


def test_ziyas_echo_of_several_turns_is_removed_whole():
    talk = [Message("user", "一 二"), Message("assistant", "三"), Message("user", "四")]
    prompt = ZIYA.render(talk)
    echo = "<s><human> :一 二\n<bot> :三</s><human> :四\n<bot> : "
    for pieces in every_cut(echo + "<bot>:五</s>"):
        assert filtered(pieces, "spaced", prompt) == "<bot>:五"


def test_the_answers_own_white_space_behind_ziyas_echo_is_kept():
    assert filtered([ZIYA_ECHO + "  two spaces"], "spaced", ZIYA_PROMPT) == "  two spaces"


def test_an_echo_and_nothing_else_is_an_empty_answer():
    assert filtered([ZIYA_ECHO + "</s>"], "spaced", ZIYA_PROMPT) == ""
    assert filtered([ZIYA_ECHO.rstrip()], "spaced", ZIYA_PROMPT) == ""


def test_an_answer_that_ends_inside_of_an_echo_ends_once():
    echo_filter = EchoFilter("spaced", ZIYA_PROMPT)
    assert echo_filter.push("<s><human>") == ""
    assert [echo_filter.end(), echo_filter.push(""), echo_filter.end()] == ["<s><human>", "", ""]


def test_baichuans_echo_is_removed_wherever_the_stream_is_cut():
    for pieces in every_cut("介绍下故宫\n故宫又称紫禁城。\n介绍下故宫"):
        assert filtered(pieces, "line", "介绍下故宫") == "故宫又称紫禁城。\n介绍下故宫"


def test_baichuans_echo_of_a_prompt_of_several_lines_needs_no_line_break():
    prompt = "登鹳雀楼->王之涣\n夜雨寄北->"
    for pieces in every_cut(prompt + "李商隐"):
        assert filtered(pieces, "line", prompt) == "李商隐"


@pytest.mark.parametrize("text", ["你好!有什么我能帮助你的吗?", "你好", "你好 你好", "你"])
def test_a_short_answer_that_begins_with_the_words_of_the_prompt_is_not_cut(text):
    for pieces in every_cut(text):
        assert filtered(pieces, "line", "你好") == text


@pytest.mark.parametrize("text", ["你好!有什么我能帮助你的吗?", "你好", "你"])
def test_ziyas_answer_to_a_plain_prompt_is_not_cut_without_the_mark_of_an_echo(text):
    for pieces in every_cut(text):
        assert filtered(pieces, "spaced", "你好") == text


def test_baichuans_echo_must_be_exact():
    text = "介绍下 故宫\n故宫又称紫禁城。"
    assert filtered([text], "line", "介绍下故宫") == text


def test_a_model_that_does_not_echo_is_left_alone():
    assert filtered([ZIYA_PROMPT + "hi"], "none", ZIYA_PROMPT) == ZIYA_PROMPT + "hi"


@pytest.mark.parametrize("prompt", [ZIYA_PROMPT, "你好"])
@pytest.mark.parametrize("text", ["<s> 好的。</s>\n", "<s>好的。", "<s> 好的。"])
def test_ziyas_mark_of_the_beginning_is_removed_without_an_echo_too(prompt, text):
    for pieces in every_cut(text):
        assert filtered(pieces, "spaced", prompt) == "好的。"
    assert filtered(["<s>"], "spaced", prompt) == ""


@pytest.mark.parametrize("ends", [("</s>",), ("<|eot_id|>", "<|end_of_text|>")])
def test_an_end_mark_split_over_pieces_is_removed(ends):
    for mark in ends:
        for pieces in every_cut("the end" + mark):
            assert filtered(pieces, "none", "", ends) == "the end"


def test_white_space_behind_an_end_mark_and_a_repeated_mark_are_removed():
    for text in ("the end</s>\n", "the end</s> </s>\n\n"):
        for pieces in every_cut(text):
            assert filtered(pieces, "none", "") == "the end"


@pytest.mark.parametrize(
    ("template", "text", "answer"),
    [
        (ZIYA, "好的。</s><human> : 再来\n<bot> : 好", "好的。"),
        (ZIYA, "好的。\n<human>:再来", "好的。"),
        (ZIYA, "a < b, <hum and </s> in it", "a < b, <hum and </s> in it"),
        (BELLE, "Fine.\n\nHuman:And you?\n\nAssistant:", "Fine."),
        (BELLE, "Fine.\nHuman: And you?", "Fine."),
        (BELLE, "Human: is a word.\n\nHumans too.", "Human: is a word.\n\nHumans too."),
        (BILLA, "Fine.</s> \nHuman: And you?", "Fine."),
    ],
)
def test_an_answer_ends_where_the_model_goes_on_with_the_users_next_turn(template, text, answer):
    for pieces in every_cut(text):
        ends, next_turns = template.ends, template.next_turns
        assert filtered(pieces, "none", "", ends, next_turns) == answer


def test_the_next_turn_is_known_when_it_comes():
    echo_filter = EchoFilter("none", "", BELLE.ends, BELLE.next_turns)
    assert [echo_filter.push(piece) for piece in ("Fine", ".\nHu")] == ["Fine", "."]
    assert not echo_filter.is_ended
    assert [echo_filter.push("man:"), echo_filter.push("more"), echo_filter.end()] == ["", "", ""]
    assert echo_filter.is_ended


def test_text_that_only_looks_like_an_end_mark_is_kept():
    for text in ("a </s", "a </s> b", "a <", "</s>x"):
        for pieces in every_cut(text):
            assert filtered(pieces, "none", "") == text


def test_text_is_handed_on_as_soon_as_it_is_no_end_mark():
    echo_filter = EchoFilter("none", "", ("</s>",))
    assert [echo_filter.push(piece) for piece in ("a", "b<", "/s", " c")] == ["a", "b", "", "</s c"]


def test_the_first_words_behind_an_echo_are_handed_on_at_once():
    echo_filter = EchoFilter("spaced", ZIYA_PROMPT, ("</s>",))
    assert echo_filter.push(ZIYA_ECHO) == ""
    assert echo_filter.push("好") == "好"


def test_an_answer_without_echo_is_handed_on_at_the_first_letter_that_differs():
    echo_filter = EchoFilter("spaced", ZIYA_PROMPT)
    assert echo_filter.push("好") == "好"


_pieces = st.lists(
    st.text(max_size=5) | st.sampled_from(["<s>", "</s>", "<human>", "<", "你", "好", "\n", " "]),
    max_size=8,
)


@given(_pieces, st.sampled_from(["none", "spaced", "line"]))
def test_text_without_echo_and_end_mark_is_never_changed(pieces, echo):
    whole = "好" + "".join(pieces) + "."
    assert filtered(["好", *pieces, "."], echo, "<human>:question?\n<bot>:") == whole


@given(_pieces, st.lists(st.integers(0, 80), max_size=6))
def test_the_answer_behind_an_echo_is_the_same_however_it_is_cut(pieces, places):
    answer = "好" + "".join(pieces) + "。"
    text = ZIYA_ECHO + answer + "</s>"
    assert filtered(cut(text, [p for p in places if p < len(text)]), "spaced", ZIYA_PROMPT) == (
        answer
    )
