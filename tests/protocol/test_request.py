"""From messages and options to the exact body and headers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dashscope_oss import (
    DashScopeWarning,
    Message,
    Options,
    ToolCall,
    UnsupportedInputError,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.protocol.request import headers

HOSTED = find_model("glm-5")
LLAMA2 = find_model("llama2-7b-chat-v2")
LLAMA3 = find_model("llama3-8b-instruct")
ZIYA = find_model("ziya-llama-13b-v1")
BELLE = find_model("belle-llama-13b-2m-v1")
BILLA = find_model("billa-7b-sft-v1")
BAICHUAN = find_model("baichuan-7b-v1")
MULTIMODAL = find_model("kimi-k2.5")

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def user(text):
    return Message("user", text)


def ask(model_info=HOSTED, *, stream=False, **options):
    return chat_request(model_info, [user("q")], Options(**options), stream=stream)


def parameters(request):
    return json.loads(request.content)["parameters"]


# Parameters


def test_only_what_was_set_is_sent():
    assert parameters(ask(ZIYA)) == {}
    assert parameters(ask(LLAMA2)) == {"result_format": "message"}
    assert parameters(ask(MULTIMODAL, enable_thinking=False)) == {"enable_thinking": False}
    assert parameters(ask(ZIYA, stop=[], tools=None)) == {}


def test_nought_and_false_are_set_and_so_are_sent():
    values = {"temperature": 0.0, "top_k": 0, "seed": 0, "presence_penalty": 0.0}
    assert parameters(ask(ZIYA, **values)) == values
    assert parameters(ask(HOSTED, parallel_tool_calls=False))["parallel_tool_calls"] is False


def test_an_empty_list_of_tools_is_not_sent():
    """The service refuses one."""
    assert "tools" not in parameters(ask(HOSTED, tools=[]))


def test_every_option_is_sent_under_its_own_name():
    values = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "seed": 7,
        "max_tokens": 100,
        "stop": ["\n\n"],
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "enable_thinking": True,
        "thinking_budget": 50,
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    assert parameters(ask(HOSTED, **values)) == {
        "result_format": "message",
        **values,
        "incremental_output": True,  # thinking asks for a stream
    }
    json_mode = {"type": "json_object"}
    assert parameters(ask(HOSTED, response_format=json_mode))["response_format"] == json_mode


def test_extra_wins_over_everything_else():
    extra = {"temperature": 1, "result_format": "text", "incremental_output": False, "new": [1]}
    assert parameters(ask(LLAMA2, stream=True, temperature=0.5, extra=extra)) == extra
    assert parameters(ask(ZIYA, temperature=0.5, extra={"temperature": None})) == {
        "temperature": 0.5
    }


def test_a_request_does_not_change_what_it_is_made_of():
    extra, messages = {"a": 1}, [user("q"), user("r")]
    chat_request(LLAMA2, messages, Options(extra=extra), stream=True)
    assert (extra, messages) == ({"a": 1}, [user("q"), user("r")])


def test_thinking_turned_off_on_a_model_without_it_is_no_error_and_not_sent():
    assert "enable_thinking" not in parameters(ask(LLAMA2, enable_thinking=False))


@pytest.mark.parametrize(
    ("id", "options", "must"),
    [
        ("ziya-llama-13b-v1", {}, False),
        ("glm-5", {}, True),
        ("glm-5", {"enable_thinking": False}, False),
        ("glm-5", {"enable_thinking": True}, True),
        ("glm-5", {"extra": {"enable_thinking": False}}, False),
        ("MiniMax-M2.5", {}, True),
        ("deepseek-v4-pro", {"enable_thinking": True}, False),
        ("qwq-32b", {}, True),
    ],
)
def test_calls_that_the_service_takes_as_a_stream_only(id, options, must):
    request = ask(find_model(id), **options)
    assert request.must_stream is must
    assert not request.stream
    assert parameters(request).get("incremental_output", False) is must


@pytest.mark.parametrize(
    ("incremental", "sent"), [("yes", True), ("forced", True), ("unknown", True), ("no", None)]
)
def test_new_text_is_asked_for_where_the_model_may_send_it(incremental, sent):
    request = ask(replace(LLAMA2, incremental=incremental), stream=True)
    assert parameters(request).get("incremental_output") is sent


@pytest.mark.parametrize("asked", [True, False])
def test_new_text_is_not_spoken_of_where_nothing_streams(asked):
    """The service refuses it there."""
    for options in ({"extra": {"incremental_output": asked}}, {}):
        assert "incremental_output" not in parameters(ask(LLAMA2, **options))
    assert parameters(ask(extra={"incremental_output": asked}, stream=True)) == {
        "result_format": "message",
        "incremental_output": asked,
    }


def test_a_strict_caller_asks_for_new_text_only_where_the_page_documents_that():
    assert parameters(ask(LLAMA2, strict=True, stream=True)) == {"result_format": "message"}
    assert parameters(ask(strict=True, stream=True))["incremental_output"] is True


def test_a_strict_caller_may_ask_for_text_where_the_page_documents_that():
    request = ask(BAICHUAN, strict=True, extra={"result_format": "text"})
    assert parameters(request) == {"result_format": "text"}
    with pytest.raises(UnsupportedInputError, match="documents no result_format"):
        ask(BELLE, strict=True, extra={"result_format": "text"})


FORCED = {"type": "function", "function": {"name": "add"}}
JSON_MODE = {"type": "json_object"}


@pytest.mark.parametrize("forced", [{"tool_choice": FORCED}, {"response_format": JSON_MODE}])
def test_thinking_is_turned_off_for_what_is_forced_or_the_call_is_refused(forced):
    """The service forces nothing while a model thinks."""
    assert parameters(ask(HOSTED, **forced))["enable_thinking"] is False
    off = ask(HOSTED, enable_thinking=False, **forced)
    assert parameters(off)["enable_thinking"] is False
    assert "enable_thinking" not in parameters(ask(LLAMA2, **forced))
    for model_info, switch in ((HOSTED, True), (find_model("MiniMax-M2.5"), None)):
        with pytest.raises(UnsupportedInputError, match="while the model thinks"):
            ask(model_info, enable_thinking=switch, **forced)


def test_nothing_is_turned_off_where_nothing_is_forced():
    for free in ({"tool_choice": "auto"}, {"response_format": {"type": "text"}}):
        assert "enable_thinking" not in parameters(ask(HOSTED, **free))


# Messages


def test_neighbours_are_merged_for_a_strict_model_and_left_alone_for_another():
    messages = [user("a"), user("b")]
    assert chat_request(LLAMA2, messages).body["input"] == {
        "messages": [{"role": "user", "content": "a\n\nb"}]
    }
    assert len(chat_request(HOSTED, messages).body["input"]["messages"]) == 2


def test_content_stands_in_parts_at_the_multimodal_endpoint():
    request = chat_request(MULTIMODAL, [Message("system", "S"), user("q")])
    assert request.path == "services/aigc/multimodal-generation/generation"
    assert request.body["input"] == {
        "messages": [
            {"role": "system", "content": [{"text": "S"}]},
            {"role": "user", "content": [{"text": "q"}]},
        ]
    }
    assert "result_format" not in parameters(request)
    assert request.text == "S\nq"


def test_the_text_endpoint():
    assert ask(ZIYA).path == "services/aigc/text-generation/generation"


def test_tool_turns_reasoning_and_partial_answers():
    request = chat_request(
        HOSTED,
        [
            user("q"),
            Message("assistant", "", (ToolCall("c1", "add", "{}"),), reasoning="hm"),
            Message("tool", "3", tool_call_id="c1", tool_name="add"),
            Message("assistant", "It is", partial=True),
        ],
    )
    function = {"name": "add", "arguments": "{}"}
    assert json.loads(request.content)["input"]["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": function, "index": 0}],
            "reasoning_content": "hm",
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is", "partial": True},
    ]


def test_calls_keep_the_index_that_they_state():
    calls = (ToolCall("a", "f", "{}", 3), ToolCall("b", "g", "{}"))
    request = chat_request(HOSTED, [user("q"), Message("assistant", "", calls), user("q")])
    sent = request.body["input"]["messages"][1]["tool_calls"]
    assert [call["index"] for call in sent] == [3, 1]


@pytest.mark.parametrize("text", ["\x00\x07\x1b", "👩‍👩‍👧", "שלום", "\u2028", '"\\', "a" * 100_000])
def test_odd_text_is_sent_exactly(text):
    model_info = replace(HOSTED, context_window=None)
    sent = json.loads(chat_request(model_info, [user("x" + text)]).content)
    assert sent["input"]["messages"][0]["content"] == "x" + text


# Prompts

PROMPTS = [
    (ZIYA, "<human>:{}\n<bot>:"),
    (BELLE, "Human:{}\n\nAssistant:"),
    (BILLA, "Human: {}\nAssistant: "),
]
each_prompt = pytest.mark.parametrize(
    ("model_info", "form"), PROMPTS, ids=[model_info.id for model_info, _ in PROMPTS]
)


@each_prompt
def test_plain_text_is_put_into_the_template(model_info, form):
    assert completion_request(model_info, "q").prompt == form.format("q")
    assert completion_request(model_info, "q", formatted=False).prompt == form.format("q")


@each_prompt
def test_text_that_the_caller_calls_formatted_is_sent_as_it_is(model_info, form):
    for text in ("q", form.format("q"), form.format("q") + "begun answer"):
        assert completion_request(model_info, text, formatted=True).prompt == text


@each_prompt
def test_text_in_the_form_of_the_template_is_taken_for_formatted(model_info, form):
    text = form.format("q")
    assert completion_request(model_info, text).prompt == text
    assert completion_request(model_info, text + "a").prompt != text + "a"


@each_prompt
def test_text_that_the_caller_calls_plain_cannot_forge_a_turn(model_info, form):
    sent = completion_request(model_info, form.format("q"), formatted=False).prompt
    assert len(model_info.template.parse(sent)) == 1
    assert sent != form.format("q")


WRITTEN = [
    *((model_info, form.format("q")) for model_info, form in PROMPTS),
    (LLAMA2, "<s>[INST] q [/INST]"),
    (LLAMA2, "[INST] q [/INST]"),
    (LLAMA3, LLAMA3.template.render([user("q")])),
    (find_model("baichuan2-7b-chat-v1"), "<reserved_106>q<reserved_107>"),
]


@pytest.mark.parametrize(("model_info", "text"), WRITTEN)
def test_a_message_in_the_form_of_the_template_is_not_wrapped_again_without_a_word(
    model_info, text
):
    with pytest.warns(DashScopeWarning, match=f"{model_info.id}.*own form.*once more"):
        chat_request(model_info, [user(text)])


def test_a_prompt_for_a_model_of_messages_is_not_wrapped_without_a_word_either():
    with pytest.warns(DashScopeWarning, match="without the marks of turns"):
        completion_request(LLAMA3, LLAMA3.template.render([Message("system", "s"), user("q")]))


@pytest.mark.parametrize("text", ["<human>: is a mark", "Human: hi", "q [/INST]", "登鹳雀楼->"])
def test_a_message_that_only_mentions_the_marks_of_a_template_is_no_prompt(text):
    for model_info in (ZIYA, BELLE, LLAMA2, BAICHUAN):
        chat_request(model_info, [user(text)])


@pytest.mark.parametrize("formatted", [True, False, None])
def test_a_base_model_and_one_of_prompts_and_messages_get_the_prompt_as_it_is(formatted):
    text = "登鹳雀楼->王之涣\n夜雨寄北->"
    assert completion_request(BAICHUAN, text, formatted=formatted).body["input"] == {"prompt": text}
    request = completion_request(LLAMA2, "[INST] q [/INST]", formatted=formatted)
    assert request.body["input"] == {"prompt": "[INST] q [/INST]"}
    assert request.prompt == request.text == "[INST] q [/INST]"
    assert parameters(request) == {}


def test_a_model_of_messages_gets_one_user_message():
    request = completion_request(LLAMA3, "q")
    assert request.body["input"] == {"messages": [{"role": "user", "content": "q"}]}
    assert request.prompt is None


# Headers

PLAIN_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "a/1",
}


def sent_headers(**settings):
    defaults = {"stream": False, "key": None, "workspace": None, "extra": {}, "agent": "a/1"}
    return headers(**{**defaults, **settings})


def test_headers_of_a_call():
    assert sent_headers() == PLAIN_HEADERS
    assert sent_headers(stream=True, key="sk-1", workspace="ws_1", extra={"X-Own": "1"}) == {
        **PLAIN_HEADERS,
        "Accept": "text/event-stream",
        "X-DashScope-SSE": "enable",
        "Authorization": "Bearer sk-1",
        "X-DashScope-WorkSpace": "ws_1",
        "X-Own": "1",
    }


def test_a_header_of_the_callers_replaces_ours_however_it_is_spelt():
    sent = sent_headers(extra={"accept-encoding": "identity", "USER-AGENT": "mine/1"})
    assert sent == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "accept-encoding": "identity",
        "USER-AGENT": "mine/1",
    }


BEGUN = [Message("user", "q"), Message("assistant", "Once", partial=True)]


@pytest.mark.parametrize(("id", "sent"), [("glm-5", False), ("qwen3-coder-next", None)])
def test_an_answer_that_has_begun_is_continued_without_thinking(id, sent):
    """Where the model can do without."""
    request = chat_request(find_model(id), BEGUN)
    assert request.body["input"]["messages"][-1]["partial"] is True
    assert request.parameters.get("enable_thinking") is sent


def test_of_a_model_that_always_thinks_the_service_decides_about_it():
    with pytest.warns(DashScopeWarning, match="kimi-k3: the service continues no answer of a mod"):
        request = chat_request(find_model("kimi-k3"), BEGUN)
    assert request.body["input"]["messages"][-1]["partial"] is True


def test_an_answer_that_was_continued_is_an_answer_like_others_later():
    goes_on = [*BEGUN, Message("assistant", " upon a time"), Message("user", "and then?")]
    turns = chat_request(find_model("glm-5"), goes_on).body["input"]["messages"]
    assert [turn for turn in turns if "partial" in turn] == []
    prompt = chat_request(find_model("ziya-llama-13b-v1"), goes_on).body["input"]["prompt"]
    assert prompt.endswith("and then?\n<bot>:")


def test_an_answer_cannot_be_continued_while_the_model_thinks():
    with pytest.raises(UnsupportedInputError, match="cannot be continued while the model thinks"):
        chat_request(find_model("glm-5"), BEGUN, Options(enable_thinking=True))
