"""LangChain's messages on the wire: what is carried, what is merged, what is refused."""

from __future__ import annotations

import math

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from dashscope_oss import DashScopeWarning, find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.protocol.conversation import content_blocks
from dashscope_oss.registry.catalog import SEED_IDS
from langchain_dashscope_oss import ChatDashScopeOSS
from langchain_dashscope_oss.errors import UnsupportedInputError

from .calling import PATHS, PROMPT_ONLY, THINKER, answering, as_text, call

OK = Answer("ok")


def sent_by(engine):
    return engine.requests[-1].body["input"]["messages"]


def test_roles_texts_and_tool_calls_are_carried(chat):
    llm, engine = chat(OK, model="qwen3-8b")
    valid = {"name": "weather", "args": {"city": "上海"}, "id": "c1"}
    invalid = {"name": "clock", "args": "{", "id": "c2", "error": "no JSON"}
    llm.invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "a"}, "b"]),
            AIMessage(
                [
                    {"type": "reasoning", "reasoning": "hm"},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
                    {"type": "text", "text": "ok"},
                ],
                tool_calls=[valid],
                invalid_tool_calls=[invalid],
            ),
            ToolMessage("rain", tool_call_id="c1"),
            ToolMessage("noon", tool_call_id="c2"),
            ChatMessage("c", role="user"),
        ]
    )
    system, question, answer, result, _, last = sent_by(engine)
    assert system == {"role": "system", "content": "Be brief."}
    assert question == {"role": "user", "content": "ab"}
    assert (answer["role"], answer["content"]) == ("assistant", "ok")
    assert [call["id"] for call in answer["tool_calls"]] == ["c1", "c2"]
    assert [call["function"] for call in answer["tool_calls"]] == [
        {"name": "weather", "arguments": '{"city": "上海"}'},
        {"name": "clock", "arguments": '{"raw_arguments": "{"}'},
    ]
    assert result == {"role": "tool", "content": "rain", "tool_call_id": "c1"}
    assert last == {"role": "user", "content": "c"}


@PATHS
async def test_names_and_langchains_own_marks_are_not_sent(chat, path):
    """The protocol has no place for a name, as the class's documentation says."""
    llm, engine = chat(OK)
    marks = {"lc_source": "x", "lc_data": 1, "anything": 2}
    await call(llm, path, [HumanMessage("Hi", name="ada", id="m1", additional_kwargs=marks)])
    assert sent_by(engine) == [{"role": "user", "content": "Hi"}]
    assert "name`` is not sent" in ChatDashScopeOSS.__doc__


def test_an_answer_may_be_begun_for_the_model():
    server = answering()
    begun = AIMessage("Once upon", additional_kwargs={"partial": True})
    server.model(model=THINKER).invoke([HumanMessage("A story."), begun])
    expected = {"role": "assistant", "content": "Once upon", "partial": True}
    assert server.body()["input"]["messages"][-1] == expected


@pytest.mark.parametrize(
    ("kinds", "roles"),
    [
        ("sshhaah", ["system", "user", "assistant", "user"]),
        ("hahh", ["user", "assistant", "user"]),
    ],
)
def test_neighbours_of_one_role_are_merged_for_strict_models(chat, kinds, roles):
    """Nothing is lost, and the roles alternate."""
    classes = {"s": SystemMessage, "h": HumanMessage, "a": AIMessage}
    llm, engine = chat(OK)
    llm.invoke([classes[kind](f"{kind}{n}") for n, kind in enumerate(kinds)])
    assert [message["role"] for message in sent_by(engine)] == roles
    texts = "\n\n".join(message["content"] for message in sent_by(engine))
    assert texts.split("\n\n") == [f"{kind}{n}" for n, kind in enumerate(kinds)]


PROMPTS = {
    "ziya": "<human>:Be brief.\n\nHi\n<bot>:",
    "belle": "Human:Be brief.\n\nHi\n\nAssistant:",
    "billa": "Human: Be brief.\n\nHi\nAssistant: ",
    "baichuan1-base": "Be brief.\n\nHi",
}


