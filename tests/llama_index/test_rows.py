"""What the service may send, over hand-made replies."""

import asyncio
import importlib
import json
import logging
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms import types
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import Context, JsonSerializer
from packaging.version import Version
from pydantic import BaseModel

from dashscope_oss import (
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ContentBlockedError,
    DashScopeError,
    DashScopeWarning,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ServerError,
    ToolCall,
    UnsupportedInputError,
)
from dashscope_oss.gateway import Answer, Fault
from llama_index_dashscope_oss import DashScopeOSS
from tests.faults.server import RawServer, UntilGone, answer, frame, stream, text_reply

LOCAL = "http://127.0.0.1:9/api/v1"
SILENT = "ziya-llama-13b-v1"
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")


class Bytes(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes a few bytes at a time."""

    def __init__(self, body: bytes, size: int) -> None:
        self.pieces = [body[at : at + size] for at in range(0, len(body), size)]

    def __iter__(self):
        return iter(self.pieces)

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


def wired(handle, model="llama3-8b-instruct", **settings) -> DashScopeOSS:
    """A model whose requests ``handle`` answers, blocking or not."""
    transport = httpx2.MockTransport(handle)
    clients = {
        "http_client": httpx2.Client(transport=transport),
        "http_async_client": httpx2.AsyncClient(transport=transport),
    }
    return DashScopeOSS(**{"model": model, "base_url": LOCAL, **clients, **settings})


def events(*outputs, line="\n", size=10_000):
    """A handler that streams ``outputs``."""
    lines = []
    for number, output in enumerate(outputs):
        body = json.dumps({"output": output, "request_id": "r"}, ensure_ascii=False)
        lines += [f"id:{number}", "event:result", ":HTTP_STATUS/200", f"data:{body}", "", ": beat"]
    stream = line.join([*lines, "", ""]).encode()
    headers = {"content-type": "text/event-stream"}
    return lambda _: httpx2.Response(200, headers=headers, stream=Bytes(stream, size))


def choice(content, finish="null"):
    return {"choices": [{"message": {"role": "assistant", "content": content}}]} | {
        "finish_reason": finish
    }


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_both_ways_to_stream_give_the_same_text(ask):
    """Row 4 of LlamaIndex: also from a server that repeats all the text so far."""
    for pieces in (("你", "好", "世界"), ("你", "你好", "你好世界")):
        called = ask(wired(events(*map(choice, pieces[:-1]), choice(pieces[-1], "stop"))), "hi")
        assert called.text == "".join(called.deltas) == "你好世界"


@pytest.mark.parametrize("line", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_may_be_cut_anywhere(ask, size, line):
    """Row 5 of LlamaIndex: null content, no choices, comments, CRLF, cuts inside a character."""
    parts = ({"choices": []}, choice(None), choice("你"), choice("好"), choice("", "stop"))
    called = ask(wired(events(*parts, line=line, size=size)), "hi")
    assert called.text == "".join(called.deltas) == "你好"


@pytest.mark.parametrize(
    "model", ["llama2-7b-chat-v2", "baichuan2-7b-chat-v1", "llama3-8b-instruct", SILENT]
)
@pytest.mark.parametrize("output", [{"text": "hello"}, choice("hello", "stop")])
def test_both_shapes_of_answers_are_read(model, output):
    """Row 6 of LlamaIndex: ``output.text`` and ``output.choices``."""
    body = {"output": output, "request_id": "r"}
    llm = wired(lambda _: httpx2.Response(200, json=body), model)
    assert llm.complete("hi").text == "hello"
    assert llm.chat([ChatMessage("hi")]).message.content == "hello"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", PermissionDeniedError),
        (400, "Arrearage", PermissionDeniedError),
        (404, "ModelNotFound", ModelNotFoundError),
        (400, "InvalidParameter", InvalidRequestError),
        (400, "DataInspectionFailed", ContentBlockedError),
        (500, "InternalError", ServerError),
    ],
)
def test_every_refusal_has_its_type(make, ask, status, code, kind):
    """Row 7 of LlamaIndex: with code, request id and model, in all eight methods."""
    llm = make("llama3-8b-instruct", Fault(status, code, "No."), max_retries=0)
    with pytest.raises(kind) as refused:
        ask(llm, "hi")
    assert (refused.value.code, refused.value.model) == (code, "llama3-8b-instruct")
    assert refused.value.request_id


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_ends_in_order_but_too_soon_raises(ask):
    """Row 9 of LlamaIndex: no finish reason, though there was a place for one; no second try."""
    asked = []
    unfinished = events(choice("The sea "), choice("was"))

    def handle(request):
        asked.append(request)
        return unfinished(request)

    with pytest.raises(ProtocolError, match="without a finish reason") as broken:
        ask(wired(handle), "hi")
    assert broken.value.partial_text == "The sea was"
    assert len(asked) == 1


def answered(request: httpx2.Request) -> httpx2.Response:
    """A good answer, streamed if a stream is asked for."""
    if request.headers.get("x-dashscope-sse") == "enable":
        return events(choice("at "), choice("last", "stop"))(request)
    return httpx2.Response(200, json={"output": choice("at last", "stop"), "request_id": "r"})


def failing(*failures: int | Exception):
    """A handler that fails in these ways, then answers; and the list of what it was asked."""
    asked: list[bytes] = []

    def handle(request):
        asked.append(request.content)
        failure = failures[len(asked) - 1] if len(asked) <= len(failures) else None
        if failure is None:
            return answered(request)
        if isinstance(failure, Exception):
            raise failure
        return httpx2.Response(failure, headers={"retry-after": "3"}, json={"message": "No."})

    return handle, asked


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_that_waiting_may_cure_is_tried_again(ask, waits, status):
    """Row 10 of LlamaIndex: the same request, after the seconds that the service asks for."""
    handle, asked = failing(status)
    llm = wired(handle)
    waited = waits(llm)
    assert ask(llm, "hi").text == "at last"
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert waited == [3.0]


def test_a_service_that_cannot_be_reached_is_tried_again(ask, waits):
    """Row 10 of LlamaIndex: after up to half a second, then up to a whole one."""
    gone = httpx2.ConnectError("refused")
    handle, asked = failing(gone, gone)
    llm = wired(handle)
    waited = waits(llm)
    assert ask(llm, "hi").text == "at last"
    assert len(asked) == 3
    assert 0 <= waited[0] <= 0.5
    assert 0 <= waited[1] <= 1.0


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_max_retries_counts_the_tries_after_the_first(ask, waits, retries):
    """Row 10 of LlamaIndex: and nobody multiplies them by tries of its own."""
    handle, asked = failing(*[503] * 10)
    llm = wired(handle, max_retries=retries)
    waits(llm)
    with pytest.raises(ServerError):
        ask(llm, "hi")
    assert len(asked) == retries + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_waiting_cannot_cure_is_not_tried_again(ask, waits, status):
    """Row 10 of LlamaIndex."""
    handle, asked = failing(status)
    llm = wired(handle)
    waited = waits(llm)
    with pytest.raises(DashScopeError) as refused:
        ask(llm, "hi")
    assert refused.value.status_code == status
    assert (len(asked), waited) == (1, [])


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_broken_stream_counts_nothing_and_is_not_repeated(make, ask):
    """Rows 8 and 10 of LlamaIndex: once text has come there is no second try."""
    counter = TokenCountingHandler(tokenizer=str.split)
    broken = Fault(500, "InternalError", "No.", after=2)
    llm = make("llama3-8b-instruct", broken, callback_manager=CallbackManager([counter]))
    with pytest.raises(ServerError):
        ask(llm, "hi")
    assert counter.total_llm_token_count == 0
    assert len(make.requests) == 1


def test_workspace_and_headers_go_with_every_call(make, ask):
    """Row 11 of LlamaIndex."""
    ask(make("llama3-8b-instruct", workspace="ws-1", default_headers={"x-team": "a"}), "hi")
    sent = make.requests[0].headers
    assert (sent["x-dashscope-workspace"], sent["x-team"]) == ("ws-1", "a")


REGIONS = {
    None: "dashscope.aliyuncs.com",
    "beijing": "dashscope.aliyuncs.com",
    "singapore": "dashscope-intl.aliyuncs.com",
    "us": "dashscope-us.aliyuncs.com",
    "hongkong": "cn-hongkong.dashscope.aliyuncs.com",
    "finance": "dashscope-finance.aliyuncs.com",
    "frankfurt": "ws-1.eu-central-1.maas.aliyuncs.com",
    "tokyo": "ws-1.ap-northeast-1.maas.aliyuncs.com",
}
PATH = "/api/v1/services/aigc/text-generation/generation"


@pytest.mark.parametrize(("region", "host"), REGIONS.items())
def test_regions_have_their_addresses(ask, region, host):
    """Row 11 of LlamaIndex: Beijing if nothing is said."""
    asked = []

    def handle(request):
        asked.append(str(request.url))
        return answered(request)

    settings = {"region": region, "api_key": "sk-0", "workspace": "ws-1"}
    llm = wired(handle, "deepseek-v4-pro", base_url=None, **settings)
    assert ask(llm, "hi").text == "at last"
    assert asked == [f"https://{host}{PATH}"]


def test_an_unknown_region_is_refused_with_the_known_ones():
    """Row 11 of LlamaIndex."""
    with pytest.raises(ConfigurationError, match=r"unknown region 'mars'.*beijing, singapore, us"):
        DashScopeOSS(model=SILENT, region="mars")


def test_a_service_that_is_silent_is_not_waited_for_longer_than_asked(ask):
    """Row 11 of LlamaIndex: ``timeout``, over real sockets."""
    with RawServer([UntilGone()]) as server:
        limits = {"timeout": 0.05, "total_timeout": 30, "max_retries": 0}
        llm = DashScopeOSS(model=SILENT, base_url=server.base_url, **limits)
        with pytest.raises(APITimeoutError, match=r"0\.05 s"):
            ask(llm, "hi")
        llm.close()


def test_blocking_calls_share_one_connection():
    """Row 11 of LlamaIndex: calls and streams in turn, three times over."""
    with RawServer(*turns(6)) as server:
        llm = DashScopeOSS(model=SILENT, base_url=server.base_url)
        for _ in range(3):
            assert llm.complete("hi").text == "hello"
            assert [r.message.content for r in llm.stream_chat([ChatMessage("hi")])][-1] == "hello"
        llm.close()
    assert (len(server.requests), server.connections) == (6, 1)


async def test_async_calls_of_one_loop_share_one_connection():
    """Row 11 of LlamaIndex."""
    with RawServer(*turns(6)) as server:
        llm = DashScopeOSS(model=SILENT, base_url=server.base_url)
        for _ in range(3):
            assert (await llm.achat([ChatMessage("hi")])).message.content == "hello"
            assert [r.text async for r in await llm.astream_complete("hi")][-1] == "hello"
        await llm.aclose()
    assert (len(server.requests), server.connections) == (6, 1)


def turns(count: int) -> list:
    """A whole answer and a streamed one in turn."""
    pair = [answer(text_reply("hello")), stream(frame("hel"), frame("lo", "stop"))]
    return pair * (count // 2)


def test_one_object_serves_event_loops_that_nobody_cleans_up_after():
    """Rows 11 and 42 of LlamaIndex: two asyncio.run in a row, as a script has them."""
    with RawServer(answer(text_reply("hello"))) as server:
        llm = DashScopeOSS(model=SILENT, base_url=server.base_url)
        assert [asyncio.run(llm.acomplete("hi")).text for _ in range(2)] == ["hello", "hello"]
        assert llm.complete("hi").text == "hello"
        llm.close()
    assert len(server.requests) == 3


def test_one_object_serves_several_event_loops(make, run):
    """Rows 11 and 42 of LlamaIndex: one after the other, and many calls in one."""
    llm = make("llama3-8b-instruct")

    async def four():
        return await asyncio.gather(*(llm.acomplete(str(n)) for n in range(4)))

    for _ in range(2):
        assert [r.text for r in run(llm, four())] == [f"You said: {n}" for n in range(4)]


def test_one_object_serves_many_threads(make):
    """Row 42 of LlamaIndex: sixteen at once, each gets its own answer."""
    llm = make(SILENT)
    with ThreadPoolExecutor(16) as pool:
        said = pool.map(lambda n: llm.complete(f"number {n}").text, range(32))
        assert list(said) == [f"You said: number {n}" for n in range(32)]


async def test_blocking_calls_work_inside_a_running_loop(make):
    """Row 42 of LlamaIndex: as in a notebook."""
    assert make(SILENT).complete("hi").text == "You said: hi"


def test_the_vendors_sdk_is_not_needed():
    """Row 12 of LlamaIndex."""
    code = (
        "import sys; sys.modules['dashscope'] = None\n"
        "from llama_index_dashscope_oss import DashScopeOSS\n"
        f"DashScopeOSS(model='{SILENT}', base_url='{LOCAL}')"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_an_estimate_is_given_where_it_is_asked_for(make, ask):
    """Row 18 of LlamaIndex: marked as one, and read by LlamaIndex's counter."""
    counter = TokenCountingHandler(tokenizer=str.split)
    settings = {"estimate_usage": True, "callback_manager": CallbackManager([counter])}
    last = ask(make(SILENT, Answer("守塔人写道，海面平静。"), **settings), "守塔人写了什么？").last
    assert last.additional_kwargs["usage_estimated"] is True
    told = last.additional_kwargs["prompt_tokens"], last.additional_kwargs["completion_tokens"]
    assert told[0] > 11
    assert told[1] > 11
    (event,) = counter.llm_token_counts
    assert (event.prompt_token_count, event.completion_token_count) == told


def test_reported_tokens_are_not_called_estimates(make):
    """Row 18 of LlamaIndex."""
    response = make("llama3-8b-instruct", estimate_usage=True).complete("hi")
    assert "usage_estimated" not in response.additional_kwargs


def test_strict_settings_refuse_what_no_page_documents(make):
    """Row 38 of LlamaIndex: by choice; else a parameter is sent."""
    llm = make("llama2-7b-chat-v2", strict_params=True)
    llm.complete("hi")
    with pytest.raises(UnsupportedInputError, match="documents no temperature"):
        llm.complete("hi", temperature=0.5)


def now() -> str:
    """Tell the time."""
    return "noon"


NOW = FunctionTool.from_defaults(fn=now)
CALL = Answer(tool_calls=(ToolCall(id="1", name="now", arguments="{}", index=0),))


# LlamaIndex cannot store memories, and says so.
@pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key")
@pytest.mark.parametrize("streaming", [True, False])
def test_the_context_of_an_agent_can_be_stored(make, run, memory, streaming):
    """Row 19 of LlamaIndex: nothing in a response keeps it from being JSON."""
    llm = make("deepseek-v4-pro", CALL, Answer("Noon."))
    agent = FunctionAgent(tools=[NOW], llm=llm, streaming=streaming)

    async def asked():
        context = Context(agent)
        answer = await agent.run("What time is it?", ctx=context, memory=memory)
        return str(answer), json.dumps(context.to_dict(serializer=JsonSerializer()))

    answer, stored = run(llm, asked())
    assert answer == "Noon."
    assert stored


def test_a_response_is_plain_json(make, ask):
    """Row 19 of LlamaIndex."""
    last = ask(make("deepseek-v4-pro", Answer("a", reasoning="b")), "hi").last
    assert json.loads(json.dumps(last.raw)) == last.raw


@pytest.mark.parametrize(
    ("model", "kind"), [("llama2-7b-chat-v2", ReActAgent), ("deepseek-v4-pro", FunctionAgent)]
)
def test_an_agent_workflow_takes_the_agent_that_fits(model, kind):
    """Row 29 of LlamaIndex: only a model with tools is given tools."""
    llm = DashScopeOSS(model=model, base_url=LOCAL)
    workflow = AgentWorkflow.from_tools_or_functions([NOW], llm=llm)
    (agent,) = workflow.agents.values()
    assert isinstance(agent, kind)


REACT = (
    Answer("Thought: I need the time.\nAction: now\nAction Input: {}"),
    Answer("Thought: I can answer without using any more tools.\nAnswer: It is noon."),
)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [SILENT, "llama3-8b-instruct"])
def test_an_agent_without_tool_calls_acts_by_words(make, run, memory, model, streaming):
    """Rows 29 and 34 of LlamaIndex: ReActAgent, with the tool's result in the second prompt."""
    llm = make(model, *REACT)
    agent = ReActAgent(tools=[NOW], llm=llm, streaming=streaming)

    async def asked():
        return str(await agent.run("What time is it?", memory=memory))

    assert run(llm, asked()) == "It is noon."
    assert "Observation: noon" in str(make.requests[1].body["input"])


