"""Answers that refuse a call: the right class of error, a clear text, no second request."""

from __future__ import annotations

from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
    ContentBlockedError,
    ContextLengthError,
    InvalidRequestError,
    PermissionDeniedError,
    ServerError,
)
from dashscope_oss.transport.http import response_body

from .callers import Caller
from .matrix import table
from .server import (
    SSE,
    Close,
    Endless,
    RawServer,
    UntilGone,
    answer,
    deflated,
    error_frame,
    gzipped,
    head,
    message_reply,
    refusal,
    stream,
)

PAGE = b"<html><body><h1>Bad gateway</h1></body></html>"
WRONG_KEY = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-1"}


def test_a_status_decides_whatever_stands_in_the_body(caller: Caller):
    """Nothing, a page of a proxy, or an answer that contradicts the status."""
    for status, kind in ((401, AuthenticationError), (503, ServerError)):
        for body in (b"", PAGE, message_reply("hello")):
            with RawServer(answer(body, f"{status} X", "text/html")) as server:
                error = caller.fails(server, kind, max_retries=0)
            assert (error.status_code, len(server.requests)) == (status, 1)


def test_the_code_decides_before_the_status(caller: Caller):
    """And status, code, request id and the server's own words are all there."""
    too_long = "Range of input length should be 1, 6"
    for status, code, message, kind in (
        (200, "DataInspectionFailed", "no", ContentBlockedError),
        (400, "InvalidParameter", too_long, ContextLengthError),
        (500, "InvalidParameter", "no", InvalidRequestError),
    ):
        with RawServer(refusal(f"{status} X", code, message)) as server:
            error = caller.fails(server, kind, message, max_retries=0)
        assert (error.status_code, error.code) == (status, code)
        assert (error.request_id, error.message) == ("r-1", message)


EVENT = error_frame(401, WRONG_KEY["code"], WRONG_KEY["message"])
PLACES = {
    "gzip": gzipped(WRONG_KEY, status="401 X"),
    "deflate": deflated(WRONG_KEY, status="401 X"),
    "no-type": answer(WRONG_KEY, "401 X", None),
    "event": answer(EVENT, "401 X", SSE),
    "event-in-200": answer(EVENT, "200 OK", "text/plain"),
    "status-in-body": answer(WRONG_KEY | {"status_code": 401}),
    "stream": stream(EVENT),
}


@table(PLACES, "gzip", "stream")
def test_the_words_are_found_wherever_they_stand(caller: Caller, case):
    with RawServer(case) as server:
        error = caller.fails(server, AuthenticationError, "Invalid API-key", max_retries=0)
    assert (error.status_code, error.code) == (401, "InvalidApiKey")
    assert len(server.requests) == 1


CUT_REFUSALS = {
    "short": [answer(WRONG_KEY, "401 X", length=5000), Close()],
    "cut": [head("401 X", length=5000) + b'{"code":"Inv', Close()],
    "no-gzip": [head("401 X", headers=[("Content-Encoding", "gzip")]) + b"no gzip", Close()],
    "stalls": [head("401 X", length=5000), UntilGone()],
}


@table(CUT_REFUSALS, "cut")
def test_a_refusal_whose_body_breaks_off_is_that_refusal(caller: Caller, case):
    """The status is known: a wrong key is not tried again as a lost connection."""
    with RawServer(case) as server:
        caller.fails(server, AuthenticationError, timeout=0.8)
    assert len(server.requests) == 1


def test_the_code_of_a_refusal_that_breaks_off_behind_it_still_decides(core: Caller):
    cut = head("400 X", length=5000) + b'{"code":"DataInspectionFailed","message":"not al'
    with RawServer([cut, Close()]) as server:
        core.fails(server, ContentBlockedError, "not al")


HUGE = (
    {"code": "InvalidParameter", "message": "y" * 50_000},
    {"code": "y" * 50_000, "message": "m", "request_id": "z" * 50_000},
    {"code": "InvalidParameter", "message": {"deep": ["x" * 50_000]}},
)


def test_a_huge_refusal_gives_a_short_text(caller: Caller):
    for body in HUGE:
        with RawServer(answer(body, "400 X")) as server:
            error = caller.fails(server, InvalidRequestError)
        assert len(error.code or "") < 300
        assert len(error.request_id or "") < 300


def test_an_endless_refusal_is_not_read_to_its_end(caller: Caller, monkeypatch):
    monkeypatch.setattr(response_body, "MAX_ERROR_BODY_BYTES", 100_000)
    with RawServer([head("403 X", "text/html"), Endless(b"x" * 65_536)]) as server:
        caller.fails(server, PermissionDeniedError)


def test_the_request_id_of_the_head_is_taken_where_the_body_has_none(core: Caller):
    for script in (
        answer(b"", "500 X", headers=[("X-Request-Id", "r-head")]),
        answer(b"no JSON", headers=[("X-Request-Id", "r-head")]),
        [head(length=99, headers=[("X-Request-Id", "r-head")]), Close()],
    ):
        with RawServer(script) as server:
            assert core.fails(server, max_retries=0).request_id == "r-head"


def test_a_line_that_is_not_http_is_an_error_that_names_the_server(core: Caller):
    for line in (b"\x00\xffgarbage\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"SSH-2.0-x\r\n"):
        with RawServer([line, Close()]) as server:
            core.fails(server, APIConnectionError, r"127\.0\.0\.1", max_retries=0)


def test_headers_that_are_not_ascii_are_read(core: Caller):
    """Some proxies write headers in UTF-8 or Latin-1."""
    odd = [("X-Where", "caf\xe9 \xff"), ("X-Request-Id", "r-\xe9")]
    with RawServer(head("400 Bad", headers=odd, length=2) + b"{}") as server:
        error = core.fails(server, InvalidRequestError)
    assert error.request_id == "r-\xe9"
    assert error.response.headers["x-where"] == "caf\xe9 \xff"
