"""Which calls are tried again, after which wait, and who is told."""

from __future__ import annotations

import pytest

from dashscope_oss import (
    AuthenticationError,
    ContentBlockedError,
    InvalidRequestError,
    QuotaExhaustedError,
    RateLimitError,
)
from tests.faults.server import (
    Close,
    Cut,
    RawServer,
    answer,
    error_frame,
    stream,
)
from tests.transport.calling import (
    GOOD_STREAM,
    THROTTLED,
    Caller,
)


def test_a_failure_is_tried_again_before_the_first_piece(call: Caller):
    down = answer(b"", "503 Service Unavailable")
    with RawServer(THROTTLED, down, call.good()) as server:
        assert call(server).text == "hello"
    assert len(server.requests) == 3
    assert len(call.waits) == 2
    assert 0 <= call.waits[0] < 0.5
    assert 0 <= call.waits[1] < 1.0
    assert server.requests[0].body == server.requests[2].body


def test_an_error_event_before_the_first_piece_is_tried_again(streaming: Caller):
    with RawServer(stream(error_frame(429, "Throttling", "slow down")), GOOD_STREAM) as server:
        assert streaming(server).text == "hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("end", [Cut, Close])
def test_a_connection_lost_before_the_first_piece_is_tried_again(call: Caller, end):
    with RawServer([end()], call.good()) as server:
        assert call(server).text == "hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "wait"), [(("Retry-After", "7"), 7), (("retry-after-ms", "1500"), 1.5)]
)
def test_a_wait_that_the_service_asks_for_is_kept(call: Caller, header, wait):
    busy = answer({"code": "Throttling", "message": "m"}, "429 Too Many", headers=[header])
    with RawServer(busy, call.good()) as server:
        assert call(server).text == "hello"
    assert call.waits == [wait]


def test_a_wait_of_more_than_a_minute_is_reported_at_once(call: Caller):
    busy = answer({"code": "Throttling", "message": "m"}, "429 No", headers=[("Retry-After", "90")])
    with RawServer(busy) as server, pytest.raises(RateLimitError, match="retry_after 90") as caught:
        call(server)
    assert (caught.value.retry_after, call.waits, len(server.requests)) == (90, [], 1)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_tries_after_the_first(call: Caller, retries):
    with RawServer(THROTTLED) as server, pytest.raises(RateLimitError) as caught:
        call(server, max_retries=retries)
    assert len(server.requests) == retries + 1
    assert (caught.value.status_code, caught.value.request_id) == (429, "r-1")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"code": "InvalidParameter", "message": "m"}, "400 Bad", InvalidRequestError),
        ({"code": "DataInspectionFailed", "message": "m"}, "400 Bad", ContentBlockedError),
        ({"code": "Arrearage", "message": "m"}, "400 Bad", QuotaExhaustedError),
        ({"code": "InvalidApiKey", "message": "m"}, "401 No", AuthenticationError),
        (
            {"code": "Throttling.AllocationQuota", "message": "Free allocated quota exceeded."},
            "429 No",
            QuotaExhaustedError,
        ),
        ({"code": "ServiceUnavailableError", "message": "m"}, "503 No", InvalidRequestError),
    ],
)
def test_what_waiting_cannot_cure_is_not_tried_again(call: Caller, body, status, kind):
    with RawServer(answer(body, status)) as server, pytest.raises(kind):
        call(server)
    assert (len(server.requests), call.waits) == (1, [])


def test_every_retry_is_reported(call: Caller):
    told = []
    with RawServer(THROTTLED, THROTTLED, call.good()) as server:
        call(server, on_retry=lambda *what: told.append(what))
    assert [(attempt, type(error)) for attempt, error, _ in told] == [
        (1, RateLimitError),
        (2, RateLimitError),
    ]
    assert [wait for *_, wait in told] == call.waits
