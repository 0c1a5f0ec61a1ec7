"""One object in many loops, threads, tasks and processes: every call gets its own answer."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import httpx2
import pytest

from dashscope_oss import AsyncClient, Client, Endpoint, Message, chat_request, find_model
from dashscope_oss.transport import attempt
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, Caller
from .matrix import caller_id, in_core, in_frameworks, only_httpx2
from .server import WAIT, Echo

LONG = 30
"""Seconds within which something that must happen does, on a busy machine too."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection be given up because a busy machine is late with the end of a body."""
    monkeypatch.setattr(attempt, "END_OF_BODY_SECONDS", LONG)


QUESTIONS = [f"question {number}" for number in range(20)]


async def closing(caller: Caller, model, work: Awaitable):
    """Await ``work`` and close the connections of the running loop."""
    try:
        return await asyncio.wait_for(work, LONG)
    finally:
        await caller.aclose(model)


# Loops


@only_httpx2
def test_one_object_in_one_event_loop_after_the_other(caller: Caller):
    with Echo() as server:
        model = caller.model(server)
        assert [caller.text(model, question) for question in QUESTIONS[:5]] == QUESTIONS[:5]
        model.close()


@only_httpx2
def test_one_object_in_event_loops_of_many_threads(caller: Caller):
    questions = [f"question {number}" for number in range(40)]
    with Echo() as server, ThreadPoolExecutor(8) as pool:
        model = caller.model(server)
        assert list(pool.map(lambda question: caller.text(model, question), questions)) == questions
        model.close()


@only_httpx2
def test_blocking_and_async_calls_of_one_object(async_caller: Caller):
    """Also a blocking call while a loop runs, as in a notebook."""
    blocking = Caller(async_caller.library, "chat")

    async def both(model) -> list[str]:
        return [await async_caller.atext(model, "one"), blocking.ask(model, "two").text]

    with Echo() as server:
        model = async_caller.model(server)
        assert asyncio.run(closing(async_caller, model, both(model))) == ["one", "two"]
        assert blocking.ask(model, "three").text == "three"
        assert asyncio.run(closing(async_caller, model, both(model))) == ["one", "two"]
        model.close()


def test_the_event_loop_is_never_blocked(async_caller: Caller):
    """The answer waits until another task of the loop has run."""
    has_run = threading.Event()

    async def run_for_a_while() -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)
        has_run.set()

    async def run(model) -> str:
        other = asyncio.create_task(run_for_a_while())
        text = await async_caller.atext(model, "question")
        await other
        return text

    with Echo(until=has_run) as server:
        model = async_caller.model(server)
        assert asyncio.run(closing(async_caller, model, run(model))) == "question"
    assert has_run.is_set()


# Many at once


def check_calls_at_once(caller: Caller, calls: int, **settings) -> None:
    """The first answer is sent when the last question has come."""
    questions = [f"question {number}" for number in range(calls)]

    async def run(model) -> list[str]:
        return await asyncio.gather(*(caller.atext(model, text) for text in questions))

    with Echo(together=calls) as server:
        model = caller.model(server, timeout=LONG, **settings)
        assert asyncio.run(closing(caller, model, run(model))) == questions
    assert server.connections == calls


def test_calls_at_once_take_the_time_of_one(async_caller: Caller):
    check_calls_at_once(async_caller, 30)


@pytest.mark.parametrize("caller", in_core(["achat"]), indirect=True, ids=caller_id)
def test_a_hundred_calls_are_made_at_once_or_as_many_as_are_allowed(caller: Caller):
    check_calls_at_once(caller, 100)
    check_calls_at_once(caller, 150, max_connections=150)


def test_sixty_four_threads_share_one_object(blocking: Caller):
    questions = [f"question {number}" for number in range(128)]
    with Echo(together=64) as server, ThreadPoolExecutor(64) as pool:
        model = blocking.model(server, timeout=LONG)
        assert list(pool.map(lambda text: blocking.text(model, text), questions)) == questions
        model.close()
    assert server.connections == 64


def test_calls_one_after_the_other_use_one_connection(caller: Caller):
    with Echo() as server:
        assert caller.ask_each(caller.model(server), *QUESTIONS) == QUESTIONS
    assert (len(server.requests), server.connections) == (20, 1)


def test_a_thousand_calls_use_one_connection():
    request = chat_request(find_model(MODEL), [Message("user", "q")])
    with Echo() as server, Client(Endpoint.resolve(base_url=server.base_url)) as model:
        for _ in range(1000):
            model.send(request)
    assert (len(server.requests), server.connections) == (1000, 1)


async def test_a_thousand_async_calls_use_one_connection():
    request = chat_request(find_model(MODEL), [Message("user", "q")])
    with Echo() as server:
        async with AsyncClient(Endpoint.resolve(base_url=server.base_url)) as model:
            for _ in range(1000):
                await model.send(request)
    assert (len(server.requests), server.connections) == (1000, 1)


def test_a_thousand_streams_use_one_connection():
    """The end of a body comes after its last event, in a packet of its own."""
    request = chat_request(find_model(MODEL), [Message("user", "question")])
    with Echo() as server, Client(Endpoint.resolve(base_url=server.base_url)) as model:
        for _ in range(1000):
            assert "".join(delta.text for delta in model.stream(request)) == "question"
    assert (len(server.requests), server.connections) == (1000, 1)


