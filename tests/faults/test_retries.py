"""What is tried again, when, how often, and what never is."""

from __future__ import annotations

import logging
import random
import time
from email.utils import formatdate

import pytest

from dashscope_oss.errors import (
    AuthenticationError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.transport import retry

from .callers import Caller
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


def throttled(*headers: tuple[str, str], status: str = "429 X") -> bytes:
    return refusal(status, "Throttling.RateQuota", "slow down", headers)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>"])
def test_a_status_that_waiting_may_cure_is_tried_again(caller: Caller, status, body):
    with RawServer(answer(body, f"{status} X", "text/html"), GOOD) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 405, 409, 413, 422, 501, 505])
def test_another_status_is_not(caller: Caller, status):
    with RawServer(answer(b"", f"{status} X"), GOOD) as server:
        caller.fails(server)
    assert (len(server.requests), caller.waits) == (1, [])


QUOTAS = [
    ("429 X", "Throttling", "slow down"),
    ("429 X", "Throttling.RateQuota", "Requests rate limit exceeded, try again later."),
    ("429 X", "Throttling.BurstRate", "Request rate increased too quickly."),
    ("429 X", "Throttling.AllocationQuota", "Allocated quota exceeded, please increase it."),
    ("429 X", "Throttling.AllocationQuota", "You exceeded your current quota, please check"),
    ("429 X", "insufficient_quota", "You exceeded your current quota, please check your plan"),
    ("429 X", "LimitRequests", "You exceeded your current requests list."),
    ("400 X", "InternalError", "no"),
    ("500 X", "InternalError.Algo", "no"),
    ("500 X", "InternalError.Timeout", "no"),
    ("503 X", "ModelUnavailable", "no"),
    ("500 X", "ModelServingError", "Too many requests."),
]


@pytest.mark.parametrize(("status", "code", "message"), QUOTAS)
def test_a_code_that_waiting_may_cure_is_tried_again(caller: Caller, status, code, message):
    """A quota a minute is one, whatever its words say of a plan."""
    with RawServer(refusal(status, code, message), GOOD) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 2


LASTING = [
    ("429 X", "Throttling.AllocationQuota", "Free allocated quota exceeded."),
    ("429 X", "insufficient_quota", "Free allocated quota exceeded."),
    ("429 X", "Throttling.AllocationQuota", "The free tier of the model has been exhausted."),
    ("403 X", "AllocationQuota.FreeTierOnly", "The free tier has been exhausted."),
    ("429 X", "CommodityNotPurchased", "no"),
    ("400 X", "Arrearage", "Access denied, your account is in debt."),
    ("500 X", "Arrearage", "no"),
]


@pytest.mark.parametrize(("status", "code", "message"), LASTING)
def test_a_quota_that_is_gone_is_not_tried_again(caller: Caller, status, code, message):
    with RawServer(refusal(status, code, message), GOOD) as server:
        caller.fails(server, QuotaExhaustedError, "Check balance and free quota")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("500 X", "DataInspectionFailed"),
        ("500 X", "InvalidParameter"),
        ("429 X", "InvalidApiKey"),
        ("503 X", "ServiceUnavailableError"),
        ("502 X", "ModelNotFound"),
    ],
)
def test_a_code_that_waiting_cannot_cure_is_not_tried_again(caller: Caller, status, code):
    with RawServer(refusal(status, code), GOOD) as server:
        caller.fails(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ([("Retry-After", "0")], 0.0),
        ([("Retry-After", "3")], 3.0),
        ([("Retry-After", " 2 ")], 2.0),
        ([("Retry-After", "0.25")], 0.25),
        ([("Retry-After", "60")], 60.0),
        ([("retry-after-ms", "1500"), ("Retry-After", "9")], 1.5),
        ([("Retry-After-Ms", "junk"), ("Retry-After", "9")], 9.0),
    ],
    ids=str,
)
def test_the_wait_that_the_service_asks_for_is_kept(caller: Caller, headers, wait):
    with RawServer(throttled(*headers), GOOD) as server:
        caller(server, timeout=30)
    assert caller.waits == [wait]


def test_a_wait_until_a_date_is_kept(caller: Caller):
    for date in (formatdate(time.time() + 30, usegmt=True), formatdate(time.time() + 30)):
        with RawServer(throttled(("Retry-After", date)), GOOD) as server:
            caller(server, timeout=30)
        (wait,) = caller.waits
        assert 15 < wait <= 30


