"""What goes wrong on the way is an error that says what to do."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    Client,
    ClientOptions,
    DashScopeError,
    Endpoint,
    InvalidRequestError,
    Message,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.transport.http_errors import error_of_exception
from tests.faults.server import (
    SSE_HEAD,
    Close,
    RawServer,
    Unread,
    UntilGone,
    answer,
    chunk,
    frame,
    text_reply,
)
from tests.transport.calling import (
    GOOD,
    Caller,
    endpoint,
    question,
)


def test_a_proxys_page_is_an_error_that_shows_it(call: Caller):
    page = answer(b"<html>Bad Gateway</html>", "502 Bad Gateway", "text/html")
    with RawServer(page) as server, pytest.raises(ServerError, match="Bad Gateway") as caught:
        call(server)
    assert (caught.value.status_code, len(server.requests)) == (502, 3)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_with_a_good_status_is_an_error(call: Caller, kind):
    with (
        RawServer(answer(b"<html>log in</html>", kind=kind)) as server,
        pytest.raises(ProtocolError, match="log in"),
    ):
        call(server)


def test_an_error_with_a_good_status_is_an_error_and_is_tried_again(call: Caller):
    said = answer({"code": "Throttling", "message": "slow down", "request_id": "r-1"})
    with RawServer(said) as server, pytest.raises(RateLimitError, match="slow down") as caught:
        call(server)
    assert (caught.value.request_id, len(server.requests)) == ("r-1", 3)


def test_an_empty_answer_with_a_good_status_is_an_error(call: Caller):
    with RawServer(answer(b"")) as server, pytest.raises(ProtocolError):
        call(server)


def test_an_error_without_a_body_keeps_its_status_and_request_id(call: Caller):
    empty = answer(b"", "403 Forbidden", headers=[("X-Request-ID", "r-5")])
    with (
        RawServer(empty) as server,
        pytest.raises(DashScopeError, match="the answer has no body") as caught,
    ):
        call(server)
    assert (caught.value.status_code, caught.value.request_id) == (403, "r-5")


def test_an_error_that_stands_in_an_event_of_a_bad_status_is_read(call: Caller):
    body = b'event:error\ndata:{"code":"Arrearage","message":"in debt","request_id":"r"}\n\n'
    bad = answer(body, "400 Bad Request", "text/event-stream")
    with RawServer(bad) as server, pytest.raises(QuotaExhaustedError, match="in debt"):
        call(server)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(call: Caller, status):
    with RawServer(call.good()) as other:
        away = answer(b"", status, headers=[("Location", f"{other.base_url}/elsewhere")])
        with (
            RawServer(away) as server,
            pytest.raises(ProtocolError, match=r"elsewhere.*not follow"),
        ):
            call(server)
    assert (other.requests, len(server.requests)) == ([], 1)


def test_a_redirect_is_not_followed_by_a_client_that_would():
    with RawServer(GOOD) as other:
        away = answer(b"", "307 Temporary", headers=[("Location", f"{other.base_url}/elsewhere")])
        with (
            RawServer(away) as server,
            httpx2.Client(follow_redirects=True) as http,
            pytest.raises(ProtocolError, match="not followed"),
        ):
            Client(endpoint(server), ClientOptions(http_client=http)).send(question())
    assert other.requests == []


def test_a_hook_of_ones_own_client_may_fail(call: Caller):
    """httpx2 does not say which request it failed at; the error names the address all the same."""

    def fail(_):
        raise httpx2.ConnectError("no way out")

    async def fail_later(_):
        fail(_)

    name, own, hook = (
        ("http_async_client", httpx2.AsyncClient, fail_later)
        if call.is_async
        else ("http_client", httpx2.Client, fail)
    )
    http = own(event_hooks={"request": [hook]})
    with (
        RawServer(call.good()) as server,
        pytest.raises(APIConnectionError, match=r"no answer from 127\.0\.0\.1.*no way out"),
    ):
        call(server, **{name: http}, max_retries=0)


def test_garbage_instead_of_http_is_an_error(call: Caller):
    with (
        RawServer([b"\x00\x01 garbage\r\n\r\n", Close()]) as server,
        pytest.raises(APIConnectionError, match=r"127\.0\.0\.1"),
    ):
        call(server)


def test_an_answer_that_cannot_be_decompressed_is_an_error(call: Caller):
    bad = answer(b"no gzip", headers=[("Content-Encoding", "gzip")])
    with RawServer(bad) as server, pytest.raises(ProtocolError, match="decompressed"):
        call(server)


def test_an_answer_beyond_the_limit_is_an_error(call: Caller, monkeypatch):
    monkeypatch.setattr(sse, "MAX_REPLY_BYTES", 1000)
    with (
        RawServer(answer(text_reply("x" * 2000))) as server,
        pytest.raises(ProtocolError, match="longer than 1000 bytes"),
    ):
        call(server)


@pytest.mark.parametrize(
    ("key", "shown"),
    [("any", "company, [key]. 密钥[key]!"), ("anything-long", "company, any. 密钥any!")],
)
def test_a_placeholder_for_a_key_is_cut_out_of_no_word(call: Caller, key, shown):
    script = answer({"code": "InvalidApiKey", "message": "company, any. 密钥any!"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError) as caught:
        call(Endpoint.resolve(base_url=server.base_url, api_key=key))
    assert caught.value.message == shown


def test_a_refused_key_is_no_matter_of_the_vendors_regions_at_another_server(call: Caller):
    script = answer({"code": "InvalidApiKey", "message": "no"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError, match="keys of its own"):
        call(server)


def test_what_a_server_says_cannot_steer_a_terminal(call: Caller):
    """The message keeps it as it came."""
    script = answer({"code": "X", "message": "a\x1b[2J\x00b\nc"}, "400 No")
    with RawServer(script) as server, pytest.raises(InvalidRequestError) as caught:
        call(server)
    assert caught.value.message == "a\x1b[2J\x00b\nc"
    assert "a\ufffd[2J\ufffdb\nc" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        ("500 X", {"code": "InternalError", "message": "no"}, "raise max_retries"),
        ("429 X", {"code": "Throttling", "message": "no"}, "fewer calls at once"),
        ("400 X", {"code": "InvalidParameter", "message": "no"}, "Change the request"),
        ("400 X", {"code": "DataInspectionFailed", "message": "no"}, "wording of the input"),
        ("404 X", b"<html>nothing here</html>", "check base_url"),
        ("503 X", b"<html>busy</html>", "Try again later"),
    ],
)
def test_a_refusal_says_what_to_do(call: Caller, status, body, advice):
    with RawServer(answer(body, status)) as server, pytest.raises(DashScopeError, match=advice):
        call(server, max_retries=0)


def test_nobody_listening_is_an_error_that_names_the_host_and_what_to_check(call: Caller):
    with RawServer(GOOD) as server:
        place = endpoint(server)
    with pytest.raises(APIConnectionError, match=r"no answer from 127\.0\.0\.1.*gateway runs"):
        call(place)
    assert len(call.waits) == 2


def test_the_service_that_does_not_answer_is_no_gateway():
    url = "https://dashscope.aliyuncs.com/api/v1"
    failure = httpx2.ConnectError("refused", request=httpx2.Request("POST", url))
    error = error_of_exception(failure, "glm-5", 300, "")
    assert str(error).startswith("glm-5: no answer from dashscope.aliyuncs.com: refused")
    assert "gateway" not in str(error)


def test_https_to_a_server_that_speaks_http_is_told(call: Caller):
    """The words of OpenSSL are about a wrong version."""
    with RawServer(Unread([b"HTTP/1.1 400 Bad Request\r\n\r\n", Close()])) as server:
        place = endpoint(server)
        place = replace(place, base_url=place.base_url.replace("http:", "https:"))
        with pytest.raises(APIConnectionError, match="begin base_url with http://"):
            call(place, max_retries=0)


def test_a_server_that_says_nothing_is_a_timeout_that_names_its_limit(call: Caller):
    with (
        RawServer([UntilGone()]) as server,
        pytest.raises(APITimeoutError, match=r"waiting for the next piece.*0\.1 s"),
    ):
        call(server, timeout=0.1, max_retries=0)


def test_a_stall_in_the_middle_is_a_timeout_with_the_text_so_far(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hel")), UntilGone()]
    with RawServer(script) as server, pytest.raises(APITimeoutError) as caught:
        streaming(server, timeout=0.2)
    assert caught.value.partial_text == "hel"


def test_what_cannot_be_sent_raises_before_any_request(call: Caller):
    with RawServer(call.good()) as server, pytest.raises(UnsupportedInputError):
        call(server, chat_request(find_model("glm-5"), [Message("user", "")]))
    assert server.requests == []
