"""When a call is tried again, and after how long a wait."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ContentBlockedError,
    DashScopeError,
    InvalidRequestError,
    ModelNotFoundError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.transport.retry import delay, given_up, retry_after


def _error(kind: type[DashScopeError], wait: float | None = None) -> DashScopeError:
    return kind("m", retry_after=wait)


# attempt, error, wait; None: it is not tried again
DELAYS = [
    (1, _error(ServerError), 0.5),
    (2, _error(ServerError), 1.0),
    (3, _error(RateLimitError), 2.0),
    (4, _error(APIConnectionError), 4.0),
    (5, _error(APITimeoutError), 8.0),
    (6, _error(ServerError), 8.0),
    (1000, _error(ServerError), 8.0),
    (1, _error(RateLimitError, 0.0), 0.0),
    (1, _error(RateLimitError, 7.25), 7.25),
    (1, _error(ServerError, 60.0), 60.0),
    (1, _error(RateLimitError, 60.5), None),
    (1001, _error(ServerError), None),
    (1, _error(InvalidRequestError), None),
    (1, _error(InvalidRequestError, 1.0), None),
    (1, _error(ContentBlockedError), None),
    (1, _error(QuotaExhaustedError), None),
    (1, _error(AuthenticationError), None),
    (1, _error(ModelNotFoundError), None),
    (1, _error(ProtocolError), None),
]


def test_the_wait_before_the_next_try():
    waits = [
        (attempt, error, delay(attempt, error, max_retries=1000, draw=lambda: 1.0))
        for attempt, error, _ in DELAYS
    ]
    assert waits == DELAYS


def test_no_retries_means_none():
    assert delay(1, _error(ServerError), max_retries=0) is None


def test_the_whole_wait_is_drawn_by_lot():
    waits = [delay(3, _error(ServerError), max_retries=9, draw=lambda d=d: d) for d in (0.0, 0.5)]
    assert waits == [0.0, 1.0]
    drawn = {delay(5, _error(ServerError), max_retries=9) for _ in range(50)}
    assert len(drawn) > 25
    assert all(0 <= wait < 8 for wait in drawn)


NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


# headers, the wait that they ask for
ASKED = [
    ({}, None),
    ({"retry-after": "3"}, 3),
    ({"retry-after": " 3 "}, 3),
    ({"retry-after": "0.25"}, 0.25),
    ({"retry-after": "0"}, 0),
    ({"retry-after": "9000"}, 9000),
    ({"retry-after": "61"}, 61),
    ({"retry-after": "600.5"}, 600.5),
    ({"retry-after": "9" * 200}, 1e9),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
    ({"retry-after": "Sat, 21 Nov 2026 12:00:10 GMT"}, 10),
    ({"retry-after": format_datetime(NOW)}, 0),
    ({"retry-after": "Sat, 21 Nov 2026 12:00:10 -0000"}, 10),
    ({"retry-after": "Fri, 31 Dec 2999 23:59:59 GMT"}, 30708417599),
    ({"retry-after": "Sat, 21 Nov 2026 11:59:50 GMT"}, None),
    ({"retry-after": "-3"}, None),
    ({"retry-after-ms": "-3"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "1,2"}, None),
    ({"retry-after": "0x10"}, None),
    ({"retry-after": "1_0"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "Sat, 99 Nov 2026"}, None),
    ({"retry-after": "Sat, 21 Nov 999999 12:00:10 GMT"}, None),
]


def test_the_wait_that_headers_ask_for():
    waits = [(headers, retry_after(headers, NOW.timestamp())) for headers, _ in ASKED]
    assert waits == ASKED


@pytest.mark.parametrize(
    ("asked", "attempt", "wait", "said"),
    [
        (90.0, 1, None, "The service asks to wait 90 s; a call waits 60 s at most."),
        (None, 1, 2.5, "There is no time left to wait 2.5 s for another try: see total_timeout."),
        (None, 3, None, "Given up after 3 tries."),
        (None, 1, None, ""),
    ],
)
def test_why_a_call_is_not_tried_again_is_told_in_its_error(asked, attempt, wait, said):
    assert given_up(RateLimitError("slow down", retry_after=asked), attempt, wait).hint == said