async def test_a_thousand_async_streams_use_one_connection():
    request = chat_request(find_model(MODEL), [Message("user", "question")])
    with Echo() as server:
        async with AsyncClient(Endpoint.resolve(base_url=server.base_url)) as model:
            for _ in range(1000):
                pieces = [delta.text async for delta in model.stream(request)]
                assert "".join(pieces) == "question"
    assert (len(server.requests), server.connections) == (1000, 1)


@only_httpx2
def test_two_objects_with_two_addresses_and_keys_never_mix(caller: Caller):
    with Echo() as one, Echo() as two, ThreadPoolExecutor(8) as pool:
        models = [caller.model(one, api_key="sk-one"), caller.model(two, api_key="sk-two")]
        calls = [(model, question) for question in QUESTIONS for model in models]
        texts = list(pool.map(lambda call: caller.text(*call), calls))
        for model in models:
            model.close()
    assert texts == [question for _, question in calls]
    keys = [{sent.headers["authorization"] for sent in server.requests} for server in (one, two)]
    assert keys == [{"Bearer sk-one"}, {"Bearer sk-two"}]
    assert (len(one.requests), len(two.requests)) == (20, 20)


def test_a_call_during_which_the_model_is_closed_elsewhere_is_tried_again(
    blocking: Caller, monkeypatch
):
    """Another thread closes the connections between their being chosen and being used."""
    handle_request = httpx2.MockTransport.handle_request
    closings = []

    def close_and_handle(self, request):
        if not closings:
            closings.append(threading.Thread(target=model.close))
            closings[0].start()
            closings[0].join()
        return handle_request(self, request)

    monkeypatch.setattr(httpx2.MockTransport, "handle_request", close_and_handle)
    with Echo() as server:
        model = blocking.model(server)
        assert blocking.ask_each(model, "question") == ["question"]
    assert (len(closings), len(server.requests), len(blocking.waits)) == (1, 1, 1)


# Processes

FORKING = """
import asyncio, os, sys
from tests.faults.callers import Caller

callers = [Caller(*name.split("-")) for name in sys.argv[2:]]
models = [caller.model(sys.argv[1]) for caller in callers]
for caller, model in zip(callers[::2], models[::2]):
    assert caller.text(model, "before") == "before"
child = os.fork()
name = "child" if child == 0 else "parent"
for turn in range(3):
    for caller, model in zip(callers, models):
        assert caller.text(model, f"{name} {turn}") == f"{name} {turn}", name
for model in models:
    model.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""

STREAMING = """
import os, sys
from dashscope_oss import Client, Endpoint, Message, chat_request, find_model

def ask(text):
    return chat_request(find_model("glm-5"), [Message("user", text)])

model = Client(Endpoint.resolve(base_url=sys.argv[1]))
pieces = model.stream(ask("a stream"))
text = next(pieces).text
child = os.fork()
if child == 0:
    assert model.send(ask("of the child")).text == "of the child"
    pieces.close()
    model.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
text += "".join(piece.text for piece in pieces)
assert text == "a stream", text
assert model.send(ask("of the parent")).text == "of the parent"
model.close()
"""

OPENING = """
import os, sys, threading
import httpx2
from dashscope_oss import Client, Endpoint, Message, chat_request, find_model

model = Client(Endpoint.resolve(base_url=sys.argv[1]))
request = chat_request(find_model("glm-5"), [Message("user", "q")])
is_opening, may_open = threading.Event(), threading.Event()
open_transport = httpx2.MockTransport.__init__

def open_slowly(*arguments, **settings):
    if threading.current_thread() is opener:
        is_opening.set()
        may_open.wait()
    open_transport(*arguments, **settings)

httpx2.MockTransport.__init__ = open_slowly
opener = threading.Thread(target=model.send, args=[request])
opener.start()
is_opening.wait()
child = os.fork()
if child == 0:
    assert model.send(request).text == "q"
    os._exit(0)
may_open.set()
assert os.waitpid(child, 0)[1] == 0
opener.join()
model.close()
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def run_python(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@only_httpx2
@needs_fork
def test_parent_and_child_of_a_fork_get_their_own_answers():
    """Of objects that have called before the fork, and of those that have not."""
    callers = [caller_id(caller) for caller in (*in_frameworks(), *in_frameworks()[::-1])]
    with Echo() as server:
        run_python(FORKING, server.base_url, *callers)
    questions = [request.body["input"]["messages"][-1]["content"] for request in server.requests]
    for name in ("parent", "child"):
        assert [questions.count(f"{name} {turn}") for turn in range(3)] == [16, 16, 16]


@needs_fork
def test_a_stream_goes_on_after_a_fork_whose_child_lets_go_of_it():
    with Echo() as server:
        run_python(STREAMING, server.base_url)
    assert len(server.requests) == 3


@needs_fork
def test_a_fork_in_the_middle_of_opening_connections_leaves_no_lock_behind():
    with Echo() as server:
        run_python(OPENING, server.base_url)
    assert len(server.requests) == 2


def work(model, question: str) -> str:
    """What a worker process does."""
    if isinstance(model, DashScopeOSS):
        return model.complete(question).text
    answered = model.invoke(question)
    return answered if isinstance(answered, str) else answered.text


def test_objects_go_to_worker_processes(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    spawn = multiprocessing.get_context("spawn")
    with Echo() as server, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        models = [
            cls(model=MODEL, base_url=server.base_url)
            for cls in (ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS)
        ]
        for model in models:
            assert work(model, "here") == "here"
            assert pool.submit(work, model, "there").result(WAIT * 6) == "there"
            model.close()
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
