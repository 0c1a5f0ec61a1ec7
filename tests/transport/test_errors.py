"""What goes wrong on the way is an error that says what to do."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    AuthenticationError,
    Endpoint,
    Message,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.transport.http_errors import error_of_exception
from tests.faults.server import (
    Close,
    RawServer,
    Unread,
    answer,
)
from tests.transport.calling import (
    Caller,
    endpoint,
)


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


def test_a_placeholder_for_a_key_is_cut_out_of_no_word(call: Caller):
    script = answer({"code": "InvalidApiKey", "message": "company, any. 密钥any!"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError) as caught:
        call(Endpoint.resolve(base_url=server.base_url, api_key="any"))
    assert caught.value.message == "company, [key]. 密钥[key]!"


def test_a_refused_key_is_no_matter_of_the_vendors_regions_at_another_server(call: Caller):
    script = answer({"code": "InvalidApiKey", "message": "no"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError, match="keys of its own"):
        call(server)


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


def test_what_cannot_be_sent_raises_before_any_request(call: Caller):
    with RawServer(call.good()) as server, pytest.raises(UnsupportedInputError):
        call(server, chat_request(find_model("glm-5"), [Message("user", "")]))
    assert server.requests == []
