"""The pools: a cap, a queue, and no connection that is lost or dead. All over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpcore
import httpx2
import pytest
import trustme
from dashscope_oss.transport.async_pool import AsyncPooledClient
from dashscope_oss.transport.pool import PooledClient
from hypothesis import given, settings
from hypothesis import strategies as st

from dashscope_oss.transport import async_network, async_pool, pool
from dashscope_oss.transport.deadlines import Deadline, Within
from tests.faults.server import (
    SSE_END,
    SSE_HEAD,
    WAIT,
    Close,
    Cut,
    Endless,
    RawServer,
    Unread,
    UntilGone,
    answer,
)
from tests.faults.server import chunk as chunked

GOOD = answer({"output": "hello"})
AUTHORITY = trustme.CA()


class SecureServer(RawServer):
    """The same over TLS, with a certificate of AUTHORITY for 127.0.0.1."""

    def __init__(self, *answers) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(self._tls)
        super().__init__(*answers)
        self.base_url = self.base_url.replace("http:", "https:")

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            secured = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(secured)
            super()._serve(secured)


class Rude(RawServer):
    """Does as ``serve`` does with whoever connects: a stranger may have had this port before."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        super().__init__(b"")
        self._do = serve

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._do(connection)


class Tunnel(RawServer):
    """A proxy that connects whoever asks it with ``server``."""

    def __init__(self, server: RawServer) -> None:
        super().__init__(b"")
        self._place = ("127.0.0.1", int(server.origin.rpartition(":")[2]))

    def _serve(self, connection: socket.socket) -> None:
        with socket.create_connection(self._place) as far, connection, suppress(OSError):
            connection.recv(10_000)
            self.asked.set()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(far, connection))
            back.start()
            _pass_on(connection, far)
            back.join(WAIT)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(10_000):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


class Caller:
    """Calls of either client as coroutines; those of the sync one run in threads."""

    def __init__(self, kind: str, size: int) -> None:
        tls = ssl.create_default_context()
        AUTHORITY.configure_trust(tls)
        self.sync = kind == "sync"
        self.http = PooledClient(tls, size) if self.sync else AsyncPooledClient(tls, size)
        self.http.timeout = httpx2.Timeout(WAIT)
        self.pool = self.http._transport._pool

    async def _do(self, function, *args, **more):
        if self.sync:
            return await asyncio.to_thread(function, *args, **more)
        return await function(*args, **more)

    async def ask(self, server: RawServer, **more) -> httpx2.Response:
        return await self._do(self.http.post, server.base_url, json={}, **more)

    async def begin(self, server: RawServer) -> httpx2.Response:
        """Return an answer whose body is not read yet."""
        request = self.http.build_request("POST", server.base_url, json={})
        return await self._do(self.http.send, request, stream=True)

    async def end(self, response: Any) -> None:
        await self._do(response.close if self.sync else response.aclose)

    async def pieces(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        pieces = response.iter_raw() if self.sync else response.aiter_raw()
        while piece := await (
            asyncio.to_thread(next, pieces, b"") if self.sync else anext(pieces, b"")
        ):
            yield piece

    async def close(self) -> None:
        await self._do(self.http.close if self.sync else self.http.aclose)

    async def queued(self, number: int) -> None:
        """Wait until as many callers stand in line."""
        await until(lambda: len(self.pool._queue) == number)

    def all_free(self) -> bool:
        return self.pool._free == self.pool._size and not self.pool._lines.busy


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not holds():  # noqa: ASYNC110 - what it waits for tells no event
            await asyncio.sleep(0.002)


@pytest.fixture(params=["sync", "async"])
async def make(request) -> AsyncIterator[Callable[[int], Caller]]:
    """Make callers of one kind; all are closed, and none may have kept a place."""
    made: list[Caller] = []
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(70))

    def start(size: int) -> Caller:
        made.append(Caller(request.param, size))
        return made[-1]

    yield start
    for caller in made:
        await caller.close()
        assert caller.all_free()


