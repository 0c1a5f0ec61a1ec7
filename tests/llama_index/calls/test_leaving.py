"""Whoever leaves a stream, or cancels a call, closes its connection at once."""

import asyncio

import httpx2
import pytest
from llama_index.core.llms import ChatMessage

from llama_index_dashscope_oss import DashScopeOSS
from tests.faults.server import SSE_HEAD, WAIT, Endless, RawServer, UntilGone, chunk, message_frame
from tests.llama_index.examples import CHAT, WITH_TOOLS
from tests.llama_index.mock_service import model_over


class EndlessBody(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of an answer that never ends by itself."""

    closed = False

    def __iter__(self):
        while True:
            yield b'data: {"output":{"choices":[{"message":{"content":"more "}}]}}\n\n'

    async def __aiter__(self):
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def body() -> EndlessBody:
    return EndlessBody()


@pytest.fixture
def llm(body) -> DashScopeOSS:
    headers = {"content-type": "text/event-stream"}
    return model_over(lambda _: httpx2.Response(200, headers=headers, stream=body), WITH_TOOLS)


async def test_leaving_an_async_stream_closes_its_connection(llm, body):
    """A turn of the event loop later, not only when the garbage is collected."""
    stream = await llm.astream_chat([ChatMessage("hi")])
    assert (await anext(stream)).delta == "more "
    await stream.aclose()
    del stream
    await asyncio.sleep(0.01)
    assert body.closed


def test_leaving_a_blocking_stream_closes_its_connection(llm, body):
    stream = llm.stream_chat([ChatMessage("hi")])
    assert next(stream).delta == "more "
    stream.close()
    assert body.closed


ENDLESS = (SSE_HEAD, Endless(chunk(message_frame("more ")), pause=0.001))


def test_the_service_sees_that_a_blocking_stream_is_left():
    """Its end of the connection is closed, so it can stop."""
    with RawServer(ENDLESS) as server:
        llm = DashScopeOSS(model=WITH_TOOLS, base_url=server.base_url)
        stream = llm.stream_chat([ChatMessage("hi")])
        assert next(stream).delta == "more "
        stream.close()
        assert server.gone.wait(WAIT)
        llm.close()


async def test_the_service_sees_that_an_async_stream_is_left():
    with RawServer(ENDLESS) as server:
        llm = DashScopeOSS(model=WITH_TOOLS, base_url=server.base_url)
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


@pytest.mark.parametrize("method", CANCELLED)
@pytest.mark.parametrize("begun", [True, False], ids=["answering", "silent"])
async def test_the_service_sees_that_a_task_is_cancelled(method, begun):
    """While an answer comes, and while none does."""
    with RawServer(ENDLESS if begun else [UntilGone()]) as server:
        llm = DashScopeOSS(model=CHAT, base_url=server.base_url)
        task = asyncio.ensure_future(CANCELLED[method](llm))
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        await llm.aclose()
