"""Every status and every body of a refusal: the right class, a clear text, no second request."""

from __future__ import annotations

import json

import pytest

from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
    ContentBlockedError,
    ContextLengthError,
    DashScopeError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.transport import client

from .callers import KEY, Caller
from .server import (
    SSE,
    SSE_HEAD,
    Close,
    Endless,
    RawServer,
    UntilGone,
    answer,
    chunk,
    deflated,
    error_frame,
    gzipped,
    head,
    message_frame,
    message_reply,
    refusal,
    stream,
)

PAGE = b"<html><body><h1>Bad gateway</h1></body></html>"
SAID = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-1"}

STATUSES = {
    301: ProtocolError,
    304: ProtocolError,
    400: InvalidRequestError,
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
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


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_without_a_body_decides_the_class(caller: Caller, status):
    with RawServer(answer(b"", f"{status} X")) as server:
        error = caller.fails(server, max_retries=0)
    assert isinstance(error, STATUSES[status])
    assert error.status_code == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", [401, 500])
def test_a_status_decides_whatever_stands_in_the_body(caller: Caller, status, body):
    """A page of a proxy, garbage, or an answer that contradicts the status."""
    with RawServer(answer(body, f"{status} X", "text/html")) as server:
        error = caller.fails(server, STATUSES[status], max_retries=0)
    assert error.status_code == status


CODES = [
    ("200 OK", "InvalidApiKey", "no", AuthenticationError),
    ("200 OK", "DataInspectionFailed", "no", ContentBlockedError),
    ("200 OK", "Unheard.Of", "no", ProtocolError),
    ("401 X", "InvalidApiKey", "no", AuthenticationError),
    ("400 X", "Arrearage", "no", QuotaExhaustedError),
    ("400 X", "DataInspectionFailed", "no", ContentBlockedError),
    ("400 X", "InvalidParameter", "no", InvalidRequestError),
    ("400 X", "InvalidParameter", "Range of input length should be [1, 6]", ContextLengthError),
    ("400 X", "InvalidParameter", "Model not exist.", ModelNotFoundError),
    ("400 X", "ServiceUnavailableError", "Role must be user", InvalidRequestError),
    ("400 X", "InternalError", "no", ServerError),
    ("500 X", "InvalidParameter", "no", InvalidRequestError),
    ("500 X", "InternalError.Algo", "list index out of range", InvalidRequestError),
    ("403 X", "AccessDenied.Unpurchased", "no", PermissionDeniedError),
    ("403 X", "AllocationQuota.FreeTierOnly", "no", QuotaExhaustedError),
    ("404 X", "ModelNotFound", "no", ModelNotFoundError),
    ("418 X", "Throttling.RateQuota", "no", RateLimitError),
]


@pytest.mark.parametrize(("status", "code", "message", "kind"), CODES)
def test_the_code_decides_before_the_status(caller: Caller, status, code, message, kind):
    """And status, code, request id and the server's own words are all there."""
    with RawServer(refusal(status, code, message)) as server:
        error = caller.fails(server, kind, message.rstrip(".").replace("[", r"\["), max_retries=0)
    assert isinstance(error, kind)
    assert (error.status_code, error.code) == (int(status[:3]), code)
    assert (error.request_id, error.message) == ("r-1", message)


def test_a_code_of_the_vendors_api_gateway_is_read_in_its_own_spelling(caller: Caller):
    said = {"Code": "Throttling", "Message": "slow down", "RequestId": "R-2"}
    with RawServer(answer(said, "400 X")) as server:
        error = caller.fails(server, RateLimitError, "slow down", max_retries=0)
    assert (error.code, error.request_id) == ("Throttling", "R-2")


def test_a_body_of_the_openai_form_is_read(caller: Caller):
    said = {"error": {"code": "invalid_api_key", "message": "wrong"}, "request_id": "r-3"}
    with RawServer(answer(said, "401 X")) as server:
        error = caller.fails(server, AuthenticationError, "wrong")
    assert (error.code, error.request_id) == ("invalid_api_key", "r-3")


@pytest.mark.parametrize(
    "script",
    [
        gzipped(SAID, status="401 X"),
        deflated(SAID, status="401 X"),
        answer(SAID, "401 X", None),
        answer(SAID, "401 X", "text/html; charset=gbk"),
        answer(error_frame(401, SAID["code"], SAID["message"]), "401 X", SSE),
        answer(error_frame(401, SAID["code"], SAID["message"]), "200 OK", "text/plain"),
        answer(error_frame(401, SAID["code"], SAID["message"]), "500 X", "application/json"),
        answer(b"\xef\xbb\xbf" + json.dumps(SAID).encode(), "401 X"),
        answer(SAID | {"status_code": 401}),
        stream(error_frame(401, SAID["code"], SAID["message"])),
    ],
    ids=[
        "gzip",
        "deflate",
        "no-type",
        "wrong-type",
        "event",
        "event-in-200",
        "event-in-500",
        "bom",
        "status-in-body",
        "stream",
    ],
)
def test_the_words_are_found_wherever_they_stand(caller: Caller, script):
    with RawServer(script) as server:
        error = caller.fails(server, AuthenticationError, "Invalid API-key", max_retries=0)
    assert (error.status_code, error.code) == (401, "InvalidApiKey")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        [answer(SAID, "401 X", length=5000), Close()],
        [head("401 X", length=5000) + b'{"code":"Inv', Close()],
        [head("401 X", headers=[("Content-Encoding", "gzip")]) + b"no gzip", Close()],
        [head("401 X", length=5000), UntilGone()],
    ],
    ids=["short", "cut", "no-gzip", "stalls"],
)
def test_a_refusal_whose_body_breaks_off_is_that_refusal(caller: Caller, script):
    """The status is known: a wrong key is not tried again as a lost connection."""
    with RawServer(script) as server:
        caller.fails(server, AuthenticationError, timeout=0.8)
    assert len(server.requests) == 1