async def test_connections_never_exceed_the_cap(make):
    with RawServer(GOOD) as server:
        caller = make(5)
        answers = await asyncio.gather(*(caller.ask(server) for _ in range(60)))
    assert [each.json() for each in answers] == 60 * [{"output": "hello"}]
    assert server.connections <= 5
    assert caller.all_free()


@pytest.mark.parametrize("kind", [RawServer, SecureServer])
async def test_calls_one_after_the_other_use_one_connection(make, kind):
    with kind(GOOD) as server:
        caller = make(3)
        for _ in range(20):
            await caller.ask(server)
        await caller.close()
    assert (len(server.requests), server.connections) == (20, 1)


BAD = {
    "reset": [Cut()],
    "closed": [Close()],
    "no HTTP": [b"what?\r\n\r\n", Close()],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-", Close()],
    "half a body": [SSE_HEAD, chunked(b"data:"), Cut()],
    "wrong length": [answer({}, length=100), Close()],
}


@pytest.mark.parametrize("steps", BAD.values(), ids=BAD.keys())
async def test_a_failed_call_gives_its_place_back(make, steps):
    with RawServer(steps, GOOD) as server:
        caller = make(1)
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await caller.ask(server)
        assert caller.all_free()
        assert (await caller.ask(server)).is_success


async def test_a_timeout_gives_its_place_back_and_closes_its_connection(make):
    with RawServer([UntilGone()], GOOD) as server:
        caller = make(1)
        with pytest.raises(httpx2.ReadTimeout):
            await caller.ask(server, timeout=httpx2.Timeout(WAIT, read=0.05))
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        assert (await caller.ask(server)).is_success


@pytest.mark.parametrize("kind", [RawServer, SecureServer])
async def test_an_abandoned_stream_gives_its_place_back_and_closes_its_connection(make, kind):
    with kind([SSE_HEAD, chunked(b"data:"), UntilGone()], GOOD) as server:
        caller = make(1)
        response = await caller.begin(server)
        assert await anext(caller.pieces(response)) == b"data:"
        await caller.end(response)
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        assert (await caller.ask(server)).is_success


async def test_closing_an_answer_twice_gives_its_place_back_once(make):
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        caller = make(1)
        response = await caller.begin(server)
        await caller.end(response)
        await caller.end(response)
        await caller.end(response.stream)  # whom httpx2's own guard does not protect
        assert caller.pool._free == 1


