"""A failure is never an empty answer: not of the model, not of an engine, not of an agent."""

import asyncio

import httpx2
import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from dashscope_oss import (
    APIConnectionError,
    AuthenticationError,
    ContextLengthError,
    DashScopeError,
    Delta,
    Message,
    RateLimitError,
    ServerError,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import Answer, Fault
from llama_index_dashscope_oss import DashScopeOSS
from llama_index_dashscope_oss._convert.responses import chat_response
from llama_index_dashscope_oss._convert.streaming import ato_responses
from tests.faults.server import SSE_HEAD, WAIT, Endless, RawServer, UntilGone, chunk, message_frame

EXPIRED = Fault(401, "InvalidApiKey", "Invalid API-key provided.")
BROKEN = Fault(500, "InternalError", "An internal error has occurred.", after=2)
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")


@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "deepseek-v4-pro"])
def test_an_expired_key_raises_in_all_eight_methods(make, ask, model):
    """Row 7 of LlamaIndex."""
    llm = make(model, EXPIRED)
    with pytest.raises(AuthenticationError, match="Invalid API-key") as refused:
        ask(llm, "hi")
    assert (refused.value.status_code, refused.value.code) == (401, "InvalidApiKey")
    assert refused.value.request_id
    assert len(make.requests) == 1


def test_a_failed_call_counts_no_tokens(make, ask):
    """Row 8 of LlamaIndex."""
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = make("llama3-8b-instruct", EXPIRED, callback_manager=CallbackManager([counter]))
    with pytest.raises(AuthenticationError):
        ask(llm, "hi")
    assert counter.total_llm_token_count == 0


@pytest.mark.parametrize("fault", [BROKEN, EXPIRED], ids=["in the middle", "at once"])
@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_fails_tells_observers_the_cause_once(make, ask, events, fault):
    """Row 8 of LlamaIndex: one ExceptionEvent with the error itself, and no end."""
    with pytest.raises(DashScopeError) as failed:
        ask(make("llama3-8b-instruct", fault), "hi")
    (told,) = [event for event in events if isinstance(event, ExceptionEvent)]
    assert told.exception is failed.value
    assert not [event for event in events if type(event).__name__.endswith("EndEvent")]


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_breaks_raises_with_the_text_so_far(make, ask):
    """Row 8 of LlamaIndex."""
    llm = make("llama3-8b-instruct", BROKEN)
    with pytest.raises(ServerError) as broken:
        ask(llm, "hi")
    assert broken.value.partial_text == "piece 1 piece 2 "


def test_a_stream_that_is_cut_raises_behind_what_came(make):
    """Row 9 of LlamaIndex."""
    llm = make("llama3-8b-instruct", Fault(after=1, cut=True))
    seen = []
    with pytest.raises(DashScopeError) as broken:
        seen.extend(chunk.delta for chunk in llm.stream_chat([ChatMessage("hi")]))
    assert "".join(seen) == broken.value.partial_text == "piece 1 "


@pytest.mark.parametrize("model", ["llama3-8b-instruct", "ziya-llama-13b-v1"])
@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_that_is_cut_raises(make, ask, model):
    """Rows 9 and 10 of LlamaIndex: with the text so far, and there is no second try behind it."""
    with pytest.raises(APIConnectionError) as broken:
        ask(make(model, Fault(after=2, cut=True), Answer("again")), "hi")
    assert broken.value.partial_text == "piece 1 piece 2 "
    assert len(make.requests) == 1


@pytest.mark.parametrize("fault", [Fault(), Fault(503, "ModelUnavailable"), Fault(cut=True)])
def test_what_waiting_may_cure_is_tried_again(make, ask, waits, fault):
    """Row 10 of LlamaIndex: over real sockets; every status: test_rows.py."""
    llm = make("llama3-8b-instruct", fault, Answer("at last"))
    waited = waits(llm)
    assert ask(llm, "hi").text == "at last"
    assert (len(make.requests), len(waited)) == (2, 1)


def test_retries_can_be_turned_off(make):
    with pytest.raises(RateLimitError):
        make("llama3-8b-instruct", Fault(), max_retries=0).complete("hi")
    assert len(make.requests) == 1


def vector_index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text="fact")], embed_model=MockEmbedding(8))


async def drained(engine):
    response = await engine.aquery("?")
    return [token async for token in response.async_response_gen()]


ENGINES = {
    "query": lambda llm: vector_index().as_query_engine(llm=llm).query("?"),
    "aquery": lambda llm: vector_index().as_query_engine(llm=llm).aquery("?"),
    "stream": lambda llm: list(
        vector_index().as_query_engine(llm=llm, streaming=True).query("?").response_gen
    ),
    "astream": lambda llm: drained(vector_index().as_query_engine(llm=llm, streaming=True)),
    "summary": lambda llm: (
        SummaryIndex.from_documents([Document(text="fact")]).as_query_engine(llm=llm).query("?")
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "llama3-8b-instruct"])
def test_an_expired_key_is_no_empty_response(make, run, model, engine):
    """Row 7 of LlamaIndex."""
    llm = make(model, EXPIRED)
    with pytest.raises(AuthenticationError):
        run(llm, ENGINES[engine](llm)) if engine.startswith("a") else ENGINES[engine](llm)
    assert len(make.requests) == 1


