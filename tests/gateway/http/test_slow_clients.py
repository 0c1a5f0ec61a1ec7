"""Clients that are slow, vanish or send too much: none holds the gateway, none ends it."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.gateway.http.slow_clients import SlowClientGuard
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.gateway.server import _config
from dashscope_oss.messages import Delta

pytestmark = pytest.mark.versions

PATH = "/api/v1/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}
CONTENT = json.dumps(BODY).encode()
REQUEST = (
    f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(CONTENT)}\r\n\r\n".encode()
    + CONTENT
)


@contextmanager
def impatient(engine=None, seconds=0.4):
    """A gateway that waits for slow clients so long; the value is a function that connects."""
    settings = AccessConfig.model_validate({"limits": {"slow_client_seconds": seconds}})
    with serve_in_thread(Gateway(engine or ScriptedEngine([Answer("ok")]), access=settings)) as url:
        place = httpx.URL(url)

        def connect():
            return socket.create_connection((place.host, place.port), timeout=10)

        yield connect
        with connect() as connection:
            connection.sendall(REQUEST)
            assert answer(connection)[0] == 200, "the gateway has not lived on"


def answer(connection):
    """Read one answer: its status and its JSON."""
    with connection.makefile("rb") as read:
        status = int(read.readline().split()[1])
        headers = {}
        while line := read.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, json.loads(read.read(int(headers["content-length"])))


def test_a_head_that_does_not_come_ends_the_connection():
    """Not one byte, or some and no more."""
    with impatient() as connect:
        for sent in (b"", b"POST / HTTP/1.1\r\nhost: localhost\r\nx-slow: "):
            with connect() as connection:
                connection.sendall(sent)
                assert connection.recv(1) == b""


def test_a_second_head_that_does_not_come_ends_the_connection():
    """Keeping a connection open is no way around."""
    with impatient() as connect, connect() as connection:
        connection.sendall(REQUEST)
        assert answer(connection)[0] == 200
        connection.sendall(b"POST / HTTP/1.1\r\nhost")
        assert connection.recv(1) == b""


def test_a_body_that_does_not_come_is_refused_and_the_connection_ended():
    """With the service's words for it."""
    with impatient() as connect, connect() as connection:
        connection.sendall(REQUEST[:-5])
        status, body = answer(connection)
        connection.sendall(b" ")

        assert (status, body["code"]) == (408, "RequestTimeOut")
        assert connection.recv(1) == b""


def test_an_answer_that_takes_long_is_waited_for():
    """Only clients are hurried, not engines."""
    engine = ScriptedEngine([Answer(pieces=("o", "k"), pause=0.6)])
    with impatient(engine) as connect, connect() as connection:
        connection.sendall(REQUEST)
        assert answer(connection)[1]["output"]["text"] == "ok"


class Flood(ScriptedEngine):
    """Streams more than any buffer holds; notes when it is stopped."""

    def __init__(self):
        super().__init__()
        self.stopped = threading.Event()

    async def generate(self, request):
        try:
            for _ in range(2000 if request.stream else 0):
                yield Delta(text="x" * 100_000)
                await asyncio.sleep(0)
            yield Delta(text="ok", last=True, finish_reason="stop")
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped.set()
            raise


def test_a_caller_who_does_not_read_on_stops_the_engine():
    """And the connection is given up."""
    engine = Flood()
    more = {**BODY, "parameters": {"incremental_output": True}}
    content = json.dumps(more).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
    with impatient(engine) as connect, connect() as connection:
        connection.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        assert engine.stopped.wait(10)


def test_pipelined_requests_are_answered_in_turn():
    """Two requests in one write, two answers."""
    script = [Answer("first"), Answer("second"), Answer("ok")]
    with impatient(ScriptedEngine(script), seconds=5) as connect, connect() as connection:
        connection.sendall(REQUEST + REQUEST)
        with connection.makefile("rb") as read:
            texts = [pipelined(read)["output"]["text"] for _ in range(2)]

    assert texts == ["first", "second"]


