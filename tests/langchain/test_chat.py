"""The chat model over a scripted gateway: what is sent, what comes back, on all four paths."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from functools import reduce
from operator import add

import httpx2
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr, ValidationError

from dashscope_oss import (
    ConfigurationError,
    DashScopeWarning,
    ModelInfo,
    ToolCall,
    UnsupportedInputError,
    Usage,
    find_model,
    register_model,
)
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss import ChatDashScopeOSS
from langchain_dashscope_oss._convert import to_chat_result, to_messages

TOOLS = "deepseek-v4-pro"
SILENT = ("ziya-llama-13b-v1", "belle-llama-13b-2m-v1")
MODELS = ("llama3-8b-instruct", "baichuan2-7b-chat-v1", *SILENT, TOOLS)
COUNTS = Usage(input_tokens=7, output_tokens=5, total_tokens=12)
HELLO = Answer(pieces=("Hel", "lo ", "you"), usage=COUNTS)
KEY = "sk-0123456789abcdef"


async def answered(llm, path, messages="Hi", **given):
    """The answer by one of the four paths; of a stream, its chunks added up."""
    if path == "invoke":
        return llm.invoke(messages, **given)
    if path == "ainvoke":
        return await llm.ainvoke(messages, **given)
    if path == "stream":
        return reduce(add, llm.stream(messages, **given))
    return reduce(add, [chunk async for chunk in llm.astream(messages, **given)])


PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@tool
def clock() -> str:
    """What time it is."""
    return "noon"


@PATHS
@pytest.mark.parametrize("model", MODELS)
async def test_every_model_answers_on_every_path(chat, model, path):
    """Row 6: Text, metadata and usage are the same however the call is made."""
    llm, _ = chat(HELLO, model=model)
    counter = UsageMetadataCallbackHandler()
    message = await answered(llm, path, config={"callbacks": [counter]})
    assert message.text == "Hello you"
    metadata = message.response_metadata
    assert metadata["model_name"] == model
    assert metadata["model_provider"] == "dashscope_oss"
    assert metadata["finish_reason"] == "stop"
    assert metadata["request_id"]
    assert metadata["served_by"] == "none (scripted)"
    if model in SILENT:
        assert message.usage_metadata is None
        assert metadata["token_usage"] is None
        assert counter.usage_metadata == {}
    else:
        counts = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
        assert message.usage_metadata == counts
        assert metadata["token_usage"] == counts
        assert counter.usage_metadata == {model: counts}


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("llama3-8b-instruct", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("ziya-llama-13b-v1", {"prompt": "<human>:Hi\n<bot>:"}),
        ("belle-llama-13b-2m-v1", {"prompt": "Human:Hi\n\nAssistant:"}),
    ],
)
async def test_the_record_decides_what_is_sent(chat, model, given):
    """Row 3: Messages, or the family's template filled in."""
    llm, engine = chat(HELLO, model=model)
    llm.invoke("Hi")
    assert engine.requests[-1].body["input"] == given


async def test_a_chain_streams(chat):
    """prompt | model | parser hands on each piece."""
    llm, _ = chat(HELLO)
    chain = ChatPromptTemplate.from_messages([("user", "Say {word}")]) | llm | StrOutputParser()
    assert [piece for piece in chain.stream({"word": "hello"}) if piece] == ["Hel", "lo ", "you"]
    pieces = [piece async for piece in chain.astream({"word": "hello"}) if piece]
    assert pieces == ["Hel", "lo ", "you"]


@pytest.mark.parametrize("path", ["stream", "astream"])
async def test_the_first_chunk_comes_before_the_last_is_sent(chat, path):
    """The gateway holds the last piece back until the first has been received."""
    hold = threading.Event()
    llm, _ = chat(Answer(pieces=("first", "last"), hold=hold))
    if path == "stream":
        chunks = llm.stream("Hi")
        first = next(chunks)
        hold.set()
        rest = list(chunks)
    else:
        achunks = llm.astream("Hi")
        first = await anext(achunks)
        hold.set()
        rest = [chunk async for chunk in achunks]
    assert first.text == "first"
    assert "".join(chunk.text for chunk in rest) == "last"


async def test_the_last_chunk_says_so_and_alone_has_the_counts(chat):
    """Row 6: LangChain adds chunks up: what came twice would be doubled."""
    llm, _ = chat(HELLO)
    *before, last = llm.stream("Hi")
    assert last.chunk_position == "last"
    assert last.usage_metadata is not None
    assert all(chunk.usage_metadata is None for chunk in before)
    assert all("model_name" not in chunk.response_metadata for chunk in before)