async def test_nobody_listening_gives_the_place_back(make):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        caller = make(1)
        with pytest.raises(httpx2.ConnectError):
            await caller._do(caller.http.post, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert caller.all_free()


async def test_who_waits_too_long_is_told_how_many_are_in_use_and_leaves_the_line(make):
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        caller = make(1)
        held = await caller.begin(server)
        with pytest.raises(httpx2.PoolTimeout, match="all 1 connections are in use"):
            await caller.ask(server, timeout=httpx2.Timeout(WAIT, pool=0.02))
        assert not caller.pool._queue
        await caller.end(held)
        assert (await caller.ask(server)).is_success


async def test_who_came_first_is_served_first(make):
    with RawServer([SSE_HEAD, SSE_END], GOOD) as server:
        caller = make(1)
        held = await caller.begin(server)
        done: list[int] = []

        async def ask(number: int) -> None:
            await caller.ask(server, headers={"X-Number": str(number)})
            done.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(ask(number))
                await caller.queued(number + 1)
            await caller.end(held)
    assert [r.headers["x-number"] for r in server.requests[1:]] == [str(n) for n in range(8)]


async def test_one_place_wakes_one_waiter(make):
    go = threading.Event()
    with RawServer([SSE_HEAD, SSE_END], [go, GOOD], GOOD) as server:
        caller = make(1)
        held = await caller.begin(server)
        tasks = [asyncio.create_task(caller.ask(server)) for _ in range(5)]
        await caller.queued(5)
        await caller.end(held)
        await until(lambda: len(server.requests) == 2)
        assert len(caller.pool._queue) == 4
        go.set()
        await asyncio.gather(*tasks)


async def test_a_connection_that_the_server_closed_is_not_used_again(make):
    with RawServer([GOOD, Close()], GOOD) as server:
        caller = make(1)
        for _ in range(2):
            assert (await caller.ask(server)).is_success
    assert server.connections == 2


@pytest.mark.parametrize("kind", [RawServer, SecureServer])
async def test_a_connection_with_more_than_its_answer_is_closed_at_once(make, kind):
    with kind([GOOD + b"x"], GOOD) as server:
        caller = make(2)
        assert (await caller.ask(server)).is_success
        assert not caller.pool._lines.idle
        assert await asyncio.to_thread(server.gone.wait, WAIT)


@pytest.mark.parametrize("kind", [RawServer, SecureServer])
async def test_what_comes_while_a_connection_is_idle_is_no_answer(make, kind):
    late = threading.Event()
    with kind([GOOD, late, answer("wrong")], GOOD) as server:
        caller = make(2)
        await caller.ask(server)
        late.set()
        await until(caller.pool._lines.idle[0].has_expired)
        assert (await caller.ask(server)).json() == {"output": "hello"}
        assert await asyncio.to_thread(server.ended.wait, WAIT)
    assert server.connections == 2


@pytest.mark.parametrize("end", [Close(), Cut()])
async def test_a_kept_connection_that_closes_just_before_use_is_replaced(make, end, monkeypatch):
    """The server may close while the request is on its way: a new connection, and no error."""
    monkeypatch.setattr(pool, "_ROUND_TRIP", WAIT)
    with RawServer(GOOD, [end], GOOD) as server:
        caller = make(2)
        for _ in range(2):
            assert (await caller.ask(server)).is_success
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("before", [[], [GOOD]], ids=["new", "kept"])
async def test_what_a_server_may_have_answered_is_not_asked_again(make, before):
    with RawServer(*before, [b"what?\r\n\r\n", Close()], GOOD) as server:
        caller = make(1)
        for _ in before:
            await caller.ask(server)
        with pytest.raises(httpx2.RemoteProtocolError):
            await caller.ask(server)
    assert len(server.requests) == len(before) + 1


async def test_a_new_connection_that_closes_is_an_error(make):
    with RawServer([Close()], GOOD) as server:
        caller = make(1)
        with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
            await caller.ask(server)
    assert len(server.requests) == 1


async def test_a_late_end_of_a_kept_connection_is_an_error(make, monkeypatch):
    """Later than a round trip, the server may have worked on the call: nobody pays twice."""
    monkeypatch.setattr(pool, "_ROUND_TRIP", 0.0)
    with RawServer(GOOD, [Close()], GOOD) as server:
        caller = make(1)
        await caller.ask(server)
        with pytest.raises(httpx2.RemoteProtocolError):
            await caller.ask(server)


async def test_idle_connections_end(make, monkeypatch):
    for module in (pool, async_pool):
        monkeypatch.setattr(module, "IDLE_SECONDS", -1.0)
    with RawServer([SSE_HEAD, SSE_END]) as server:
        caller = make(3)
        for response in [await caller.begin(server) for _ in range(3)]:
            await caller._do(response.read if caller.sync else response.aread)
        assert len(caller.pool._lines.idle) == 0
        assert await asyncio.to_thread(server.gone.wait, WAIT)


async def test_another_address_gets_a_connection_of_its_own(make):
    with RawServer(GOOD) as one, RawServer(GOOD) as two:
        caller = make(1)
        for server in (one, two, one):
            assert (await caller.ask(server)).is_success
    assert (len(one.requests), len(two.requests)) == (2, 1)


async def test_closing_ends_idle_connections_and_answers_under_way(make):
    with RawServer(GOOD, [SSE_HEAD, chunked(b"data:"), UntilGone()]) as server:
        caller = make(2)
        held = await caller.begin(server)
        await caller._do(held.read if caller.sync else held.aread)
        busy = await caller.begin(server)
        pieces = caller.pieces(busy)
        await anext(pieces)
        await caller.close()
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await anext(pieces)
        await caller.end(busy)
        assert await asyncio.to_thread(server.gone.wait, WAIT)


def _waiting_in(line: pool.Pool, monkeypatch, ends: Callable[[], bool]) -> None:
    """Make whoever waits in line wait by ``ends``: true if its turn came, false if time ran out."""

    class Turn:
        def __init__(self) -> None:
            self.taken = False

        def acquire(self, **_: object) -> bool:
            if self.taken:
                return ends()
            self.taken = True
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(pool.threading, "Lock", Turn)
    line._enter(0.0)


@pytest.mark.parametrize("comes", [False, True], ids=["waiting", "turn has come"])
def test_an_interrupted_waiter_leaves_the_line_and_takes_no_place_along(comes, monkeypatch):
    """Control-C in a thread that waits for a connection."""

    def interrupted() -> bool:
        if comes:
            held._leave()
        raise KeyboardInterrupt

    held = pool.Pool(ssl.create_default_context(), 1)
    held._enter(None)
    with pytest.raises(KeyboardInterrupt):
        _waiting_in(held, monkeypatch, interrupted)
    assert not held._queue
    if not comes:
        held._leave()
    assert held._free == 1


def test_a_place_that_comes_as_the_wait_ends_is_taken_by_its_thread(monkeypatch):
    """Time has run out, and before it leaves the line another gives its place to it."""

    def too_late() -> bool:
        held._leave()
        return False

    held = pool.Pool(ssl.create_default_context(), 1)
    held._enter(None)
    _waiting_in(held, monkeypatch, too_late)
    assert (held._free, len(held._queue)) == (0, 0)
    held._leave()
    assert held._free == 1


async def test_who_may_wait_for_ever_gets_a_place(make):
    with RawServer([SSE_HEAD, SSE_END], GOOD) as server:
        caller = make(1)
        held = await caller.begin(server)
        task = asyncio.create_task(caller.ask(server, timeout=httpx2.Timeout(None)))
        await caller.queued(1)
        await caller.end(held)
        assert (await task).is_success


# Cancelling


@pytest.fixture
async def tasks() -> AsyncIterator[Caller]:
    caller = Caller("async", 1)
    yield caller
    await caller.close()
    assert caller.all_free()


async def cancelled(task: asyncio.Task) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_call_gives_its_place_back_and_closes_its_connection(tasks):
    with RawServer([UntilGone()], GOOD) as server:
        task = asyncio.create_task(tasks.ask(server))
        await until(server.asked.is_set)
        await cancelled(task)
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        assert (await tasks.ask(server)).is_success


async def test_a_call_that_is_cancelled_while_connecting_gives_its_place_back(tasks):
    with SecureServer(GOOD) as server:
        for turns in range(8):
            task = asyncio.create_task(tasks.ask(server))
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancelled(task)
        assert (await tasks.ask(server)).is_success


async def test_a_cancelled_waiter_leaves_the_line(tasks):
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        held = await tasks.begin(server)
        waiters = [asyncio.create_task(tasks.ask(server)) for _ in range(3)]
        await tasks.queued(3)
        await cancelled(waiters[0])
        assert len(tasks.pool._queue) == 2
        await tasks.end(held)
        assert [(await each).is_success for each in waiters[1:]] == [True, True]


async def test_a_waiter_that_is_cancelled_when_its_turn_has_come_passes_it_on(tasks):
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        held = await tasks.begin(server)
        first, second = (asyncio.create_task(tasks.ask(server)) for _ in range(2))
        await tasks.queued(2)
        tasks.pool.put(next(iter(tasks.pool._lines.busy)))  # nothing runs between this and that
        await cancelled(first)
        assert (await second).is_success
        held.stream._httpcore_stream._pool = None
        await tasks.end(held)


async def test_a_place_that_comes_in_the_last_moment_is_taken(tasks):
    """Time runs out in the same turn of the loop."""
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        held = await tasks.begin(server)
        task = asyncio.create_task(tasks.ask(server))
        await tasks.queued(1)
        turn = next(iter(tasks.pool._queue))
        await tasks.end(held)
        tasks.pool._late(turn)
        assert (await task).is_success


async def test_a_place_goes_to_the_next_if_the_first_in_line_has_just_given_up(tasks):
    """Its time ran out in the same turn of the loop, before it could leave the line."""
    with RawServer([SSE_HEAD, UntilGone()], GOOD) as server:
        held = await tasks.begin(server)
        first, second = (asyncio.create_task(tasks.ask(server)) for _ in range(2))
        await tasks.queued(2)
        closed = held.stream._httpcore_stream
        tasks.pool._late(next(iter(tasks.pool._queue)))
        tasks.pool.put(closed._line)  # nothing runs between this and that
        with pytest.raises(httpx2.PoolTimeout):
            await first
        assert (await second).is_success
        closed._pool = None
        await tasks.end(held)


async def test_an_answer_is_closed_without_a_wait_that_could_be_cancelled(tasks):
    with RawServer([SSE_HEAD, chunked(b"data:"), UntilGone()], GOOD) as server:
        response = await tasks.begin(server)
        with pytest.raises(StopIteration):  # at its first step it is over
            response.aclose().send(None)
        assert tasks.all_free()
        assert (await tasks.ask(server)).is_success


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["cancel", "read", "leave"]), st.integers(0, 12))))
def test_whatever_happens_to_calls_no_place_is_lost(fates):
    """Calls are read, left or cancelled after any number of turns of the loop."""

    async def fate(caller: Caller, server: RawServer, what: str) -> None:
        response = await caller.begin(server)
        if what != "leave":
            await response.aread()
        await caller.end(response)

    async def run(server: RawServer) -> None:
        caller = Caller("async", 2)
        for what, turns in fates:
            task = asyncio.create_task(fate(caller, server, what))
            for _ in range(turns):
                await asyncio.sleep(0)
            if what == "cancel":
                task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        assert caller.all_free()
        assert (await caller.ask(server)).is_success
        await caller.close()

    with RawServer(GOOD) as server:
        asyncio.run(run(server))


