"""Answers of a bad status, head and body: which error each is, and what of it the error keeps."""

from __future__ import annotations

import json

import httpx2

from dashscope_oss.errors import (
    AuthenticationError,
    ContentBlockedError,
    DashScopeError,
    ProtocolError,
    QuotaExhaustedError,
    ServerError,
)
from dashscope_oss.transport.http_errors import error_of_response
from tests.faults.server import as_bytes, error_frame, message_reply, sse
from tests.protocol.test_error_mapping import STATUSES


def refusal(status: int, body: object = b"", **headers: str) -> DashScopeError:
    """Return the error for an answer; names of headers have underscores."""
    written = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return error_of_response(httpx2.Response(status, headers=written), as_bytes(body), "glm-5")


def test_a_status_without_a_body_decides_the_class():
    kinds = {status: type(refusal(status)) for status in STATUSES if status and status > 200}
    assert kinds == {status: STATUSES[status] for status in kinds}


BODIES = {
    "empty": b"",
    "blank": b" \r\n",
    "page": b"<html><body><h1>Bad gateway</h1></body></html>",
    "garbage": b"\x00\xff\xfe garbage",
    "list": b"[1,2]",
    "null": b"null",
    "object": b"{}",
    "deep": b"[" * 100_000,
    "answer": message_reply("hello"),
}


def test_a_status_decides_whatever_stands_in_the_body():
    """A page of a proxy, garbage, or an answer that contradicts the status."""
    for name, body in BODIES.items():
        assert type(refusal(401, body, content_type="text/html")) is AuthenticationError, name
        assert type(refusal(500, body, content_type="text/html")) is ServerError, name


def test_a_page_is_quoted():
    assert "Bad gateway" in str(refusal(502, BODIES["page"]))


def test_what_a_server_says_cannot_steer_a_terminal():
    """The message keeps it as it came."""
    error = refusal(400, {"code": "X", "message": "a\x1b[2J\x00b\nc"})
    assert error.message == "a\x1b[2J\x00b\nc"
    assert "a\ufffd[2J\ufffdb\nc" in str(error)


WRONG_KEY = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-1"}
EVENT = error_frame(401, WRONG_KEY["code"], WRONG_KEY["message"])


def test_the_words_are_found_wherever_they_stand():
    for error in (
        refusal(401, WRONG_KEY),
        refusal(401, WRONG_KEY, content_type="text/html; charset=gbk"),
        refusal(401, EVENT),
        refusal(500, EVENT),
        refusal(401, b"\xef\xbb\xbf" + json.dumps(WRONG_KEY).encode()),
        refusal(401, {"error": WRONG_KEY, "request_id": "r-1"}),
        refusal(
            401, {"Code": "InvalidApiKey", "Message": WRONG_KEY["message"]}, X_Request_Id="r-1"
        ),
    ):
        assert type(error) is AuthenticationError
        assert (error.status_code, error.code) == (401, "InvalidApiKey")
        assert (error.message, error.request_id) == ("Invalid API-key provided.", "r-1")


def test_the_code_of_a_body_that_broke_off_still_decides():
    error = refusal(400, b'{"code":"DataInspectionFailed","message":"not al')
    assert type(error) is ContentBlockedError
    assert "not al" in str(error)


HALF_A_PAIR = rb'{"code":"Arrearage","message":"half a pair: \ud83d","request_id":"r-1"}'


def test_half_a_surrogate_pair_in_the_words_hides_neither_code_nor_id():
    for error in (refusal(400, HALF_A_PAIR), refusal(400, sse(HALF_A_PAIR, "error", 400))):
        assert type(error) is QuotaExhaustedError
        assert (error.message, error.request_id) == ("half a pair: \ufffd", "r-1")


def test_a_whole_surrogate_pair_in_the_words_stays():
    error = refusal(400, rb'{"code":"DataInspectionFailed","message":"\ud83d\ude00"}')
    assert error.message == "\U0001f600"


def test_an_error_without_a_body_says_so_and_keeps_the_request_id_of_its_head():
    error = refusal(403, X_Request_Id="r-5")
    assert "the answer has no body" in str(error)
    assert (error.status_code, error.request_id) == (403, "r-5")


ADVICE = [
    (500, {"code": "InternalError", "message": "no"}, "raise max_retries"),
    (429, {"code": "Throttling", "message": "no"}, "fewer calls at once"),
    (400, {"code": "InvalidParameter", "message": "no"}, "Change the request"),
    (400, {"code": "DataInspectionFailed", "message": "no"}, "wording of the input"),
    (404, b"<html>nothing here</html>", "check base_url"),
    (503, b"<html>busy</html>", "Try again later"),
]


def test_a_refusal_says_what_to_do():
    for status, body, advice in ADVICE:
        assert advice in str(refusal(status, body))


def test_a_redirect_says_where_it_led():
    for status in (301, 302, 303, 307, 308):
        error = refusal(status, message_reply("hello"), Location="http://x.example/there")
        assert type(error) is ProtocolError
        assert "redirected to http://x.example/there, which is not followed" in str(error)


def test_the_wait_that_a_head_asks_for_is_kept():
    assert refusal(429, {"code": "Throttling"}, Retry_After="3").retry_after == 3