async def test_async_calls_share_the_loop(chat):
    """Eight answers of half a second each take less than eight halves of a second."""
    llm, _ = chat(Answer(pieces=("a", "b"), pause=0.5))
    before = asyncio.get_running_loop().time()
    await asyncio.gather(*(llm.ainvoke("Hi") for _ in range(8)))
    assert asyncio.get_running_loop().time() - before < 2
    assert not [t for t in threading.enumerate() if t.name.startswith("asyncio_")]


async def test_streaming_false_is_an_opt_out(chat):
    """Said explicitly, stream() makes one plain call."""
    llm, engine = chat(HELLO, streaming=False)
    assert len(list(llm.stream("Hi"))) == 1
    assert "x-dashscope-sse" not in engine.requests[-1].headers


async def test_streaming_true_streams_inside_invoke(chat):
    """Callbacks see every token of invoke()."""
    seen = []

    class Tokens(BaseCallbackHandler):
        def on_llm_new_token(self, token, **_):
            seen.append(token)

    llm, _ = chat(HELLO, streaming=True)
    assert llm.invoke("Hi", config={"callbacks": [Tokens()]}).text == "Hello you"
    assert [token for token in seen if token] == ["Hel", "lo ", "you"]


async def test_only_what_was_set_is_sent(chat):
    """Row 18: No parameter is made up."""
    llm, engine = chat(HELLO)
    llm.invoke("Hi")
    assert engine.requests[-1].body["parameters"] == {"result_format": "message"}


async def test_settings_and_call_arguments_become_parameters(chat):
    """Row 18: A call's arguments win over the object's, None takes one back."""
    llm, engine = chat(
        HELLO,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        seed=1,
        max_tokens=50,
        stop_sequences=["END"],
        repetition_penalty=1.1,
        presence_penalty=0.2,
        model_kwargs={"custom": 1, "seed": 2},
    )
    llm.invoke("Hi", temperature=0, top_p=None, stop=["STOP"], other="x")
    assert engine.requests[-1].body["parameters"] == {
        "result_format": "message",
        "temperature": 0,
        "top_k": 3,
        "seed": 2,
        "max_tokens": 50,
        "stop": ["STOP"],
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "custom": 1,
        "other": "x",
    }
    llm.invoke("Hi")
    assert engine.requests[-1].body["parameters"]["stop"] == ["END"]


@pytest.mark.parametrize("word", ["model", "model_name"])
@PATHS
async def test_a_call_may_name_another_model(chat, path, word):
    """Row 20: The other model's record decides, and metadata names it."""
    llm, engine = chat(HELLO)
    message = await answered(llm, path, **{word: "ziya-llama-13b-v1"})
    assert engine.requests[-1].body["model"] == "ziya-llama-13b-v1"
    assert "prompt" in engine.requests[-1].body["input"]
    assert message.response_metadata["model_name"] == "ziya-llama-13b-v1"


async def test_langchains_stream_switch_is_not_sent(chat):
    """stream=False is meant for LangChain."""
    llm, engine = chat(HELLO)
    llm.invoke("Hi", stream=False)
    assert "stream" not in engine.requests[-1].body["parameters"]


async def test_a_setting_is_no_call_argument(chat):
    """The key of a careless call does not travel in the body."""
    llm, engine = chat(HELLO)
    with pytest.raises(ConfigurationError, match="api_key is a setting") as caught:
        llm.invoke("Hi", api_key=KEY)
    assert KEY not in str(caught.value)
    assert engine.requests == []


async def test_headers_and_workspace_are_sent(chat):
    """default_headers, workspace and the key are headers."""
    llm, engine = chat(
        HELLO, default_headers={"X-Mine": "1"}, workspace="ws", dashscope_api_key=lambda: KEY
    )
    llm.invoke("Hi")
    headers = engine.requests[-1].headers
    assert headers["x-mine"] == "1"
    assert headers["x-dashscope-workspace"] == "ws"
    assert headers["authorization"] == f"Bearer {KEY}"