def test_agents_hand_over_to_each_other(make, run, memory):
    """Row 34 of LlamaIndex."""
    arguments = json.dumps({"to_agent": "clock", "reason": "time"})
    over = Answer(tool_calls=(ToolCall(id="1", name="handoff", arguments=arguments, index=0),))
    llm = make("deepseek-v4-pro", over, CALL, Answer("Noon."))
    front = FunctionAgent(name="front", description="Greets.", llm=llm, can_handoff_to=["clock"])
    clock = FunctionAgent(name="clock", description="Tells the time.", llm=llm, tools=[NOW])
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def asked():
        return str(await workflow.run("What time is it?", memory=memory))

    assert run(llm, asked()) == "Noon."
    assert len(make.requests) == 3


def calling(*calls, finish="null") -> dict:
    """A message, or a piece of one, that calls tools: index, id, name and arguments of each."""
    listed = [
        {"type": "function", "function": _told(name=name, arguments=arguments)}
        | _told(index=index, id=id)
        for index, id, name, arguments in calls
    ]
    made = choice("", finish)
    made["choices"][0]["message"]["tool_calls"] = listed
    return made


def _told(**given) -> dict:
    return {name: value for name, value in given.items() if value is not None}


BOTH = (0, "c1", "add", '{"a": 1, "b": 2}'), (1, "c2", "add", '{"a": 3, "b": 4}')
PARALLEL = {
    "whole": (calling(*BOTH),),
    "whole without index": (calling(*((None, *call[1:]) for call in BOTH)),),
    "one after the other": (
        calling((0, "c1", "add", "")),
        calling((0, "", None, '{"a": 1,')),
        calling((0, None, "", ' "b": 2}')),
        calling((1, "c2", "add", '{"a"')),
        calling((1, "", "", ': 3, "b": 4}')),
    ),
    "in turn": (
        calling((0, "c1", "add", '{"a":'), (1, "c2", "add", '{"a": 3')),
        calling((1, None, None, ', "b": 4}')),
        calling((0, None, None, ' 1, "b": 2}')),
    ),
    "without index": (
        calling((None, "c1", "add", '{"a": 1')),
        calling((None, None, None, ', "b": 2}')),
        calling((None, "c2", "add", '{"a": 3')),
        calling((None, "", "", ', "b": 4}')),
    ),
    "id in every piece": (
        calling((None, "c1", "add", '{"a": 1')),
        calling((None, "c1", "add", ', "b": 2}')),
        calling((1, "c2", "add", '{"a": 3')),
        calling((1, "c2", "add", ', "b": 4}')),
    ),
}