@pytest.mark.parametrize("model", SEED_IDS)
def test_each_seed_model_gets_messages_or_its_familys_prompt(model):
    """And ``result_format`` only where it means something."""
    model_info = find_model(model)
    server = answering(as_text("x", "stop"))
    server.model(model=model).invoke([SystemMessage("Be brief."), HumanMessage("Hi")])
    if model_info.takes_messages:
        system = {"role": "system", "content": "Be brief."}
        model_input = {"messages": [system, {"role": "user", "content": "Hi"}]}
        parameters = {"result_format": "message"}
    else:
        model_input, parameters = {"prompt": PROMPTS[model_info.family]}, {}
    assert server.body() == {"model": model, "input": model_input, "parameters": parameters}
    assert server.requests[-1].url.path.endswith("/aigc/text-generation/generation")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "empty"),
        ([AIMessage("alone")], "user message"),
        ([HumanMessage("a"), AIMessage([{"type": "file", "url": "x"}])], r"messages\[1\] \(AI"),
        (
            [HumanMessage([{"type": "image", "url": "http://x"}])],
            r"messages\[0\] \(user\): part 1: an image, which the model does not take",
        ),
        ([HumanMessage([{"type": "image", "file_id": "f"}])], "'image' has no address and no data"),
        ([HumanMessage([{"type": "file", "url": "http://x"}])], "type 'file'"),
        ([HumanMessage([{"text": 7}])], "type None"),
        ([AIMessage([{"type": "tool_use", "id": "1"}])], "type 'tool_use'"),
        ([ChatMessage("x", role="judge")], "unknown role 'judge'"),
        ([RemoveMessage("1")], "RemoveMessage"),
    ],
)
def test_what_cannot_be_carried_is_refused_before_any_request(chat, messages, reason):
    """Nothing is dropped in silence; the error says what, and which model."""
    llm, engine = chat(OK)
    with pytest.raises(UnsupportedInputError, match=reason) as caught:
        llm.invoke(messages)
    assert caught.value.model == "llama3-8b-instruct"
    assert engine.requests == []


@PATHS
async def test_refusals_are_the_same_by_every_path(chat, path):
    llm, engine = chat(OK)
    with pytest.raises(UnsupportedInputError, match="audio, which the model does not take"):
        await call(llm, path, [HumanMessage([{"type": "audio", "base64": "x"}])])
    assert engine.requests == []


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_tool_call_with_a_number_that_json_lacks_is_refused(chat, number):
    """It would be sent as text that is no JSON."""
    llm, engine = chat("never", model=THINKER)
    called = AIMessage("", tool_calls=[{"name": "remove", "id": "c1", "args": {"path": number}}])
    with pytest.raises(UnsupportedInputError, match="tool call"):
        llm.invoke([HumanMessage("hi"), called, ToolMessage("no", tool_call_id="c1")])
    assert engine.requests == []


# Reasoning of earlier answers.


@pytest.mark.parametrize(
    "earlier",
    [
        AIMessage("42", additional_kwargs={"reasoning_content": "6 * 7"}),
        AIMessage([{"type": "reasoning", "reasoning": "6 * 7"}, {"type": "text", "text": "42"}]),
        AIMessage([{"type": "thinking", "thinking": "6 * 7"}, {"type": "text", "text": "42"}]),
    ],
)
def test_reasoning_is_sent_again_only_if_wished(chat, earlier):
    """The record of this model sends it with calls of tools only."""
    messages = [HumanMessage("6 * 7?"), earlier, HumanMessage("Sure?")]
    llm, engine = chat(OK, model=THINKER)
    llm.invoke(messages)
    assert sent_by(engine)[1] == {"role": "assistant", "content": "42"}
    llm.send_reasoning = True
    llm.invoke(messages)
    expected = {"role": "assistant", "content": "42", "reasoning_content": "6 * 7"}
    assert sent_by(engine)[1] == expected


FOREIGN = AIMessage(
    [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "web_search_call", "id": "w1"},
        {"type": "non_standard", "value": {"x": 1}},
        {"type": "output_text", "text": "It is "},
        {"text": "42"},
        {"type": "function_call", "name": "f", "call_id": "c1", "arguments": "{}"},
    ],
    tool_calls=[{"name": "f", "args": {}, "id": "c1"}],
)


def test_answers_of_other_providers_are_sent_as_far_as_others_can_read_them(chat, monkeypatch):
    """Text as text, calls once; what their own tools left is named in one warning each."""
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    llm, engine = chat(OK, model=THINKER)
    talk = [HumanMessage("q"), FOREIGN, ToolMessage("r", tool_call_id="c1")]
    with pytest.warns(DashScopeWarning) as warned:
        llm.batch([talk, talk])
    assert len(warned) == 3
    assert {"server_tool_use", "web_search_call", "non_standard"} == {
        str(warning.message).split("'")[1] for warning in warned
    }
    answer = sent_by(engine)[1]
    assert answer["content"] == "It is 42"
    assert [call["id"] for call in answer["tool_calls"]] == ["c1"]


