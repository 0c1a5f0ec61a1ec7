"""What is tried again, when and how often, and what never is."""

from __future__ import annotations

import random
import time
from email.utils import formatdate

from dashscope_oss.errors import (
    RateLimitError,
)

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


def throttled(*headers: tuple[str, str]) -> bytes:
    return refusal("429 X", "Throttling.RateQuota", "slow down", headers)


# By what the answer says


def test_a_refusal_that_waiting_may_cure_is_tried_again(caller: Caller):
    """The code decides, and the status where there is none."""
    for busy in (
        answer(b"<html>busy</html>", "503 X", "text/html"),
        refusal("429 X", "insufficient_quota", "You exceeded your current quota"),
        refusal("400 X", "InternalError"),
    ):
        with RawServer(busy, GOOD) as server:
            assert caller(server).text == "hello"
        assert len(server.requests) == 2
        assert server.requests[0].body == server.requests[1].body


def test_another_refusal_is_not_tried_again(caller: Caller):
    for lasting in (
        answer(b"", "501 X"),
        refusal("429 X", "insufficient_quota", "Free allocated quota exceeded."),
        refusal("503 X", "InvalidApiKey"),
        refusal("401 X", "InvalidApiKey", "no", [("Retry-After", "1")]),
    ):
        with RawServer(lasting, GOOD) as server:
            caller.fails(server)
        assert (len(server.requests), caller.waits) == (1, [])


# The wait


def test_the_wait_that_the_service_asks_for_is_kept(caller: Caller):
    for headers, wait in (
        ([("Retry-After", "3")], 3.0),
        ([("retry-after-ms", "1500"), ("Retry-After", "9")], 1.5),
    ):
        with RawServer(throttled(*headers), GOOD) as server:
            caller(server, timeout=30)
        assert caller.waits == [wait]


def test_a_wait_until_a_date_is_kept(core: Caller):
    with RawServer(throttled(("Retry-After", formatdate(time.time() + 30))), GOOD) as server:
        core(server, timeout=30)
    (wait,) = core.waits
    assert 15 < wait <= 30


def test_a_wait_of_more_than_a_minute_is_reported_at_once(caller: Caller):
    with RawServer(throttled(("Retry-After", "3600"))) as server:
        error = caller.fails(server, RateLimitError, "asks to wait 3600 s; a call waits 60")
    assert (len(server.requests), caller.waits, error.retry_after) == (1, [], 3600)


def test_a_wait_asked_for_beside_an_error_in_a_good_answer_counts(core: Caller):
    """The service's streams refuse with status 200."""
    error = error_frame(429, "Throttling.RateQuota", "slow down")
    script = answer(error, kind=SSE, headers=[("Retry-After", "3")])
    with RawServer(script, GOOD) as server:
        core(server)
    assert core.waits == [3.0]


def test_max_retries_counts_the_tries_after_the_first(caller: Caller):
    for retries, said in ((0, "slow down"), (1, "up after 2 tries"), (4, "up after 5 tries")):
        with RawServer(throttled()) as server:
            caller.fails(server, RateLimitError, said, max_retries=retries)
        assert (len(server.requests), len(caller.waits)) == (retries + 1, retries)


def test_waits_double_with_full_jitter_up_to_a_limit(core: Caller):
    """Seeded, so that every caller draws the same waits."""
    random.seed(7)
    drawn = [random.random() for _ in range(6)]
    random.seed(7)
    with RawServer(throttled()) as server:
        core.fails(server, RateLimitError, max_retries=6, timeout=30)
    most = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert core.waits == [share * top for share, top in zip(drawn, most, strict=True)]


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


def test_a_stream_that_has_said_nothing_yet_may_be_tried_again(streaming: Caller):
    for event in (b": alive\n\n", frame(""), message_frame(None)):
        broken = stream(event, error_frame(500, "InternalError", "no"))
        with RawServer(broken, stream(message_frame("hello", "stop"))) as server:
            assert streaming(server).text == "hello"
        assert len(server.requests) == 2
