"""All calls of a run keep one pace. The clock is virtual: minutes pass at once."""

import asyncio

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    Message,
    RateLimitError,
    Reply,
    ServerError,
    Usage,
    chat_request,
    find_model,
)
from dashscope_oss.batch import Pace, RateLimits, run
from dashscope_oss.batch.calls.tries import ends_run
from tests.batch.calls import limited_servers
from tests.batch.virtual_time import run_in_virtual_time


def answered(server, rows, concurrency=16, **settings):
    """Ask rows, and return their outcomes and the virtual seconds that it took."""

    async def ask():
        return [r async for _, r in run(enumerate(range(rows)), server, concurrency, **settings)]

    return run_in_virtual_time(ask())


@pytest.mark.parametrize(("concurrency", "latency"), [(8, 0.5), (64, 0.5), (64, 5.0)])
@pytest.mark.parametrize(
    "kind",
    [
        limited_servers.ByTheMinute,
        limited_servers.ByTheMinuteAndSaysWhen,
        limited_servers.ByTheLastMinute,
        limited_servers.EvenlySpread,
    ],
)
def test_of_600_calls_a_minute_at_most_one_in_twenty_is_refused(kind, concurrency, latency):
    """Nobody told the run the limit; it uses most of what is allowed, and loses no row."""
    server = kind(latency)

    outcomes, seconds = answered(server, 2400, concurrency)

    assert sorted(outcomes) == [*range(2400)]
    assert server.refused_share <= 0.05
    assert server.granted / seconds >= 0.75 * 10


def test_a_limit_that_is_known_is_kept():
    server = limited_servers.EvenlySpread()

    _, seconds = answered(server, 600, pace=Pace(RateLimits(requests_per_minute=600)))

    assert (server.refused, round(seconds)) == (0, 60)


def test_a_limit_of_tokens_counts_input_and_answer():
    request = chat_request(find_model("llama3-8b-instruct"), [Message("user", "word " * 100)])

    async def answer(question):
        return Reply(text="", usage=Usage(total_tokens=1000))

    async def ask():
        pace = Pace(RateLimits(tokens_per_minute=60_000))
        pairs = ((n, request) for n in range(31))
        return [reply async for _, reply in run(pairs, answer, 1, pace=pace)]

    assert run_in_virtual_time(ask())[1] == pytest.approx(30, abs=0.1)


def test_of_a_chain_only_the_calls_are_counted():
    """Nobody knows how many tokens its input has."""
    outcomes, seconds = answered(Closed(None), 3, pace=Pace(RateLimits(60, tokens_per_minute=1)))

    assert (len(outcomes), round(seconds)) == (3, 2)


def test_tokens_of_a_refused_call_are_given_back():
    request = chat_request(find_model("llama3-8b-instruct"), [Message("user", "word " * 1000)])
    outcomes = iter([RateLimitError("slower", retry_after=1), "answer", "answer"])

    async def answer(question):
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return outcome

    async def ask():
        pace = Pace(RateLimits(tokens_per_minute=6000))
        return [r async for _, r in run(((n, request) for n in range(2)), answer, 1, pace=pace)]

    assert run_in_virtual_time(ask())[1] < 15  # a call has about ten seconds' worth


class Closed:
    """Refuses for the first seconds; notes when calls came."""

    def __init__(self, error, until=0.0):
        self.error, self.until, self.times = error, until, []

    async def __call__(self, question):
        now = asyncio.get_running_loop().time()
        self.times.append(now)
        if now < self.until:
            raise self.error()
        await asyncio.sleep(0.1)
        return question


def unreachable():
    error = APIConnectionError("no answer")
    error.__cause__ = httpx2.ConnectError("refused")
    return error


@pytest.mark.parametrize(
    "error",
    [
        lambda: RateLimitError("slower"),
        lambda: ServerError("away", status_code=503),  # of a proxy, while the service restarts
        unreachable,
    ],
)
def test_while_the_service_takes_no_calls_one_at_a_time_looks_whether_it_does_again(error):
    """Of sixteen only the first ones are refused together; no row is lost."""
    server = Closed(error, until=30)

    outcomes, _ = answered(server, 100)

    assert sorted(outcomes) == [*range(100)]
    assert len([time for time in server.times if 0 < time < 30]) == 5  # after 0.5, 1, 2, 4, 8 s


def test_the_service_says_how_long_to_wait():
    server = Closed(lambda: RateLimitError("slower", retry_after=25), until=20)

    answered(server, 20)

    assert sorted(set(server.times))[1] == 25


def test_a_service_that_never_takes_a_call_fails_the_rows_that_were_refused_ten_times():
    server = Closed(lambda: RateLimitError("slower"), until=1e9)

    outcomes, seconds = answered(server, 1)

    assert (len(server.times), type(outcomes[0])) == (10, RateLimitError)
    assert 150 < seconds < 600


@pytest.mark.parametrize(("has_answers", "ends"), [(False, True), (True, False)])
def test_only_a_server_that_was_never_there_ends_a_run(has_answers, ends):
    """One that was may come back: the run goes on, and the rows that met it have failed."""
    assert ends_run(unreachable(), has_answers=has_answers) is ends


def test_without_any_connection_calls_are_given_up_after_half_a_minute():
    """The address is wrong, or nothing runs there."""
    server = Closed(unreachable, until=1e9)

    outcomes, seconds = answered(server, 1)

    assert (type(outcomes[0]), seconds) == (APIConnectionError, 31.5)


def test_a_connection_that_was_there_is_waited_for():
    """While the server is restarted, say, for a quarter of an hour."""

    class Restarted(Closed):
        async def __call__(self, question):
            if not self.times:
                self.times.append(0.0)
                return question
            return await super().__call__(question)

    server = Restarted(unreachable, until=900)

    assert sorted(answered(server, 40)[0]) == [*range(40)]


def test_a_refusal_now_and_then_does_not_slow_down_a_run_of_many_calls_a_second():
    """One in two thousand, whatever the pace."""

    class Moody(limited_servers.Server):
        calls = 0

        def allows(self, now):
            self.calls += 1
            return self.calls % 2000 != 0

    _, seconds = answered(Moody(latency=0.1), 8000)

    assert seconds < 1.2 * 8000 * 0.1 / 16


def test_after_a_while_without_refusals_the_pace_is_back():
    """The limit is gone after a minute; five minutes later nothing holds the calls up."""

    class Recovering(limited_servers.EvenlySpread):
        def allows(self, now):
            return now > 60 or super().allows(now)

    async def times_of_answers():
        server, stop = Recovering(latency=0.1), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_later(340, stop.set)
        endless = ((n, n) for n in iter(int, 1))
        return [loop.time() async for _ in run(endless, server, 16, stop=stop)]

    times, _ = run_in_virtual_time(times_of_answers())

    assert len([time for time in times if 330 <= time < 340]) / 10 > 0.9 * 16 / 0.1