def test_what_another_provider_encrypted_is_named_and_what_can_be_read_is_sent(chat, monkeypatch):
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    llm, engine = chat(OK, model=THINKER)
    answer = AIMessage(
        [
            {"type": "reasoning", "summary": [], "encrypted_content": "x"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I add."}]},
            {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
        ]
    )
    with pytest.warns(DashScopeWarning, match=r"'reasoning \(encrypted\)'"):
        llm.invoke([HumanMessage("q"), answer, ToolMessage("3", tool_call_id="t1")])
    sent = sent_by(engine)[1]
    assert sent["reasoning_content"] == "I add."
    assert [call["function"]["name"] for call in sent["tool_calls"]] == ["add"]


def test_a_call_in_blocks_is_sent_once_whatever_its_ids(chat):
    call = {"name": "add", "args": {"a": 1}, "id": "c1"}
    block = {"type": "function_call", "id": "other", "name": "add", "arguments": '{"a": 1}'}
    pieces = [{"type": "tool_call_chunk", "args": "{"}, block]
    llm, engine = chat(OK, model=THINKER)
    answer = AIMessage(pieces, tool_calls=[call])
    llm.invoke([HumanMessage("q"), answer, ToolMessage("3", tool_call_id="c1")])
    assert [call["id"] for call in sent_by(engine)[1]["tool_calls"]] == ["c1"]


def test_results_among_the_users_blocks_are_results_of_their_calls(chat):
    """Anthropic keeps them there."""
    calls = [{"name": "add", "args": {}, "id": id} for id in ("t1", "t2")]
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "3"}]},
        {"type": "tool_result", "tool_use_id": "t2", "content": {"sum": 4}},
    ]
    llm, engine = chat(OK, model=THINKER)
    talk = [HumanMessage("q"), AIMessage("", tool_calls=calls)]
    llm.invoke([*talk, HumanMessage([*results, {"type": "text", "text": "And now?"}])])
    assert [(turn["role"], turn["content"]) for turn in sent_by(engine)[2:]] == [
        ("tool", "3"),
        ("tool", '{"sum": 4}'),
        ("user", "And now?"),
    ]
    llm.invoke([*talk, HumanMessage(results)])
    assert [turn["role"] for turn in sent_by(engine)[2:]] == ["tool", "tool"]


def test_a_result_in_an_answer_is_named_as_left_out(chat, monkeypatch):
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    llm, engine = chat(OK, model=THINKER)
    answer = AIMessage(
        [{"type": "tool_result", "tool_use_id": "s1"}, {"type": "text", "text": "a"}]
    )
    with pytest.warns(DashScopeWarning, match="'tool_result'"):
        llm.invoke([HumanMessage("q"), answer, HumanMessage("q2")])
    assert sent_by(engine)[1]["content"] == "a"


def test_the_older_form_of_calls_and_results_is_carried(chat):
    """OpenAI's functions: a call has no id, and its result names the function."""
    call = {"function_call": {"name": "add", "arguments": "{}"}}
    talk = [HumanMessage("q"), AIMessage("", additional_kwargs=call)]
    llm, engine = chat(OK, model=THINKER)
    llm.invoke([*talk, FunctionMessage("3", name="add")])
    _, called, result = sent_by(engine)
    assert called["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]


def test_a_worker_without_tools_reads_calls_and_results_in_words(chat):
    llm, engine = chat(OK)
    llm.invoke(
        [
            AIMessage("Hello."),
            HumanMessage("1 + 2?"),
            AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]),
            ToolMessage("3", tool_call_id="c1"),
        ]
    )
    assert [turn["role"] for turn in sent_by(engine)] == ["user", "assistant", "user"]
    assert sent_by(engine)[-1]["content"] == "Result of add:\n3"


def test_reasoning_goes_back_with_calls_of_tools(chat):
    call = AIMessage(
        "",
        tool_calls=[{"name": "add", "args": {}, "id": "c1"}],
        additional_kwargs={"reasoning_content": "I add."},
    )
    llm, engine = chat(OK, model=THINKER)
    llm.invoke([HumanMessage("q"), call, ToolMessage("3", tool_call_id="c1")])
    assert sent_by(engine)[1]["reasoning_content"] == "I add."
    llm.send_reasoning = False
    llm.invoke([HumanMessage("q"), call, ToolMessage("3", tool_call_id="c1")])
    assert "reasoning_content" not in sent_by(engine)[1]


def test_a_prompt_only_model_gets_no_reasoning_whatever_is_wished(chat):
    llm, engine = chat(OK, model=PROMPT_ONLY, send_reasoning=True)
    earlier = AIMessage("42", additional_kwargs={"reasoning_content": "by the table"})
    llm.invoke([HumanMessage("6 * 7?"), earlier, HumanMessage("Sure?")])
    assert "by the table" not in engine.requests[-1].body["input"]["prompt"]
