"""No redirect is followed: it may lead a key and a prompt anywhere, and the error says where."""

from __future__ import annotations

from dashscope_oss.errors import ProtocolError

from .callers import Caller
from .matrix import table
from .server import SSE, RawServer, answer, message_frame, message_reply

HELLO = answer(message_reply("hello"))


@table([301, 302, 303, 307, 308], "307")
def test_no_redirect_is_followed_and_the_error_says_where_it_led(caller: Caller, case):
    with RawServer(HELLO) as other:
        away = answer(b"", f"{case} X", headers=[("Location", f"{other.base_url}/there")])
        with RawServer(away) as server:
            error = caller.fails(
                server, ProtocolError, r"redirected to http.*/there.*not followed.*base_url"
            )
    assert (len(server.requests), other.requests) == (1, [])
    assert error.status_code == case


def test_no_redirect_to_the_same_server_is_followed(core: Caller):
    away = answer(b"", "307 Away", headers=[("Location", "/api/v1/elsewhere")])
    with RawServer(away, HELLO) as server:
        core.fails(server, ProtocolError, "elsewhere")
    assert len(server.requests) == 1


def test_no_redirect_is_followed_by_a_client_that_would(caller: Caller):
    own = caller.own_http_client(follow_redirects=True)
    with RawServer(HELLO) as other:
        away = answer(b"", "307 Away", headers=[("Location", f"{other.base_url}/elsewhere")])
        with RawServer(away) as server:
            caller.fails(server, ProtocolError, "not followed", **own)
    assert other.requests == []


@table(
    {
        "no-address": answer(b"", "302 X", headers=[("Location", "http://[bad")]),
        "long": answer(b"", "307 X", headers=[("Location", "http://x/" + "a" * 8_000)]),
        "with-a-stream": answer(
            message_frame("hello", "stop"), "302 X", SSE, [("Location", "http://x/")]
        ),
        "with-an-answer": answer(message_reply("hello"), "308 X", headers=[("Location", "//x")]),
    }
)
def test_a_redirect_is_an_error_whatever_comes_with_it(caller: Caller, case):
    with RawServer(case) as server:
        assert caller.fails(server, ProtocolError, "redirected to").status_code in (302, 307, 308)
