"""No call leaves a socket, a file, a task or a thread behind, however it ends."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashscope_oss import DashScopeError

from .callers import ASYNC_HTTP, FRAMEWORKS, MODES, Caller, chain
from .matrix import only_httpx2, table
from .server import (
    SSE_HEAD,
    WAIT,
    Close,
    Cut,
    Echo,
    Endless,
    RawServer,
    UntilGone,
    answer,
    chunk,
    error_frame,
    frame,
    head,
    refusal,
    stream,
)

FILES = Path("/proc/self/fd")
needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="open files are not listed here")
TURNS = 10


def open_files() -> int:
    gc.collect()
    return len(list(FILES.iterdir()))


@contextmanager
def nothing_left() -> Iterator[None]:
    """Whatever was opened inside must be closed at its end."""
    files, threads = open_files(), set(threading.enumerate())
    gc.freeze()  # only what comes now is looked at in the end
    yield
    assert open_files() <= files  # fewer: an earlier test's gateway was still leaving
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]


def fail_often(caller: Caller, model, turns: int = TURNS) -> list[DashScopeError]:
    """Ask and fail, again and again, in one event loop if the caller is async; close the model."""
    if caller.is_async:
        return asyncio.run(_afail_often(caller, model, turns))
    failures = []
    for _ in range(turns):
        with pytest.raises(DashScopeError) as caught:
            caller.ask(model)
        failures.append(caught.value)
    model.close()
    return failures


async def _afail_often(caller: Caller, model, turns: int) -> list[DashScopeError]:
    failures = []
    for _ in range(turns):
        with pytest.raises(DashScopeError) as caught:
            await caller.aask(model)
        failures.append(caught.value)
    await _quiet()
    await caller.aclose(model)
    return failures


FAILURES = {
    "refused": refusal("400 Bad", "InvalidParameter"),
    "down": answer(b"", "503 Down"),
    "closed": [Close()],
    "reset": [head(length=100), b"{", Cut()],
    "refused-coding": answer(b"x", headers=[("Content-Encoding", "br")]),
    "garbage": [b"garbage\r\n\r\n", Close()],
    "page": answer(b"<html>", kind="text/html"),
    "event-in-the-middle": [*stream(frame("hel"), error_frame(500, "InternalError", "no"))],
    "short": stream(frame("hel")),
    "silent": [UntilGone()],
}


@needs_files
@table(FAILURES, "reset", "event-in-the-middle", in_turns=False, aiohttp=True)
def test_failures_leave_nothing_open_though_their_errors_are_kept(caller: Caller, case):
    """Each gives its connection back at once: one is enough for all of them."""
    with nothing_left():
        with RawServer(case) as server:
            model = caller.model(server, max_retries=1, timeout=0.05, max_connections=1)
            failures = fail_often(caller, model, 3)
            if isinstance(case[-1], UntilGone):
                assert server.gone.wait(WAIT)
        assert len(failures) == 3
        assert not [error for error in failures if "free connection" in str(error)]
    assert all(chain(error) for error in failures)


@needs_files
def test_a_refused_connection_leaves_nothing_open(caller: Caller):
    with RawServer(b"") as server:
        pass
    with nothing_left():
        fail_often(caller, caller.model(server, max_retries=1))


ENDLESS = [SSE_HEAD, chunk(frame("hel")), UntilGone()]


@needs_files
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("how", ["close", "drop", "break", "error"])
def test_a_stream_that_is_left_early_lets_go_of_its_connection(framework, how):
    caller = Caller(framework, "stream")
    with nothing_left(), RawServer(ENDLESS) as server:
        model = caller.model(server)
        _leave(caller.start(model), how)
        gc.collect()
        assert server.gone.wait(WAIT)
        model.close()


def _leave(pieces, how: str) -> None:
    if how == "break":
        for _ in pieces:
            break
        return
    next(pieces)
    if how == "close":
        pieces.close()
    elif how == "error":
        with pytest.raises(LookupError):
            pieces.throw(LookupError)


@needs_files
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("how", ["aclose", "drop", "break", "cancel", "timeout"])
def test_an_async_stream_that_is_left_early_lets_go_of_its_connection(framework, how):
    caller = Caller(framework, "astream")

    async def leave(model, server) -> None:
        await _aleave(caller, model, how)
        gc.collect()
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        await _quiet()
        await caller.aclose(model)

    with nothing_left(), RawServer(ENDLESS) as server:
        asyncio.run(leave(caller.model(server), server))


async def _aleave(caller: Caller, model, how: str) -> None:
    pieces = await caller.astart(model)
    if how == "break":
        async for _ in pieces:
            break
        return
    await anext(pieces)
    if how == "aclose":
        await pieces.aclose()
    elif how == "timeout":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(pieces), 0.05)
    elif how == "cancel":
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def _quiet() -> None:
    """Wait until no task but this one is left."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=WAIT)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@needs_files
