"""What each kind of OpenAI-compatible server is sent.

The names of the parameters are those of the servers' sources of 2026 (vLLM's and SGLang's
protocol.py, Ollama's openai.go).
"""

from dataclasses import replace

import pytest

from dashscope_oss import Message, find_model
from dashscope_oss.gateway import EngineRequest
from tests.gateway.engines.openai.calls import (
    CHAT_MODEL,
    PROMPT_MODEL,
    deltas_of,
    engine_request,
    generate_error,
    sent_body,
    started_engine,
)
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

SAMPLING_NAMES = ("top_k", "repetition_penalty", "repeat_penalty")
SCHEMA = {"type": "object", "properties": {}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("add", "subtract")]
ADD = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, {"top_k": 5, "repetition_penalty": 1.1}),
        ("vllm", {"top_k": 5, "repetition_penalty": 1.1}),
        ("sglang", {"top_k": 5, "repetition_penalty": 1.1}),
        ("llama.cpp", {"top_k": 5, "repeat_penalty": 1.1}),
    ],
)
async def test_sampling_parameters_go_by_the_servers_names(kind, expected):
    """The same two parameters, each under the name that this kind of server reads."""
    body = await sent_body(engine_request(top_k=5, repetition_penalty=1.1), kind=kind)

    assert {name: body[name] for name in SAMPLING_NAMES if name in body} == expected


@pytest.mark.parametrize("top_k", [0, 101])
async def test_a_top_k_that_means_all_tokens_is_sent_as_minus_one(top_k):
    """The service's 0 and 101 turn top_k off; a server would use its own default, or five."""
    assert (await sent_body(engine_request(top_k=top_k), kind="vllm"))["top_k"] == -1


@pytest.mark.parametrize("name", ["top_k", "repetition_penalty", "thinking_budget"])
async def test_a_parameter_that_ollama_lacks_is_refused(name):
    """Ollama's OpenAI-compatible API would drop it in silence."""
    error = await generate_error(
        FakeUpstream(), engine_request("glm-5", **{name: 5}), kind="ollama"
    )

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert name in error.message
    assert "ollama" in error.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, {"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 9}}),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": True}, "thinking_token_budget": 9}),
        (
            "llama.cpp",
            {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget_tokens": 9},
        ),
    ],
)
async def test_thinking_is_switched_and_limited_where_the_server_reads_it(kind, expected):
    """The switch goes to the chat template, the budget to the server's own parameter."""
    request = engine_request("glm-5", enable_thinking=True, thinking_budget=9)

    body = await sent_body(request, kind=kind)

    assert {
        name: value for name, value in body.items() if "template" in name or "budget" in name
    } == expected


@pytest.mark.parametrize(("switch", "effort"), [(True, "medium"), (False, "none")])
async def test_ollama_switches_thinking_by_effort(switch, effort):
    """It takes no arguments for the chat template."""
    body = await sent_body(engine_request("glm-5", enable_thinking=switch), kind="ollama")

    assert body["reasoning_effort"] == effort
    assert "chat_template_kwargs" not in body


async def test_token_ids_as_stops_go_only_where_the_server_takes_them():
    """llama.cpp does not know them; nobody takes sequences of ids."""
    body = await sent_body(engine_request(stop=[13, 2]), kind="vllm")
    error = await generate_error(FakeUpstream(), engine_request(stop=[13, 2]), kind="llama.cpp")
    sequence_error = await generate_error(
        FakeUpstream(), engine_request(stop=[[13, 2]]), kind="vllm"
    )

    assert (body["stop_token_ids"], "stop" in body) == ([13, 2], False)
    assert (error.status, "stop" in error.message) == (400, True)
    assert sequence_error.status == 400


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("vllm", "response_format", JSON_SCHEMA), ("llama.cpp", "json_schema", SCHEMA)],
)
async def test_raw_completions_get_a_schema_where_the_server_reads_it(kind, name, value):
    """llama.cpp ignores response_format there."""
    body = await sent_body(engine_request(PROMPT_MODEL, response_format=JSON_SCHEMA), kind=kind)

    assert body[name] == value


async def test_a_schema_for_raw_completions_of_ollama_is_refused():
    """It takes no form there, and would ignore it."""
    request = engine_request(PROMPT_MODEL, response_format=JSON_SCHEMA)

    assert (await generate_error(FakeUpstream(), request, kind="ollama")).status == 400


@pytest.mark.parametrize("prompt", ["hi", "<reserved_106>hi<reserved_107>"])
async def test_a_prompt_to_a_chat_model_is_written_in_its_form_once(prompt):
    """Raw completions of a model that takes both: as the hosted service did."""
    request = EngineRequest(model_info=find_model("baichuan2-7b-chat-v1"), prompt=prompt)

    body = await sent_body(request, api="completions")

    assert body["prompt"] == "<reserved_106>hi<reserved_107>"