@pytest.mark.parametrize("pieces", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("ask", ["stream_chat", "astream_chat"], indirect=True)
def test_two_calls_at_once_are_the_same_streamed_or_not(ask, pieces):
    """Row 32 of LlamaIndex: whatever pieces say of place, id and name."""
    body = {"output": calling(*BOTH, finish="tool_calls"), "request_id": "r"}
    whole = wired(lambda _: httpx2.Response(200, json=body)).chat([ChatMessage("hi")])
    llm = wired(events(*pieces, calling(finish="tool_calls")), "deepseek-v4-pro")
    last = ask(llm, "hi").last
    assert last.message == whole.message
    assert [
        (call.tool_id, call.tool_name, call.tool_kwargs)
        for call in llm.get_tool_calls_from_response(last)
    ] == [("c1", "add", {"a": 1, "b": 2}), ("c2", "add", {"a": 3, "b": 4})]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [SILENT, "llama3-8b-instruct"])
def test_agents_without_tool_calls_hand_over_too(make, run, memory, model, streaming):
    """Row 34 of LlamaIndex: the second agent has its own tools and is told why it was asked."""
    given = json.dumps({"to_agent": "clock", "reason": "about time"})
    over = Answer(f"Thought: Not mine.\nAction: handoff\nAction Input: {given}")
    llm = make(model, over, *REACT)
    given = {"llm": llm, "streaming": streaming}
    front = ReActAgent(name="front", description="Greets.", can_handoff_to=["clock"], **given)
    clock = ReActAgent(name="clock", description="Tells the time.", tools=[NOW], **given)
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def asked():
        return str(await workflow.run("What time is it?", memory=memory))

    assert run(llm, asked()) == "It is noon."
    first, second, third = (str(request.body["input"]) for request in make.requests)
    assert "handoff" in first
    assert "Tool Name: now" in second
    assert "about time" in second
    assert "Observation: noon" in third