def test_a_cancelled_call_is_seen_by_the_server_and_leaves_nothing(async_caller: Caller):
    script = ENDLESS if async_caller.streams else [UntilGone()]

    async def cancel(model, server) -> None:
        task = asyncio.create_task(async_caller.aask(model))
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, WAIT)
        await _quiet()
        await async_caller.aclose(model)

    with nothing_left(), RawServer(script) as server:
        asyncio.run(cancel(async_caller.model(server), server))
    assert len(server.requests) == 1


@needs_files
def test_a_connection_is_free_again_after_each_call_that_was_cancelled(async_caller: Caller):
    """With one connection allowed, a call after five cancelled ones is answered."""
    held = threading.Event()

    async def cancel(model, server) -> str:
        for _ in range(5):
            task = asyncio.create_task(async_caller.atext(model, "question"))
            assert await asyncio.to_thread(server.asked.wait, WAIT)
            server.asked.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        held.set()
        text = await async_caller.atext(model, "last")
        await async_caller.aclose(model)
        return text

    with nothing_left(), Echo(until=held) as server:
        assert asyncio.run(cancel(async_caller.model(server, max_connections=1), server)) == "last"


@needs_files
def test_a_call_that_is_cancelled_while_it_waits_for_a_connection_takes_none(async_caller: Caller):
    held = threading.Event()

    async def cancel(model, server: Echo) -> list[str]:
        first = asyncio.create_task(async_caller.atext(model, "first"))
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        waiting = [asyncio.create_task(async_caller.atext(model, "waiting")) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        held.set()
        text = [await first, await async_caller.atext(model, "last")]
        await async_caller.aclose(model)
        return text

    with nothing_left(), Echo(until=held) as server:
        model = async_caller.model(server, max_connections=1)
        assert asyncio.run(cancel(model, server)) == ["first", "last"]
    assert (len(server.requests), server.connections) == (2, 1)


@only_httpx2
@needs_files
def test_abandoned_objects_leave_nothing_open(caller: Caller):
    """Objects that nobody closed, each of which has called."""
    with nothing_left(), Echo() as server:
        for turn in range(TURNS):
            assert caller.text(caller.model(server), f"question {turn}") == f"question {turn}"
        gc.collect()


@only_httpx2
@needs_files
def test_an_object_that_is_closed_and_asked_again_leaves_nothing_open(async_caller: Caller):
    """In one event loop; the connections of an earlier turn take none of a later one with them."""

    async def ask_and_close(model) -> None:
        for turn in range(TURNS):
            assert await async_caller.atext(model, f"question {turn}") == f"question {turn}"
            await model.aclose()
        await _quiet()

    with nothing_left(), Echo() as server:
        asyncio.run(ask_and_close(async_caller.model(server)))
    assert server.connections == TURNS


MANY = """
import asyncio, gc, os, sys, threading
from tests.faults.callers import Caller

def turn(caller):
    model = caller.model(sys.argv[1])
    assert caller.text(model, "question") == "question"

def left():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()

callers = [Caller(*name.split("-")) for name in sys.argv[2:]]
for caller in callers:
    turn(caller)
gc.collect()
gc.freeze()
before = left()
for _ in range(10):
    for caller in callers:
        turn(caller)
assert left() == before, (before, left())
"""


@needs_files
def test_a_program_that_makes_many_objects_keeps_none_of_their_connections():
    names = [f"{f}-{mode}" for f in FRAMEWORKS for mode in MODES]
    with Echo() as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MANY, server.base_url, *names],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.requests) == 11 * 8


@pytest.mark.xfail(
    ASYNC_HTTP == "httpx2",
    reason="httpcore2 nests asynchronous generators, which asyncio closes all at once",
    strict=True,
)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_loop_that_ends_with_streams_still_held_closes_them_without_a_complaint(framework: str):
    caller = Caller(framework, "astream")
    held, complaints = [], []

    async def leave(model) -> None:
        pieces = await caller.astart(model)
        held.append(pieces)
        await anext(pieces)

    async def run(server: RawServer) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        model = caller.model(server)
        await asyncio.gather(*(leave(model) for _ in range(5)))

    endless = [SSE_HEAD, chunk(frame("piece")), Endless(chunk(frame("more")), pause=0.02)]
    with RawServer(endless) as server:
        asyncio.run(run(server))
        assert server.gone.wait(WAIT)
    assert len(held) == 5
    held.clear()
    gc.collect()
    assert complaints == []
