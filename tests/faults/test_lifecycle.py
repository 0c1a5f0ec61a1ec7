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

import pytest

from dashscope_oss import AsyncClient, Client, Endpoint, Message, chat_request, find_model
from dashscope_oss.transport import client
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import FRAMEWORKS, KEY, MODEL, Caller
from .server import WAIT, RawServer, _read, answer, frame, stream, text_reply

PATIENCE = 30
"""Seconds after which something that must happen has not."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection be given up because a busy machine is late with the end of a body."""
    monkeypatch.setattr(client, "END_OF_BODY", PATIENCE)


class Echo(RawServer):
    """Answers each question with itself, streamed if a stream is asked for.

    Args:
        together: how many questions must have come before the first is answered.
        until: what each answer waits for.
    """

    def __init__(self, together: int = 1, until: threading.Event | None = None) -> None:
        super().__init__(b"")
        self._listener.listen(1024)
        self._all = threading.Barrier(together)
        self._until = until

    def _next(self, incoming):
        request = _read(incoming)
        if request is None:
            return None
        self.requests.append(request)
        self.asked.set()
        self._all.wait(PATIENCE)
        if self._until is not None:
            self._until.wait(PATIENCE)
        said = request.body["input"]["messages"][-1]["content"]
        if "x-dashscope-sse" in request.headers:
            return stream(frame(said[:2]), frame(said[2:]), frame("", "stop"))
        return [answer(text_reply(said))]


def ask(caller: Caller, model, asked: str) -> str:
    """Ask in a caller's way, from wherever this is."""
    again = Caller(caller.framework, caller.mode)
    if caller.is_async:
        return asyncio.run(again.aask(model, asked)).text
    return again.ask(model, asked).text


async def aask(caller: Caller, model, asked: str) -> str:
    return (await Caller(caller.framework, caller.mode).aask(model, asked)).text


async def closing(model, work: Awaitable):
    try:
        return await asyncio.wait_for(work, PATIENCE)
    finally:
        await model.aclose()


# Loops


def test_one_object_in_one_event_loop_after_the_other(caller: Caller):
    with Echo() as server:
        model = caller.model(server)
        said = [ask(caller, model, f"question {turn}") for turn in range(5)]
        model.close()
    assert said == [f"question {turn}" for turn in range(5)]


def test_one_object_in_event_loops_of_many_threads(caller: Caller):
    asked = [f"question {turn}" for turn in range(40)]
    with Echo() as server, ThreadPoolExecutor(8) as pool:
        model = caller.model(server)
        assert list(pool.map(lambda one: ask(caller, model, one), asked)) == asked
        model.close()


def test_blocking_and_async_calls_of_one_object(caller: Caller):
    """Also a blocking call while a loop runs, as in a notebook."""
    other = Caller(caller.framework, "chat")

    async def both(model) -> list[str]:
        return [await aask(caller, model, "one"), other.ask(model, "two").text]

    if not caller.is_async:
        caller = Caller(caller.framework, f"a{caller.mode}")
    with Echo() as server:
        model = caller.model(server)
        assert asyncio.run(closing(model, both(model))) == ["one", "two"]
        assert other.ask(model, "three").text == "three"
        assert asyncio.run(closing(model, both(model))) == ["one", "two"]
        model.close()


def test_the_event_loop_is_never_blocked(caller: Caller):
    """The answer waits for the loop's own heart to beat."""
    if not caller.is_async:
        caller = Caller(caller.framework, f"a{caller.mode}")
    beaten = threading.Event()

    async def beat() -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)
        beaten.set()

    async def run(model) -> str:
        heart = asyncio.create_task(beat())
        said = await aask(caller, model, "question")
        await heart
        return said

    with Echo(until=beaten) as server:
        model = caller.model(server)
        assert asyncio.run(closing(model, run(model))) == "question"
    assert beaten.is_set()


# Many at once


@pytest.mark.parametrize(("calls", "settings"), [(100, {}), (150, {"max_connections": 150})])
def test_calls_at_once_take_the_time_of_one(caller: Caller, calls, settings):
    """The first answer is sent when the last question has come."""
    if not caller.is_async:
        caller = Caller(caller.framework, f"a{caller.mode}")
    asked = [f"question {turn}" for turn in range(calls)]

    async def run(model) -> list[str]:
        return await asyncio.gather(*(aask(caller, model, one) for one in asked))

    with Echo(together=calls) as server:
        model = caller.model(server, timeout=PATIENCE, **settings)
        assert asyncio.run(closing(model, run(model))) == asked
    assert server.connections == calls


def test_sixty_four_threads_share_one_object(caller: Caller):
    if caller.is_async:
        caller = Caller(caller.framework, caller.mode[1:])
    asked = [f"question {turn}" for turn in range(128)]
    with Echo(together=64) as server, ThreadPoolExecutor(64) as pool:
        model = caller.model(server, timeout=PATIENCE)
        assert list(pool.map(lambda one: ask(caller, model, one), asked)) == asked
        model.close()
    assert server.connections == 64