class Hour(BaseModel):
    """An hour."""

    hour: int


@pytest.mark.parametrize("model", [SILENT, "llama3-8b-instruct"])
def test_an_agent_without_tool_calls_answers_with_an_object(make, run, memory, model):
    """Row 34 of LlamaIndex: output_cls, asked for in words once the agent has its answer."""
    llm = make(model, *REACT, Answer('{"hour": 12}'))
    agent = ReActAgent(tools=[NOW], llm=llm, output_cls=Hour)

    async def asked():
        return await agent.run("What time is it?", memory=memory)

    result = run(llm, asked())
    assert str(result) == "It is noon."
    assert result.get_pydantic_model(Hour) == Hour(hour=12)
    assert '"hour"' in str(make.requests[2].body["input"])


def test_an_answer_without_calls_has_no_list_of_calls(make, ask):
    """Row 33 of LlamaIndex: the service refuses an empty list in the next request."""
    last = ask(make("deepseek-v4-pro"), "hi").last
    assert "tool_calls" not in getattr(last, "message", last).additional_kwargs


def test_a_tool_without_parameters_and_one_with_nested_ones_keep_their_schemas(make):
    """Row 30 of LlamaIndex: $defs, required and descriptions inside ``parameters``."""

    class Place(BaseModel):
        city: str

    def find(place: Place, deep: bool = False) -> str:
        """Find a place."""
        return f"{place}{deep}"

    tools = [NOW, FunctionTool.from_defaults(fn=find)]
    make("deepseek-v4-pro").chat_with_tools(tools, "hi")
    sent = make.body["parameters"]["tools"]
    assert sent == [tool.metadata.to_openai_tool() for tool in tools]
    assert "Place" in sent[1]["function"]["parameters"]["$defs"]
    assert sent[1]["function"]["parameters"]["required"] == ["place"]