async def test_own_httpx_clients_are_used_and_left_open(gateway):
    """Injected clients carry the calls; close() leaves them alone."""
    sync, own = httpx2.Client(headers={"x-mine": "s"}), httpx2.AsyncClient(headers={"x-mine": "a"})
    engine = gateway(HELLO)
    llm = ChatDashScopeOSS(
        model="llama3-8b-instruct",
        api_base=engine.base_url,
        http_client=sync,
        http_async_client=own,
    )
    llm.invoke("Hi")
    await llm.ainvoke("Hi")
    assert [request.headers["x-mine"] for request in engine.requests] == ["s", "a"]
    llm.close()
    await llm.aclose()
    assert not sync.is_closed
    assert not own.is_closed
    await asyncio.to_thread(sync.close)
    await own.aclose()


def local(**settings):
    return ChatDashScopeOSS(
        **{"model": "llama3-8b-instruct", "base_url": "http://127.0.0.1:1/api/v1", **settings}
    )


def test_an_unknown_argument_is_sent_with_a_warning():
    """Row 18: It lands in model_kwargs, and the warning points at the caller."""
    with pytest.warns(DashScopeWarning, match="no setting temprature") as caught:
        llm = local(temprature=1, model_kwargs={"a": 2})
    assert llm.model_kwargs == {"a": 2, "temprature": 1}
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_name": "x"}, "model is given twice"),
        ({"model_kwargs": {"api_key": KEY}}, "api_key is a setting"),
        ({"model": " "}, "model must be"),
        ({"base_url": "ftp://x"}, "bad base_url"),
        ({"base_url": None}, "DASHSCOPE_API_KEY"),
        ({"base_url": None, "region": "moon"}, "unknown region"),
        ({"api_key": f"{KEY}\n{KEY}"}, "line break"),
    ],
)
def test_impossible_settings_raise_at_once(settings, told):
    """The package's own error, which is a ValueError too and never shows the key."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        local(**settings)
    assert isinstance(caught.value, ValueError)
    assert KEY not in str(caught.value)


def test_a_missing_model_does_not_show_the_key():
    """Pydantic prints its input; here it must not."""
    with pytest.raises(ValidationError) as caught:
        ChatDashScopeOSS(api_key=KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, SecretStr(KEY), lambda: KEY])
def test_the_key_is_nowhere_to_be_seen(key):
    """Row 15: Neither shown, nor serialised, nor traced, nor part of a cache's key."""
    llm = local(api_key=key)
    shown = [
        repr(llm),
        str(llm),
        dumps(llm),
        json.dumps(dumpd(llm)),
        str(llm._identifying_params),
        llm._get_llm_string(),
        str(llm._get_ls_params()),
        str(llm.bind(temperature=1)),
    ]
    assert not any(KEY in text for text in shown)
    if not callable(key):
        assert dumpd(llm)["kwargs"]["api_key"]["id"] == ["DASHSCOPE_API_KEY"]


def test_headers_are_not_shown_either():
    """They may hold a secret of a proxy."""
    llm = local(default_headers={"proxy-authorization": KEY})
    assert KEY not in repr(llm) + dumps(llm) + llm._get_llm_string()


async def test_a_pickled_model_works_and_holds_no_key(chat, monkeypatch):
    """Row 15: Its new home has a key of its own."""
    llm, engine = chat(HELLO, api_key=KEY)
    llm.invoke("Hi")
    data = pickle.dumps(llm)
    assert KEY.encode() not in data
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-new-home")
    again = pickle.loads(data)
    assert again.invoke("Hi").text == "Hello you"
    assert engine.requests[-1].headers["authorization"] == "Bearer sk-of-the-new-home"
    again.close()


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_serialised_model_can_be_loaded(monkeypatch):
    """Row 16: LangChain loads a class of another package if it is named."""
    llm = local(api_key=KEY, temperature=0.5, stop=["x"], model_kwargs={"a": 1})
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    again = load(
        dumpd(llm),
        allowed_objects=[ChatDashScopeOSS],
        valid_namespaces=["langchain_dashscope_oss"],
        secrets_from_env=True,
    )
    assert again == llm
    assert again.api_key.get_secret_value() == KEY


async def test_copies_and_changes_take_effect(chat, gateway):
    """A copy with another address calls that; a changed setting counts from the next call."""
    llm, first = chat(HELLO)
    second = gateway(Answer("second"))
    llm.invoke("Hi")
    other = llm.model_copy(update={"base_url": second.base_url})
    assert other.invoke("Hi").text == "second"
    other.close()
    deep = copy.deepcopy(llm)
    assert deep.invoke("Hi").text == "Hello you"
    deep.close()
    llm.temperature = 0.25
    llm.invoke("Hi")
    assert first.requests[-1].body["parameters"]["temperature"] == 0.25
    llm.close()
    llm.base_url = second.base_url
    assert llm.invoke("Hi").text == "second"