# TLS, sizes, limits


async def test_a_large_question_and_answer_arrive_whole(make):
    large = {"text": "问" * 400_000}
    with SecureServer(answer(large)) as server:
        caller = make(1)
        found = await caller._do(caller.http.post, server.base_url, json=large)
    assert found.json() == large
    assert server.requests[0].body == large


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_another_is_refused(make, host):
    tls = ssl.create_default_context()
    if host == "localhost":
        AUTHORITY.configure_trust(tls)  # the authority is trusted, the name is another's
    with SecureServer(GOOD) as server:
        caller = make(1)
        caller.pool._tls = tls
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await caller._do(caller.http.post, server.base_url.replace("127.0.0.1", host))
    assert not server.requests


async def test_a_server_that_does_not_answer_the_tls_greeting_is_a_connect_timeout(make):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        caller = make(1)
        with pytest.raises(httpx2.ConnectTimeout):
            await caller._do(caller.http.post, url, timeout=httpx2.Timeout(WAIT, connect=0.1))


async def test_a_server_that_speaks_no_tls_is_a_connect_error(make):
    with RawServer(Unread([answer("no", "400 Bad Request"), Close()])) as server:
        caller = make(1)
        with pytest.raises(httpx2.ConnectError):
            await caller._do(caller.http.post, server.base_url.replace("http:", "https:"))


