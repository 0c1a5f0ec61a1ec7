"""What a model is sent of a conversation that was made elsewhere, or for another model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

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


def test_a_late_system_turn_before_an_answer_joins_the_question_before_it():
    talk = [Message("user", "q"), Message("system", "S"), Message("assistant", "a")]
    turns = sent(SYSTEM_FIRST, [*talk, Message("user", "q2")])
    assert shown(turns) == [("user", "q\n\nS"), ("assistant", "a"), ("user", "q2")]


def test_an_answer_without_words_and_calls_is_not_sent():
    talk = [Message("user", "q"), Message("assistant", "", reasoning="r"), Message("user", "q2")]
    assert shown(sent(LENIENT, talk)) == [("user", "q"), ("user", "q2")]
    assert shown(sent(STRICT, talk)) == [("user", "q\n\nq2")]


CUT_MEMORY = [Message("assistant", "", (CALL,)), Message("tool", "3", tool_call_id="c1")]


def test_an_agents_memory_that_lost_the_question_is_told_under_the_system_text():
    """Templates that want the system turn first want a turn of the user's too."""
    turns = sent(SYSTEM_FIRST, [Message("system", "S"), *CUT_MEMORY])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert turns[0]["content"] == "S"
    assert [turn["role"] for turn in sent(LENIENT, CUT_MEMORY)] == ["assistant", "tool"]


@pytest.mark.parametrize("model_info", [SYSTEM_FIRST, STRICT, LENIENT], ids=lambda m: m.id)
def test_system_turns_alone_are_the_question(model_info):
    talk = [Message("system", "Translate:"), Message("system", "Hello.")]
    assert shown(sent(model_info, talk)) == [("user", "Translate:\n\nHello.")]


@pytest.mark.parametrize(
    ("model_info", "talk"),
    [
        (SYSTEM_FIRST, CUT_MEMORY),
        (LENIENT, [Message("system", "S"), Message("assistant", "a")]),
        (LENIENT, [Message("assistant", "a")]),
        (PROMPT_ONLY, [Message("assistant", "a")]),
    ],
)
def test_a_conversation_without_a_question_is_refused(model_info, talk):
    with pytest.raises(UnsupportedInputError, match="user message") as caught:
        chat_request(model_info, talk)
    assert caught.value.model == model_info.id


def test_a_model_that_knows_tools_and_wants_strict_turns_reads_calls_in_words():
    model_info = replace(STRICT, tools=True)
    talk = [Message("user", "q"), *CUT_MEMORY]
    assert shown(sent(model_info, talk)) == [
        ("user", "q"),
        ("assistant", 'Call of add: {"a": 1}'),
        ("user", "Result of add:\n3"),
    ]


def test_only_a_result_says_which_call_it_answers():
    turns = sent(LENIENT, [Message("user", "q", tool_call_id="c1")])
    assert turns == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message("judge", "x"), r"messages\[1\] \(judge\): unknown role 'judge'"),
        (Message("user", " "), r"messages\[1\] \(user\): .*empty"),
        (Message("user", "x", (CALL,)), r"messages\[1\] \(user\): .*assistant can call tools"),
        (Message("tool", "\ud800"), r"messages\[1\] \(tool\): .*surrogate"),
        (Message("system", 7), r"messages\[1\] \(system\): content must be text, not int"),
    ],
)
def test_a_message_that_no_model_takes_is_named_by_place_and_role(message, reason):
    with pytest.raises(UnsupportedInputError, match=reason):
        chat_request(LENIENT, [Message("user", "q"), message])


def test_a_call_without_a_result_is_told_with_that_to_a_model_without_tools():
    turns = sent(STRICT, [Message("user", "q"), Message("assistant", "", (CALL,))])
    assert shown(turns)[1:] == [
        ("assistant", 'Call of add: {"a": 1}'),
        ("user", "Result of add:\nNo result of this call is known."),
    ]
