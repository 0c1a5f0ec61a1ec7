"""From messages and options to the exact body, or to a refusal before anything is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from dashscope_oss import (
    ContextLengthError,
    Message,
    ModelInfo,
    Options,
    ToolCall,
    UnsupportedInputError,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.protocol.request import Request, headers

HOSTED = find_model("glm-5")
LLAMA2 = find_model("llama2-7b-chat-v2")
LLAMA3 = find_model("llama3-8b-instruct")
ZIYA = find_model("ziya-llama-13b-v1")
BELLE = find_model("belle-llama-13b-2m-v1")
BILLA = find_model("billa-7b-sft-v1")
BAICHUAN = find_model("baichuan-7b-v1")
SEEN = find_model("kimi-k2.5")
ALWAYS = find_model("MiniMax-M2.5")

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def user(text: str) -> Message:
    return Message("user", text)


def asked(model_info: ModelInfo = HOSTED, *, stream: bool = False, **options: object) -> Request:
    return chat_request(model_info, [user("q")], Options(**options), stream=stream)


def parameters(request: Request) -> dict[str, object]:
    return json.loads(request.content)["parameters"]


@pytest.mark.parametrize("model_info", [HOSTED, LLAMA3, ZIYA, BAICHUAN, SEEN], ids=lambda r: r.id)
@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "list of messages is empty"),
        ([user("")], "empty"),
        ([user(" \n\t")], "empty"),
        ([user("q"), Message("assistant", "a"), user("")], "empty"),
        ([Message("human", "q")], "unknown role 'human'; use one of system, user"),
        ([user("a\ud800b")], "lone surrogate"),
        ([Message("system", "\udfff"), user("q")], "lone surrogate"),
        ([user(None)], "content must be text, not NoneType"),
        ([user(["q"])], "content must be text, not list"),
        ([user(b"q")], "content must be text, not bytes"),
    ],
)
def test_messages_that_no_model_takes_are_refused(model_info, messages, why):
    with pytest.raises(UnsupportedInputError, match=why) as caught:
        chat_request(model_info, messages)
    assert caught.value.model == model_info.id


@pytest.mark.parametrize("model_info", [HOSTED, LLAMA3, ZIYA, BAICHUAN, SEEN], ids=lambda r: r.id)
@pytest.mark.parametrize(("prompt", "why"), [("", "empty"), (" ", "empty"), ("\ud800", "surrog")])
@pytest.mark.parametrize("formatted", [True, False, None])
def test_a_prompt_that_no_model_takes_is_refused(model_info, prompt, why, formatted):
    with pytest.raises(UnsupportedInputError, match=why):
        completion_request(model_info, prompt, formatted=formatted)


@pytest.mark.parametrize("model_info", [LLAMA2, LLAMA3, ZIYA, BAICHUAN], ids=lambda r: r.id)
@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([user("q"), Message("assistant", "a")], "last message must come from the user"),
        ([Message("assistant", "a"), user("q")], "begin with a user message"),
        ([user("q"), Message("tool", "3"), user("q")], "knows no tools"),
        (
            [user("q"), Message("assistant", "", (ToolCall("c", "f", "{}"),)), user("q")],
            "knows no tools",
        ),
    ],
)
def test_conversations_that_a_strict_model_cannot_carry_are_refused(model_info, messages, why):
    with pytest.raises(UnsupportedInputError, match=why) as caught:
        chat_request(model_info, messages)
    assert caught.value.model == model_info.id


def test_a_late_system_message_is_refused_by_a_strict_model_and_sent_to_another():
    talk = [user("q"), Message("assistant", "a"), Message("system", "S"), user("q")]
    with pytest.raises(UnsupportedInputError, match="must come first"):
        chat_request(LLAMA2, talk)
    sent = json.loads(chat_request(HOSTED, talk).content)["input"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "system", "user"]


def test_neighbours_are_merged_for_a_strict_model_and_left_alone_for_another():
    talk = [user("a"), user("b")]
    assert chat_request(LLAMA2, talk).body["input"] == {
        "messages": [{"role": "user", "content": "a\n\nb"}]
    }
    assert len(json.loads(chat_request(HOSTED, talk).content)["input"]["messages"]) == 2


@pytest.mark.parametrize("model_info", [LLAMA2, ZIYA], ids=lambda r: r.id)
def test_an_input_that_is_surely_over_the_limit_is_refused(model_info):
    with pytest.raises(ContextLengthError, match="the model takes 2048") as caught:
        chat_request(model_info, [user("word " * 2100)])
    assert caught.value.model == model_info.id
    with pytest.raises(ContextLengthError, match="the model takes 2048"):
        completion_request(model_info, "宫" * 2100)


def test_an_input_that_may_fit_is_sent():
    chat_request(LLAMA2, [user("word " * 1900)])
    chat_request(LLAMA3, [user("a " * 6000)])
    chat_request(replace(LLAMA2, max_input=None, context_window=None), [user("word " * 9000)])


@pytest.mark.parametrize(
    ("model_info", "options", "why"),
    [
        (LLAMA3, {"max_tokens": 1501}, "max_tokens is 1501, the model gives at most 1500"),
        (HOSTED, {"max_tokens": 0}, "Range of max_tokens should be"),
        (HOSTED, {"max_tokens": -1}, "Range of max_tokens should be"),
        (LLAMA2, {"tools": [TOOL]}, "knows no tools"),
        (ZIYA, {"tools": [TOOL]}, "knows no tools"),
        (LLAMA2, {"enable_thinking": True}, "cannot think"),
        (ZIYA, {"enable_thinking": True}, "cannot think"),
        (ALWAYS, {"enable_thinking": False}, "always thinks"),
        (HOSTED, {"temperature": float("nan")}, "temperature is nan"),
        (HOSTED, {"top_p": float("inf")}, "top_p is inf"),
        (HOSTED, {"extra": {"custom": float("-inf")}}, "custom is -inf"),
        (HOSTED, {"extra": {"custom": {"deep": [float("nan")]}}}, "custom"),
        (HOSTED, {"stop": "\ud800"}, "surrogate"),
        (HOSTED, {"stop": ["a", "\ud800"]}, "surrogate"),
        (HOSTED, {"extra": {"custom": "\ud800"}}, "surrogate"),
        (HOSTED, {"extra": {"custom": object()}}, "custom"),
    ],
)
def test_options_that_cannot_be_sent_are_refused(model_info, options, why):
    with pytest.raises(UnsupportedInputError, match=why) as caught:
        asked(model_info, **options)
    assert caught.value.model == model_info.id


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", "", (ToolCall("c", "f", '"\ud800"'),)),
        Message("assistant", "a", reasoning="\ud800"),
    ],
)
def test_a_lone_surrogate_anywhere_in_a_message_is_refused(message):
    with pytest.raises(UnsupportedInputError, match="surrogate"):
        chat_request(
            HOSTED, [user("q"), message, Message("tool", "3", tool_call_id="c"), user("q")]
        )


def test_max_tokens_up_to_the_limit_are_sent():
    assert parameters(asked(LLAMA3, max_tokens=1500))["max_tokens"] == 1500


def test_thinking_turned_off_on_a_model_without_it_is_no_error_and_not_sent():
    assert "enable_thinking" not in parameters(asked(LLAMA2, enable_thinking=False))


def test_only_what_was_set_goes_on_the_wire():
    assert parameters(asked(ZIYA)) == {}
    assert parameters(asked(LLAMA2)) == {"result_format": "message"}
    assert parameters(asked(SEEN, enable_thinking=False)) == {"enable_thinking": False}
    assert parameters(asked(ZIYA, stop=[], tools=None)) == {}


def test_nought_and_false_are_said_and_so_are_sent():
    said = {"temperature": 0.0, "top_k": 0, "seed": 0, "presence_penalty": 0.0}
    assert parameters(asked(ZIYA, **said)) == said
    assert parameters(asked(HOSTED, parallel_tool_calls=False))["parallel_tool_calls"] is False


def test_every_option_goes_on_the_wire_under_its_own_name():
    said = {
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
    form = {"type": "json_object"}
    sent = parameters(asked(HOSTED, **said))
    assert parameters(asked(HOSTED, response_format=form))["response_format"] == form
    assert sent == {
        "result_format": "message",
        **said,
        "incremental_output": True,  # thinking asks for a stream
    }


def test_extra_wins_over_everything_else():
    extra = {"temperature": 1, "result_format": "text", "incremental_output": False, "new": [1]}
    assert parameters(asked(LLAMA2, stream=True, temperature=0.5, extra=extra)) == extra


def test_options_are_merged_and_unknown_names_go_to_extra():
    options = Options(temperature=0.5, extra={"a": 1}).merged({"temperature": 0.7, "b": 2})
    assert options == Options(temperature=0.7, extra={"a": 1, "b": 2})


def test_options_of_an_object_are_its_attributes_of_the_same_names():
    @dataclass
    class Settings:
        temperature: float = 0.5
        top_k: int | None = None
        other: int = 3

    assert Options.of(Settings()) == Options(temperature=0.5)


def test_a_request_does_not_change_what_it_was_given():
    extra = {"a": 1}
    messages = [user("q"), user("r")]
    chat_request(LLAMA2, messages, Options(extra=extra), stream=True)
    assert (extra, messages) == ({"a": 1}, [user("q"), user("r")])


def test_content_stands_in_parts_at_the_multimodal_endpoint():
    request = chat_request(SEEN, [Message("system", "S"), user("q")])
    assert request.path == "services/aigc/multimodal-generation/generation"
    assert request.body["input"] == {
        "messages": [
            {"role": "system", "content": [{"text": "S"}]},
            {"role": "user", "content": [{"text": "q"}]},
        ]
    }
    assert "result_format" not in parameters(request)


def test_the_text_endpoint():
    assert asked(ZIYA).path == "services/aigc/text-generation/generation"


def test_tool_turns_reasoning_and_partial_answers_on_the_wire():
    request = chat_request(
        HOSTED,
        [
            user("q"),
            Message("assistant", "", (ToolCall("c1", "add", "{}"),), reasoning="hm"),
            Message("tool", "3", tool_call_id="c1"),
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


@pytest.mark.parametrize(
    ("id", "options", "must"),
    [
        ("ziya-llama-13b-v1", {}, False),
        ("llama3-8b-instruct", {}, False),
        ("glm-5", {}, True),
        ("glm-5", {"enable_thinking": False}, False),
        ("glm-5", {"enable_thinking": True}, True),
        ("glm-5", {"extra": {"enable_thinking": False}}, False),
        ("MiniMax-M2.5", {}, True),
        ("deepseek-v4-pro", {}, False),
        ("deepseek-v4-pro", {"enable_thinking": True}, False),
        ("qwq-32b", {}, True),
    ],
)
def test_calls_that_the_service_takes_as_a_stream_only(id, options, must):
    request = asked(find_model(id), **options)
    assert request.must_stream is must
    assert not request.stream
    assert parameters(request).get("incremental_output", False) is must


@pytest.mark.parametrize(
    ("incremental", "sent"), [("yes", True), ("forced", True), ("unknown", True), ("no", None)]
)
def test_new_pieces_are_asked_for_where_the_model_may_send_them(incremental, sent):
    request = asked(replace(LLAMA2, incremental=incremental), stream=True)
    assert parameters(request).get("incremental_output") is sent


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
def test_text_that_is_said_to_be_formatted_is_sent_as_it_is(model_info, form):
    for text in ("q", form.format("q"), form.format("q") + "begun answer"):
        assert completion_request(model_info, text, formatted=True).prompt == text


@each_prompt
def test_text_that_the_template_can_read_is_taken_as_formatted(model_info, form):
    text = form.format("q")
    assert completion_request(model_info, text).prompt == text
    assert completion_request(model_info, form.format("q") + "a").prompt != form.format("q") + "a"


@each_prompt
def test_text_that_is_said_to_be_plain_cannot_forge_a_turn(model_info, form):
    sent = completion_request(model_info, form.format("q"), formatted=False).prompt
    assert len(model_info.template.parse(sent)) == 1
    assert sent != form.format("q")


@pytest.mark.parametrize("formatted", [True, False, None])
def test_a_base_model_gets_the_text_as_it_is(formatted):
    text = "登鹳雀楼->王之涣\n夜雨寄北->"
    assert completion_request(BAICHUAN, text, formatted=formatted).body["input"] == {"prompt": text}


@pytest.mark.parametrize("formatted", [True, False, None])
def test_a_model_of_prompts_and_messages_gets_the_prompt_as_it_is(formatted):
    request = completion_request(LLAMA2, "[INST] q [/INST]", formatted=formatted)
    assert request.body["input"] == {"prompt": "[INST] q [/INST]"}
    assert request.prompt == "[INST] q [/INST]"
    assert parameters(request) == {}


def test_a_model_of_messages_gets_one_user_message():
    request = completion_request(LLAMA3, "q")
    assert request.body["input"] == {"messages": [{"role": "user", "content": "q"}]}
    assert request.prompt is None


def test_a_prompt_only_record_without_a_template_says_what_is_missing():
    model_info = ModelInfo(id="mine", family="f", maker="m", inputs=("prompt",))
    with pytest.raises(UnsupportedInputError, match="names no template"):
        chat_request(model_info, [user("q")])


@pytest.mark.parametrize("text", ["\x00\x07\x1b", "👩‍👩‍👧", "שלום", "\u2028", '"\\', "a" * 100_000])
def test_odd_text_is_sent_exactly(text):
    model_info = replace(HOSTED, context_window=None)
    sent = json.loads(chat_request(model_info, [user("x" + text)]).content)
    assert sent["input"]["messages"][0]["content"] == "x" + text


def test_a_header_of_the_callers_own_stands_for_ours_however_it_is_written():
    given = {"accept-encoding": "identity", "USER-AGENT": "mine/1"}
    sent = headers(stream=False, key=None, workspace=None, extra=given, agent="a/1")
    assert sorted(name.lower() for name in sent) == [
        "accept",
        "accept-encoding",
        "content-type",
        "user-agent",
    ]
    assert sent["accept-encoding"] == "identity"


def test_headers():
    assert headers(stream=False, key=None, workspace=None, extra={}, agent="a/1") == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": "a/1",
    }
    sent = headers(stream=True, key="sk-1", workspace="ws_1", extra={"X-Own": "1"}, agent="a/1")
    assert sent == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": "a/1",
        "X-DashScope-SSE": "enable",
        "Authorization": "Bearer sk-1",
        "X-DashScope-WorkSpace": "ws_1",
        "X-Own": "1",
    }
    extra = {"User-Agent": "mine"}
    assert headers(stream=False, key=None, workspace=None, extra=extra, agent="a")[
        "User-Agent"
    ] == ("mine")


def test_a_forced_tool_turns_thinking_off_where_that_can_be():
    """The service forces no tool while a model thinks: the call is mended or refused."""
    forced = {"type": "function", "function": {"name": "add"}}
    turns = [Message("user", "1 + 2?")]

    mended = chat_request(find_model("deepseek-v4-pro"), turns, Options(tool_choice=forced))
    assert mended.body["parameters"]["enable_thinking"] is False
    form = Options(response_format={"type": "json_object"})
    assert (
        chat_request(find_model("glm-5"), turns, form).body["parameters"]["enable_thinking"]
        is False
    )
    for model, switch in (("deepseek-v4-pro", True), ("MiniMax-M2.5", None)):
        options = Options(tool_choice=forced, enable_thinking=switch)
        with pytest.raises(UnsupportedInputError, match="while the model thinks"):
            chat_request(find_model(model), turns, options)


def test_a_slip_of_the_pen_in_a_parameter_is_told():
    """A name that is almost a parameter is refused; others go through as they are."""
    turns = [Message("user", "hi")]
    with pytest.raises(UnsupportedInputError, match="did you mean 'temperature'"):
        chat_request(find_model("glm-5"), turns, Options(extra={"temprature": 1}))
    with pytest.raises(UnsupportedInputError, match="stop holds an empty text"):
        chat_request(find_model("glm-5"), turns, Options(stop=["a", ""]))
    assert chat_request(find_model("glm-5"), turns, Options(extra={"brand_new": 1})).body[
        "parameters"
    ]


def test_what_is_no_record_or_no_message_is_told():
    """The error names what to pass."""
    with pytest.raises(TypeError, match=r"find_model\('glm-5'\)"):
        chat_request("glm-5", [Message("user", "hi")])
    with pytest.raises(TypeError, match="list of Message"):
        chat_request(find_model("glm-5"), "hi")


def test_a_parameter_that_is_nested_too_deeply_is_refused():
    """Not a RecursionError."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnsupportedInputError, match="custom is nested too deeply"):
        asked(HOSTED, extra={"custom": deep})


@pytest.mark.parametrize("value", ["hot", True, [0.5]])
def test_a_parameter_that_is_no_number_is_refused_by_its_range(value):
    with pytest.raises(UnsupportedInputError, match="temperature"):
        asked(HOSTED, temperature=value)


def test_strict_checks_let_through_what_the_page_documents():
    request = asked(LLAMA2, extra={"result_format": "message"}, strict=True)
    assert parameters(request)["result_format"] == "message"


def test_no_tools_are_not_sent():
    """The service refuses an empty list."""
    assert "tools" not in parameters(asked(HOSTED, tools=[]))


def test_the_text_of_a_conversation_in_parts_is_counted():
    request = chat_request(SEEN, [Message("system", "S"), user("question")])
    assert request.text == "S\nquestion"


def test_thinking_that_is_off_already_is_left_off_for_a_forced_tool():
    request = asked(HOSTED, tools=[TOOL], tool_choice=TOOL, enable_thinking=False)
    assert parameters(request)["enable_thinking"] is False


def test_a_number_beyond_all_numbers_is_refused_by_its_range():
    with pytest.raises(UnsupportedInputError, match="temperature"):
        asked(HOSTED, temperature=10**400)
