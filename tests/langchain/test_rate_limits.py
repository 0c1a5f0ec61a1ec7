"""Limits of requests: LangChain's rate limiters, this package's own, and connections as a cap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.rate_limiters import BaseRateLimiter

from dashscope_oss import find_model, register_model
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve_in_thread
from langchain_dashscope_oss import RateLimits, rate_limits
from langchain_dashscope_oss.errors import ConfigurationError

from .calling import CLASSES, PATHS, call


class Turnstile(BaseRateLimiter):
    """Counts who passes."""

    def __init__(self):
        self.passed = 0

    def acquire(self, *, blocking=True):
        self.passed += 1
        return True

    async def aacquire(self, *, blocking=True):
        self.passed += 1
        return True


@pytest.mark.parametrize("streaming", [False, True])
@PATHS
async def test_a_limiter_is_asked_once_a_call(either, path, streaming):
    limiter = Turnstile()
    llm, engine = either(Answer("ok"), rate_limiter=limiter, streaming=streaming)
    await call(llm, path)
    assert limiter.passed == len(engine.requests) == 1


async def test_a_limiter_is_asked_for_each_prompt_but_not_for_cached_answers(text):
    limiter = Turnstile()
    llm, engine = text(Answer("ok"), rate_limiter=limiter, cache=InMemoryCache())
    llm.generate(["a", "b"])
    await llm.agenerate(["c", "d", "a"])
    assert limiter.passed == len(engine.requests) == 4


class CountingEngine(ScriptedEngine):
    """Counts how many calls are open at once."""

    open = most = 0

    async def generate(self, request):
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.05)
        async for delta in super().generate(request):
            yield delta
        self.open -= 1


@CLASSES
async def test_no_more_calls_are_open_at_once_than_connections(cls):
    engine = CountingEngine([Answer("ok")])
    with serve_in_thread(Gateway(engine)) as url:
        llm = cls(model="llama3-8b-instruct", base_url=url, max_connections=2)
        answers = await asyncio.gather(*(llm.ainvoke("Hi") for _ in range(8)))
        await llm.aclose()
    assert len(answers) == 8
    assert engine.most == 2


# The package's own limiter.


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    async def asleep(self, seconds):
        self.now += seconds


@pytest.fixture
def timer(monkeypatch):
    timer = Clock()
    monkeypatch.setattr(rate_limits, "time", timer)
    monkeypatch.setattr(rate_limits, "asyncio", SimpleNamespace(sleep=timer.asleep))
    return timer


async def test_own_limits_spread_calls_evenly_over_a_minute(timer):
    limits = RateLimits(requests_per_minute=120)
    for _ in range(3):
        assert limits.acquire()
        assert await limits.aacquire()
    assert timer.now == 1002.5  # the first call goes at once


async def test_own_limits_can_be_asked_without_waiting(timer):
    limits = RateLimits(requests_per_minute=60)
    assert limits.acquire(blocking=False)
    assert not limits.acquire(blocking=False)
    assert not await limits.aacquire(blocking=False)
    timer.now += 1
    assert await limits.aacquire(blocking=False)


def test_the_vendors_limits_are_ready_made():
    assert RateLimits.of("kimi-k2.5").requests_per_minute == 60


@pytest.mark.parametrize("tokens_per_minute", [None, 1000])
def test_limits_of_requests_that_no_page_states_are_not_made_up(tokens_per_minute):
    info = replace(find_model("llama3-8b-instruct"), id="mine", tokens_per_minute=tokens_per_minute)
    register_model(info)
    with pytest.raises(ConfigurationError, match=r"mine; give .*requests_per_minute="):
        RateLimits.of("mine")


def test_a_limit_under_which_nothing_could_be_sent_is_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        RateLimits(requests_per_minute=0)


async def test_a_model_keeps_to_its_own_limits(either, timer):
    llm, engine = either(Answer("ok"), rate_limiter=RateLimits(requests_per_minute=60))
    llm.invoke("Hi")
    await llm.ainvoke("Hi")
    assert len(engine.requests) == 2
    assert timer.now == 1001