@pytest.mark.parametrize(
    "said",
    ["-1", "abc", "nan", "inf", "1,2", "0x10", "1_0", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT"],
)
def test_a_wait_that_makes_no_sense_counts_as_none(caller: Caller, said):
    """Junk, negatives, and dates that are over."""
    with RawServer(throttled(("Retry-After", said)), GOOD) as server:
        caller(server)
    (wait,) = caller.waits
    assert 0 <= wait <= retry.FIRST_WAIT


@pytest.mark.parametrize(
    "said", ["61", "3600", "99999999999", "9" * 200, "Fri, 31 Dec 2999 23:59:59 GMT", "600.5"]
)
def test_a_wait_of_more_than_a_minute_is_reported_at_once(caller: Caller, said):
    with RawServer(throttled(("Retry-After", said)), GOOD) as server:
        error = caller.fails(server, RateLimitError, r"asks to wait \d+ s; a call waits 60")
    assert (len(server.requests), caller.waits) == (1, [])
    assert error.retry_after
    assert error.retry_after > 60


def test_a_wait_asked_for_beside_an_error_in_a_good_answer_counts(caller: Caller):
    """The service's streams refuse with status 200."""
    error = error_frame(429, "Throttling.RateQuota", "slow down")
    script = answer(error, kind=SSE, headers=[("Retry-After", "3")])
    with RawServer(script, GOOD) as server:
        caller(server)
    assert caller.waits == [3.0]


def test_a_wait_asked_for_with_a_refusal_that_lasts_changes_nothing(caller: Caller):
    with RawServer(refusal("401 X", "InvalidApiKey", "no", [("Retry-After", "1")])) as server:
        caller.fails(server, AuthenticationError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_max_retries_counts_the_tries_after_the_first(caller: Caller, retries):
    with RawServer(throttled()) as server:
        caller.fails(server, RateLimitError, max_retries=retries)
    assert (len(server.requests), len(caller.waits)) == (retries + 1, retries)


def test_waits_double_with_full_jitter_up_to_a_limit(caller: Caller):
    """Seeded, so that both worlds draw the same waits."""
    random.seed(7)
    drawn = [random.random() for _ in range(6)]
    random.seed(7)
    with RawServer(throttled()) as server:
        caller.fails(server, RateLimitError, max_retries=6, timeout=30)
    most = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert caller.waits == [share * top for share, top in zip(drawn, most, strict=True)]


def test_a_failure_after_several_tries_says_how_many(caller: Caller):
    with RawServer(throttled()) as server:
        caller.fails(server, RateLimitError, "Given up after 3 tries")


def test_different_failures_are_tried_again_in_one_call(caller: Caller):
    script = stream(message_frame("hello", "stop"))
    failures = [Cut()], answer(b"", "503 X"), stream(error_frame(429, "Throttling", "slow"))
    with RawServer(*failures, script) as server:
        assert caller(server, max_retries=3).text == "hello"
    assert len(server.requests) == 4


def test_an_error_event_before_the_first_piece_is_tried_again(caller: Caller):
    for event in (
        error_frame(429, "Throttling", "slow down"),
        error_frame(500, "InternalError", "no"),
        b"event:error\n:HTTP_STATUS/503\n\n",
    ):
        good = stream(message_frame("hel"), message_frame("lo", "stop"))
        with RawServer(stream(event), good) as server:
            assert caller(server).text == "hello"
        assert len(server.requests) == 2


@pytest.mark.parametrize("first", [b": alive\n\n", frame(""), message_frame(None)], ids=str)
def test_a_stream_that_has_said_nothing_yet_may_be_tried_again(streaming: Caller, first):
    down = stream(first, error_frame(500, "InternalError", "no"))
    with RawServer(down, stream(message_frame("hello", "stop"))) as server:
        assert streaming(server).text == "hello"
    assert len(server.requests) == 2


def test_no_call_is_made_twice_whose_first_piece_was_handed_out(streaming: Caller):
    for status, code, kind in (
        (429, "Throttling", RateLimitError),
        (500, "InternalError", ServerError),
    ):
        script = stream(message_frame("hel"), error_frame(status, code, "no"))
        with RawServer(script) as server:
            streaming.fails(server, kind)
        assert (len(server.requests), streaming.waits) == (1, [])
        assert streaming.pieces == ["hel"]


def test_an_answer_that_cannot_be_read_is_not_asked_for_again(caller: Caller):
    """It was made, and would be paid for twice."""
    with RawServer(answer(b"garbage"), GOOD) as server:
        caller.fails(server, ProtocolError)
    assert len(server.requests) == 1


def test_every_retry_is_reported(caller: Caller):
    """To the logger at least: why, and how long until the next try."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, ear = logging.getLogger("dashscope_oss"), Ear()
    before = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.DEBUG)
    try:
        with RawServer(throttled(), GOOD) as server:
            caller(server)
    finally:
        logger.removeHandler(ear)
        logger.setLevel(before)
    assert any("RateLimitError" in line and "again in" in line for line in heard)