async def test_configurable_fields(chat, gateway):
    """LangChain rebuilds the object from its fields."""
    llm, engine = chat(HELLO)
    chain = llm.configurable_fields(temperature=ConfigurableField(id="t"))
    chain.invoke("Hi", config={"configurable": {"t": 0.75}})
    assert engine.requests[-1].body["parameters"]["temperature"] == 0.75


@pytest.mark.parametrize(
    "other",
    [
        {"model": "baichuan2-7b-chat-v1"},
        {"temperature": 0.1},
        {"stop": ["x"]},
        {"base_url": "http://127.0.0.1:2/api/v1"},
        {"model_kwargs": {"a": 1}},
        {"workspace": "w"},
        {"model_info": ModelInfo(id="llama3-8b-instruct", family="", maker="")},
    ],
)
def test_whatever_changes_the_answer_changes_the_cache_key(other):
    """Two models never share an answer."""
    assert local(**other)._get_llm_string() != local()._get_llm_string()


def test_two_records_or_two_environments_are_two_cache_keys(monkeypatch):
    """What is not among the serialised settings counts too."""
    infos = [replace(find_model("llama3-8b-instruct"), max_output=n) for n in (8, 9)]
    assert len({local(model_info=info)._get_llm_string() for info in infos}) == 2
    keys = set()
    for port in "12":
        monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", f"http://127.0.0.1:{port}/api/v1")
        keys.add(local(base_url=None)._get_llm_string())
    assert len(keys) == 2


async def test_a_cached_answer_is_not_asked_again(chat):
    """Nor does it upset the summing of usage."""
    llm, engine = chat(HELLO, cache=InMemoryCache())
    assert [llm.invoke("Hi").text, llm.invoke("Hi").text] == ["Hello you"] * 2
    assert len(engine.requests) == 1
    llm.invoke("Hi", temperature=0.3)
    assert len(engine.requests) == 2


async def test_usage_is_summed_over_a_batch(chat):
    """llm_output of generate() holds the sum, or None."""
    llm, _ = chat(HELLO)
    prompts = [[HumanMessage("a")], [HumanMessage("b")]]
    counts = {"input_tokens": 14, "output_tokens": 10, "total_tokens": 24}
    expected = {"token_usage": counts, "model_name": "llama3-8b-instruct"}
    assert llm.generate(prompts).llm_output == expected
    assert (await llm.agenerate(prompts)).llm_output == expected
    silent, _ = chat(HELLO, model=SILENT[0])
    assert silent.generate(prompts).llm_output["token_usage"] is None


def test_usage_details_are_in_langchains_words():
    """Row 6: Cached and reasoning tokens; a count that is missing is not made nought."""
    reply = replace_usage(Usage(3, 4, None, 2, 1))
    assert reply.usage_metadata == {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 2},
        "output_token_details": {"reasoning": 1},
    }
    partial = replace_usage(Usage(input_tokens=3))
    assert partial.usage_metadata is None
    assert partial.response_metadata["token_usage"] == {"input_tokens": 3}


def replace_usage(usage):
    from dashscope_oss import Reply

    return to_chat_result(Reply(text="x", usage=usage), "m").generations[0].message


# Messages.


def test_messages_are_carried():
    """Row 22: Roles, joined text blocks, tool calls and results, a beginning to go on from."""
    call = {"name": "weather", "args": {"city": "上海"}, "id": "c1"}
    broken = {"name": "clock", "args": "{", "id": "c2", "error": "no JSON"}
    found = to_messages(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "a"}, "b"], name="me"),
            AIMessage(
                [
                    {"type": "reasoning", "reasoning": "hm"},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
                    {"type": "text", "text": "ok"},
                ],
                tool_calls=[call],
                invalid_tool_calls=[broken],
            ),
            ToolMessage("rain", tool_call_id="c1"),
            ChatMessage("c", role="user"),
            HumanMessage("d", additional_kwargs={"lc_source": "x", "lc_data": {"y": 1}}),
            AIMessage("So", additional_kwargs={"partial": True}),
        ],
        "m",
    )
    assert [message.role for message in found] == [
        *("system", "user", "assistant", "tool", "user", "user", "assistant")
    ]
    assert [message.content for message in found] == [
        *("Be brief.", "ab", "ok", "rain", "c", "d", "So")
    ]
    assert found[2].tool_calls == (
        ToolCall("c1", "weather", '{"city": "上海"}'),
        ToolCall("c2", "clock", "{"),
    )
    assert found[2].reasoning is None
    assert found[3].tool_call_id == "c1"
    assert found[6].partial