def test_an_expired_key_ends_a_chat(make, memory):
    engine = vector_index().as_chat_engine(
        "context", llm=make("ziya-llama-13b-v1", EXPIRED), memory=memory
    )
    with pytest.raises(AuthenticationError):
        engine.chat("?")
    assert len(make.requests) == 1


def test_a_streaming_query_engine_raises_when_the_stream_breaks(make):
    llm = make("ziya-llama-13b-v1", BROKEN)
    response = vector_index().as_query_engine(llm=llm, streaming=True).query("?")
    with pytest.raises(ServerError) as broken:
        list(response.response_gen)
    assert broken.value.partial_text == "piece 1 piece 2 "


TOOL = FunctionTool.from_defaults(fn=lambda: "noon", name="now", description="The time.")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("kind", "model"), [(FunctionAgent, "deepseek-v4-pro"), (ReActAgent, "ziya-llama-13b-v1")]
)
def test_an_agent_ends_with_the_cause_on_the_first_call(make, run, memory, kind, model, streaming):
    """Row 7 of LlamaIndex."""
    llm = make(model, EXPIRED)

    async def asked():
        return await kind(tools=[TOOL], llm=llm, streaming=streaming).run("?", memory=memory)

    # llama-index-core 0.13.0 wraps what a step raises.
    with pytest.raises(Exception, match="Invalid API-key") as ended:
        run(llm, asked())
    assert AuthenticationError in map(type, (ended.value, ended.value.__cause__))
    assert len(make.requests) == 1


def test_a_prompt_that_is_too_long_is_refused_before_any_request(make, ask):
    with pytest.raises(ContextLengthError, match="2048"):
        ask(make("ziya-llama-13b-v1"), "很" * 3000)
    assert not make.requests


def test_tools_for_a_model_without_are_refused(make):
    with pytest.raises(UnsupportedInputError, match="no tools"):
        make("llama3-8b-instruct").chat_with_tools([TOOL], "hi")


async def test_leaving_a_stream_closes_it_at_once():
    """Not only when the garbage is collected."""
    closed = []

    async def deltas():
        try:
            yield Delta(text="a")
            yield Delta(text="b", last=True)
        finally:
            closed.append(True)

    kept = deltas()
    stream = ato_responses(
        chat_request(find_model("deepseek-v4-pro"), [Message("user", "hi")]),
        kept,
        chat_response,
    )
    assert (await anext(stream)).delta == "a"
    await stream.aclose()
    assert closed


class Watched(httpx2.AsyncByteStream):
    """The body of an answer that never ends by itself."""

    closed = False

    async def __aiter__(self):
        while True:
            yield b'data: {"output":{"choices":[{"message":{"content":"more "}}]}}\n\n'

    async def aclose(self) -> None:
        self.closed = True


async def test_leaving_a_stream_closes_its_connection():
    """Row 41 of LlamaIndex."""
    body = Watched()
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=body))
    async with httpx2.AsyncClient(transport=transport) as client:
        llm = DashScopeOSS(
            model="deepseek-v4-pro", base_url="http://127.0.0.1/api/v1", http_async_client=client
        )
        stream = await llm.astream_chat([ChatMessage("hi")])
        assert (await anext(stream)).delta == "more "
        await stream.aclose()
        del stream
        await asyncio.sleep(0.01)
        assert body.closed


ENDLESS = (SSE_HEAD, Endless(chunk(message_frame("more ")), pause=0.001))


def test_the_service_sees_that_a_blocking_stream_is_left():
    """Row 41 of LlamaIndex: its end of the connection is closed, so it can stop."""
    with RawServer(ENDLESS) as server:
        llm = DashScopeOSS(model="deepseek-v4-pro", base_url=server.base_url)
        stream = llm.stream_chat([ChatMessage("hi")])
        assert next(stream).delta == "more "
        stream.close()
        assert server.gone.wait(WAIT)
        llm.close()


async def test_the_service_sees_that_an_async_stream_is_left():
    """Row 41 of LlamaIndex."""
    with RawServer(ENDLESS) as server:
        llm = DashScopeOSS(model="deepseek-v4-pro", base_url=server.base_url)
        stream = await llm.astream_complete("hi")
        assert (await anext(stream)).delta == "more "
        await stream.aclose()
        del stream
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        await llm.aclose()


async def drain(start) -> None:
    async for _ in await start:
        pass


CANCELLED = {
    "achat": lambda llm: llm.achat([ChatMessage("hi")]),
    "acomplete": lambda llm: llm.acomplete("hi"),
    "astream_chat": lambda llm: drain(llm.astream_chat([ChatMessage("hi")])),
    "astream_complete": lambda llm: drain(llm.astream_complete("hi")),
}


@pytest.mark.parametrize("way", CANCELLED)
@pytest.mark.parametrize("begun", [True, False], ids=["answering", "silent"])
async def test_the_service_sees_that_a_task_is_cancelled(way, begun):
    """Row 41 of LlamaIndex: while an answer comes, and while none does."""
    with RawServer(ENDLESS if begun else [UntilGone()]) as server:
        llm = DashScopeOSS(model="llama3-8b-instruct", base_url=server.base_url)
        task = asyncio.ensure_future(CANCELLED[way](llm))
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        await llm.aclose()