@pytest.mark.parametrize("prompt", ["hi", "<s>[INST] hi [/INST]", "[INST] hi [/INST]"])
async def test_the_mark_of_the_beginning_is_left_to_the_engine(prompt):
    """Its tokenizer adds one: two would be one too many. A form without it is none to wrap."""
    request = EngineRequest(model_info=find_model("llama2-7b-chat-v2"), prompt=prompt)

    body = await sent_body(request, api="completions")

    assert body["prompt"] == "[INST] hi [/INST]"


@pytest.mark.parametrize("model", [CHAT_MODEL, PROMPT_MODEL])
async def test_the_limit_of_length_goes_by_the_name_that_all_servers_know(model):
    """Ollama, and raw completions of all kinds, ignore max_completion_tokens."""
    body = await sent_body(engine_request(model, max_completion_tokens=5))

    assert (body["max_tokens"], "max_completion_tokens" in body) == (5, False)


async def test_tools_for_raw_completions_are_refused():
    """A prompt goes to the weights as it is: nothing would tell them of the tools."""
    error = await generate_error(FakeUpstream(), engine_request(tools=TOOLS), api="completions")

    assert error.status == 400


async def test_a_named_tool_is_sent_as_it_is_to_a_server_that_reads_names():
    """vLLM calls the function that tool_choice names."""
    body = await sent_body(engine_request("glm-5", tools=TOOLS, tool_choice=ADD), kind="vllm")

    assert (body["tools"], body["tool_choice"]) == (TOOLS, ADD)


async def test_a_named_tool_is_offered_alone_to_a_server_that_ignores_names():
    """llama.cpp takes a named function for "auto": it gets this tool only, and must call one."""
    body = await sent_body(engine_request("glm-5", tools=TOOLS, tool_choice=ADD), kind="llama.cpp")

    assert (body["tools"], body["tool_choice"]) == ([TOOLS[0]], "required")


@pytest.mark.parametrize(("kind", "tools"), [("ollama", TOOLS), ("llama.cpp", TOOLS[1:])])
async def test_a_named_tool_that_cannot_be_forced_is_refused(kind, tools):
    """Ollama forces none; nobody can force one that was not sent."""
    request = engine_request("glm-5", tools=tools, tool_choice=ADD)

    error = await generate_error(FakeUpstream(), request, kind=kind)

    assert (error.status, "tool_choice" in error.message) == (400, True)


async def test_a_call_of_any_tool_can_be_required():
    """Of callers of OpenAI's protocol; Ollama would ignore it."""
    request = engine_request("glm-5", tools=TOOLS, tool_choice="required")

    body = await sent_body(request, kind="vllm")
    error = await generate_error(FakeUpstream(), request, kind="ollama")

    assert (body["tools"], body["tool_choice"]) == (TOOLS, "required")
    assert (error.status, "tool_choice" in error.message) == (400, True)


async def test_a_number_that_no_double_holds_is_refused_before_it_is_sent():
    """JSON can write one, and in a schema nothing has looked at it."""
    server = FakeUpstream()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"least": 1e999}}}]

    error = await generate_error(server, engine_request("glm-5", tools=tools))

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert server.calls == []


async def test_messages_without_a_template_are_refused_for_raw_completions():
    """The text that the weights want is not guessed."""
    error = await generate_error(
        FakeUpstream(streamed()), engine_request("glm-5"), api="completions"
    )

    assert error.message == "No template is known to write messages for this model."


def talk(*messages, model=CHAT_MODEL, **parameters):
    return EngineRequest(
        model_info=find_model(model), messages=tuple(messages), parameters=parameters
    )


BEGUN = (Message("user", "q"), Message("assistant", "Once upon", partial=True))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}),
        ("sglang", {"continue_final_message": True}),
        ("llama.cpp", {}),
        ("ollama", {}),
    ],
)
async def test_a_partial_answer_is_continued_in_each_servers_own_way(kind, fields):
    """llama.cpp and Ollama continue whatever answer stands last; vLLM must be told twice."""
    body = await sent_body(talk(*BEGUN), kind=kind)

    assert body["messages"][-1] == {"role": "assistant", "content": "Once upon"}
    names = ("continue_final_message", "add_generation_prompt")
    assert {name: body[name] for name in names if name in body} == fields


async def test_a_partial_answer_is_refused_where_the_kind_of_server_is_not_known():
    """It might begin a new answer without a word."""
    error = await generate_error(FakeUpstream(), talk(*BEGUN))

    assert (error.status, "partial" in error.message) == (400, True)


@pytest.mark.parametrize(("switch", "sent"), [(None, False), (False, False)])
async def test_a_model_does_not_think_before_it_continues_an_answer(switch, sent):
    """llama.cpp refuses both at once; the thoughts would stand behind the words."""
    parameters = {} if switch is None else {"enable_thinking": switch}

    body = await sent_body(talk(*BEGUN, model="glm-5", **parameters), kind="llama.cpp")

    assert body["chat_template_kwargs"] == {"enable_thinking": sent}


