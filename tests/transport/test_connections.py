"""Connections of both clients: how many there are, whom they trust, which proxy they go through."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httpcore2
import pytest

from dashscope_oss import (
    APITimeoutError,
    AsyncClient,
    Client,
    ClientOptions,
    Endpoint,
    Message,
    chat_request,
    find_model,
)
from dashscope_oss.transport.http import connections
from tests.faults.server import (
    SSE_HEAD,
    WAIT,
    Endless,
    RawServer,
    answer,
    chunk,
    text_reply,
)
from tests.transport.secure_server import AUTHORITY, SecureServer, Tunnel

GOOD = answer(text_reply("hello"))
REQUEST = chat_request(find_model("baichuan2-7b-chat-v1"), [Message("user", "question")])

Send = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def written(monkeypatch) -> list[bytes]:
    """What is written to connections from now on, one entry for each time."""
    written: list[bytes] = []
    connect, connect_async = httpcore2.SyncBackend.connect_tcp, httpcore2.AnyIOBackend.connect_tcp

    def noting(stream):
        write = stream.write
        stream.write = lambda buffer, *more: written.append(buffer) or write(buffer, *more)
        return stream

    async def later(*where):
        return noting(await connect_async(*where))

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", lambda *at: noting(connect(*at)))
    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", later)
    return written


@pytest.fixture(params=["blocking", "asyncio"])
def send(request) -> Send:
    """Send calls with one client, some at once if asked for; return their texts."""

    async def blocking(url: str, calls: int = 1, *, at_once: bool = False, **options) -> list[str]:
        with Client(_endpoint(url), ClientOptions(**options)) as client:
            if not at_once:
                return [(await asyncio.to_thread(client.send, REQUEST)).text for _ in range(calls)]
            sent = [asyncio.to_thread(client.send, REQUEST) for _ in range(calls)]
            return [reply.text for reply in await asyncio.gather(*sent)]

    async def later(url: str, calls: int = 1, *, at_once: bool = False, **options) -> list[str]:
        async with AsyncClient(_endpoint(url), ClientOptions(**options)) as client:
            if not at_once:
                return [(await client.send(REQUEST)).text for _ in range(calls)]
            replies = await asyncio.gather(*(client.send(REQUEST) for _ in range(calls)))
            return [reply.text for reply in replies]

    return blocking if request.param == "blocking" else later


def _endpoint(url: str) -> Endpoint:
    return Endpoint.resolve(base_url=url, api_key="sk-any")


@pytest.fixture
def trusted(monkeypatch, tmp_path) -> None:
    """The test authority is trusted, as SSL_CERT_FILE says it."""
    file = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.mark.usefixtures("trusted")
async def test_calls_over_tls_use_one_connection_too(send: Send):
    with SecureServer(GOOD) as server:
        assert await send(server.base_url, 5) == ["hello"] * 5
    assert server.connections == 1


async def test_connections_never_exceed_the_cap(send: Send):
    with RawServer(GOOD) as server:
        assert await send(server.base_url, 20, at_once=True, max_connections=3) == ["hello"] * 20
    assert server.connections <= 3


async def test_as_many_connections_as_the_cap_allows_are_kept(send: Send):
    """httpx2 alone keeps 20 idle ones and would open the others anew."""
    with RawServer(GOOD) as server:
        await send(server.base_url, 120, at_once=True, max_connections=40)
    assert server.connections <= 40


async def test_cookies_of_an_answer_are_not_sent_back(send: Send):
    with RawServer(answer(text_reply("a"), headers=[("Set-Cookie", "a=b")]), GOOD) as server:
        await send(server.base_url, 2)
    assert "cookie" not in server.requests[1].headers


async def test_a_server_that_does_not_answer_the_tls_greeting_is_a_connect_timeout(send: Send):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/api/v1"
        with pytest.raises(APITimeoutError, match="connecting"):
            await send(url, max_retries=0, timeout=(0.1, WAIT, WAIT, WAIT))


@pytest.mark.usefixtures("trusted")
async def test_a_dripping_answer_through_a_proxys_tunnel_ends_in_time(send: Send, monkeypatch):
    """TLS to the service inside a proxy's connection: reads know the deadline of the call."""
    monkeypatch.setenv("NO_PROXY", "")
    with SecureServer([SSE_HEAD, Endless(chunk(b"x"), 0.01)]) as server, Tunnel(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        with pytest.raises(APITimeoutError, match="total_timeout"):
            await send(server.base_url, total_timeout=0.3, max_retries=0)
        assert await asyncio.to_thread(proxy.asked.wait, WAIT)


def test_authorities_are_loaded_once_a_process():
    assert connections.trusted_tls() is connections.trusted_tls()


def test_a_client_works_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def texts(url: str) -> list[str]:
        async with AsyncClient(_endpoint(url), ClientOptions(max_connections=2)) as client:
            replies = await asyncio.gather(*(client.send(REQUEST) for _ in range(6)))
        return [reply.text for reply in replies]

    with RawServer(GOOD) as server:
        assert uvloop.run(texts(server.base_url)) == ["hello"] * 6
    assert server.connections <= 2


async def test_the_head_of_a_request_leaves_together_with_its_body(send: Send, written):
    with RawServer(GOOD) as server:
        assert await send(server.base_url) == ["hello"]
    [packet] = written
    assert packet.startswith(b"POST ")
    assert packet.endswith(REQUEST.content)
