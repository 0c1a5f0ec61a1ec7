"""What is refused before anything is sent, for every kind of model, and what to do instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashscope_oss import (
    ContextLengthError,
    DashScopeWarning,
    Message,
    ModelInfo,
    Options,
    ToolCall,
    UnsupportedInputError,
    chat_request,
    completion_request,
    find_model,
)

HOSTED = find_model("glm-5")
LLAMA2 = find_model("llama2-7b-chat-v2")
LLAMA3 = find_model("llama3-8b-instruct")
ZIYA = find_model("ziya-llama-13b-v1")
BAICHUAN = find_model("baichuan-7b-v1")
MULTIMODAL = find_model("kimi-k2.5")
ALWAYS_THINKS = find_model("MiniMax-M2.5")
EVERY_KIND = (HOSTED, LLAMA3, ZIYA, BAICHUAN, MULTIMODAL)

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = ToolCall("c", "f", "{}")


def user(text):
    return Message("user", text)


def answer(text, *calls):
    return Message("assistant", text, calls)


def ask(model_info=HOSTED, **options):
    return chat_request(model_info, [user("q")], Options(**options))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "list of messages is empty"),
        ([user("")], "empty"),
        ([user(" \n\t")], "empty"),
        ([user("q"), answer("a"), user("")], "empty"),
        ([Message("human", "q")], "unknown role 'human'; use one of system, user"),
        ([Message("user", "q", partial=True)], "only an answer, a message of the role assistant"),
        ([user("a\ud800b")], "lone surrogate"),
        ([Message("system", "\udfff"), user("q")], "lone surrogate"),
        ([user(None)], "content must be text, not NoneType"),
        ([user(["q"])], "content must be text, not list"),
    ],
)
def test_messages_that_no_model_takes(messages, reason):
    for model_info in EVERY_KIND:
        with pytest.raises(UnsupportedInputError, match=reason) as caught:
            chat_request(model_info, messages)
        assert caught.value.model == model_info.id


@pytest.mark.parametrize(("prompt", "reason"), [("", "empty"), (" ", "empty"), ("\ud800", "surr")])
def test_a_prompt_that_no_model_takes(prompt, reason):
    for model_info in EVERY_KIND:
        for formatted in (True, False, None):
            with pytest.raises(UnsupportedInputError, match=reason):
                completion_request(model_info, prompt, formatted=formatted)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([user("q"), answer("a")], "last message must come from the user"),
        ([answer("a")], "begin with a user message"),
    ],
)
def test_conversations_that_a_strict_model_cannot_take(messages, reason):
    for model_info in (LLAMA2, LLAMA3, ZIYA, BAICHUAN):
        with pytest.raises(UnsupportedInputError, match=reason) as caught:
            chat_request(model_info, messages)
        assert caught.value.model == model_info.id


@pytest.mark.parametrize("model_info", [LLAMA2, ZIYA], ids=lambda model_info: model_info.id)
def test_an_input_that_is_surely_over_the_limit(model_info):
    with pytest.raises(ContextLengthError, match="the model takes 2048") as caught:
        chat_request(model_info, [user("word " * 2100)])
    assert caught.value.model == model_info.id
    with pytest.raises(ContextLengthError, match="the model takes 2048"):
        completion_request(model_info, "宫" * 2100)
    unchecked = Options(check_length=False)
    chat_request(model_info, [user("word " * 2100)], unchecked)
    completion_request(model_info, "宫" * 2100, unchecked)


def test_an_input_that_may_fit_is_sent():
    chat_request(LLAMA2, [user("word " * 1900)])
    chat_request(LLAMA3, [user("a " * 6000)])
    chat_request(replace(LLAMA2, max_input=None, context_window=None), [user("word " * 9000)])


REFUSED = [
    (LLAMA3, {"max_tokens": 1501}, "max_tokens is 1501, but the model writes at most 1500"),
    (LLAMA2, {"tools": [TOOL]}, "knows no tools; choose one that does"),
    (ZIYA, {"tools": [TOOL]}, "knows no tools"),
    (LLAMA2, {"enable_thinking": True}, "cannot think; leave enable_thinking out"),
    (LLAMA2, {"thinking_budget": 9}, "cannot think; leave thinking_budget out"),
    (
        replace(LLAMA3, max_tokens_counts_thoughts=True),
        {"max_completion_tokens": 1501},
        "max_completion_tokens is 1501, but the model writes at most 1500",
    ),
    (ALWAYS_THINKS, {"enable_thinking": False}, "always thinks"),
    (find_model("deepseek-v4-pro"), {"top_k": 5}, "does not support top_k"),
    (
        find_model("glm-5.3"),
        {"enable_search": True},
        "glm-5.3: this model cannot search the web; leave enable_search out, or choose",
    ),
    (LLAMA3, {"strict": True, "temperature": 0.5}, "documents no temperature"),
    (HOSTED, {"extra": {"n": 2}}, "one call gives one answer"),
    (HOSTED, {"stop": ""}, "stop holds an empty text"),
    (HOSTED, {"stop": ["a", ""]}, "stop holds an empty text"),
    (HOSTED, {"extra": {"temprature": 1}}, "did you mean 'temperature'"),
    (HOSTED, {"extra": {"extra_headers": {"a": "b"}}}, "not for the service; set default_headers"),
    (HOSTED, {"extra": {"openai_api_key": "sk-1"}}, "openai_api_key looks like a secret"),
    (HOSTED, {"temperature": float("nan")}, "temperature is nan"),
    (HOSTED, {"top_p": float("inf")}, "top_p is inf"),
    (HOSTED, {"presence_penalty": float("-inf")}, "presence_penalty is -inf"),
    (HOSTED, {"extra": {"custom": {"deep": [float("nan")]}}}, "custom holds"),
    (HOSTED, {"stop": "\ud800"}, "surrogate"),
    (HOSTED, {"stop": ["a", "\ud800"]}, "surrogate"),
    (HOSTED, {"extra": {"custom": "\ud800"}}, "custom cannot be written as JSON"),
    (HOSTED, {"extra": {"custom": object()}}, "custom cannot be written as JSON"),
    (HOSTED, {"extra": {"custom": b"\xff"}}, "custom cannot be written as JSON"),
    (HOSTED, {"extra": {"\ud800": 1}}, "cannot be written as JSON"),
]


def test_options_that_cannot_be_sent():
    """The error says what of which model."""
    wrong = [
        (options, said)
        for model_info, options, reason in REFUSED
        if reason not in (said := refusal(model_info, options))
        or not said.startswith(f"{model_info.id}: ")
    ]
    assert wrong == []


def refusal(model_info, options):
    """Return what is said of these options, nothing if they may be sent."""
    try:
        ask(model_info, **options)
    except UnsupportedInputError as error:
        return str(error)
    return ""


def test_a_limit_that_sources_dispute_warns_and_the_service_decides():
    disputed = replace(LLAMA3, disputed=("max_output",))
    with pytest.warns(DashScopeWarning, match=r"max_tokens is 1501.*1500.*sources disagree"):
        assert ask(disputed, max_tokens=1501).parameters["max_tokens"] == 1501


def test_what_no_source_states_warns_and_the_service_decides():
    """What a record says of a model because similar models are so."""
    guessed = replace(LLAMA3, guessed=("thinking",))
    with pytest.warns(DashScopeWarning, match=r"cannot think, says.*no public source states this"):
        assert ask(guessed, enable_thinking=True).parameters["enable_thinking"] is True


@pytest.mark.parametrize(
    "model_info",
    [
        find_model("qwen3.6-27b"),
        replace(find_model("glm-5.3"), web_search=True),
        find_model("qwen3-8b"),  # retired: the vendor's list of today says nothing of it
    ],
)
def test_a_search_is_asked_of_every_model_that_may_be_able_to(model_info):
    assert ask(model_info, enable_search=True).parameters["enable_search"] is True


def test_tools_and_levels_on_which_sources_differ_are_sent_with_a_warning():
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    distilled = find_model("deepseek-r1-distill-qwen-7b")
    with pytest.warns(DashScopeWarning, match=r"knows no tools, says its record.*sources disagree"):
        assert ask(distilled, tools=[tool]).parameters["tools"] == [tool]
    captured = find_model("deepseek-v4-pro")
    with pytest.warns(DashScopeWarning, match=r"'xhigh', but the model knows high, max, says"):
        assert ask(captured, reasoning_effort="xhigh").parameters["reasoning_effort"] == "xhigh"


# name: values that the vendor's range takes, values that it does not take
RANGES = {
    "temperature": ([0, 0.0, 1.99], [-0.1, 2, 2.0, "hot", True, [0.5], 10**400, -(10**400)]),
    "top_p": ([0.01, 1], [0, 1.01]),
    "top_k": ([0, 100], [-1, 0.5, True]),
    "repetition_penalty": ([0.1, 2], [0, -1]),
    "presence_penalty": ([-2, 2.0], [-2.1, 2.1]),
    "seed": ([0, 2**63 - 1], [-1, 2**63, 0.5]),
    "max_tokens": ([1, 16_384], [0, -1, 2**31]),
    "stop": (
        ["a", ["a", "b"], ("a", "b"), [1, 2], [[1], [2, 3]], ((1,), [2, 3])],
        [3, ["a", 1], [True], [["a"]], {"a": 1}],
    ),
    "result_format": (["text", "message"], ["xml", 1]),
    "n": ([1], [0, 5, "1"]),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_value_out_of_the_vendors_range_is_refused_in_its_words(name):
    good, bad = RANGES[name]
    for value in good:
        assert ask(HOSTED, extra={name: value}).parameters[name] == value
    for value in bad:
        with pytest.raises(UnsupportedInputError, match=f"{name} is "):
            ask(HOSTED, extra={name: value})


def test_a_name_that_nobody_knows_goes_through_as_it_is():
    assert ask(HOSTED, extra={"brand_new": 1}).parameters["brand_new"] == 1


def test_max_tokens_up_to_the_limit_are_sent():
    assert ask(LLAMA3, max_tokens=1500).parameters["max_tokens"] == 1500


def test_strict_checks_let_through_what_the_page_documents():
    request = ask(LLAMA2, extra={"result_format": "message"}, strict=True)
    assert request.parameters["result_format"] == "message"
    assert ask(HOSTED, temperature=0.5, strict=True).parameters["temperature"] == 0.5


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", "", (ToolCall("c", "f", '"\ud800"'),)),
        Message("assistant", "a", reasoning="\ud800"),
    ],
)
def test_a_lone_surrogate_anywhere_in_a_message(message):
    messages = [user("q"), message, Message("tool", "3", tool_call_id="c"), user("q")]
    with pytest.raises(UnsupportedInputError, match="surrogate"):
        chat_request(HOSTED, messages, Options(send_reasoning=True))


def test_a_parameter_that_is_nested_too_deeply_is_no_recursion_error():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnsupportedInputError, match="custom is nested too deeply"):
        ask(HOSTED, extra={"custom": deep})


def test_a_prompt_only_record_without_a_template_says_what_is_missing():
    model_info = ModelInfo(id="mine", family="f", maker="m", inputs=("prompt",))
    with pytest.raises(UnsupportedInputError, match="names no template"):
        chat_request(model_info, [user("q")])


def test_what_is_no_record_or_no_message_is_a_type_error_that_says_what_to_pass():
    with pytest.raises(TypeError, match=r"find_model\('glm-5'\)"):
        chat_request("glm-5", [user("hi")])
    with pytest.raises(TypeError, match="list of Message"):
        chat_request(HOSTED, "hi")


LEVELS = replace(find_model("glm-5"), id="levels", reasoning_efforts=("high", "max"))


def test_an_effort_is_one_of_the_models_levels():
    assert sent(LEVELS, reasoning_effort="max")["reasoning_effort"] == "max"
    with pytest.raises(UnsupportedInputError, match="'low', but the model knows high, max"):
        sent(LEVELS, reasoning_effort="low")


def test_a_model_that_cannot_think_takes_no_effort():
    with pytest.raises(UnsupportedInputError, match="cannot think; leave reasoning_effort out"):
        sent(find_model("llama3-8b-instruct"), reasoning_effort="low")


@pytest.mark.parametrize(
    "option",
    [{"reasoning_effort": "odd"}, {"preserve_thinking": True}, {"max_completion_tokens": 9}],
)
def test_what_the_record_does_not_state_is_sent_with_one_warning(option):
    [name] = option
    unstated = replace(
        LEVELS, id=f"no-{name}", reasoning_efforts=(), preserve_thinking=False, thinking="hybrid"
    )
    with pytest.warns(
        DashScopeWarning, match=rf"no-{name}: the record .* takes {name}; it is sent"
    ):
        assert sent(unstated, **option)[name] == option[name]
    assert sent(unstated, **option)[name] == option[name]


def sent(model_info, **options):
    """The parameters that are sent."""
    return chat_request(model_info, [Message("user", "q")], Options(**options)).parameters