def thinking(request: httpx2.Request) -> httpx2.Response:
    """An answer with thoughts, which the service gives to streams only."""
    if request.headers.get("x-dashscope-sse") != "enable":
        said = "parameter.enable_thinking must be set to false for non-streaming calls"
        return httpx2.Response(400, json={"code": "InvalidParameter", "message": said})
    assert json.loads(request.content)["parameters"]["incremental_output"] is True
    thought = choice("")
    thought["choices"][0]["message"]["reasoning_content"] = "Let me think."
    return events(thought, choice("4"), choice("2", "stop"))(request)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "qwen3-8b"},
        {"model": "qwen3-8b", "enable_thinking": True},
        {"model": "kimi-k2.7-code"},
        {"model": "qwq-32b"},
    ],
    ids=str,
)
def test_a_call_that_thinks_is_a_stream_inside(ask, settings):
    """Row 36 of LlamaIndex: the service refuses any other; the caller sees no difference."""
    called = ask(wired(thinking, **settings), "hi")
    assert called.text == "42"
    if "complete" in ask.name:
        assert called.last.additional_kwargs["reasoning_content"] == "Let me think."
    elif hasattr(types, "ThinkingBlock"):
        assert called.last.message.blocks[0].content == "Let me think."


@pytest.mark.parametrize(
    "settings",
    [{"model": "qwen3-8b", "enable_thinking": False}, {"model": "deepseek-v4-pro"}],
    ids=str,
)
def test_a_call_streams_only_where_it_is_asked_to_or_must(make, ask, settings):
    """Row 36 of LlamaIndex: not where the model does not think, or does so in whole answers too."""
    ask(make(**settings), "hi")
    assert ("x-dashscope-sse" in make.requests[0].headers) == ("stream" in ask.name)


