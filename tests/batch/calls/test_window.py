"""`run`: a bounded number of calls for any number of requests."""

import asyncio
import itertools
from contextlib import aclosing

import pytest

from dashscope_oss import (
    APIConnectionError,
    AsyncClient,
    AuthenticationError,
    ClientOptions,
    ConfigurationError,
    Endpoint,
    Message,
    ServerError,
    chat_request,
    find_model,
)
from dashscope_oss.batch import run
from dashscope_oss.batch.calls.window import run_each
from dashscope_oss.gateway import Answer, Fault
from tests.batch.virtual_time import run_in_virtual_time


class Calls:
    """A function to call; keeps count of what is under way."""

    def __init__(self, seconds=0.0, outcome=lambda question: question):
        self.seconds, self.outcome = seconds, outcome
        self.begun, self.now, self.most = [], 0, 0

    async def __call__(self, question):
        self.begun.append(question)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        outcome = self.outcome(question)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def collect(results):
    return {key: outcome async for key, outcome in results}


async def test_each_key_comes_with_its_answer():
    found = await collect(run(enumerate("abc"), Calls(outcome=str.upper)))

    assert found == {0: "A", 1: "B", 2: "C"}


async def test_so_many_calls_are_under_way_and_no_more():
    calls = Calls(0.001)

    await collect(run(enumerate(range(40)), calls, 7))

    assert calls.most == 7


async def test_of_endless_requests_no_more_are_taken_than_the_caller_is_done_with():
    taken = itertools.count()
    async with aclosing(run(((n, n) for n in taken), Calls(), 3)) as results:
        for _ in range(5):
            await anext(results)

    assert next(taken) <= 5 + 3


async def test_requests_may_come_asynchronously():
    async def source():
        for number in range(5):
            await asyncio.sleep(0)
            yield number, number

    assert len(await collect(run(source(), Calls(), 3))) == 5


async def test_an_error_belongs_to_its_row():
    fault = ValueError("no label")
    calls = Calls(outcome=lambda question: fault if question == 1 else question)

    assert await collect(run(enumerate(range(3)), calls)) == {0: 0, 1: fault, 2: 2}


async def test_what_the_requests_raise_ends_the_run_after_the_calls_under_way():
    def source():
        yield 0, 0
        raise OSError("the file is gone")

    async with aclosing(run(source(), Calls(0.001), 3)) as results:
        assert await anext(results) == (0, 0)
        with pytest.raises(OSError, match="the file is gone"):
            await anext(results)


async def test_outcomes_may_be_handled_where_the_calls_are_made():
    calls, handled = Calls(outcome=str.upper), []

    await run_each(enumerate("abc"), calls, 2, lambda *outcome: handled.append(outcome))

    assert sorted(handled) == [(0, "A"), (1, "B"), (2, "C")]


async def test_what_the_handling_raises_cancels_the_calls_under_way():
    class Patient(Calls):
        async def __call__(self, question):
            self.seconds = 0 if question == 0 else 3600
            return await super().__call__(question)

    def fail(key, outcome):
        raise OSError("the disk is full")

    calls = Patient()
    with pytest.raises(OSError, match="disk"):
        await run_each(enumerate(range(9)), calls, 3, fail)

    assert (calls.begun, calls.now) == ([0, 1, 2], 0)


async def test_leaving_the_loop_cancels_the_calls_under_way():
    calls = Calls(0.001, outcome=lambda question: question)
    async with aclosing(run(((n, n) for n in itertools.count()), calls, 4)) as results:
        await anext(results)

    assert calls.now == 0


def test_stopped_it_finishes_what_is_under_way_and_begins_nothing():
    calls = Calls(10.0)

    async def stopped_after(seconds):
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        return await collect(run(((n, n) for n in itertools.count()), calls, 3, stop=stop))

    found, took = run_in_virtual_time(stopped_after(15))

    assert (sorted(found), took) == ([0, 1, 2, 3, 4, 5], 20)


def test_stopped_it_does_not_wait_for_further_requests_or_tries():
    calls = Calls(outcome=lambda question: ServerError("down", retry_after=50))

    async def stopped_after(seconds):
        async def source():
            yield 0, 0
            await asyncio.sleep(1000)

        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        return await collect(run(source(), calls, 3, stop=stop))

    assert run_in_virtual_time(stopped_after(5)) == ({}, 5)


