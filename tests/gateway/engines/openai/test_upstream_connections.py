"""The connections to an upstream: kept, closed, broken, stalled, secured, and left by callers."""

import asyncio
import contextlib
import ssl
import threading
from contextlib import aclosing, asynccontextmanager

import pytest
import trustme

from dashscope_oss import ConfigurationError
from dashscope_oss.gateway import APIError, OpenAIEngine, Upstream
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.faults.server import Close, Cut, Endless, RawServer, Unread, UntilGone
from tests.gateway.engines.openai.calls import (
    deltas_of,
    engine_request,
    generate,
    generate_error,
    started_engine,
)
from tests.gateway.fake_upstream import SSE, FakeUpstream, chunk, events, short_answer, streamed

BODY = events(*short_answer("Hi"))
HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\n"
ANSWER = f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.mark.parametrize("end", [Close(), Cut()], ids=["closed", "reset"])
async def test_a_request_that_may_have_been_read_is_not_sent_again(end):
    """The server closes a kept connection with the request on it: one error, no second POST."""
    with RawServer(ANSWER, [end], ANSWER) as server:
        async with started_engine(f"{server.origin}/v1", kind="vllm") as engine:
            assert join_deltas(await deltas_of(engine)).text == "Hi"
            with pytest.raises(APIError, match="broke off"):
                await deltas_of(engine)
            assert (len(server.requests), server.connections) == (2, 1)
            assert join_deltas(await deltas_of(engine)).text == "Hi"


@pytest.mark.parametrize(
    ("kind", "connections"),
    [("vllm", 1), ("sglang", 1), ("ollama", 1), ("llama.cpp", 3), (None, 3)],
)
async def test_a_connection_is_kept_for_the_next_request_if_the_server_keeps_it(kind, connections):
    """llama.cpp closes it soon after an answer; of others nothing is known."""
    with RawServer(ANSWER) as server:
        async with started_engine(f"{server.origin}/v1", kind=kind) as engine:
            for _ in range(3):
                await deltas_of(engine)
            assert server.connections == connections


async def test_many_requests_at_once_are_spread_over_clients(monkeypatch):
    """All are answered; the clients for the rush are closed after it, and one is kept."""
    monkeypatch.setattr(
        "dashscope_oss.gateway.engines.openai.connections.MAX_REQUESTS_PER_CLIENT", 2
    )
    with RawServer(ANSWER) as server:
        async with started_engine(f"{server.origin}/v1", kind="vllm") as engine:
            answers = await asyncio.gather(*(deltas_of(engine) for _ in range(7)))
            assert [join_deltas(answer).text for answer in answers] == ["Hi"] * 7
            assert server.connections == 7
            await deltas_of(engine)
            assert server.connections == 7


@pytest.mark.parametrize(
    "end",
    [Cut(), UntilGone(), Endless(b": ping\n\n", pause=0.02)],
    ids=["reset", "held open", "goes on"],
)
async def test_what_happens_after_the_end_of_a_stream_is_no_error(end):
    """The answer is complete with [DONE]: the end of the body is waited for, but not for long."""
    with RawServer([f"{HEAD}\r\n".encode(), BODY, end]) as server:
        async with started_engine(f"{server.origin}/v1", kind="vllm") as engine:
            assert join_deltas(await deltas_of(engine)).text == "Hi"
            assert engine.upstreams()[0].failures == 0


async def test_https_to_a_server_that_speaks_http_is_logged_with_the_words_of_its_cause():
    """The HTTP client's own error has none."""
    with RawServer(*[Unread([b"HTTP/1.1 400 Bad Request\r\n\r\n", Close()])] * 2) as server:
        url = f"{server.origin}/v1".replace("http:", "https:")
        async with started_engine(url) as engine:
            with pytest.raises(APIError) as caught:
                await deltas_of(engine)
    assert "ConnectError: [SSL" in caught.value.cause


async def test_cookies_of_a_server_are_not_kept():
    """Else a balancer in front of several servers would send all callers to the same one."""
    server = FakeUpstream(
        (200, f"{SSE}\r\nset-cookie: server=1; path=/", events(*short_answer("x")))
    )
    async with started_engine(server.url) as engine:
        for _ in range(2):
            assert await deltas_of(engine)

    assert ["cookie" in headers for _, _, headers in server.calls] == [False, False]


async def test_a_server_that_stalls_is_a_timeout():
    """Nothing within the time between two pieces: the vendor's code for that."""
    silent = (200, SSE, events(chunk(content="half"), done=False), threading.Event())

    error = await generate_error(FakeUpstream(silent), timeout=0.2)

    assert (error.status, error.code) == (500, "RequestTimeOut")
    assert error.cause == "ReadTimeout: it sent nothing for as long as its timeout allows"