def test_an_answer_among_the_thoughts_is_an_answer(make, ask):
    """Row 36 of LlamaIndex: some models write it there; thoughts that were cut are none."""
    called = ask(make("deepseek-v4-pro", Answer("", reasoning="It is 42.")), "hi")
    assert called.text == "It is 42."
    if "stream" in ask.name:
        assert "".join(called.deltas) == "It is 42."
    cut = Answer("", reasoning="It is", finish_reason="length")
    with pytest.warns(DashScopeWarning, match="cut off"):
        assert not ask(make("deepseek-v4-pro", cut), "hi").text


def test_an_answer_that_is_cut_warns_once(make, ask):
    """Row 39 of LlamaIndex: naming the setting."""
    llm = make("llama3-8b-instruct", Answer("It is", finish_reason="length"), max_tokens=2)
    with pytest.warns(DashScopeWarning, match="cut off at max_tokens=2") as warned:
        last = ask(llm, "hi").last
    assert len(warned) == 1
    assert last.additional_kwargs["finish_reason"] == "length"


def test_the_model_is_told_with_the_answer(make, ask):
    """Row 39 of LlamaIndex."""
    last = ask(make(SILENT), "hi").last
    assert last.additional_kwargs["model"] == SILENT


def test_no_prompt_and_no_key_are_logged(make, ask, caplog):
    """Row 14 of LlamaIndex: at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    ask(make("deepseek-v4-pro", Answer("an answer"), api_key="sk-sentinel-0123"), "secret prompt")
    ours = [r for r in caplog.records if "gateway" not in r.name]
    for record in ours:
        assert "secret prompt" not in record.getMessage()
        assert "sk-sentinel" not in record.getMessage()


def test_leaving_a_blocking_stream_closes_its_connection():
    """Row 41 of LlamaIndex."""

    class Endless(httpx2.SyncByteStream):
        closed = False

        def __iter__(self):
            while True:
                yield b'data: {"output":{"text":"more "}}\n\n'

        def close(self):
            self.closed = True

    body = Endless()
    headers = {"content-type": "text/event-stream"}
    llm = wired(lambda _: httpx2.Response(200, headers=headers, stream=body), "deepseek-v4-pro")
    stream = llm.stream_chat([ChatMessage("hi")])
    assert next(stream).delta
    stream.close()
    assert body.closed


def test_a_router_chooses_between_engines(make):
    """Row 43 of LlamaIndex: on a window of 2,048 tokens."""
    llm = make(SILENT, Answer('[{"choice": 2, "reason": "sea"}]'), Answer("Calm."))
    engines = [
        QueryEngineTool.from_defaults(
            SummaryIndex.from_documents(
                [Document(text=text)], embed_model=MockEmbedding(4)
            ).as_query_engine(llm=llm),
            description=text,
        )
        for text in ("the lamp", "the sea")
    ]
    router = RouterQueryEngine.from_defaults(
        engines, llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm)
    )
    assert str(router.query("How was the sea?")) == "Calm."
    assert "the sea" in make.requests[1].body["input"]["prompt"]


class Counting:
    """A rate limiter that only counts."""

    taken = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.taken += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.taken += 1


@pytest.mark.skipif(
    "rate_limiter" not in DashScopeOSS.model_fields, reason="llama-index-core 0.14.0 has none"
)
def test_a_rate_limiter_is_asked_before_every_call(make, ask):
    """Row 40 of LlamaIndex: LlamaIndex's own or any other; ready-made ones: test_limits.py."""
    limiter = Counting()
    ask(make(SILENT, rate_limiter=limiter), "hi")
    assert limiter.taken == 1