@pytest.mark.parametrize("scheme", ["http"])
async def test_a_server_that_does_not_read_is_a_write_timeout(make, scheme):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://127.0.0.1:{mute.getsockname()[1]}"
        caller = make(1)
        limit = httpx2.Timeout(WAIT, write=0.1)
        with pytest.raises(httpx2.WriteTimeout):
            await caller._do(caller.http.post, url, content=b"x" * 30_000_000, timeout=limit)


async def test_bytes_that_are_no_tls_are_an_error(make):
    class Garbled(SecureServer):
        def _answer(self, connection, incoming, steps) -> bool:
            socket.socket.send(connection, b"this is no record of TLS")
            return True

    with Garbled(GOOD) as server:
        caller = make(1)
        with pytest.raises(httpx2.ReadError, match="SSL"):
            await caller.ask(server)


async def test_the_next_address_of_a_host_is_tried_if_one_does_not_answer(make, monkeypatch):
    with socket.socket() as taken, RawServer(GOOD) as server:
        taken.bind(("127.0.0.1", 0))
        dead = taken.getsockname()
        alive = ("127.0.0.1", int(server.origin.rpartition(":")[2]))

        def addresses(*_: object, **__: object):
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in (dead, alive)]

        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        caller = make(1)
        url = "http://localhost:1/api"
        assert (await caller._do(caller.http.post, url, json={})).is_success


