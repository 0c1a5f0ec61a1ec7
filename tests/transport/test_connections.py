"""Connections of both clients: how many there are, whom they trust, which proxy they go through."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import httpcore2
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
    chat_request,
    find_model,
)
from dashscope_oss.transport.http import connections, deadlines
from tests.faults.server import (
    SSE_HEAD,
    WAIT,
    Close,
    Endless,
    RawServer,
    answer,
    chunk,
    text_reply,
)
from tests.transport.secure_server import AUTHORITY, SecureServer, Tunnel

LIMITS = {"read": WAIT, "write": WAIT}
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


async def test_a_proxys_tunnel_without_tls_at_its_end_takes_no_connection_away(
    send: Send, monkeypatch
):
    """A tunnel that was not closed would be the only connection, and busy for ever."""
    monkeypatch.setenv("NO_PROXY", "")
    with RawServer([b"HTTP/1.1 200 OK\r\n\r\n", Close()]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        with pytest.raises(APIConnectionError):
            await send("https://model.example/api/v1", max_connections=1, max_retries=1, timeout=2)
    assert proxy.connections == 2


async def test_a_call_that_is_cancelled_during_the_tls_greeting_closes_its_connection(monkeypatch):
    """Directly, and inside a proxy's tunnel."""
    monkeypatch.setenv("NO_PROXY", "")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(WAIT)
        origin = f"127.0.0.1:{mute.getsockname()[1]}"
        await _greet_and_cancel(mute, f"https://{origin}/api/v1")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{origin}")
        await _greet_and_cancel(mute, "https://model.example/api/v1", b"HTTP/1.1 200 OK\r\n\r\n")


async def _greet_and_cancel(mute: socket.socket, url: str, tunnel: bytes = b"") -> None:
    async with AsyncClient(_endpoint(url), ClientOptions(max_connections=1)) as client:
        call = asyncio.create_task(client.send(REQUEST))
        connection, _ = await asyncio.to_thread(mute.accept)
        with connection:
            connection.settimeout(WAIT)
            await asyncio.to_thread(connection.recv, 10_000)
            if tunnel:
                connection.sendall(tunnel)
                await asyncio.to_thread(connection.recv, 10_000)
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            assert await asyncio.to_thread(connection.recv, 10_000) == b""


@pytest.mark.usefixtures("trusted")
async def test_the_time_that_a_call_has_taken_counts_while_it_connects(send: Send, monkeypatch):
    """Here it is up when the TLS greeting would begin."""
    now = 0.0
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: now))
    connect, connect_async = httpcore2.SyncBackend.connect_tcp, httpcore2.AnyIOBackend.connect_tcp

    def take_time(stream):
        nonlocal now
        now = 100.0
        return stream

    async def later(*where):
        return take_time(await connect_async(*where))

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", lambda *at: take_time(connect(*at)))
    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", later)
    with SecureServer(GOOD) as server:
        with pytest.raises(APITimeoutError, match="total_timeout") as failed:
            await send(server.base_url, total_timeout=60, max_retries=0)
        assert isinstance(failed.value.__cause__, httpx2.ConnectTimeout)


def has_addresses(monkeypatch, port: int, *addresses: str) -> str:
    """Let a name stand for these addresses, and return where to call."""
    resolve = socket.getaddrinfo
    kinds = {False: socket.AF_INET, True: socket.AF_INET6}
    places = [(kinds[":" in ip], socket.SOCK_STREAM, 6, "", (ip, port)) for ip in addresses]

    def found(host, *more, **options):
        is_ours = host in ("model.example", b"model.example")
        return places if is_ours else resolve(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return f"http://model.example:{port}/api/v1"


@pytest.mark.filterwarnings("ignore:key and prompts")
async def test_each_address_of_a_name_is_tried_until_one_answers(send: Send, monkeypatch):
    with RawServer(GOOD) as server:
        port = int(server.origin.rpartition(":")[2])
        url = has_addresses(monkeypatch, port, "::1", "127.0.0.1")
        assert await send(url, max_retries=0) == ["hello"]
    with pytest.raises(APIConnectionError, match=r"no answer from model\.example"):
        await send(url, max_retries=0, timeout=WAIT)


@pytest.mark.filterwarnings("ignore:key and prompts")
def test_no_further_address_of_a_name_is_tried_when_the_time_is_up(monkeypatch):
    now, tried = 0.0, []
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=lambda: now))

    def take_time(_sockets, address: str, *_more):
        nonlocal now
        now += 100.0
        tried.append(address)
        raise httpcore2.ConnectTimeout

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", take_time)
    url = has_addresses(monkeypatch, 80, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    options = ClientOptions(total_timeout=150, max_retries=0)
    with (
        Client(_endpoint(url), options) as client,
        pytest.raises(APITimeoutError, match="total_timeout"),
    ):
        client.send(REQUEST)
    assert tried == ["127.0.0.1", "127.0.0.2"]


class BrokenServer(SecureServer):
    """Sends what is no TLS once a connection has been made."""

    def _serve(self, connection: socket.socket) -> None:
        with connection.dup() as below, self._tls.wrap_socket(connection, server_side=True) as tls:
            tls.recv(10_000)
            below.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))


@pytest.mark.usefixtures("trusted")
async def test_what_is_no_tls_in_the_middle_of_a_connection_breaks_it(send: Send):
    with (
        BrokenServer(b"") as server,
        pytest.raises(APIConnectionError, match=r"no answer.*SSL") as e,
    ):
        await send(server.base_url, max_retries=0)
    assert isinstance(e.value.__cause__, httpx2.ReadError | ssl.SSLError)


async def test_a_body_that_begins_like_a_head_is_sent_whole():
    async def serve(incoming: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\nPOST it")
        answers.write(GOOD)
        answers.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        request = httpx2.Request("POST", url, content=b"POST it", extensions={"timeout": LIMITS})
        blocking, later = (
            connections.open_transport(url, 1),
            connections.open_async_transport(url, 1),
        )
        answers = [await asyncio.to_thread(blocking.handle_request, request)]
        answers.append(await later.handle_async_request(request))
        assert [answer.status_code for answer in answers] == [200, 200]
        answers[0].close()
        await answers[1].aclose()
        blocking.close()
        await later.aclose()


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