RIVALS = {
    "model_name": "deepseek-v4-pro",
    "max_tokens": 256,
    "incremental_output": True,
    "enable_search": False,
    "stop": [[7]],
    "temperature": 0.1,
    "top_k": 5,
    "top_p": 0.5,
    "seed": 1234,
    "repetition_penalty": 1.1,
    "callback_manager": None,
    "is_function_calling_model": True,
    "context_window": 8192,
}


def test_arguments_of_the_older_integration_mean_the_same(gateway):
    """Row 46 of LlamaIndex: those of llama-index-llms-dashscope 0.7.0, by name."""
    engine = gateway()
    given = {name: v for name, v in RIVALS.items() if name not in ("top_k", "stop")}
    llm = DashScopeOSS(**given, api_base=engine.base_url, api_key="sk-0", stop=["x"])
    assert (llm.metadata.context_window, llm.metadata.num_output) == (8192, 256)
    assert llm.metadata.is_function_calling_model
    assert llm.complete("hi").text == "You said: hi"
    assert llm.chat([ChatMessage("hi")]).message.content == "You said: hi"
    names = ("max_tokens", "enable_search", "temperature", "top_p", "seed", "repetition_penalty")
    sent = engine.requests[0].body["parameters"]
    assert {name: sent[name] for name in names} == {name: RIVALS[name] for name in names}
    assert DashScopeOSS(model="glm-5", base_url=LOCAL, top_k=5, stop=[[7]]).stop == [[7]]
    llm.close()