def pipelined(read):
    length = 0
    while line := read.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return json.loads(read.read(length))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_50_mb_is_refused_in_the_services_words(chunked):
    """Before it has come, if its length is announced."""
    part = b" " * 1_000_000
    with impatient(seconds=30) as connect, connect() as connection:
        host, port = connection.getpeername()
        content = (part for _ in range(50)) if chunked else part * 50
        reply = httpx.post(f"http://{host}:{port}{PATH}", content=content, timeout=30)

    assert (reply.status_code, reply.json()["code"]) == (400, "BadRequest.TooLarge")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET",
        b"POST / HTTP/9.9\r\n\r\n",
        REQUEST[:40],
        REQUEST[:-3],
        REQUEST,
        REQUEST * 50,
        b"POST "
        + PATH.encode()
        + b" HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_client_that_vanishes_harms_nobody(sent):
    """Wherever it stops; the next one is answered."""
    with impatient(seconds=5) as connect:
        for _ in range(3):
            with connect() as connection:
                connection.sendall(sent)


class Transport(asyncio.Transport):
    """A transport from nowhere that notes whether it was aborted."""

    def __init__(self):
        super().__init__({"peername": ADDRESS})
        self.aborted = False

    def abort(self):
        self.aborted = True


ADDRESS = ("10.0.0.1", 5000)


def connected(guard):
    """A connection and its transport; the protocol inside does nothing."""
    transport, connection = Transport(), guard.around(asyncio.Protocol)()
    connection.connection_made(transport)
    return transport, connection


async def test_a_caller_who_reads_on_in_time_keeps_its_connection():
    """Only one who does not is given up: no timer goes on from an earlier pause."""

    async def app(scope, receive, send):
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(0.1)
        assert not transport.aborted
        connection.pause_writing()
        await asyncio.sleep(0.1)
        assert transport.aborted

    guard = SlowClientGuard(app, seconds=0.02)
    transport, connection = connected(guard)
    await guard({"type": "http", "client": ADDRESS}, None, None)


async def test_the_end_of_a_connection_leaves_a_later_one_from_its_address_guarded():
    """A client's port may be used again before the server has noticed that it was closed."""

    async def app(scope, receive, send):
        await asyncio.sleep(0.1)

    guard = SlowClientGuard(app, seconds=0.02)
    _, earlier = connected(guard)
    transport, _ = connected(guard)
    earlier.connection_lost(None)
    await guard({"type": "http", "client": ADDRESS}, None, None)

    assert not transport.aborted


def test_a_head_without_end_is_refused():
    """It may not fill the memory for as long as slow clients are waited for."""
    with impatient(seconds=60) as connect, connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 70_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_second_head_without_end_is_refused():
    """A kept connection is no way around."""
    with impatient(seconds=60) as connect, connect() as connection:
        connection.sendall(REQUEST)
        assert answer(connection)[0] == 200
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 70_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("split_after", [b"\r\n\r\n", b"UPGR", b"h2c\r", b"Connection: Upg", None])
def test_an_offer_of_http_2_is_left_unread(split_after):
    """Java's HTTP client makes it with its calls: they are answered, body and all, in HTTP/1.1."""
    offer = (
        b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUPGRADE: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
    )
    request = REQUEST.replace(b"\r\n\r\n", offer)
    middle = request.index(split_after) + len(split_after) if split_after else len(request)
    with impatient(seconds=30) as connect, connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request[:middle])
        time.sleep(0.05)
        connection.sendall(request[middle:])
        assert answer(connection)[1]["output"]["text"] == "ok"
        connection.sendall(REQUEST)
        assert answer(connection)[0] == 200


def test_a_kept_connection_outlives_a_load_balancers():
    """Else a balancer, which keeps one for 60 seconds, uses it just as it is closed: a 502."""
    assert _config(Gateway(ScriptedEngine())).timeout_keep_alive > 60
