"""What a cold reading of the chat and the text class found, each with its remedy."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
import subprocess
import sys
from functools import reduce
from operator import add

import httpx2
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from dashscope_oss import (
    ConfigurationError,
    DashScopeWarning,
    RateLimitError,
    ToolCall,
    UnsupportedInputError,
)
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.messages import Delta
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM, _retry_callbacks
from langchain_dashscope_oss._convert import ChunkConverter as Chunks
from langchain_dashscope_oss._convert.metadata import PROVIDER
from langchain_dashscope_oss.errors.conversion import as_langchain_error as as_twin

TOOLS = "deepseek-v4-pro"
THINKER = "kimi-k2.7-code"
NOWHERE = "http://127.0.0.1:1/api/v1"
CLASSES = pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM])
CUT_OFF = [
    '{"path": "/data/me/o',
    '{"path": "a\\',
    '{"path": "a\\\\',
    '{"path": ["a", ',
    '{"path": ["a"',
    '{"path": {"a": "b"',
    '{"path"',
    '{"path": 1',
    "{",
    '{"path": 1} and',
    "[1]",
    "remove it",
    '{"a": "x\ny',
]
WHOLE = ['{"path": "a"}', "", "  ", '{"path": "a\nb"}']


class Person(BaseModel):
    """A person."""

    name: str


@tool
def remove(path: str) -> str:
    """Remove a file."""
    return path


class Seen(BaseCallbackHandler):
    """Notes what starts and what is tried again."""

    def __init__(self):
        self.starts, self.retries = [], 0

    def on_chat_model_start(self, serialized, messages, **facts):
        self.starts.append((str(serialized), facts))

    def on_llm_start(self, serialized, prompts, **facts):
        self.starts.append((str(serialized), facts))

    def on_retry(self, retry_state, **_):
        self.retries += 1


def removing(arguments, *others, finish_reason="tool_calls"):
    calls = (ToolCall("c1", "remove", arguments, index=0), *others)
    return Answer("", tool_calls=calls, finish_reason=finish_reason)


def local(cls=ChatDashScopeOSS, model=TOOLS, **settings):
    return cls(model=model, base_url=NOWHERE, **settings)


async def by_each_path(llm):
    """The answers by all paths."""
    return [
        llm.invoke("Hi"),
        await llm.ainvoke("Hi"),
        llm.invoke("Hi", stream=True),
        await llm.ainvoke("Hi", stream=True),
        reduce(add, llm.stream("Hi")),
        reduce(add, [chunk async for chunk in llm.astream("Hi")]),
    ]


@pytest.mark.parametrize("arguments", CUT_OFF)
async def test_a_call_that_was_cut_off_is_no_call(chat, arguments):
    """1: LangChain completes the JSON of a stream: half a file name would be a file name."""
    llm, _ = chat(removing(arguments, finish_reason="length"), model=TOOLS)
    for answer in await by_each_path(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        (broken,) = answer.invalid_tool_calls
        assert (broken["name"], broken["id"]) == ("remove", "c1")
        assert broken["args"].startswith(arguments)


async def test_a_call_nested_too_deeply_to_read_is_no_call(chat):
    """No RecursionError, by no path."""
    llm, _ = chat(removing("[" * 100_000), model=TOOLS)
    for answer in await by_each_path(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        assert [call["name"] for call in answer.invalid_tool_calls] == ["remove"]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
async def test_a_call_with_a_number_that_json_lacks_is_no_call(chat, number):
    """The tool would run, and the next turn could not be sent."""
    llm, _ = chat(removing(f'{{"path": {number}}}'), model=TOOLS)
    for answer in await by_each_path(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        assert [call["name"] for call in answer.invalid_tool_calls] == ["remove"]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_call_of_the_history_with_a_number_that_json_lacks_is_refused(chat, number):
    """It would be sent as text that is no JSON."""
    llm, engine = chat("never", model=TOOLS)
    said = AIMessage("", tool_calls=[{"name": "remove", "id": "c1", "args": {"path": number}}])
    with pytest.raises(UnsupportedInputError, match="tool call"):
        llm.invoke([HumanMessage("hi"), said, ToolMessage("no", tool_call_id="c1")])
    assert engine.requests == []


@pytest.mark.parametrize("arguments", WHOLE)
async def test_a_whole_call_is_the_same_by_every_path(chat, arguments):
    """1: raw line breaks and nothing at all are read alike, streamed or not."""
    llm, _ = chat(removing(arguments), model=TOOLS)
    for answer in await by_each_path(llm.bind_tools([remove])):
        (call,) = answer.tool_calls
        assert call["args"] == (json.loads(arguments, strict=False) if arguments.strip() else {})
        assert answer.invalid_tool_calls == []


@pytest.mark.parametrize("arguments", CUT_OFF)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_call_in_pieces_that_is_cut_off_beside_a_whole_one(arguments, step):
    """1: pieces are put together before they are judged, each call by itself."""
    cut = [arguments[at : at + step] for at in range(0, len(arguments), step)]
    good = ToolCall("c1", "remove", '{"path": "a"}', index=0)
    parts = [
        ToolCall("c2" if n == 0 else "", "remove" if n == 0 else "", text, index=1)
        for n, text in enumerate(cut)
    ]
    chunks = Chunks("m")
    deltas = [Delta(tool_calls=(good,)), *(Delta(tool_calls=(part,)) for part in parts)]
    made = [chunks.push(delta) for delta in (*deltas, Delta(finish_reason="length", last=True))]
    answer = reduce(add, made).message
    assert [call["id"] for call in answer.tool_calls] == ["c1"]
    assert [call["id"] for call in answer.invalid_tool_calls] == ["c2"]


def test_a_call_that_is_cut_off_in_the_last_piece_is_no_call():
    """1: the piece that ends an answer may bring calls itself, and a whole one stays whole."""
    cut = ToolCall("c1", "remove", '{"path": "/data/me/o', index=0)
    good = ToolCall("c2", "remove", '{"path": "a"}', index=1)
    last = Delta(tool_calls=(cut, good), finish_reason="length", last=True)
    answer = Chunks("m").push(last).message
    assert [call["id"] for call in answer.tool_calls] == ["c2"]
    assert [call["id"] for call in answer.invalid_tool_calls] == ["c1"]


def test_calls_without_an_index_are_told_apart():
    """1: a call that begins has an id; a piece without one belongs to the call before it."""
    chunks = Chunks("m")
    calls = [ToolCall("c1", "f", '{"a":'), ToolCall("", "", "1}"), ToolCall("c2", "g", "{}")]
    made = [chunks.push(Delta(tool_calls=(call,))) for call in calls]
    answer = reduce(add, [*made, chunks.push(Delta(last=True))]).message
    assert [(call["id"], call["args"]) for call in answer.tool_calls] == [
        ("c1", {"a": 1}),
        ("c2", {}),
    ]


@pytest.mark.parametrize("method", ["json_mode", "json_schema"])
@pytest.mark.parametrize(("model", "thinking"), [(THINKER, None), (TOOLS, True)])
def test_no_json_mode_while_a_model_thinks(chat, method, model, thinking):
    """2: the service refuses it; the prompt asks for the object in its place."""
    llm, engine = chat(Answer('{"name": "Ada"}'), model=model, enable_thinking=thinking)
    with pytest.warns(DashScopeWarning, match="falls back to 'prompt'"):
        structured = llm.with_structured_output(Person, method=method)
    assert structured.invoke("Who?") == Person(name="Ada")
    assert "response_format" not in engine.requests[0].body["parameters"]


@CLASSES
@pytest.mark.parametrize("name", ["api_key", "dashscope_api_key", "default_headers"])
@pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])
async def test_no_callback_sees_a_setting_that_a_call_may_not_name(made, cls, name, path):
    """3: it may be the key, and traces are kept elsewhere."""
    llm, engine = made(cls, model=TOOLS)
    seen = Seen()
    with pytest.raises(ConfigurationError, match="a setting of the model object"):
        await _run_path(llm, path, {"callbacks": [seen]}, {name: "secret"})
    assert not seen.starts
    assert not engine.requests


async def _run_path(llm, path, config, more):
    if path == "invoke":
        llm.invoke("Hi", config, **more)
    elif path == "ainvoke":
        await llm.ainvoke("Hi", config, **more)
    elif path == "stream":
        list(llm.stream("Hi", config, **more))
    else:
        [piece async for piece in llm.astream("Hi", config, **more)]


@CLASSES
def test_a_pickle_has_neither_headers_nor_clients(cls):
    """4: headers may hold secrets; connections belong to a process."""
    clients = {"http_client": httpx2.Client(), "http_async_client": httpx2.AsyncClient()}
    llm = local(cls, default_headers={"X-Key": "hidden"}, **clients)
    packed = pickle.dumps(llm)
    assert b"hidden" not in packed
    found = pickle.loads(packed)
    assert (found.default_headers, found.http_client, found.http_async_client) == (None,) * 3
    assert llm.default_headers == {"X-Key": "hidden"}


@CLASSES
def test_a_deep_copy_shares_the_callers_clients(cls, gateway):
    """4: and nothing else."""
    with httpx2.Client() as client:
        llm = cls(model=TOOLS, base_url=gateway().base_url, http_client=client, model_kwargs={})
        llm.invoke("Hi")
        copied = copy.deepcopy(llm)
        assert copied.http_client is client
        assert copied.model_kwargs is not llm.model_kwargs
        assert copied._client is not llm._client
        assert copied.invoke("Hi") is not None


def test_another_tools_broken_call_is_not_the_objects(chat):
    """5: streamed as not streamed."""
    mine = ToolCall("c0", "Person", '{"name": "Ada"}', index=1)
    llm, _ = chat(removing('{"path": "/ho', mine), model=TOOLS)
    structured = llm.with_structured_output(Person, tools=[remove], include_raw=True)
    for answer in (structured.invoke("Hi"), reduce(add, structured.stream("Hi"))):
        assert (answer["parsed"], answer["parsing_error"]) == (Person(name="Ada"), None)


@CLASSES
def test_log_probabilities_of_all_pieces_add_up(cls):
    """6: they came with the last piece only."""
    with httpx2.Client(transport=httpx2.MockTransport(_logged)) as client:
        llm = local(cls, http_client=client, model_kwargs={"logprobs": True}, streaming=True)
        info = llm.generate(["Hi"] if cls is DashScopeOSSLLM else [[HumanMessage("Hi")]])
    found = info.generations[0][0].generation_info["logprobs"]
    assert [one["token"] for one in found["content"]] == ["a", "b", "c"]


def _logged(_):
    events = [("a", "null"), ("b", "null"), ("c", "stop")]
    text = "".join(f"data:{json.dumps(_frame(*event))}\n\n" for event in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=text)


def _frame(token, finish):
    choice = {
        "finish_reason": finish,
        "message": {"role": "assistant", "content": token},
        "logprobs": {"content": [{"token": token, "logprob": -1.0}]},
    }
    return {"output": {"choices": [choice]}, "request_id": "r"}


def test_a_call_may_name_the_model_by_its_alias(chat):
    """7: tools, structured answers and traces are about the model of the call."""
    llm, engine = chat(Answer('{"name": "Ada"}'))
    seen = Seen()
    llm.bind_tools([remove], model_name=TOOLS).invoke("Hi", {"callbacks": [seen]})
    assert seen.starts[0][1]["metadata"]["ls_model_name"] == TOOLS
    llm.with_structured_output(Person, method="json_mode", model_name=TOOLS).invoke("Hi")
    assert [request.body["model"] for request in engine.requests] == [TOOLS, TOOLS]
    assert "response_format" in engine.requests[1].body["parameters"]


def test_the_profile_follows_the_model():
    """7: unless it was given."""
    llm = local(model="llama3-8b-instruct")
    assert llm.model_copy(update={"model": TOOLS}).profile["name"] == TOOLS
    assert llm.model_copy().profile["name"] == "llama3-8b-instruct"
    llm.model = TOOLS
    assert llm.profile["name"] == TOOLS
    mine = local(profile={"max_input_tokens": 5})
    mine.model = "llama3-8b-instruct"
    assert mine.profile == {"max_input_tokens": 5}
    assert mine.model_copy(update={"model": TOOLS}).profile == {"max_input_tokens": 5}


@pytest.mark.parametrize(("reported", "said"), [(True, None), (False, True)])
def test_summed_usage_says_that_it_is_estimated(reported, said):
    """8: if that of any answer is."""
    usages = [{"usage": {"input_tokens": 1, "output_tokens": 1}}, {}]
    answers = [
        {**_frame("a", "stop"), **usages[0]},
        {**_frame("b", "stop"), **usages[not reported]},
    ]
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answers.pop()))
    with httpx2.Client(transport=transport) as client:
        llm = local(DashScopeOSSLLM, http_client=client, estimate_usage=True)
        assert llm._generate(["Hi", "Ho"]).llm_output.get("usage_estimated") is said


def test_thoughts_that_are_sent_are_counted():
    """8: and those that are not are not."""
    turns = [AIMessage("x", additional_kwargs={"reasoning_content": "word " * 200})]
    silent = local().get_num_tokens_from_messages(turns)
    assert local(send_reasoning=True).get_num_tokens_from_messages(turns) > silent + 100


def test_tools_are_counted_in_their_own_script():
    """8: not as escapes."""
    made = {"name": "f", "description": "查询指定城市的天气", "parameters": {"type": "object"}}
    given = {"type": "function", "function": made}
    llm = local(custom_get_token_ids=lambda text: [0] * len(text))
    counted = llm.get_num_tokens_from_messages([], [given])
    assert counted == len(json.dumps(given, ensure_ascii=False))


def test_a_run_that_is_over_is_forgotten(chat):
    """9: nobody is told of the retries of another run."""
    llm, _ = chat(Answer("Hi"))
    llm.invoke("Hi", {"callbacks": [Seen()]})
    assert _retry_callbacks._current_run.get() is None
    asyncio.run(_forgets(local(http_async_client=httpx2.AsyncClient(transport=_mock()))))


async def _forgets(llm):
    await llm.ainvoke("Hi", {"callbacks": [Seen()]})
    assert _retry_callbacks._current_run.get() is None


def _mock():
    return httpx2.MockTransport(lambda _: httpx2.Response(200, json=_frame("a", "stop")))


def test_a_handler_that_is_given_twice_is_told_once(chat):
    """9: of the object and of the call."""
    seen = Seen()
    fault = Fault(status=429, code="Throttling.RateQuota", message="slow")
    llm, _ = chat(fault, Answer("Hi"), callbacks=[seen])
    list(llm.stream("Hi", {"callbacks": [seen]}))
    assert seen.retries == 1


def test_a_conversation_that_ends_with_an_answer_is_followed_by_the_form(chat):
    """The form of the object is a question of its own: an answer of the model stays its own."""
    llm, engine = chat(Answer('{"name": "Ann"}'))
    turns = [HumanMessage("Who?"), AIMessage("Ann.")]
    assert llm.with_structured_output(Person).invoke(turns) == Person(name="Ann")
    *_, said, form = engine.requests[0].body["input"]["messages"]
    assert (said["role"], said["content"]) == ("assistant", "Ann.")
    assert form["role"] == "user"
    assert '"name"' in form["content"]


def test_content_that_is_blocks_already_is_read_as_langchain_does():
    """An answer of this provider that was stored by something else."""
    told = [{"type": "text", "text": "Hi"}]
    message = AIMessage(list(told), response_metadata={"model_provider": PROVIDER})
    assert message.content_blocks == told


def test_langchains_kind_of_an_error_is_made_once():
    """Whoever asks for it again gets the same object, not a copy of it."""
    twin = as_twin(RateLimitError("slow"))
    assert isinstance(twin, RateLimitError)
    assert as_twin(twin) is twin


async def test_a_text_model_streams_without_anybody_to_tell(text):
    """LangChain's own methods always bring a run; wrappers call what is below without one."""
    llm, _ = text(Answer("Hello"))
    assert "".join(chunk.text for chunk in llm._stream("Hi")) == "Hello"
    assert "".join([chunk.text async for chunk in llm._astream("Hi")]) == "Hello"


def test_a_fault_of_another_package_is_not_taken_for_a_missing_langchain():
    """Only langchain-core is told to be installed where it is langchain-core that lacks."""
    code = "import sys; sys.modules['httpx2'] = None; import langchain_dashscope_oss"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: import of httpx2 halted" in run.stderr
    assert "pip install" not in run.stderr
