"""Answers that refuse a call: the right class of error, a clear text, no second request."""

from __future__ import annotations

import json

from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
    ContentBlockedError,
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.transport.http import response_body

from .callers import MODES, Caller
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
    sse,
    stream,
)

PAGE = b"<html><body><h1>Bad gateway</h1></body></html>"
WRONG_KEY = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-1"}

STATUSES = {
    301: ProtocolError,
    304: ProtocolError,
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: PermissionDeniedError,
    404: InvalidRequestError,
    405: InvalidRequestError,
    408: ServerError,
    409: InvalidRequestError,
    413: InvalidRequestError,
    418: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
    499: InvalidRequestError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    529: ServerError,
    600: ServerError,
}
BODIES = {
    "empty": b"",
    "blank": b" \r\n",
    "page": PAGE,
    "garbage": b"\x00\xff\xfe garbage",
    "list": b"[1,2]",
    "null": b"null",
    "object": b"{}",
    "deep": b"[" * 100_000,
    "answer": json.dumps(message_reply("hello")).encode(),
}


@table(
    {str(status): (status, kind) for status, kind in STATUSES.items()},
    "401",
    "503",
    core=["chat"],
)
def test_a_status_without_a_body_decides_the_class(caller: Caller, case):
    status, kind = case
    with RawServer(answer(b"", f"{status} X")) as server:
        error = caller.fails(server, max_retries=0)
    assert isinstance(error, kind)
    assert error.status_code == status
    assert len(server.requests) == 1


@table(
    {f"{status}-{name}": (status, body) for status in (401, 500) for name, body in BODIES.items()},
    "401-page",
    "500-answer",
    core=["chat"],
)
def test_a_status_decides_whatever_stands_in_the_body(caller: Caller, case):
    """A page of a proxy, garbage, or an answer that contradicts the status."""
    status, body = case
    with RawServer(answer(body, f"{status} X", "text/html")) as server:
        error = caller.fails(server, STATUSES[status], max_retries=0)
    assert error.status_code == status


CODES = {
    "200-key": ("200 OK", "InvalidApiKey", "no", AuthenticationError),
    "200-blocked": ("200 OK", "DataInspectionFailed", "no", ContentBlockedError),
    "200-unknown": ("200 OK", "Unheard.Of", "no", ProtocolError),
    "401-key": ("401 X", "InvalidApiKey", "no", AuthenticationError),
    "400-debt": ("400 X", "Arrearage", "no", QuotaExhaustedError),
    "400-blocked": ("400 X", "DataInspectionFailed", "no", ContentBlockedError),
    "400-parameter": ("400 X", "InvalidParameter", "no", InvalidRequestError),
    "400-length": (
        "400 X",
        "InvalidParameter",
        "Range of input length should be [1, 6]",
        ContextLengthError,
    ),
    "400-model": ("400 X", "InvalidParameter", "Model not exist.", ModelNotFoundError),
    "400-role": ("400 X", "ServiceUnavailableError", "Role must be user", InvalidRequestError),
    "400-internal": ("400 X", "InternalError", "no", ServerError),
    "500-parameter": ("500 X", "InvalidParameter", "no", InvalidRequestError),
    "500-index": ("500 X", "InternalError.Algo", "list index out of range", InvalidRequestError),
    "403-unpurchased": ("403 X", "AccessDenied.Unpurchased", "no", PermissionDeniedError),
    "403-free-tier": ("403 X", "AllocationQuota.FreeTierOnly", "no", QuotaExhaustedError),
    "404-model": ("404 X", "ModelNotFound", "no", ModelNotFoundError),
    "418-rate": ("418 X", "Throttling.RateQuota", "no", RateLimitError),
}


@table(CODES, "200-blocked", "400-length")
def test_the_code_decides_before_the_status(caller: Caller, case):
    """And status, code, request id and the server's own words are all there."""
    status, code, message, kind = case
    with RawServer(refusal(status, code, message)) as server:
        error = caller.fails(server, kind, message.rstrip(".").replace("[", r"\["), max_retries=0)
    assert isinstance(error, kind)
    assert (error.status_code, error.code) == (int(status[:3]), code)
    assert (error.request_id, error.message) == ("r-1", message)


