"""Ready-made limits of requests and tokens a minute. Time is given, so no test waits for it."""

import pytest
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    ConfigurationError,
    Usage,
)
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.tokens import estimates
from llama_index_dashscope_oss import DashScopeOSS, RateLimits
from llama_index_dashscope_oss._calls import rate_limiter
from tests.llama_index.examples import CHAT, PROMPT_ONLY, WITH_TOOLS

WITH_LIMITER = pytest.mark.skipif(
    "rate_limiter" not in DashScopeOSS.model_fields, reason="llama-index-core 0.14.0 has none"
)


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def passed(self) -> float:
        return round(self.now - 1000.0, 6)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limiter, "time", clock)

    class Asyncio:
        sleep = staticmethod(clock.asleep)

    monkeypatch.setattr(rate_limiter, "asyncio", Asyncio)
    return clock


def test_the_vendors_limits_are_ready_made():
    """From the registry, by the id of a model."""
    limits = RateLimits.of("kimi-k2.5")
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (60, 100_000)


def test_limits_that_no_page_states_are_not_made_up():
    """The error says what to give."""
    with pytest.raises(ConfigurationError, match=rf"{WITH_TOOLS}.*requests_per_minute="):
        RateLimits.of(WITH_TOOLS)


def test_limits_under_which_nothing_could_be_sent_are_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        RateLimits(requests_per_minute=0)


def test_limits_are_shown_with_their_numbers():
    assert repr(RateLimits(60)) == "RateLimits(requests_per_minute=60, tokens_per_minute=None)"


def test_requests_are_spread_over_the_minute(clock):
    """The first goes at once; 60 a minute are one a second, and an idle minute saves nothing up."""
    limits = RateLimits(requests_per_minute=60)
    limits.acquire()
    assert clock.passed == 0
    for _ in range(3):
        limits.acquire()
    assert clock.passed == 3
    clock.now += 60
    limits.acquire()
    limits.acquire()
    assert clock.passed == 64


async def test_async_requests_wait_alike(clock):
    limits = RateLimits(requests_per_minute=120)
    for _ in range(3):
        await limits.async_acquire()
    assert clock.passed == 1


def test_tokens_hold_up_the_next_request(clock):
    """1,000 tokens a minute: a call of 500 takes half of it; what was too much is given back."""
    limits = RateLimits(tokens_per_minute=1000)
    limits.acquire(300)
    limits.charge(200)
    limits.acquire()
    assert clock.passed == 30
    limits.charge(1000)
    limits.charge(-900)
    limits.acquire()
    assert clock.passed == 36


@WITH_LIMITER
def test_a_call_is_charged_with_the_tokens_that_the_service_counts(make, ask, clock):
    """In all eight methods, by one request each."""
    limits = RateLimits(requests_per_minute=60_000, tokens_per_minute=1000)
    answer = Answer("one two three", usage=Usage(300, 200, 500))
    llm = make(CHAT, answer, rate_limiter=limits)
    ask(llm, "hi")
    assert clock.passed == 0
    limits.acquire()
    assert clock.passed == 30


@WITH_LIMITER
def test_where_the_service_counts_nothing_an_estimate_is_charged(make, ask, clock):
    limits = RateLimits(tokens_per_minute=60)
    llm = make(PROMPT_ONLY, Answer("海面平静。"), rate_limiter=limits)
    ask(llm, "守塔人写了什么？")
    limits.acquire()
    sent = estimates.estimate("<human>:守塔人写了什么？\n<bot>:", "llama2")
    assert clock.passed == sent + estimates.estimate("海面平静。", "llama2")


@WITH_LIMITER
def test_a_question_counts_before_it_is_answered(make, clock):
    """Many calls at once do not all slip through."""
    limits = RateLimits(tokens_per_minute=60)
    llm = make(CHAT, Fault(400, "InvalidParameter", "No."), rate_limiter=limits)
    stream = llm.stream_chat([ChatMessage("How was the sea that day?")])
    limits.acquire()
    assert clock.passed == estimates.estimate("How was the sea that day?", "llama3")
    stream.close()


class Counting:
    """A rate limiter that only counts."""

    taken = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.taken += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.taken += 1


@WITH_LIMITER
def test_a_rate_limiter_is_asked_before_every_call(make, ask):
    """LlamaIndex's own or any other, too."""
    limiter = Counting()
    ask(make(PROMPT_ONLY, rate_limiter=limiter), "hi")
    assert limiter.taken == 1
