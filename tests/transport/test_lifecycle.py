"""Clients over threads, event loops, forks and pickles."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    AsyncClient,
    Client,
    ClientOptions,
    Endpoint,
    InvalidRequestError,
    Message,
    chat_request,
    find_model,
)
from dashscope_oss.transport import client
from dashscope_oss.transport.http import connections
from tests.faults.server import (
    WAIT,
    RawServer,
    answer,
    text_reply,
)
from tests.transport.calling import (
    GOOD,
    GOOD_STREAM,
    KEY,
    REFUSED,
    endpoint,
    is_gone,
    question,
)


def test_streams_give_their_connection_back():
    with RawServer(GOOD_STREAM) as server, Client(endpoint(server)) as caller:
        for _ in range(5):
            assert "".join(delta.text for delta in caller.stream(question())) == "hello"
    assert (len(server.requests), server.connections) == (5, 1)


def test_failed_calls_give_their_connection_back():
    with RawServer(REFUSED) as server, Client(endpoint(server)) as caller:
        for _ in range(5):
            with pytest.raises(InvalidRequestError):
                caller.send(question())
            with pytest.raises(InvalidRequestError):
                list(caller.stream(question()))
    assert (len(server.requests), server.connections) == (10, 1)


async def test_calls_at_once_do_not_wait_for_each_other():
    together = threading.Barrier(8)

    class All(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            together.wait(timeout)
            return True

    with RawServer([All(), GOOD]) as server:
        async with AsyncClient(endpoint(server)) as caller:
            replies = await asyncio.gather(*(caller.send(question()) for _ in range(8)))
    assert [reply.text for reply in replies] == ["hello"] * 8


def test_one_client_over_several_event_loops():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))

        async def run() -> str:
            async with caller:
                first, second = await caller.send(question()), await caller.send(question())
                return first.text + second.text

        assert [asyncio.run(run()) for _ in range(3)] == ["hellohello"] * 3
    assert server.connections == 3


def test_one_client_over_several_event_loops_that_nobody_closed():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        for _ in range(3):
            assert asyncio.run(caller.send(question())).text == "hello"
            assert server.gone.wait(WAIT)
            server.gone.clear()


def test_event_loops_that_have_ended_are_not_kept_for_ever():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        for _ in range(5):
            asyncio.run(caller.send(question()))
        gc.collect()
        assert len(caller._by_loop) <= 1  # none, or the last until the next call


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_event_loop_that_was_closed_without_ceremony_is_forgotten_at_the_next_call():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(caller.send(question()))
        loop.close()
        assert list(caller._by_loop) == [loop]

        async def run() -> None:
            await caller.send(question())
            assert loop not in caller._by_loop
            await caller.aclose()

        asyncio.run(run())
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_that_looks_after_no_generators_leaves_no_error_behind(monkeypatch):
    """As those that nest_asyncio runs, in which LlamaIndex calls from notebooks."""
    shown: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)

    async def run(caller: AsyncClient) -> str:
        sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
        return (await caller.send(question())).text

    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        for _ in range(2):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(run(caller)) == "hello"
            loop.close()
        del loop
        caller._forget_closed_loops()
        gc.collect()
    assert not shown


def test_one_client_in_event_loops_of_several_threads():
    with RawServer(GOOD) as server, ThreadPoolExecutor(4) as pool:
        caller = AsyncClient(endpoint(server))

        async def run() -> str:
            async with caller:
                return (await caller.send(question())).text

        assert list(pool.map(lambda _: asyncio.run(run()), range(8))) == ["hello"] * 8


def test_one_client_in_several_threads():
    with (
        RawServer(GOOD) as server,
        Client(endpoint(server)) as caller,
        ThreadPoolExecutor(8) as pool,
    ):
        texts = list(pool.map(lambda _: caller.send(question()).text, range(40)))
    assert texts == ["hello"] * 40
    assert server.connections <= 8


def test_threads_whose_first_calls_come_at_once_open_one_set_of_connections(monkeypatch):
    """Both find none open; who comes second to the lock takes those of the first."""
    both, lock = threading.Barrier(2, timeout=WAIT), threading.Lock()
    open_transport, made = connections.open_transport, []

    def meet(caller: Client) -> threading.Lock:
        both.wait()
        return lock

    monkeypatch.setattr(Client, "_lock", meet)
    monkeypatch.setattr(
        connections, "open_transport", lambda *args: made.append(open_transport(*args)) or made[-1]
    )
    with RawServer(GOOD) as server, ThreadPoolExecutor(2) as pool:
        caller = Client(endpoint(server))
        texts = list(pool.map(lambda _: caller.send(question()).text, range(2)))
        for http in made:
            http.close()
    assert (texts, len(made)) == (["hello"] * 2, 1)


FORKING = """
import os, sys
from dashscope_oss import Client, Endpoint, Message, chat_request, find_model
caller = Client(Endpoint.resolve(base_url=sys.argv[1]))
request = chat_request(find_model("glm-5"), [Message("user", "q")])
assert "".join(d.text for d in caller.stream(request)) == "hello"
child = os.fork()
for _ in range(2):
    assert caller.send(request).text == "hello"
if child == 0:
    caller.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert caller.send(request).text == "hello"
caller.close()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_parent_and_child_of_a_fork_share_no_connection():
    with RawServer(GOOD_STREAM) as server:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", FORKING, server.base_url], check=True, timeout=60
        )
    assert (len(server.requests), server.connections) == (6, 2)