async def test_what_arrives_together_comes_in_one_piece_however_the_server_cut_it(make):
    """httpcore alone would hand on each event of a stream apart, at the price of a call each."""
    events = [b"data:%d\n\n" % number for number in range(50)]
    with RawServer([SSE_HEAD + b"".join(map(chunked, events)) + SSE_END]) as server:
        caller = make(1)
        pieces = [piece async for piece in caller.pieces(await caller.begin(server))]
    assert pieces == [b"".join(events)]


async def test_what_arrives_before_a_part_that_is_no_http_is_handed_on_before_the_error(make):
    with RawServer([SSE_HEAD + chunked(b"good") + b"no length\r\n", Close()]) as server:
        caller = make(1)
        response = await caller.begin(server)
        pieces = caller.pieces(response)
        assert await anext(pieces) == b"good"
        with pytest.raises(httpx2.RemoteProtocolError, match="illegal chunk header"):
            await anext(pieces)
        await caller.end(response)


@pytest.mark.parametrize("name", ["Host", "connection", "accept-encoding", "X-Own"])
async def test_a_header_of_the_callers_own_is_sent_once(make, name):
    with RawServer(GOOD) as server:
        http = make(1).http
        request = http.build_request(
            "POST",
            server.base_url,
            content=b"",
            headers={name: "own"},
            timeout=httpx2.Timeout(WAIT),
        )
    assert request.headers.get_list(name) == ["own"]
    assert len(request.headers.get_list("accept-encoding")) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_is_sent_never_waits_for_what_was_sent_before(host):
    with RawServer(GOOD) as server:
        port = int(server.origin.rpartition(":")[2])
        stream = await async_network.connect(host, port, WAIT, bytearray(async_network.ROOM))
        sock = stream._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()


async def test_an_address_of_the_newer_kind_needs_nobody_to_be_asked():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        stream = await async_network.connect("::1", port, WAIT, bytearray(async_network.ROOM))
        await stream.aclose()


async def test_an_answer_may_end_with_its_connection(make):
    """Even where TLS is not told of the end."""
    with SecureServer([b"HTTP/1.1 200 OK\r\n\r\nhello", Close()]) as server:
        assert (await make(1).ask(server)).text == "hello"


@pytest.mark.parametrize("parts", [[b"one"], [b"", b"", b"one", b""]], ids=["one", "empty too"])
async def test_a_question_of_unknown_length_is_sent_to_its_end(make, parts):
    """httpcore marks the end of others by an empty write, of which there may be any number."""

    def serve(connection: socket.socket) -> None:
        received = b""
        while not received.endswith(SSE_END) and (more := connection.recv(10_000)):
            received += more
        connection.sendall(GOOD)

    async def pieces() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    with Rude(serve) as server:
        caller = make(1)
        content = iter(parts) if caller.sync else pieces()
        assert (await caller._do(caller.http.post, server.origin, content=content)).is_success
        await caller.close()


