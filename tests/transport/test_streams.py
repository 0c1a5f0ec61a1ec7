"""Streams: what arrives when, what breaks off, and what is let go."""

from __future__ import annotations

import asyncio
import gc
import threading

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    Client,
    ClientOptions,
    Endpoint,
    Message,
    Options,
    ProtocolError,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.streaming import sse
from tests.faults.server import (
    SSE,
    SSE_END,
    SSE_HEAD,
    WAIT,
    Close,
    Endless,
    RawServer,
    UntilGone,
    chunk,
    frame,
    stream,
)
from tests.transport.calling import (
    Caller,
    endpoint,
    is_gone,
    question,
)


def test_the_first_delta_arrives_before_the_last_is_sent():
    more = threading.Event()
    script = [SSE_HEAD, chunk(frame("first")), more, chunk(frame("last", "stop")), SSE_END]
    with RawServer(script) as server, Client(endpoint(server)) as caller:
        deltas = caller.stream(question())
        assert next(deltas).text == "first"
        assert not more.is_set()
        more.set()
        assert [delta.text for delta in deltas] == ["last"]


async def test_the_first_delta_arrives_before_the_last_is_sent_async():
    more = threading.Event()
    script = [SSE_HEAD, chunk(frame("first")), more, chunk(frame("last", "stop")), SSE_END]
    with RawServer(script) as server:
        async with AsyncClient(endpoint(server)) as caller:
            deltas = caller.stream(question())
            assert (await anext(deltas)).text == "first"
            assert not more.is_set()
            more.set()
            assert [delta.text async for delta in deltas] == ["last"]


def test_a_cut_stream_of_a_model_without_finish_reasons_is_an_error_too(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hel", None)), Close()]
    with RawServer(script) as server, pytest.raises(APIConnectionError) as caught:
        streaming(server, question("llama2-7b-chat-v2"))
    assert caught.value.partial_text == "hel"


def test_a_stream_that_ends_in_order_without_a_finish_reason_is_an_error(streaming: Caller):
    with RawServer(stream(frame("hel"))) as server:
        with pytest.raises(ProtocolError, match="broke off") as caught:
            streaming(server)
        assert caught.value.partial_text == "hel"


def test_a_failed_stream_lets_go_of_its_connection_while_its_error_is_kept():
    script = [SSE_HEAD, chunk(frame("hel") + b"data:{broken\n\n"), UntilGone()]
    with RawServer(script) as server:
        caller = Client(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            list(caller.stream(question()))
        assert server.gone.wait(WAIT)
        assert caught.value.partial_text == "hel"
        caller.close()


async def test_a_failed_async_stream_lets_go_of_its_connection_while_its_error_is_kept():
    script = [SSE_HEAD, chunk(frame("hel") + b"data:{broken\n\n"), UntilGone()]
    with RawServer(script) as server:
        caller = AsyncClient(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            [delta async for delta in caller.stream(question())]
        assert await is_gone(server)
        assert caught.value.partial_text == "hel"
        await caller.aclose()


async def test_an_answer_beyond_the_limit_is_let_go_while_its_error_is_kept(monkeypatch):
    monkeypatch.setattr(sse, "MAX_REPLY_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    with RawServer([head + b"x" * 2000, UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            await caller.send(question())
        assert await is_gone(server)
        assert "1000 bytes" in caught.value.message
        await caller.aclose()


def test_closing_the_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = Client(endpoint(server))
        deltas = caller.stream(question())
        next(deltas)
        deltas.close()
        assert server.gone.wait(WAIT)
        caller.close()


def test_dropping_the_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = Client(endpoint(server))
        deltas = caller.stream(question())
        next(deltas)
        del deltas
        gc.collect()
        assert server.gone.wait(WAIT)
        caller.close()


async def test_closing_the_async_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        deltas = caller.stream(question())
        await anext(deltas)
        await deltas.aclose()
        assert await is_gone(server)
        await caller.aclose()


async def test_leaving_an_async_loop_early_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        async for _ in caller.stream(question()):
            break
        gc.collect()
        assert await is_gone(server)
        await caller.aclose()


@pytest.mark.parametrize("streams", [True, False])
async def test_cancelling_a_call_closes_its_connection(streams):
    script = [SSE_HEAD, chunk(frame("hel")), UntilGone()]
    with RawServer(script if streams else [UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))

        async def run() -> None:
            if streams:
                async for _ in caller.stream(question()):
                    pass
            else:
                await caller.send(question())

        task = asyncio.create_task(run())
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await is_gone(server)
        await caller.aclose()


def test_a_stop_text_of_ones_own_ends_a_stream_and_its_connection(streaming: Caller):
    request = chat_request(
        find_model("llama2-7b-chat-v2"), [Message("user", "q")], Options(stop="END")
    )
    assert request.own_stops
    script = [SSE_HEAD, chunk(frame("one END two", None)), UntilGone()]
    with RawServer(script) as server:
        assert streaming(server, request).text.strip() == "one"
        assert server.gone.wait(WAIT)


def test_signs_of_life_alone_are_no_next_piece(streaming: Caller):
    """A server that only says that it is there holds no call for ever, without a total limit."""
    silent = Endless(chunk(b"event: ping\ndata: now\n\n: comment\n\ndata: null\n\n"), 0.02)
    with RawServer([SSE_HEAD, chunk(frame("hel")), silent]) as server:
        with pytest.raises(APITimeoutError, match=r"next piece .* longer than 0\.3 s") as caught:
            streaming(server, timeout=0.3, max_retries=0)
        assert caught.value.partial_text == "hel"


async def test_the_read_limit_of_a_given_client_is_none_for_signs_of_life():
    """A model that thinks sends nothing else for longer than httpx2's own five seconds."""

    async def beats():
        for _ in range(6):
            yield b":\n\n"
            await asyncio.sleep(0.02)
        yield frame("hello", "stop")

    def reply(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"Content-Type": SSE}, content=beats())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reply), timeout=0.05) as http:
        options = ClientOptions(http_async_client=http, max_retries=0)
        client = AsyncClient(Endpoint.resolve(api_key="sk-any"), options)
        assert [d.text async for d in client.stream(question("glm-5"))] == ["hello"]