def test_the_code_of_a_refusal_that_breaks_off_behind_it_still_decides(caller: Caller):
    cut = head("400 X", length=5000) + b'{"code":"DataInspectionFailed","message":"not al'
    with RawServer([cut, Close()]) as server:
        caller.fails(server, ContentBlockedError, "not al")


@pytest.mark.parametrize(
    "said",
    [
        {"code": "InvalidParameter", "message": "y" * 3_000_000},
        {"code": "y" * 3_000_000, "message": "m", "request_id": "z" * 100_000},
        {"code": "InvalidParameter", "message": {"deep": ["x" * 50_000]}},
    ],
    ids=["message", "code", "object"],
)
def test_a_huge_refusal_gives_a_short_text(caller: Caller, said):
    with RawServer(answer(said, "400 X")) as server:
        error = caller.fails(server, InvalidRequestError)
    assert len(error.code or "") < 300
    assert len(error.request_id or "") < 300


def test_an_endless_refusal_is_not_read_to_its_end(caller: Caller, monkeypatch):
    monkeypatch.setattr(client, "MAX_REFUSAL_BYTES", 100_000)
    with RawServer([head("403 X", "text/html"), Endless(b"x" * 65_536)]) as server:
        caller.fails(server, PermissionDeniedError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_and_the_error_says_where_it_led(caller: Caller, status):
    with RawServer(answer(b"")) as other:
        script = answer(b"", f"{status} X", headers=[("Location", f"{other.base_url}/there")])
        with RawServer(script) as server:
            error = caller.fails(server, ProtocolError, r"redirected to http.*/there.*base_url")
    assert (len(server.requests), other.requests) == (1, [])
    assert error.status_code == status


@pytest.mark.parametrize(
    "script",
    [
        answer(b"", "302 X", headers=[("Location", "http://[bad")]),
        answer(b"", "307 X", headers=[("Location", "http://x/" + "a" * 20_000)]),
        answer(message_frame("hello", "stop"), "302 X", SSE, [("Location", "http://x/")]),
        answer(message_reply("hello"), "308 X", headers=[("Location", "//x")]),
    ],
    ids=["no-address", "endless", "with-a-stream", "with-an-answer"],
)
def test_a_redirect_is_one_whatever_comes_with_it(caller: Caller, script):
    with RawServer(script) as server:
        assert caller.fails(server, ProtocolError, "redirected to").status_code in (302, 307, 308)


def test_the_request_id_of_the_head_is_taken_where_the_body_has_none(caller: Caller):
    for script in (
        answer(b"", "500 X", headers=[("X-Request-Id", "r-head")]),
        answer(b"no JSON", headers=[("X-Request-Id", "r-head")]),
        [head(length=99, headers=[("X-Request-Id", "r-head")]), Close()],
    ):
        with RawServer(script) as server:
            assert caller.fails(server, max_retries=0).request_id == "r-head"


@pytest.mark.parametrize(
    "script",
    [
        refusal("401 X", "InvalidApiKey", f"Bearer {KEY} is wrong"),
        refusal("401 X", KEY, "no"),
        answer({"code": "c", "message": "m", "request_id": KEY}, "400 X"),
        answer(f"<p>{KEY}</p>".encode(), "502 X", "text/html"),
        answer(KEY.encode()),
        answer(message_reply({"k": KEY})),
        answer(b"", "400 X", headers=[("X-Request-Id", KEY)]),
        answer(b"", "302 X", headers=[("Location", f"http://x/{KEY}")]),
        [SSE_HEAD, chunk(message_frame(f"my key is {KEY}")), Close()],
        [f"HTTP/1.1 {KEY}\r\n\r\n".encode(), Close()],
        [head("200 OK", length=99, headers=[("X-Request-Id", KEY)]), Close()],
    ],
    ids=[
        "message",
        "code",
        "request-id",
        "page",
        "garbage",
        "shape",
        "header",
        "redirect",
        "text-so-far",
        "status-line",
        "cut",
    ],
)
def test_a_key_that_the_server_repeats_is_in_no_error(caller: Caller, script):
    """Nor in its causes, its response or its text so far; ``fails`` looks."""
    with RawServer(script) as server:
        error = caller.fails(server, DashScopeError, max_retries=0)
    if error.response is not None:
        assert KEY not in f"{error.response.headers} {error.response.text}"


def test_a_line_that_is_no_http_is_an_error(caller: Caller):
    for line in (b"\x00\xffgarbage\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"SSH-2.0-x\r\n"):
        with RawServer([line, Close()]) as server:
            caller.fails(server, APIConnectionError, r"127\.0\.0\.1", max_retries=0)
