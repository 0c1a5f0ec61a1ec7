"""Limits of requests and tokens a minute; one object for both frameworks."""

import pytest
from llama_index.core.llms import ChatMessage

from dashscope_oss import Usage
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.tokens import estimates
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS, RateLimits
from tests.llama_index.examples import ALL_METHODS, CHAT, PROMPT_ONLY

WITH_LIMITER = pytest.mark.skipif(
    "rate_limiter" not in DashScopeOSS.model_fields, reason="llama-index-core 0.14.0 has none"
)


@WITH_LIMITER
@ALL_METHODS
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


@WITH_LIMITER
def test_langchains_models_count_against_the_same_limits(make, clock):
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=60)
    answer = Answer("one", usage=Usage(3, 2, 5))
    llm = make(CHAT, answer, rate_limiter=limits)
    chat = ChatDashScopeOSS(model=CHAT, base_url=llm.base_url, rate_limiter=limits)
    chat.invoke("hi")
    chat.close()
    llm.complete("hi")
    assert clock.passed == 5


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