def test_a_fault_of_the_service_is_tried_again():
    faults = iter([ServerError("down"), ServerError("down"), "answer"])
    calls = Calls(outcome=lambda question: next(faults))

    assert run_in_virtual_time(collect(run([(0, "?")], calls)))[0] == {0: "answer"}


def test_after_the_last_try_the_error_says_how_many_there_were():
    calls = Calls(outcome=lambda question: ServerError("down"))

    found, _ = run_in_virtual_time(collect(run([(0, "?")], calls, max_retries=1)))

    assert (len(calls.begun), str(found[0])[-20:]) == (2, "Given up after 2 tries."[-20:])


def test_errors_that_waiting_does_not_cure_are_not_tried_again():
    calls = Calls(outcome=lambda question: AuthenticationError("wrong key"))

    run_in_virtual_time(collect(run([(0, "?")], calls)))

    assert len(calls.begun) == 1


async def test_a_connection_that_broke_is_the_calls_own_matter():
    """Not a server that is away: a row that makes it break must not hold up all others."""
    calls = Calls(outcome=lambda question: APIConnectionError("it was lost"))

    found = await collect(run([(0, "?")], calls, max_retries=0))

    assert isinstance(found[0], APIConnectionError)


class TestMisuse:
    """It ends the run at once: else every row would fail in the same way."""

    async def test_a_function_that_is_not_async(self):
        calls = []
        with pytest.raises(ConfigurationError, match=r"Pass chain\.ainvoke, not chain\.invoke"):
            await collect(run(enumerate(range(100)), calls.append, 2))
        assert calls == [0]

    async def test_what_cannot_be_called(self):
        with pytest.raises(ConfigurationError, match="client is str; give an AsyncClient"):
            await collect(run(enumerate("abc"), "client"))

    @pytest.mark.parametrize("source", [["ab"] * 9, [("key", 1), 2]])
    async def test_requests_without_keys(self, source):
        with pytest.raises(ConfigurationError, match="requests are pairs of a key and what to ask"):
            await collect(run(source, Calls(), 2))

    async def test_text_for_a_client(self, gateway):
        engine = gateway()
        client = AsyncClient(Endpoint.resolve(base_url=engine.base_url))

        with pytest.raises(ConfigurationError, match="a client sends requests, not str"):
            await collect(run(enumerate("abc"), client))


async def test_a_call_that_cancels_itself_is_its_rows_error():
    """As some frameworks do after a timeout; a worker that ended so would lose the row."""

    async def cancelled(question):
        if question:
            raise asyncio.CancelledError
        return "answer"

    found = await collect(run(enumerate([True, False, True, False]), cancelled, 1))

    assert (found[1], found[3]) == ("answer", "answer")
    assert str(found[0]) == str(found[2]) == "the call was cancelled from inside, not by the run."


async def test_no_call_at_a_time_is_refused():
    with pytest.raises(ConfigurationError, match="concurrency is 0"):
        await collect(run([], Calls(), 0))


class TestOverAClient:
    """Requests go through the client, which makes one try; the run makes the others."""

    def requests(self, count):
        model_info = find_model("llama3-8b-instruct")
        return (
            (n, chat_request(model_info, [Message("user", f"number {n}")])) for n in range(count)
        )

    async def test_requests_are_answered(self, gateway):
        client = AsyncClient(Endpoint.resolve(base_url=gateway().base_url))

        found = await collect(run(self.requests(20), client, 5))

        assert {n: reply.text for n, reply in found.items()} == {
            n: f"You said: number {n}" for n in range(20)
        }

    async def test_a_refused_call_is_the_runs_to_make_again(self, gateway):
        """Not the client's, whose own tries would not heed the others."""
        retries = []
        engine = gateway(Fault(), Answer("yes"))
        options = ClientOptions(on_retry=lambda *retry: retries.append(retry))
        client = AsyncClient(Endpoint.resolve(base_url=engine.base_url), options)

        found = await collect(run(self.requests(1), client))

        assert (found[0].text, len(engine.requests), retries) == ("yes", 2, [])

    async def test_the_clients_own_figure_of_further_tries_counts(self, gateway):
        engine = gateway(Fault(status=500, code="InternalError"))
        client = AsyncClient(
            Endpoint.resolve(base_url=engine.base_url), ClientOptions(max_retries=0)
        )

        await collect(run(self.requests(1), client))

        assert len(engine.requests) == 1
