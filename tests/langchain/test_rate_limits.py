"""Limits of requests: LangChain's rate limiters, this package's own, and connections as a cap."""

from __future__ import annotations

import asyncio
import copy

from langchain_core.caches import InMemoryCache
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter

from dashscope_oss import Usage
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve_in_thread
from langchain_dashscope_oss import RateLimits

from .calling import CLASSES, STREAMING_TOO, call


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


@STREAMING_TOO
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


def test_it_is_one_of_langchains():
    assert isinstance(RateLimits(60), BaseRateLimiter)


async def test_a_model_keeps_to_its_own_limits(either, clock):
    llm, engine = either(Answer("ok"), rate_limiter=RateLimits(requests_per_minute=60))
    llm.invoke("Hi")
    await llm.ainvoke("Hi")
    assert len(engine.requests) == 2
    assert clock.passed == 1


@STREAMING_TOO
async def test_tokens_of_a_call_hold_up_the_next(either, clock, path, streaming):
    limits = RateLimits(tokens_per_minute=1000)
    answer = Answer("one two three", usage=Usage(300, 200, 500))
    llm, _ = either(answer, rate_limiter=limits, streaming=streaming)
    await call(llm, path)
    assert clock.passed == 0
    limits.acquire()
    assert clock.passed == 30


def test_a_deep_copy_keeps_to_the_same_limits(chat):
    """LangChain's own limiter holds a lock, which cannot be copied."""
    limiter = InMemoryRateLimiter()
    llm, _ = chat(Answer("ok"), rate_limiter=limiter)
    assert copy.deepcopy(llm).rate_limiter is limiter


def test_a_new_limiter_counts_from_then_on(chat, clock):
    """A copy, too, keeps to its own."""
    first, second = RateLimits(tokens_per_minute=60), RateLimits(tokens_per_minute=60)
    llm, _ = chat(Answer("ok", usage=Usage(1, 1, 2)), rate_limiter=first)
    copied = llm.model_copy(update={"rate_limiter": second})
    copied.invoke("Hi")
    copied.close()
    assert (first.reserve(clock.now), second.reserve(clock.now)) == (0, 2)
    llm.rate_limiter = second
    assert llm.invoke("Hi").text == "ok"
    assert first.reserve(clock.now) == 0
