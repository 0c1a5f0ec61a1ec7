"""What is tried again, when and how often, and what never is."""

from __future__ import annotations

import random
import time
from email.utils import formatdate

from dashscope_oss.errors import (
    AuthenticationError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.transport import retry

from .callers import Caller
from .matrix import EACH_ONCE, table
from .server import (
    SSE,
    Cut,
    RawServer,
    answer,
    error_frame,
    frame,
    message_frame,
    message_reply,
    refusal,
    stream,
)

GOOD = answer(message_reply("hello"))


def throttled(*headers: tuple[str, str]) -> bytes:
    return refusal("429 X", "Throttling.RateQuota", "slow down", headers)


# By what the answer says


@table(
    {
        f"{status}-{name}": answer(body, f"{status} X", "text/html")
        for status in (408, 429, 500, 502, 503, 504)
        for name, body in {"empty": b"", "page": b"<html>busy</html>"}.items()
    },
    "503-page",
    core=["chat"],
)
def test_a_status_that_waiting_may_cure_is_tried_again(caller: Caller, case):
    with RawServer(case, GOOD) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body


@table(
    [301, 400, 401, 402, 403, 404, 405, 409, 413, 422, 501, 505],
    "501",
    core=["chat"],
)
def test_another_status_is_not_tried_again(caller: Caller, case):
    with RawServer(answer(b"", f"{case} X"), GOOD) as server:
        caller.fails(server)
    assert (len(server.requests), caller.waits) == (1, [])


PASSING = {
    "throttling": ("429 X", "Throttling", "slow down"),
    "rate": ("429 X", "Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
    "burst": ("429 X", "Throttling.BurstRate", "Request rate increased too quickly."),
    "quota-allocated": (
        "429 X",
        "Throttling.AllocationQuota",
        "Allocated quota exceeded, please increase it.",
    ),
    "quota-current": (
        "429 X",
        "Throttling.AllocationQuota",
        "You exceeded your current quota, please check",
    ),
    "quota-plan": (
        "429 X",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan",
    ),
    "requests": ("429 X", "LimitRequests", "You exceeded your current requests list."),
    "internal-400": ("400 X", "InternalError", "no"),
    "algorithm": ("500 X", "InternalError.Algo", "no"),
    "timeout": ("500 X", "InternalError.Timeout", "no"),
    "unavailable": ("503 X", "ModelUnavailable", "no"),
    "serving": ("500 X", "ModelServingError", "Too many requests."),
}


@table(PASSING, "quota-plan", core=["chat"])
def test_a_code_that_waiting_may_cure_is_tried_again(caller: Caller, case):
    """A quota per minute is one, whatever its words say of a plan."""
    with RawServer(refusal(*case), GOOD) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 2


USED_UP = {
    "free-quota": ("429 X", "Throttling.AllocationQuota", "Free allocated quota exceeded."),
    "free-plan": ("429 X", "insufficient_quota", "Free allocated quota exceeded."),
    "free-tier": (
        "429 X",
        "Throttling.AllocationQuota",
        "The free tier of the model has been exhausted.",
    ),
    "only-free": ("403 X", "AllocationQuota.FreeTierOnly", "The free tier has been exhausted."),
    "not-purchased": ("429 X", "CommodityNotPurchased", "no"),
    "debt": ("400 X", "Arrearage", "Access denied, your account is in debt."),
    "debt-500": ("500 X", "Arrearage", "no"),
}


@table(USED_UP, "free-quota", core=["chat"])
def test_a_quota_that_is_used_up_is_not_tried_again(caller: Caller, case):
    with RawServer(refusal(*case), GOOD) as server:
        caller.fails(server, QuotaExhaustedError, "Check balance and free quota")
    assert len(server.requests) == 1


@table(
    [
        ("500 X", "DataInspectionFailed"),
        ("500 X", "InvalidParameter"),
        ("429 X", "InvalidApiKey"),
        ("503 X", "ServiceUnavailableError"),
        ("502 X", "ModelNotFound"),
    ],
    "('429 X', 'InvalidApiKey')",
    core=["chat"],
)
def test_a_code_that_waiting_cannot_cure_is_not_tried_again(caller: Caller, case):
    with RawServer(refusal(*case), GOOD) as server:
        caller.fails(server)
    assert len(server.requests) == 1


# The wait


@table(
    {
        "0": ([("Retry-After", "0")], 0.0),
        "3": ([("Retry-After", "3")], 3.0),
        "blanks": ([("Retry-After", " 2 ")], 2.0),
        "fraction": ([("Retry-After", "0.25")], 0.25),
        "a-minute": ([("Retry-After", "60")], 60.0),
        "milliseconds": ([("retry-after-ms", "1500"), ("Retry-After", "9")], 1.5),
        "bad-milliseconds": ([("Retry-After-Ms", "junk"), ("Retry-After", "9")], 9.0),
    },
    "milliseconds",
    core=["chat"],
)
def test_the_wait_that_the_service_asks_for_is_kept(caller: Caller, case):
    headers, wait = case
    with RawServer(throttled(*headers), GOOD) as server:
        caller(server, timeout=30)
    assert caller.waits == [wait]


def test_a_wait_until_a_date_is_kept(core: Caller):
    for date in (formatdate(time.time() + 30, usegmt=True), formatdate(time.time() + 30)):
        with RawServer(throttled(("Retry-After", date)), GOOD) as server:
            core(server, timeout=30)
        (wait,) = core.waits
        assert 15 < wait <= 30


@table(
    ["-1", "abc", "nan", "inf", "1,2", "0x10", "1_0", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT"],
    core=["chat"],
)
def test_a_wait_that_makes_no_sense_counts_as_none(caller: Caller, case):
    """Junk, negatives, and dates that are over."""
    with RawServer(throttled(("Retry-After", case)), GOOD) as server:
        caller(server)
    (wait,) = caller.waits
    assert 0 <= wait <= retry.FIRST_WAIT


@table(
    ["61", "3600", "99999999999", "9" * 200, "Fri, 31 Dec 2999 23:59:59 GMT", "600.5"],
    "3600",
    core=["chat"],
)
def test_a_wait_of_more_than_a_minute_is_reported_at_once(caller: Caller, case):
    with RawServer(throttled(("Retry-After", case)), GOOD) as server:
        error = caller.fails(server, RateLimitError, r"asks to wait \d+ s; a call waits 60")
    assert (len(server.requests), caller.waits) == (1, [])
    assert error.retry_after
    assert error.retry_after > 60


def test_a_wait_asked_for_beside_an_error_in_a_good_answer_counts(core: Caller):
    """The service's streams refuse with status 200."""
    error = error_frame(429, "Throttling.RateQuota", "slow down")
    script = answer(error, kind=SSE, headers=[("Retry-After", "3")])
    with RawServer(script, GOOD) as server:
        core(server)
    assert core.waits == [3.0]


def test_a_wait_asked_for_with_a_refusal_that_lasts_changes_nothing(core: Caller):
    with RawServer(refusal("401 X", "InvalidApiKey", "no", [("Retry-After", "1")])) as server:
        core.fails(server, AuthenticationError)
    assert len(server.requests) == 1


@table([0, 1, 4], "1", core=EACH_ONCE)
def test_max_retries_counts_the_tries_after_the_first(caller: Caller, case):
    with RawServer(throttled()) as server:
        caller.fails(server, RateLimitError, max_retries=case)
    assert (len(server.requests), len(caller.waits)) == (case + 1, case)


def test_waits_double_with_full_jitter_up_to_a_limit(core: Caller):
    """Seeded, so that every caller draws the same waits."""
    random.seed(7)
    drawn = [random.random() for _ in range(6)]
    random.seed(7)
    with RawServer(throttled()) as server:
        core.fails(server, RateLimitError, max_retries=6, timeout=30)
    most = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert core.waits == [share * top for share, top in zip(drawn, most, strict=True)]


def test_a_failure_after_several_tries_says_how_many(core: Caller):
    with RawServer(throttled()) as server:
        core.fails(server, RateLimitError, "Given up after 3 tries")


# How far an answer may have come


def test_different_failures_are_tried_again_in_one_call(caller: Caller):
    script = stream(message_frame("hello", "stop"))
    failures = [Cut()], answer(b"", "503 X"), stream(error_frame(429, "Throttling", "slow"))
    with RawServer(*failures, script) as server:
        assert caller(server, max_retries=3).text == "hello"
    assert len(server.requests) == 4


def test_an_error_event_before_the_first_piece_is_tried_again(core: Caller):
    for event in (
        error_frame(429, "Throttling", "slow down"),
        error_frame(500, "InternalError", "no"),
        b"event:error\n:HTTP_STATUS/503\n\n",
    ):
        good = stream(message_frame("hel"), message_frame("lo", "stop"))
        with RawServer(stream(event), good) as server:
            assert core(server).text == "hello"
        assert len(server.requests) == 2


@table(
    {"comment": b": alive\n\n", "empty-text": frame(""), "null-text": message_frame(None)},
    "empty-text",
    core=["stream", "astream"],
    modes=["stream", "astream"],
)
def test_a_stream_that_has_said_nothing_yet_may_be_tried_again(caller: Caller, case):
    broken = stream(case, error_frame(500, "InternalError", "no"))
    with RawServer(broken, stream(message_frame("hello", "stop"))) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 2


def test_no_call_is_made_twice_whose_first_piece_was_handed_on(streaming: Caller):
    for status, code, kind in (
        (429, "Throttling", RateLimitError),
        (500, "InternalError", ServerError),
    ):
        script = stream(message_frame("hel"), error_frame(status, code, "no"))
        with RawServer(script) as server:
            streaming.fails(server, kind)
        assert (len(server.requests), streaming.waits) == (1, [])
        assert streaming.pieces == ["hel"]


def test_an_answer_that_cannot_be_read_is_not_asked_for_again(core: Caller):
    """It was made, and would be paid for twice."""
    with RawServer(answer(b"garbage"), GOOD) as server:
        core.fails(server, ProtocolError)
    assert len(server.requests) == 1