async def test_a_partial_answer_stays_open_in_a_written_prompt():
    """Raw completions go on with any text."""
    body = await sent_body(talk(*BEGUN, model="llama2-7b-chat-v2"), api="completions")

    assert body["prompt"] == "[INST] q [/INST] Once upon"


@pytest.mark.parametrize("kind", [None, "vllm", "sglang", "llama.cpp", "ollama"])
async def test_log_probabilities_are_asked_for_in_chat(kind):
    """All kinds know them by the same names."""
    body = await sent_body(engine_request(logprobs=True, top_logprobs=3), kind=kind)

    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)


async def test_log_probabilities_of_raw_completions_are_refused():
    """They have another form there, and the reply of a prompt no place for them."""
    error = await generate_error(FakeUpstream(), engine_request(PROMPT_MODEL, logprobs=True))

    assert (error.status, "logprobs" in error.message) == (400, True)


@pytest.mark.parametrize(
    ("model", "prompt", "sent"),
    [
        ("llama2-7b-chat-v2", "<s>[INST] q [/INST]", "[INST] q [/INST]"),
        ("llama2-7b-chat-v2", "[INST] q [/INST]", "[INST] q [/INST]"),
        (
            "llama2-7b-chat-v2",
            "<s>[INST] a [/INST] b </s><s>[INST] c [/INST]",
            "[INST] a [/INST] b </s><s>[INST] c [/INST]",
        ),
        (PROMPT_MODEL, "<human>:q\n<bot>:", "<human>:q\n<bot>:"),
    ],
)
async def test_the_opening_token_of_a_written_prompt_is_left_to_the_server(model, prompt, sent):
    """Its tokenizer adds one: two would spoil the answer."""
    model_info = replace(find_model(model), inputs=("prompt", "messages"))
    request = EngineRequest(model_info=model_info, prompt=prompt)

    assert (await sent_body(request, api="completions"))["prompt"] == sent


@pytest.mark.parametrize(
    ("kind", "name"),
    [(None, "reasoning_content"), ("vllm", "reasoning_content"), ("ollama", "reasoning")],
)
async def test_earlier_thoughts_go_by_the_name_that_the_server_reads(kind, name):
    """Ollama knows only its own (openai.go); the others read both."""
    messages = (
        Message("user", "q"),
        Message("assistant", "a", reasoning="Hm."),
        Message("user", "q2"),
    )

    body = await sent_body(talk(*messages, model="glm-5"), kind=kind)

    assert body["messages"][1][name] == "Hm."


async def test_system_turns_are_sent_as_the_models_template_takes_them():
    """By the same rule as the client's: templates refuse others for good."""
    messages = (
        Message("system", "A"),
        Message("system", "B"),
        Message("user", "q"),
        Message("assistant", "a"),
        Message("system", "late"),
        Message("user", "q2"),
    )

    turns = (await sent_body(talk(*messages, model="qwen3.5-27b"), kind="vllm"))["messages"]

    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert (turns[0]["content"], turns[3]["content"]) == ("A\n\nB", "late\n\nq2")


async def test_tools_reach_a_model_whose_record_has_none(caplog):
    """The server knows whether its weights call tools; the log says it once."""
    server = FakeUpstream(streamed(*short_answer("x")))
    async with started_engine(server.url, name="gpu") as engine:
        model_info = engine.find_model(CHAT_MODEL)
        request = replace(engine_request(tools=TOOLS), model_info=model_info)
        for _ in range(2):
            await deltas_of(engine, request)

    assert model_info.tools
    assert [call[1]["tools"] for call in server.calls] == [TOOLS, TOOLS]
    (line,) = caplog.messages
    assert line == f"gpu at {server.url} gets tools for {CHAT_MODEL}, which had none at the service"


@pytest.mark.parametrize("kind", [None, "vllm", "sglang", "llama.cpp"])
async def test_the_template_is_told_which_thoughts_to_keep(kind):
    request = engine_request("qwen3.6-27b", preserve_thinking=True, enable_thinking=True)
    body = await sent_body(request, kind=kind)
    assert body["chat_template_kwargs"] == {"preserve_thinking": True, "enable_thinking": True}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("enable_search", "vllm"),
        ("vl_high_resolution_images", "llama.cpp"),
        ("preserve_thinking", "ollama"),
    ],
)
async def test_what_no_server_of_this_kind_can_do_is_refused(name, kind):
    """It would be dropped in silence, and the answer would not be the one asked for."""
    request = engine_request("qwen3.6-27b", **{name: True})
    error = await generate_error(FakeUpstream(), request, kind=kind)
    assert (error.status, error.code) == (400, "InvalidParameter")
    assert f"The parameter {name} is not supported by the server behind" in error.message
