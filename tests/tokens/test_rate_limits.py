"""When the next call may go out under limits of requests and tokens a minute."""

from __future__ import annotations

import copy
import pickle

import pytest

from dashscope_oss import ConfigurationError, Message, RateLimits, Usage, chat_request, find_model
from dashscope_oss.tokens import estimates
from tests.clock import Clock


def test_the_first_call_goes_out_at_once_and_the_next_after_its_share_of_a_minute():
    limits = RateLimits(requests_per_minute=60)
    assert limits.reserve(100.0) == 0
    assert limits.reserve(100.25) == 0.75
    assert limits.reserve(101.0) == 0


def test_an_idle_minute_saves_nothing_up():
    limits = RateLimits(requests_per_minute=60)
    limits.reserve(100.0)
    assert limits.reserve(200.0) == 0
    assert limits.reserve(200.0) == 1


def test_tokens_of_a_call_delay_the_next():
    limits = RateLimits(tokens_per_minute=600)
    assert limits.reserve(100.0, num_tokens=20) == 0
    assert limits.reserve(100.0) == 2


def test_tokens_are_charged_later_and_given_back():
    limits = RateLimits(tokens_per_minute=600)
    limits.charge(100.0, 40)
    limits.charge(100.0, -10)
    assert limits.reserve(100.0) == 3


def test_no_limit_lets_everything_pass():
    limits = RateLimits()
    assert [limits.reserve(100.0, 10**9) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    "settings",
    [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"requests_per_minute": float("nan")}],
)
def test_limits_under_which_nothing_could_be_sent_are_refused(settings):
    with pytest.raises(ConfigurationError, match="above 0"):
        RateLimits(**settings)


def test_the_vendors_limits_are_ready_made():
    limits = RateLimits.of("kimi-k2.5")
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (60, 100_000)


@pytest.mark.parametrize("model", ["deepseek-v4-pro", "llama2-7b-chat-v2"])
def test_limits_that_no_page_states_are_not_made_up(model):
    with pytest.raises(ConfigurationError, match=rf"{model}.*requests_per_minute="):
        RateLimits.of(model)


def test_requests_wait_for_their_turn(clock: Clock):
    """Sixty a minute are one a second."""
    limits = RateLimits(requests_per_minute=60)
    assert [limits.acquire() for _ in range(3)] == [True] * 3
    assert clock.passed == 2


async def test_requests_wait_for_their_turn_without_blocking(clock: Clock):
    """By the names of both frameworks."""
    limits = RateLimits(requests_per_minute=60)
    assert await limits.aacquire()
    assert await limits.async_acquire()
    assert clock.passed == 1


async def test_it_can_be_asked_without_waiting(clock: Clock):
    limits = RateLimits(requests_per_minute=60)
    assert limits.acquire(blocking=False)
    assert not limits.acquire(blocking=False)
    assert not await limits.aacquire(blocking=False)
    clock.now += 1
    assert await limits.aacquire(blocking=False)


CALL = chat_request(find_model("llama3-8b-instruct"), [Message("user", "How was the sea?")])
QUESTION = estimates.estimate("How was the sea?", "llama3")


@pytest.mark.parametrize(
    ("usage", "taken"),
    [
        (Usage(300, 200, 500), 500),
        (None, QUESTION + estimates.estimate("calm", "llama3")),
        (Usage(), QUESTION + estimates.estimate("calm", "llama3")),
    ],
)
def test_a_call_counts_by_estimate_and_then_by_the_services_number(clock: Clock, usage, taken):
    limits = RateLimits(tokens_per_minute=60)
    limits.count_question(CALL)
    assert limits.reserve(clock.now) == QUESTION
    limits.count_answer(CALL, usage, "calm")
    assert limits.reserve(clock.now) == taken


def test_a_copy_is_the_same_object_and_a_pickle_begins_anew():
    """Limits are an account's, and belong to one process."""
    limits = RateLimits(60, 1000)
    assert copy.copy(limits) is copy.deepcopy(limits) is limits
    assert repr(pickle.loads(pickle.dumps(limits))) == repr(limits)
    assert repr(limits) == "RateLimits(requests_per_minute=60, tokens_per_minute=1000)"


async def test_it_really_waits():
    limits = RateLimits(requests_per_minute=60_000)
    assert await limits.async_acquire()
    assert await limits.async_acquire()
    assert limits.acquire()