async def test_a_refusal_before_the_whole_question_was_read_is_read(make):
    """A server may say that a body is too large and close without reading it."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(answer("too large", "413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1_000_000):
            pass

    with Rude(refuse) as server:
        caller = make(1)
        found = await caller._do(caller.http.post, server.origin, content=b"x" * 3_000_000)
        assert found.status_code == 413
        await caller.close()


async def test_a_server_that_goes_while_a_long_question_is_sent_is_an_error(make):
    """Who sends is told at once, and its place is free again."""

    def leave(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Rude(leave) as server:
        caller = make(1)
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await caller._do(caller.http.post, server.origin, content=b"x" * 30_000_000)
        assert caller.all_free()


async def test_a_reader_that_is_slow_holds_the_sender_back(tasks):
    """What waits in memory is bounded, and nothing of it is lost."""
    body = bytes(range(256)) * 40_000
    with RawServer(answer(body)) as server:
        response = await tasks.begin(server)
        stream = next(iter(tasks.pool._lines.busy))._network_stream
        most = async_network._ENOUGH + async_network.ROOM
        await until(lambda: stream._unread > async_network._ENOUGH)
        await asyncio.sleep(0.05)
        assert stream._unread <= most
        assert await response.aread() == body


async def test_a_server_that_reads_late_gets_the_whole_question(tasks):
    """What it does not take yet waits here, and the rest follows as soon as it can."""
    late, received = threading.Event(), []

    async def question() -> AsyncIterator[bytes]:
        yield b"x" * 30_000_000
        yield b""  # what there is goes out before more is asked for
        yield b"end"

    def serve(connection: socket.socket) -> None:
        late.wait(WAIT)
        last = b""
        while not last.endswith(SSE_END) and (more := connection.recv(1_000_000)):
            received.append(len(more))
            last = last[-20:] + more
        connection.sendall(GOOD)

    with Rude(serve) as server:
        task = asyncio.create_task(tasks.http.post(server.origin, content=question()))
        await until(lambda: any(line._network_stream._full for line in tasks.pool._lines.busy))
        late.set()
        assert (await task).is_success
    assert sum(received) > 30_000_000


async def test_what_arrives_as_the_time_runs_out_is_read(tasks):
    """In the same turn of the loop, the arrival first."""
    late = threading.Event()
    with RawServer([SSE_HEAD, late, chunked(b"data:"), SSE_END]) as server:
        response = await tasks.begin(server)
        stream = next(iter(tasks.pool._lines.busy))._network_stream
        task = asyncio.create_task(response.aread())
        await until(lambda: stream._waiting is not None)
        waiting = stream._waiting
        stream._wake()
        async_network._expire(waiting, httpcore.ReadTimeout)
        late.set()
        assert await task == b"data:"


def test_an_event_loop_of_another_make_works():
    uvloop = pytest.importorskip("uvloop")

    async def run() -> int:
        with SecureServer(GOOD) as server:
            caller = Caller("async", 2)
            await asyncio.gather(*(caller.ask(server) for _ in range(6)))
            await caller.close()
        return server.connections

    assert uvloop.run(run()) <= 2


# What others hold on to


async def test_a_proxy_of_the_environment_is_used_for_what_it_is_meant(make, monkeypatch):
    with RawServer(GOOD) as proxy, RawServer(GOOD) as near:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        caller = make(1)
        await caller._do(caller.http.post, "http://far.invalid/api")
        await caller.ask(near)
        await caller.close()
    assert [r.line for r in proxy.requests] == ["POST http://far.invalid/api HTTP/1.1"]
    assert len(near.requests) == 1


async def test_a_tunnel_through_a_proxy_ends_in_time(make, monkeypatch):
    """TLS to the service inside a proxy's connection: reads know the deadline of the call."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    with SecureServer([SSE_HEAD, Endless(chunked(b"x"), 0.01)]) as server, Tunnel(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        caller = make(1)
        for transport in filter(None, caller.http._mounts.values()):
            transport._pool._ssl_context = caller.pool._tls
        limit = httpx2.Timeout(WAIT, read=Within(WAIT, Deadline(0.2)))
        with pytest.raises(httpx2.ReadTimeout):
            await caller.ask(server, timeout=limit)
        assert await asyncio.to_thread(proxy.asked.wait, WAIT)