def test_what_the_older_integration_took_and_this_does_not_need_is_refused():
    """Row 46 of LlamaIndex: in words that say what to do."""
    with pytest.raises(ConfigurationError, match="leave it out"):
        DashScopeOSS(model=SILENT, base_url=LOCAL, incremental_output=False)


def test_an_expired_key_is_told_by_its_name(make):
    """Row 7 of LlamaIndex: the message says what to check."""
    fault = Fault(401, "InvalidApiKey", "Invalid API-key provided.")
    with pytest.raises(AuthenticationError, match="InvalidApiKey"):
        make(SILENT, fault).complete("hi")


# The table itself.

ROOT = Path(__file__).parents[2]


def test_the_oldest_core_allowed_is_one_that_is_tested():
    """Row 44 of LlamaIndex: ``make matrixindex`` runs these tests on it; Python from 3.11 on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (needed, _) = project["optional-dependencies"]["llama-index"]
    oldest = re.search(r">=([\d.]+)", needed)[1]
    tested = re.search(r"^INDEX_CORES \?= (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)[1]
    assert any(Version(core) == Version(oldest) for core in tested.split())
    assert project["requires-python"] == ">=3.11"


def test_what_llama_hub_reads_is_there():
    """Row 45 of LlamaIndex: import path and class are real, and there is the example it claims."""
    hub = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["llamahub"]
    package = importlib.import_module(hub["import_path"])
    (name,) = hub["class_authors"]
    assert issubclass(getattr(package, name), FunctionCallingLLM)
    assert hub["contains_example"]
    assert (ROOT / "notebooks" / "llama_index_rag.ipynb").exists()
