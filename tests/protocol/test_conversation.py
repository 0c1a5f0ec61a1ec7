"""What a model is sent of a conversation that was made elsewhere, or for another model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import (
    Message,
    Options,
    ToolCall,
    UnsupportedInputError,
    chat_request,
    find_model,
)

STRICT = find_model("llama2-7b-chat-v2")
PROMPT_ONLY = find_model("ziya-llama-13b-v1")
SYSTEM_FIRST = find_model("qwen3.5-27b")
LENIENT = find_model("glm-5")
CALL = ToolCall("c1", "add", '{"a": 1}')


def sent(model_info, messages, **options):
    request = chat_request(model_info, messages, Options(**options))
    turns = request.body["input"].get("messages") or []
    return [{**turn, "content": _text(turn["content"])} for turn in turns]


def _text(content):
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def shown(turns):
    return [(turn["role"], turn["content"]) for turn in turns]


TALK = [
    Message("system", "S1"),
    Message("system", "S2"),
    Message("user", "q1"),
    Message("assistant", "a1"),
    Message("system", "S3"),
    Message("user", "q2"),
]


@pytest.mark.parametrize("model_info", [SYSTEM_FIRST, STRICT], ids=lambda m: m.id)
def test_system_turns_are_one_and_first_and_later_ones_are_words_of_the_user(model_info):
    assert shown(sent(model_info, TALK)) == [
        ("system", "S1\n\nS2"),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "S3\n\nq2"),
    ]


def test_system_turns_stand_where_they_were_for_a_model_that_takes_them_anywhere():
    assert [turn["role"] for turn in sent(LENIENT, TALK)] == [turn.role for turn in TALK]


def test_a_late_system_turn_does_not_part_a_call_from_its_result():
    talk = [
        Message("user", "q"),
        Message("assistant", "", (CALL,)),
        Message("system", "S"),
        Message("tool", "3", tool_call_id="c1"),
    ]
    turns = sent(SYSTEM_FIRST, talk)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "user"]
    assert turns[-1]["content"] == "S"


@pytest.mark.parametrize("model_info", [LENIENT, SYSTEM_FIRST, STRICT], ids=lambda m: m.id)
def test_a_system_turn_without_words_is_not_sent(model_info):
    turns = sent(model_info, [Message("system", " "), Message("user", "q")])
    assert shown(turns) == [("user", "q")]


@pytest.mark.parametrize(
    ("id", "goes_back"),
    [
        ("deepseek-v4-flash", True),
        ("kimi-k2.6", True),
        ("MiniMax-M2.5", True),
        ("glm-5", True),
        ("qwen3.6-27b", True),
        ("qwen3-8b", False),
    ],
)
def test_thoughts_go_back_with_calls_of_tools_where_the_record_says_so(id, goes_back):
    talk = [
        Message("user", "q"),
        Message("assistant", "", (CALL,), reasoning="I add."),
        Message("tool", "3", tool_call_id="c1"),
        Message("assistant", "It is 3.", reasoning="Done."),
        Message("user", "and now?"),
    ]
    turns = sent(find_model(id), talk)
    assert ("reasoning_content" in turns[1]) is goes_back
    assert "reasoning_content" not in turns[3]


@pytest.mark.parametrize("send_reasoning", [True, False])
def test_a_setting_goes_over_the_record(send_reasoning):
    talk = [Message("user", "q"), Message("assistant", "a", reasoning="r"), Message("user", "q")]
    turns = sent(LENIENT, talk, send_reasoning=send_reasoning)
    assert ("reasoning_content" in turns[1]) is send_reasoning


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (" ", {}),
        ('{"q": "x', {"raw_arguments": '{"q": "x'}),
        ('{"q": "x"}}', {"raw_arguments": '{"q": "x"}}'}),
        ('{"q": "x"} and so on', {"raw_arguments": '{"q": "x"} and so on'}),
        ("{q: x}", {"raw_arguments": "{q: x}"}),
        ("[1, 2]", {"raw_arguments": "[1, 2]"}),
        ("null", {"raw_arguments": "null"}),
    ],
)
def test_arguments_of_an_earlier_call_are_a_json_object_that_keeps_the_words(arguments, expected):
    talk = [
        Message("user", "q"),
        Message("assistant", "", (ToolCall("c1", "f", arguments),)),
        Message("tool", "3", tool_call_id="c1"),
    ]
    written = sent(LENIENT, talk)[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == expected


@pytest.mark.parametrize("model_info", [STRICT, PROMPT_ONLY], ids=lambda m: m.id)
def test_calls_and_results_are_told_in_words_to_a_model_without_tools(model_info):
    talk = [
        Message("assistant", "Hello."),
        Message("user", "1 + 2?"),
        Message("assistant", "", (CALL,)),
        Message("tool", "3", tool_call_id="c1"),
    ]
    request = chat_request(model_info, talk)
    text = request.text
    for words in ("Hello.", "1 + 2?", "add", '{"a": 1}', "Result of add:\n3"):
        assert words in text


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
TEXTS = st.sampled_from(["", " ", "words", "字"])
CALLS = st.lists(
    st.builds(
        ToolCall,
        st.sampled_from(["", "c1", "c2"]),
        st.just("f"),
        st.sampled_from(["", "{}", "{x", "[]"]),
    ),
    max_size=2,
).map(tuple)
MESSAGES = st.lists(
    st.builds(Message, ROLES, TEXTS, CALLS, st.sampled_from([None, "c1", "c2"]), st.none() | TEXTS),
    min_size=1,
    max_size=8,
)


@given(MESSAGES, st.sampled_from([STRICT, PROMPT_ONLY, SYSTEM_FIRST, LENIENT]))
def test_any_conversation_is_sent_as_the_model_takes_it_or_refused(messages, model_info):
    messages = [m if m.role == "assistant" else replace(m, tool_calls=()) for m in messages]
    try:
        request = chat_request(model_info, messages)
    except UnsupportedInputError:
        return
    for message in messages:
        assert message.content.strip() in request.text
    turns = request.body["input"].get("messages")
    if turns is None:
        return
    roles = [turn["role"] for turn in turns]
    if model_info is not LENIENT:
        assert "system" not in roles[1:]
    for turn in turns:
        for call in turn.get("tool_calls", ()):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)


def test_a_late_system_turn_before_an_answer_joins_the_question_before_it():
    talk = [Message("user", "q"), Message("system", "S"), Message("assistant", "a")]
    turns = sent(SYSTEM_FIRST, [*talk, Message("user", "q2")])
    assert shown(turns) == [("user", "q\n\nS"), ("assistant", "a"), ("user", "q2")]