async def test_comments_do_not_count_as_pieces():
    """The time between two pieces holds though something comes all the time."""
    head = b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\n\r\n"
    with RawServer([head, Endless(b": ping\n\n", pause=0.02)]) as server:
        async with started_engine(f"{server.origin}/v1", timeout=0.2) as engine:
            with pytest.raises(APIError, match="timed out"):
                await deltas_of(engine)


async def test_an_answer_that_is_cut_off_is_an_error():
    """Half an answer, then the end of the connection."""
    half = (200, SSE, events(chunk(content="half"), done=False))

    assert (await generate_error(FakeUpstream(half))).message == "The engine broke off its answer."


async def test_a_caller_who_leaves_ends_the_servers_work():
    """The connection to the server is closed at once, not when the answer would be over."""
    server = FakeUpstream((200, SSE, events(chunk(content="a"), done=False), threading.Event()))
    async with started_engine(server.url) as engine:
        async with aclosing(engine.generate(engine_request())) as deltas:
            assert (await anext(deltas)).text == "a"
            assert engine.upstreams()[0].under_way == 1

        assert await asyncio.to_thread(server.left.wait, 5)
        assert engine.upstreams()[0].under_way == 0


LAST_ANSWERS = {
    "unfinished": f"{HEAD}\r\n".encode() + events(chunk(content="a"), done=False),
    "whole": f"{HEAD}connection: close\r\n\r\n".encode() + BODY,
    "an error": b"HTTP/1.1 500 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}


@asynccontextmanager
async def one_answer_a_connection(answer):
    """A server; the value is its base URL, and the set of its open connections."""
    connections = set()

    async def serve(reader, writer):
        connections.add(writer)
        with contextlib.suppress(ConnectionError):
            if await reader.read(1000):
                writer.write(answer)
                while answer == LAST_ANSWERS["unfinished"] and await reader.read(1000):
                    pass
        writer.close()
        connections.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", connections


@pytest.mark.parametrize("answer", LAST_ANSWERS.values(), ids=LAST_ANSWERS)
async def test_callers_who_leave_at_any_moment_leave_no_connection_behind(answer):
    """While it is opened, while the request is sent, while the answer is read, at its end."""
    async with (
        one_answer_a_connection(answer) as (url, connections),
        started_engine(url) as engine,
    ):
        for steps in range(60):
            caller = asyncio.create_task(deltas_of(engine))
            for _ in range(steps):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)

        assert engine.under_way == 0
        async with asyncio.timeout(5):
            while connections:  # noqa: ASYNC110 - they end by themselves
                await asyncio.sleep(0.01)


async def test_an_engine_can_be_closed_while_a_request_is_under_way():
    """The answer breaks off; whoever reads it can still leave."""
    server = FakeUpstream((200, SSE, events(chunk(content="a"), done=False), threading.Event()))
    async with started_engine(server.url) as engine:
        deltas = engine.generate(engine_request())
        await anext(deltas)
        await engine.aclose()
        await deltas.aclose()

        assert engine.under_way == 0
    assert await asyncio.to_thread(server.left.wait, 5)


async def test_an_engine_that_was_not_started_says_so():
    """It can be closed all the same."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", default="w"))

    with pytest.raises(RuntimeError, match=r"start\(\) was not called"):
        await deltas_of(engine)
    await engine.aclose()


class SecureServer(FakeUpstream):
    """Speaks TLS."""

    def __init__(self, certificate, *answers):
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        super().__init__(*answers)
        self.url = self.url.replace("http:", "https:")

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            super()._serve(self._tls.wrap_socket(connection, server_side=True))


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_an_upstreams_certificate_is_checked(tmp_path, monkeypatch, is_trusted):
    """``SSL_CERT_FILE`` names one's own authority; without it there is no answer."""
    authority = trustme.CA()
    server = SecureServer(authority.issue_cert("127.0.0.1"), streamed(*short_answer("hi")))
    if is_trusted:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert join_deltas(await generate(server)).text == "hi"
    else:
        error = await generate_error(server)
        assert error.status == 503
        assert "CERTIFICATE_VERIFY_FAILED" in error.cause


async def test_authorities_that_cannot_be_read_are_an_error_at_the_start(monkeypatch):
    """But only for an upstream with TLS: another one needs none."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    async with started_engine("http://127.0.0.1:9/v1"):
        pass

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        await OpenAIEngine(Upstream(url="https://127.0.0.1:9/v1")).start()