def test_a_code_of_the_vendors_api_gateway_is_read_in_its_own_spelling(core: Caller):
    body = {"Code": "Throttling", "Message": "slow down", "RequestId": "R-2"}
    with RawServer(answer(body, "400 X")) as server:
        error = core.fails(server, RateLimitError, "slow down", max_retries=0)
    assert (error.code, error.request_id) == ("Throttling", "R-2")


def test_an_error_of_the_openai_form_is_read(core: Caller):
    body = {"error": {"code": "invalid_api_key", "message": "wrong"}, "request_id": "r-3"}
    with RawServer(answer(body, "401 X")) as server:
        error = core.fails(server, AuthenticationError, "wrong")
    assert (error.code, error.request_id) == ("invalid_api_key", "r-3")


EVENT = error_frame(401, WRONG_KEY["code"], WRONG_KEY["message"])
PLACES = {
    "gzip": gzipped(WRONG_KEY, status="401 X"),
    "deflate": deflated(WRONG_KEY, status="401 X"),
    "no-type": answer(WRONG_KEY, "401 X", None),
    "wrong-type": answer(WRONG_KEY, "401 X", "text/html; charset=gbk"),
    "event": answer(EVENT, "401 X", SSE),
    "event-in-200": answer(EVENT, "200 OK", "text/plain"),
    "event-in-500": answer(EVENT, "500 X", "application/json"),
    "byte-order-mark": answer(b"\xef\xbb\xbf" + json.dumps(WRONG_KEY).encode(), "401 X"),
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


@table(CUT_REFUSALS, "cut", core=MODES)
def test_a_refusal_whose_body_breaks_off_is_that_refusal(caller: Caller, case):
    """The status is known: a wrong key is not tried again as a lost connection."""
    with RawServer(case) as server:
        caller.fails(server, AuthenticationError, timeout=0.8)
    assert len(server.requests) == 1


def test_the_code_of_a_refusal_that_breaks_off_behind_it_still_decides(core: Caller):
    cut = head("400 X", length=5000) + b'{"code":"DataInspectionFailed","message":"not al'
    with RawServer([cut, Close()]) as server:
        core.fails(server, ContentBlockedError, "not al")


HUGE = {
    "message": {"code": "InvalidParameter", "message": "y" * 3_000_000},
    "code": {"code": "y" * 3_000_000, "message": "m", "request_id": "z" * 100_000},
    "object": {"code": "InvalidParameter", "message": {"deep": ["x" * 50_000]}},
}


@table(HUGE, "code", core=["chat"])
def test_a_huge_refusal_gives_a_short_text(caller: Caller, case):
    with RawServer(answer(case, "400 X")) as server:
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


# Characters that do not belong there


def test_headers_that_are_not_ascii_are_read(core: Caller):
    """Some proxies write headers in UTF-8 or Latin-1."""
    odd = [("X-Where", "caf\xe9 \xff"), ("X-Request-Id", "r-\xe9")]
    with RawServer(head("400 Bad", headers=odd, length=2) + b"{}") as server:
        error = core.fails(server, InvalidRequestError)
    assert error.request_id == "r-\xe9"
    assert error.response.headers["x-where"] == "caf\xe9 \xff"


HALF_A_PAIR = rb'{"code":"Arrearage","message":"half a pair: \ud83d","request_id":"r-1"}'


def test_half_a_surrogate_pair_in_the_words_hides_neither_code_nor_id(core: Caller):
    with RawServer(answer(HALF_A_PAIR, "400 Bad Request")) as server:
        error = core.fails(server, QuotaExhaustedError, "half a pair: \ufffd")
    assert (error.code, error.request_id) == ("Arrearage", "r-1")


def test_half_a_surrogate_pair_in_an_error_event_hides_neither_code_nor_id(
    streaming_core: Caller,
):
    with RawServer(stream(sse(HALF_A_PAIR, "error", 400))) as server:
        error = streaming_core.fails(server, QuotaExhaustedError, "half a pair: \ufffd")
    assert (error.code, error.request_id) == ("Arrearage", "r-1")


def test_a_whole_surrogate_pair_in_the_words_stays(core: Caller):
    body = rb'{"code":"DataInspectionFailed","message":"\ud83d\ude00"}'
    with RawServer(answer(body, "400 Bad Request")) as server:
        core.fails(server, ContentBlockedError, "\U0001f600")
