"""Marks for the service's context cache: where they are sent, and how many there may be."""

from dataclasses import replace

import pytest

from dashscope_oss import (
    DashScopeWarning,
    Message,
    Options,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.messages import TextPart
from dashscope_oss.protocol.validation import is_cache_mark

CACHES = replace(find_model("glm-5"), context_cache="explicit")
MARK = {"cache_control": {"type": "ephemeral"}}
QUESTION = Message("user", "q")


def marked(role, text):
    return Message.of_parts(role, [TextPart(text, cache_mark=True)])


def sent(messages, model_info=CACHES, **options):
    request = chat_request(model_info, messages, Options(**options))
    return [message["content"] for message in request.body["input"]["messages"]]


def test_a_marked_text_is_a_list_of_parts_and_the_others_stay_strings():
    assert sent([marked("system", "s"), QUESTION]) == [
        [{"type": "text", "text": "s", **MARK}],
        "q",
    ]
    seeing = replace(CACHES, endpoint="multimodal-generation")
    assert sent([marked("system", "s"), QUESTION], seeing) == [
        [{"text": "s", **MARK}],
        [{"text": "q"}],
    ]


def test_a_marked_part_ends_where_it_ended():
    message = Message.of_parts("user", [TextPart("a", cache_mark=True), TextPart("b")])
    assert sent([message]) == [
        [{"type": "text", "text": "a", **MARK}, {"type": "text", "text": "b"}]
    ]


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([Message("system", "s"), QUESTION], 0),
        ([Message("system", "s"), Message("system", "t"), QUESTION], 1),
        ([QUESTION, Message("assistant", "a"), QUESTION], 0),
    ],
)
def test_the_setting_marks_the_system_text_or_else_the_first_message(messages, place):
    strict_free = replace(CACHES, system_turns="any")
    contents = sent(messages, strict_free, cache_system_prompt=True)
    assert [index for index, content in enumerate(contents) if isinstance(content, list)] == [place]


def test_the_setting_marks_nothing_where_there_is_nothing():
    assert sent([Message("system", ""), QUESTION], cache_system_prompt=True) == ["q"]


def test_system_texts_that_become_one_keep_the_mark_at_their_end():
    first = replace(CACHES, system_turns="first")
    messages = [Message("system", "s"), Message("system", "t"), QUESTION]
    [system, question] = sent(messages, first, cache_system_prompt=True)
    assert system == [
        {"type": "text", "text": "s"},
        {"type": "text", "text": "\n\nt", **MARK},
    ]
    assert question == "q"


def test_four_marks_are_sent_and_the_fifth_is_refused_with_its_place():
    four = [marked("user", "q"), marked("assistant", "a")] * 2
    assert len(sent([*four, QUESTION])) == 5
    with pytest.raises(UnsupportedInputError, match=r"messages\[4\] \(user\): it holds the fifth"):
        sent([*four, marked("user", "q")])
    with pytest.raises(UnsupportedInputError, match="at most 4, so take marks off"):
        sent([Message("system", "s"), *four], cache_system_prompt=True)


@pytest.mark.parametrize(
    "model_info",
    [
        replace(CACHES, id="cacheless", context_cache="none"),
        replace(CACHES, id="automatic", context_cache="implicit"),
        replace(find_model("baichuan-7b-v1"), id="prompts-only"),
    ],
)
def test_a_model_without_explicit_cache_gets_no_mark_and_one_warning(model_info):
    with pytest.warns(DashScopeWarning, match=rf"{model_info.id}: the record .* cannot be marked"):
        first = chat_request(model_info, [marked("user", "q")]).body["input"]
    assert first == chat_request(model_info, [QUESTION]).body["input"]
    assert first == chat_request(model_info, [marked("user", "q")]).body["input"]


def test_a_cache_control_is_a_mark_for_five_minutes():
    assert is_cache_mark({"type": "ephemeral", "ttl": "5m"}, "m")
    assert not is_cache_mark(None, "m")
    with pytest.warns(DashScopeWarning, match="keeps a cache for five minutes"):
        assert is_cache_mark({"type": "ephemeral", "ttl": "1h"}, "m")


@pytest.mark.parametrize("cache_control", [{"type": "persistent"}, {}, "ephemeral", True])
def test_another_cache_control_is_refused(cache_control):
    with pytest.raises(UnsupportedInputError, match=r"write \{'type': 'ephemeral'\}"):
        is_cache_mark(cache_control, "m")