async def test_the_places_where_the_pools_stand_are_those_of_httpx_and_httpcore(make):
    """httpx2 asks its transport's pool, vcrpy replaces the transport's method: neither is public."""
    caller = make(1)
    transport = type(caller.http._transport_for_url(httpx2.URL("http://127.0.0.1")))
    assert isinstance(caller.pool, pool.Pool | async_pool.AsyncPool)
    if caller.sync:
        assert transport.handle_request is httpx2.HTTPTransport.handle_request
    else:
        assert transport.handle_async_request is httpx2.AsyncHTTPTransport.handle_async_request
    plain = httpcore.AsyncHTTP11Connection(httpcore.URL("http://a").origin, None)
    assert hasattr(plain, "_state_lock")


# The short way through httpx2


def _sent(caller: Caller, server: RawServer, **headers: str) -> httpx2.Request:
    return caller.http.build_request(
        "POST",
        server.base_url,
        content=b'{"x": "\xc3\xa9"}',
        headers={
            "Content-Type": "application/json",
            "Accept": "a/b",
            "User-Agent": "me",
            **headers,
        },
        timeout=httpx2.Timeout(WAIT, connect=1.0),
    )


@pytest.mark.parametrize("headers", [{}, {"X-Own": "mine"}, {"accept-encoding": "identity"}])
async def test_a_request_made_the_short_way_is_that_of_httpx(make, headers):
    with RawServer(GOOD) as server:
        caller = make(1)
        short = _sent(caller, server, **headers)
        plain = httpx2.Client().build_request(
            "POST",
            server.base_url,
            content=short.read(),
            headers={**short.headers},
            timeout=httpx2.Timeout(WAIT, connect=1.0),
        )
        response = await caller._do(caller.http.send, short, stream=True)
        await caller.end(response)
    assert dict(plain.headers) == dict(short.headers)
    assert plain.extensions == short.extensions
    received = server.requests[0]
    assert received.headers["host"] == server.origin.removeprefix("http://")
    assert received.headers["accept-encoding"] == headers.get(
        "accept-encoding", httpx2.Client().headers["accept-encoding"]
    )
    assert received.body == {"x": "é"}


async def test_an_error_of_the_short_way_knows_its_request(make):
    with RawServer([Close()]) as server:
        caller = make(1)
        with pytest.raises(httpx2.RemoteProtocolError) as caught:
            await caller._do(caller.http.send, _sent(caller, server), stream=True)
    assert caught.value.request.url == server.base_url


async def test_a_closed_client_sends_nothing(make):
    with RawServer(GOOD) as server:
        caller = make(1)
        await caller.close()
        with pytest.raises(RuntimeError, match="closed"):
            await caller._do(caller.http.send, _sent(caller, server), stream=True)
    assert not server.requests


async def test_cookies_of_an_answer_are_not_sent_back(make):
    with RawServer(answer({}, headers=[("Set-Cookie", "a=b")]), GOOD) as server:
        caller = make(1)
        for _ in range(2):
            sent = _sent(caller, server)
            response = await caller._do(caller.http.send, sent, stream=True)
            await caller._do(response.read if caller.sync else response.aread)
    assert "cookie" not in server.requests[1].headers