def test_calls_one_after_the_other_use_one_connection(caller: Caller):
    async def run(model) -> None:
        for turn in range(20):
            assert await aask(caller, model, f"question {turn}") == f"question {turn}"

    with Echo() as server:
        model = caller.model(server)
        if caller.is_async:
            asyncio.run(closing(model, run(model)))
        else:
            for turn in range(20):
                assert ask(caller, model, f"question {turn}") == f"question {turn}"
            model.close()
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
                said = [delta.text async for delta in model.stream(request)]
                assert "".join(said) == "question"
    assert (len(server.requests), server.connections) == (1000, 1)


def test_two_objects_with_two_addresses_and_keys_never_mix(caller: Caller):
    asked = [f"question {turn}" for turn in range(20)]
    with Echo() as one, Echo() as two, ThreadPoolExecutor(8) as pool:
        models = [
            caller.model(one, api_key="sk-one"),
            caller.model(two, api_key="sk-two"),
        ]
        both = [(model, text) for text in asked for model in models]
        said = list(pool.map(lambda pair: ask(caller, *pair), both))
        for model in models:
            model.close()
    assert said == [text for text in asked for _ in models]
    keys = [{sent.headers["authorization"] for sent in server.requests} for server in (one, two)]
    assert keys == [{"Bearer sk-one"}, {"Bearer sk-two"}]
    assert (len(one.requests), len(two.requests)) == (20, 20)


# Processes

FORKING = """
import asyncio, os, sys
from tests.faults.callers import Caller
from tests.faults.test_lifecycle import ask

callers = [Caller(*way.split("-")) for way in sys.argv[2:]]
models = [caller.model(sys.argv[1]) for caller in callers]
for caller, model in zip(callers[::2], models[::2]):
    assert ask(caller, model, "before") == "before"
child = os.fork()
name = "child" if child == 0 else "parent"
for turn in range(3):
    for caller, model in zip(callers, models):
        assert ask(caller, model, f"{name} {turn}") == f"{name} {turn}", name
for model in models:
    model.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""

STREAMING = """
import os, sys
from dashscope_oss import Client, Endpoint, Message, chat, find_model

def asked(text):
    return chat(find_model("glm-5"), [Message("user", text)])

model = Client(Endpoint.resolve(base_url=sys.argv[1]))
pieces = model.stream(asked("a stream"))
said = next(pieces).text
child = os.fork()
if child == 0:
    assert model.send(asked("of the child")).text == "of the child"
    pieces.close()
    model.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
said += "".join(piece.text for piece in pieces)
assert said == "a stream", said
assert model.send(asked("of the parent")).text == "of the parent"
model.close()
"""

LOCKED = """
import os, sys, threading
from dashscope_oss import Client, Endpoint, Message, chat, find_model

model = Client(Endpoint.resolve(base_url=sys.argv[1]))
held, done = threading.Event(), threading.Event()

def hold():
    with model._lock():
        held.set()
        done.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    assert model.send(chat(find_model("glm-5"), [Message("user", "q")])).text == "q"
    os._exit(0)
done.set()
assert os.waitpid(child, 0)[1] == 0
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


@needs_fork
@pytest.mark.parametrize("mode", ["chat", "stream", "achat", "astream"])
def test_parent_and_child_of_a_fork_get_their_own_answers(mode):
    """Of an object that has called before the fork, and of one that has not."""
    ways = [f"{framework}-{mode}" for framework in (*FRAMEWORKS, *FRAMEWORKS[::-1])]
    with Echo() as server:
        run_python(FORKING, server.base_url, *ways)
    said = [request.body["input"]["messages"][-1]["content"] for request in server.requests]
    for name in ("parent", "child"):
        assert [said.count(f"{name} {turn}") for turn in range(3)] == [4, 4, 4]


@needs_fork
def test_a_stream_goes_on_after_a_fork_whose_child_lets_go_of_it():
    with Echo() as server:
        run_python(STREAMING, server.base_url)
    assert len(server.requests) == 3


@needs_fork
def test_a_fork_in_the_middle_of_opening_connections_leaves_no_lock_behind():
    with Echo() as server:
        run_python(LOCKED, server.base_url)
    assert len(server.requests) == 1


def work(model, asked: str) -> str:
    """What a worker process does."""
    if isinstance(model, ChatDashScopeOSS):
        return model.invoke(asked).text
    if isinstance(model, DashScopeOSSLLM):
        return model.invoke(asked)
    return model.chat([_message(asked)]).message.content


def _message(text: str):
    from llama_index.core.llms import ChatMessage

    return ChatMessage(text)


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