async def test_langchains_own_marks_are_not_sent(chat):
    """Row 22: Only text goes on the wire."""
    llm, engine = chat(HELLO)
    marked = {"lc_source": "x", "lc_data": 1, "anything": 2}
    llm.invoke([HumanMessage("Hi", additional_kwargs=marked, id="m1")])
    assert engine.requests[-1].body["input"] == {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (HumanMessage([{"type": "image", "url": "http://x"}]), "type 'image'"),
        (HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}]), "type 'image_url'"),
        (HumanMessage([{"type": "audio", "base64": "x"}]), "type 'audio'"),
        (HumanMessage([{"text": "no type"}]), "type None"),
        (AIMessage([{"type": "tool_use", "id": "1"}]), "type 'tool_use'"),
        (ChatMessage("x", role="judge"), "unknown role 'judge'"),
        (RemoveMessage("1"), "RemoveMessage"),
    ],
)
@PATHS
async def test_what_cannot_be_carried_is_refused_before_any_request(chat, message, told, path):
    """Nothing is dropped in silence; the error names what and the model."""
    llm, engine = chat(HELLO)
    with pytest.raises(UnsupportedInputError, match=told) as caught:
        await answered(llm, path, [message])
    assert caught.value.model == "llama3-8b-instruct"
    assert engine.requests == []


@PATHS
async def test_an_empty_conversation_is_refused(chat, path):
    """There is nothing to answer."""
    llm, engine = chat(HELLO)
    with pytest.raises(UnsupportedInputError, match="empty"):
        await answered(llm, path, [])
    assert engine.requests == []


# Thinking and tools.


@PATHS
async def test_thoughts_are_kept_apart(chat, path):
    """Row 26: They are in additional_kwargs, and a reasoning block for whoever reads blocks."""
    llm, _ = chat(Answer("42", reasoning="six times seven"), model=TOOLS)
    message = await answered(llm, path)
    assert message.text == "42"
    assert message.additional_kwargs["reasoning_content"] == "six times seven"
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


@PATHS
async def test_tool_calls_come_back(chat, path):
    """Row 23: Parallel calls, one without arguments, in order and with their ids."""
    calls = (
        ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0),
        ToolCall("c2", "clock", "", 1),
    )
    llm, engine = chat(Answer(tool_calls=calls), model=TOOLS)
    message = await answered(llm.bind_tools([weather, clock]), path)
    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [
        ("weather", {"city": "Hangzhou"}, "c1"),
        ("clock", {}, "c2"),
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    sent = engine.requests[-1].body["parameters"]["tools"]
    assert [t["function"]["name"] for t in sent] == ["weather", "clock"]


@PATHS
async def test_arguments_that_are_no_json_are_marked_invalid(chat, path):
    """Row 23: The call is neither lost nor taken for a good one."""
    llm, _ = chat(Answer(tool_calls=(ToolCall("c1", "weather", "[1", 0),)), model=TOOLS)
    message = await answered(llm.bind_tools([weather]), path)
    assert [call["name"] for call in message.invalid_tool_calls] == ["weather"]


async def test_a_tools_result_goes_back(chat):
    """Row 23: The second turn of a tool loop holds the call and its result."""
    llm, engine = chat(
        Answer(tool_calls=(ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0),)),
        Answer("It rains."),
        model=TOOLS,
    )
    with_tools = llm.bind_tools([weather])
    asked = with_tools.invoke("Weather?")
    result = weather.invoke(asked.tool_calls[0])
    assert with_tools.invoke([HumanMessage("Weather?"), asked, result]).text == "It rains."
    _, call, answer = engine.requests[-1].body["input"]["messages"]
    assert call["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city": "Hangzhou"}',
    }
    assert answer == {"role": "tool", "content": "rain in Hangzhou", "tool_call_id": "c1"}


FORCED = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", FORCED),
        ("required", FORCED),
        (True, FORCED),
        ("weather", FORCED),
        (FORCED, FORCED),
    ],
)
def test_tool_choice_in_the_services_words(choice, sent):
    """Row 23: LangChain's choices in the forms that the service knows."""
    bound = local(model=TOOLS).bind_tools([weather], tool_choice=choice).kwargs
    assert bound.get("tool_choice") == sent
    assert "enable_thinking" not in bound


