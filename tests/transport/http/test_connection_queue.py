"""Asyncio calls that wait for a connection, over httpx2 and over aiohttp."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpcore2
import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    ClientOptions,
    ConfigurationError,
    DefaultAioHttpClient,
    Message,
    chat_request,
    find_model,
)
from dashscope_oss.transport.http import async_deadline_transport
from dashscope_oss.transport.http.connections import open_async_transport
from tests.faults.server import SSE_HEAD, WAIT, Close, Endless, RawServer, chunk, frame
from tests.transport.calling import GOOD, GOOD_STREAM, endpoint, question


@pytest.fixture(params=["httpx2", "aiohttp"])
def opened(request):
    """Open a client over either library, with so many connections."""

    @asynccontextmanager
    async def opened(server: RawServer, connections: int, **options) -> AsyncIterator[AsyncClient]:
        if request.param == "httpx2":
            options = ClientOptions(max_connections=connections, **options)
            async with AsyncClient(endpoint(server), options) as client:
                yield client
            return
        async with DefaultAioHttpClient(max_connections=connections) as http:
            options = ClientOptions(http_async_client=http, **options)
            yield AsyncClient(endpoint(server), options)

    return opened


def _wait_for_requests(server: RawServer, count: int) -> None:
    end = time.monotonic() + WAIT
    while len(server.requests) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.requests) == count


async def test_calls_get_their_connection_in_the_order_they_came(opened):
    words = ["one", "two", "three", "four", "five"]
    model = find_model("baichuan2-7b-chat-v1")
    with RawServer(GOOD) as server:
        async with opened(server, 1) as client:
            calls = (client.send(chat_request(model, [Message("user", word)])) for word in words)
            await asyncio.gather(*calls)
    assert [next(w for w in words if w in str(r.body)) for r in server.requests] == words
    assert server.connections == 1


async def test_a_call_waits_for_a_connection_as_long_as_timeout_says(opened):
    held = threading.Event()
    with RawServer([held, GOOD]) as server:
        async with opened(server, 1, timeout=(5, 5, 5, 0.05)) as client:
            first = asyncio.create_task(client.send(question()))
            await asyncio.to_thread(server.asked.wait, WAIT)
            with pytest.raises(APITimeoutError, match=r"a free connection took .* 0\.05 s.* busy"):
                await client.send(question())
            held.set()
            await first
    assert len(server.requests) == 1


async def test_a_stream_keeps_its_connection_until_it_is_closed(opened):
    with RawServer(GOOD_STREAM, GOOD) as server:
        async with opened(server, 1) as client:
            async with aclosing(client.stream(question())) as pieces:
                await anext(pieces)
                waiting = asyncio.create_task(client.send(question()))
                await asyncio.sleep(0.05)
                assert (len(server.requests), waiting.done()) == (1, False)
            assert (await waiting).text == "hello"


async def test_a_client_without_a_limit_makes_no_call_wait():
    held = threading.Event()
    limits = httpx2.Limits(max_connections=None)
    with RawServer([held, GOOD]) as server:
        async with DefaultAioHttpClient(limits=limits) as http:
            client = AsyncClient(endpoint(server), ClientOptions(http_async_client=http))
            calls = [asyncio.create_task(client.send(question())) for _ in range(120)]
            await asyncio.to_thread(_wait_for_requests, server, 120)
            held.set()
            await asyncio.gather(*calls)


def test_a_wait_in_a_second_event_loop_says_that_a_client_serves_one():
    """As long as connections are free, aiohttp itself finds it out."""
    held = threading.Event()
    with RawServer([held, GOOD]) as server:

        async def first() -> None:
            async with DefaultAioHttpClient(max_connections=1) as http:
                client = AsyncClient(endpoint(server), ClientOptions(http_async_client=http))
                calls = [asyncio.create_task(client.send(question())) for _ in range(2)]
                await asyncio.to_thread(server.asked.wait, WAIT)
                with pytest.raises(ConfigurationError, match="serves one event loop only"):
                    await asyncio.to_thread(asyncio.run, client.send(question()))
                held.set()
                await asyncio.gather(*calls)

        asyncio.run(first())


async def test_connections_that_nobody_needs_any_more_are_closed(monkeypatch):
    """One serves calls that follow each other; the others have been idle for too long."""
    held = threading.Event()
    with RawServer([held, GOOD], [held, GOOD], [held, GOOD], GOOD) as server:
        async with AsyncClient(endpoint(server)) as client:
            calls = [asyncio.create_task(client.send(question())) for _ in range(3)]
            await asyncio.to_thread(_wait_for_requests, server, 3)
            held.set()
            await asyncio.gather(*calls)
            assert not server.gone.is_set()
            monkeypatch.setattr(async_deadline_transport, "KEEPALIVE_SECONDS", 0.0)
            await client.send(question())
            assert await asyncio.to_thread(server.gone.wait, WAIT)


async def test_a_stream_whose_client_is_closed_leaves_no_connection_open():
    with RawServer([SSE_HEAD, chunk(frame("hel")), Endless(chunk(b":\n\n"), 0.01)]) as server:
        client = AsyncClient(endpoint(server), ClientOptions(max_retries=0))
        async with aclosing(client.stream(question())) as pieces:
            await anext(pieces)
            await client.aclose()
            with pytest.raises(APIConnectionError, match=r"middle of the answer: (?!pop)"):
                await anext(pieces)
        assert await asyncio.to_thread(server.gone.wait, WAIT)


async def test_a_stream_that_breaks_off_gives_its_connection_back(opened):
    with RawServer([SSE_HEAD, chunk(frame("hel")), Close()], GOOD) as server:
        async with opened(server, 1) as client:
            with pytest.raises(APIConnectionError, match="in the middle") as e:
                [piece async for piece in client.stream(question())]
            assert e.value.partial_text == "hel"
            assert (await client.send(question())).text == "hello"


async def test_a_client_that_is_closed_while_a_call_connects_sends_nothing(monkeypatch):
    connect, connecting, go_on = (
        httpcore2.AnyIOBackend.connect_tcp,
        asyncio.Event(),
        asyncio.Event(),
    )

    async def connect_later(*where):
        connecting.set()
        await go_on.wait()
        return await connect(*where)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_later)
    with RawServer(GOOD) as server:
        client = AsyncClient(endpoint(server), ClientOptions(max_retries=0))
        call = asyncio.create_task(client.send(question()))
        await connecting.wait()
        await client.aclose()
        go_on.set()
        with pytest.raises(APIConnectionError, match="closed during the call"):
            await call
        assert await asyncio.to_thread(server.gone.wait, WAIT)
    assert not server.requests


async def test_a_connection_whose_call_was_cancelled_while_it_ended_serves_no_other(monkeypatch):
    close = httpcore2.Response.aclose

    async def close_and_cancel(response: httpcore2.Response) -> None:
        await close(response)
        raise asyncio.CancelledError

    with RawServer(GOOD) as server:
        async with AsyncClient(endpoint(server), ClientOptions(max_connections=1)) as client:
            monkeypatch.setattr(httpcore2.Response, "aclose", close_and_cancel)
            with pytest.raises(asyncio.CancelledError):
                await client.send(question())
            monkeypatch.undo()
            assert (await client.send(question())).text == "hello"
    assert server.connections == 2


async def test_a_body_that_is_closed_twice_gives_its_connection_back_once():
    with RawServer(GOOD) as server:
        transport = open_async_transport(server.base_url, 2)
        limits = {"timeout": {"pool": 1}}
        request = httpx2.Request("POST", server.base_url, content=b"{}", extensions=limits)
        first = await transport.handle_async_request(request)
        await first.aread()
        second = await transport.handle_async_request(request)
        await first.stream.aclose()
        third = await transport.handle_async_request(request)
        assert server.connections == 2
        for answer in (second, third):
            await answer.aclose()
        await transport.aclose()