def test_the_child_of_a_fork_closes_no_connection_of_its_parent(monkeypatch):
    """Neither when it closes its copy of a client nor when it lets go of it."""
    with RawServer(GOOD) as server:
        caller = Client(endpoint(server))
        caller.send(question())
        _, http = caller._opened
        with monkeypatch.context() as child:
            child.setattr(client, "os", SimpleNamespace(getpid=lambda: -1))
            caller.close()
            del caller
            gc.collect()
        http.handle_request(httpx2.Request("POST", server.base_url, json={})).close()
        http.close()
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("copied", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
def test_a_used_client_can_be_pickled_and_used_again(copied):
    with (
        RawServer(GOOD) as server,
        Client(endpoint(server), ClientOptions(max_retries=7)) as caller,
    ):
        caller.send(question())
        with copied(caller) as again:
            assert again.send(question()).text == "hello"
            assert again.options.max_retries == 7
    assert server.connections == 2


@pytest.mark.parametrize("copied", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
async def test_a_used_async_client_can_be_pickled_and_used_again(copied):
    with RawServer(GOOD) as server:
        async with AsyncClient(endpoint(server)) as caller:
            await caller.send(question())
            async with copied(caller) as again:
                assert (await again.send(question())).text == "hello"


def test_a_key_of_the_environment_is_not_in_the_pickle_of_a_client(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    assert KEY.encode() not in pickle.dumps(Client(Endpoint.resolve()))


def test_a_closed_client_opens_new_connections():
    with RawServer(GOOD) as server:
        caller = Client(endpoint(server))
        for _ in range(2):
            caller.send(question())
            caller.close()
    assert server.connections == 2


def test_a_client_that_nobody_holds_closes_its_connections():
    with RawServer(GOOD) as server:
        Client(endpoint(server)).send(question())
        gc.collect()
        assert server.gone.wait(WAIT)


async def test_an_async_client_that_nobody_holds_closes_its_connections():
    with RawServer(GOOD) as server:
        await AsyncClient(endpoint(server)).send(question())
        gc.collect()
        assert await is_gone(server)


def test_a_given_httpx_client_is_used_as_it_is_and_not_closed():
    with RawServer(GOOD) as server, httpx2.Client(headers={"X-Own": "mine"}) as http:
        with Client(endpoint(server), ClientOptions(http_client=http)) as caller:
            caller.send(question())
        assert not http.is_closed
    assert server.requests[0].headers["x-own"] == "mine"


async def test_a_call_that_waits_for_a_connection_while_the_client_is_closed_is_not_sent():
    held = threading.Event()
    with RawServer([held, GOOD]) as server:
        async with AsyncClient(
            endpoint(server), ClientOptions(max_connections=1, max_retries=0)
        ) as caller:
            calls = [asyncio.create_task(caller.send(question())) for _ in range(2)]
            await asyncio.to_thread(server.asked.wait, WAIT)
            await caller.aclose()
            held.set()
            errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [APIConnectionError] * 2
    assert "closed during the call" in str(errors[1])
    assert (len(server.requests), server.connections) == (1, 1)


async def test_a_given_async_httpx_client_is_used_as_it_is_and_not_closed():
    with RawServer(GOOD) as server:
        async with httpx2.AsyncClient(headers={"X-Own": "mine"}) as http:
            async with AsyncClient(
                endpoint(server), ClientOptions(http_async_client=http)
            ) as caller:
                await caller.send(question())
            assert not http.is_closed
    assert server.requests[0].headers["x-own"] == "mine"


def test_two_clients_of_two_addresses_never_mix():
    with (
        RawServer(answer(text_reply("one"))) as one,
        RawServer(answer(text_reply("two"))) as two,
        Client(endpoint(one)) as first,
        Client(endpoint(two)) as second,
    ):
        texts = [caller.send(question()).text for caller in (first, second, first)]
    assert texts == ["one", "two", "one"]


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
def test_a_timeout_that_was_asked_for_counts_with_a_client_of_ones_own_too():
    """The given client's limit applies only where none was asked for."""
    seen = []

    def note(request):
        seen.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json={"output": {"text": "hi"}})

    with httpx2.Client(transport=httpx2.MockTransport(note), timeout=5) as http:
        for timeout in (7, None):
            found = Client(
                Endpoint.resolve(api_key="k"), ClientOptions(http_client=http, timeout=timeout)
            )
            found.send(chat_request(find_model("llama3.1-8b-instruct"), [Message("user", "hi")]))

    assert seen == [7, 5]


def test_the_log_names_the_call_and_never_its_words(caplog):
    """Attempt, status and request id at level debug; no prompt, no key."""
    body = {"output": {"text": "an answer"}}
    reply = httpx2.Response(200, json=body, headers={"x-request-id": "id-1"})
    transport = httpx2.MockTransport(lambda _: reply)
    caplog.set_level("DEBUG")

    with httpx2.Client(transport=transport) as http:
        base_url = "http://127.0.0.1:9/api/v1"
        caller = Client(
            Endpoint.resolve(base_url=base_url, api_key=KEY), ClientOptions(http_client=http)
        )
        caller.send(
            chat_request(find_model("llama3-8b-instruct"), [Message("user", "a secret question")])
        )

    ours = [record.getMessage() for record in caplog.records if record.name == "dashscope_oss"]
    assert len(ours) == 1
    assert ours[0].startswith(
        "model llama3-8b-instruct: attempt 1, status 200, request id id-1, 0."
    )
    assert not any(word in caplog.text for word in ("secret question", "an answer", KEY))