def test_more_of_bind_tools():
    """Row 23: strict and parallel_tool_calls are handed on; what the caller says wins."""
    llm = local(model=TOOLS)
    bound = llm.bind_tools(
        [weather], strict=True, parallel_tool_calls=True, tool_choice="any", enable_thinking=False
    ).kwargs
    assert bound["tools"][0]["function"]["strict"] is True
    assert bound["parallel_tool_calls"] is True
    assert bound["enable_thinking"] is False
    with pytest.raises(UnsupportedInputError, match="none of the tools weather"):
        llm.bind_tools([weather], tool_choice="wether")
    with pytest.warns(DashScopeWarning, match="cannot force") as caught:
        assert llm.bind_tools([weather, clock], tool_choice="any").kwargs["tool_choice"] == "auto"
    assert caught[0].filename == __file__


def test_a_model_without_tools_refuses_them():
    """Row 24: bind_tools says so at once, unless the object's record says otherwise."""
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        local().bind_tools([weather])
    able = replace(find_model("llama3-8b-instruct"), tools=True)
    assert local(model_info=able).bind_tools([weather])


async def test_tools_given_to_the_call_are_refused_too(chat):
    """Row 24: The same refusal where bind_tools was not asked."""
    llm, engine = chat(HELLO)
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        llm.invoke("Hi", tools=[FORCED])
    assert engine.requests == []


class Answered(BaseModel):
    """An answer."""

    number: int


async def test_structured_output_by_a_tool(chat):
    """LangChain's own way works on models with tools and leaves the object alone."""
    llm, engine = chat(
        Answer(tool_calls=(ToolCall("c1", "Answered", '{"number": 42}', 0),)), model=TOOLS
    )
    assert llm.with_structured_output(Answered).invoke("6 * 7?") == Answered(number=42)
    assert engine.requests[-1].body["parameters"]["enable_thinking"] is False
    assert llm.enable_thinking is None


# What LangChain asks of a model object.


def test_the_profile_is_the_records():
    """Row 28: Limits and abilities, without a key that LangChain does not know."""
    profile = local(model="kimi-k2.5").profile
    assert profile["max_input_tokens"] == 258_048
    assert profile["max_output_tokens"] == 32_768
    assert profile["tool_calling"] is True
    assert profile["reasoning_output"] is True
    assert profile["image_inputs"] is False
    assert profile["status"] == "active"
    assert local().profile["status"] == "deprecated"
    assert local().profile["tool_calling"] is False


def test_traces_name_the_service():
    """Row 29: Provider, model, sampling and the versions that took part."""
    llm = local(temperature=0.5, max_tokens=9, stop="x")
    assert llm._get_ls_params(model="other") == {
        "ls_provider": "dashscope",
        "ls_model_type": "chat",
        "ls_model_name": "other",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["x"],
    }
    assert set(llm.metadata["lc_versions"]) >= {"langchain-core", "dashscope-oss"}


async def test_own_records(chat):
    """Row 2: model_info overrides for one object, register_model for all; model is what is sent."""
    prompt_only = replace(find_model("ziya-llama-13b-v1"), id="whatever")
    llm, engine = chat(
        Fault(status=404, code="ModelNotFound"), model="my-ziya", model_info=prompt_only
    )
    with pytest.raises(Exception, match="my-ziya"):
        llm.invoke("Hi")
    assert engine.requests[-1].body["model"] == "my-ziya"
    assert "prompt" in engine.requests[-1].body["input"]
    register_model(replace(prompt_only, id="our-ziya"))
    other, engine = chat(HELLO, model="our-ziya")
    assert other.invoke("Hi").text == "Hello you"


def test_importing_is_light():
    """No HTTP library, tokenizer or SDK comes along but what LangChain's base classes bring."""
    heavy = ("requests", "aiohttp", "openai", "tiktoken", "dashscope", "numpy", "llama_index")
    report = f"; import sys; print([name for name in {heavy} if name in sys.modules])"
    ours, theirs = (
        subprocess.run(
            [sys.executable, "-c", statement + report], capture_output=True, text=True, check=True
        ).stdout
        for statement in (
            "import langchain_dashscope_oss",
            "from langchain_core.language_models import BaseChatModel, BaseLLM",
        )
    )
    assert ours == theirs


def test_without_langchain_the_error_says_what_to_install():
    """The extra is named."""
    code = "import sys; sys.modules['langchain_core'] = None; import langchain_dashscope_oss"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "dashscope-oss[langchain]"' in done.stderr
