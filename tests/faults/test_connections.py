"""Connections that are refused, reset, cut, slow or used up, and HTTP at the edge of its rules."""

from __future__ import annotations

import socket
import threading
from functools import partial

import httpx2
import pytest
from langchain_core.exceptions import ModelError

from dashscope_oss.errors import APIConnectionError, APITimeoutError, DashScopeError, ProtocolError
from dashscope_oss.transport import attempt

from .callers import ASYNC_HTTP, Caller
from .matrix import STREAMING, only_httpx2, table
from .server import (
    SSE,
    SSE_END,
    Close,
    Cut,
    Drip,
    Endless,
    RawServer,
    Unread,
    UntilGone,
    answer,
    as_bytes,
    chunk,
    chunked_head,
    head,
    message_frame,
    message_reply,
    stream,
)

HELLO = as_bytes(message_reply("hello"))
GOOD = answer(HELLO)
EVENTS = message_frame("hel") + message_frame("lo", "stop")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

LOST = {
    "reset": [Cut()],
    "close": [Close()],
    "reset-at-once": Unread([Cut()]),
    "close-at-once": Unread([Close()]),
    "half-a-status-line": [b"HTTP/1.1 20", Close()],
    "half-a-head": [b"HTTP/1.1 200 OK\r\nContent-Ty", Close()],
    "half-a-head-reset": [b"HTTP/1.1 200 OK\r\nContent-Ty", Cut()],
    "no-body": [head(length=100), Close()],
    "no-body-reset": [head(length=100), Cut()],
    "short-body": [answer(HELLO, length=5000), Close()],
    "short-body-reset": [answer(HELLO, length=5000), Cut()],
    "no-length-reset": [head() + HELLO, Cut()],
    "no-last-chunk": [chunked_head(), chunk(HELLO), Close()],
    "half-a-chunk": [chunked_head(), b"ff\r\n" + HELLO, Close()],
    "no-chunk": [chunked_head(), b"zz\r\n" + HELLO, Close()],
    "negative-chunk": [chunked_head(), b"-5\r\n" + HELLO, Close()],
    "huge-length": [answer(HELLO, length=10**15), Close()],
    "two-lengths": [PLAIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Close()],
    "negative-length": [PLAIN + b"Content-Length: -2\r\n\r\n{}", Close()],
    "no-length": [PLAIN + b"Content-Length: abc\r\n\r\n{}", Close()],
    "no-header": [b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", Close()],
    "nul-in-header": [b"HTTP/1.1 200 OK\r\nX\x00: 1\r\n\r\n", Close()],
    "no-http": [b"\x00\xffgarbage\r\n\r\n", Close()],
    "only-a-page": [b"<html>hello</html>\r\n", Close()],
    "status-of-letters": [b"HTTP/1.1 abc OK\r\n\r\n", Close()],
    "status-of-four-digits": [b"HTTP/1.1 2000 OK\r\n\r\n", Close()],
    "upgrade": [b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", Close()],
    "only-continue": [b"HTTP/1.1 100 Continue\r\n\r\n", Close()],
    "unknown-coding": [head(headers=[("Transfer-Encoding", "x, chunked")]) + HELLO, Close()],
}


@table(
    LOST,
    "reset",
    "short-body",
    "no-http",
    aiohttp=True,
    differs_over_aiohttp=["no-length-reset", "upgrade", "no-chunk", "negative-chunk"],
)
def test_a_connection_that_brings_no_answer_is_an_error_and_is_tried_again(caller: Caller, case):
    with RawServer(case) as server:
        caller.fails(server, APIConnectionError, "tries", max_retries=1)
    assert len(caller.waits) == 1
    assert len(server.requests) == 2


def test_a_reset_says_what_happened(core: Caller):
    for name in ("reset", "no-body-reset", "reset-at-once"):
        with RawServer(LOST[name]) as server:
            core.fails(server, APIConnectionError, r": \S.*\w", max_retries=0)


def test_a_call_is_answered_once_a_lost_connection_comes_back(caller: Caller):
    with RawServer([Cut()], [Close()], GOOD) as server:
        assert caller(server).text == "hello"
    assert (len(server.requests), len(caller.waits)) == (3, 2)


def test_nobody_listening_is_an_error_that_names_the_place(caller: Caller):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        caller.fails(f"http://{place}/api/v1", APIConnectionError, f"{place}.*gateway runs")
    assert len(caller.waits) == 2


def test_a_host_that_does_not_exist_is_an_error_that_names_it(caller: Caller, monkeypatch):
    def no_address(*_: object, **_settings: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    caller.fails("https://no.such.host.invalid/api/v1", APIConnectionError, "no.such.host.invalid")


ODD = {
    "no-reason": PLAIN.replace(b" OK", b"") + b"Content-Length: %d\r\n\r\n" % len(HELLO) + HELLO,
    "status-201": answer(HELLO, "201 Created"),
    "line-feeds": b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(HELLO) + HELLO,
    "http-1.0": [head(version="1.0") + HELLO, Close()],
    "until-close": [head() + HELLO, Close()],
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD],
    "early-hints": [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD],
    "chunks": [chunked_head(), chunk(HELLO[:9]), chunk(HELLO[9:]), SSE_END],
    "chunk-extension": [chunked_head(), b"%x;a=b\r\n" % len(HELLO) + HELLO + b"\r\n", SSE_END],
    "trailer": [chunked_head(), chunk(HELLO), b"0\r\nX-T: 1\r\n\r\n"],
    "more-than-promised": [GOOD + b"and more", Close()],
    "latin-header": answer(HELLO, headers=[("X-Z", "caf\xe9")]),
    "many-headers": answer(HELLO, headers=[(f"X-{n}", "x") for n in range(90)]),
    "drip": [Drip(GOOD, size=3)],
}


@table(ODD, "chunks", aiohttp=True, differs_over_aiohttp=["more-than-promised"])
def test_odd_http_is_read(caller: Caller, case):
    with RawServer(case) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 1


def test_an_answer_in_single_bytes_is_read(core: Caller):
    script = [chunked_head(kind=SSE), Drip(chunk(EVENTS) + SSE_END)]
    with RawServer(script) as server:
        assert core(server).text == "hello"


STALLS = {
    "silence": [UntilGone()],
    "in-the-head": [b"HTTP/1.1 200 OK\r\nContent-", UntilGone()],
    "before-the-body": [head(length=50), UntilGone()],
    "in-the-body": [head(length=50) + b'{"out', UntilGone()],
    "stream": [chunked_head(kind=SSE), UntilGone()],
    "comment": [chunked_head(kind=SSE), chunk(b": alive\n\n"), UntilGone()],
}


@table(STALLS, "silence", aiohttp=True)
def test_a_stall_is_a_timeout_that_names_its_limit(caller: Caller, case):
    limits = {"timeout": 0.2, "total_timeout": 10, "max_retries": 0}
    with RawServer(case) as server:
        caller.fails(server, APITimeoutError, "next piece.*0.2 s", **limits)
    assert len(server.requests) == 1


@only_httpx2
def test_a_server_that_reads_nothing_is_a_timeout_of_sending(core: Caller):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        long = "x" * 12_000_000
        with pytest.raises(APITimeoutError, match=r"sending the request.*0\.2 s"):
            core(place, long, timeout=0.2, total_timeout=20, max_retries=0)


ENDLESS_HEADS = {
    "header": [b"HTTP/1.1 200 OK\r\nX: ", Endless(b"a" * 65_536)],
    "headers": [b"HTTP/1.1 200 OK\r\n", Endless(b"X-A: b\r\n" * 1000)],
    "status-line": [Endless(b"a" * 65_536)],
}


@table(ENDLESS_HEADS, "headers")
def test_a_head_without_end_is_an_error(caller: Caller, case):
    with RawServer(case) as server:
        caller.fails(server, DashScopeError, max_retries=0)


def test_a_kept_connection_that_died_is_replaced_in_silence(caller: Caller):
    """Nothing was sent on it, so this is no retry: it works without any."""
    hello = caller.hello if caller.streams else [caller.hello]
    for end in (Close(), Cut()):
        with RawServer([*hello, end], hello) as server:
            model = caller.model(server, max_retries=0)
            caller.before_next = partial(server.ended.wait, 5)
            assert caller.ask_each(model, "one", "two") == ["hello", "hello"]
        assert (server.connections, caller.waits) == (2, [])


@pytest.mark.xfail(
    ASYNC_HTTP == "httpx2",
    reason="httpcore2 keeps what it has read beyond an answer for the next one",
    strict=True,
)
def test_more_bytes_than_an_answer_promised_are_no_part_of_the_next_answer(core: Caller):
    other = answer(message_reply("wrong"))
    with RawServer([GOOD + other], GOOD) as server:
        assert core.ask_each(core.model(server), "one", "two") == ["hello", "hello"]
    assert server.connections == 2


LAST = [chunked_head(kind=SSE), chunk(EVENTS)]


@table(
    {"none": b"", "half": b"0\r\n", "comment": chunk(b": more")},
    "none",
    modes=STREAMING,
)
def test_a_body_that_goes_on_after_the_last_event_is_let_go(caller: Caller, case):
    """The answer ends without the end of its body, and its connection is closed."""
    forever = httpx2.Timeout(None)
    with RawServer([*LAST, case, UntilGone()]) as server:
        assert caller(server, timeout=forever).text == "hello"
        assert server.gone.wait(5)


def test_the_last_piece_is_handed_on_before_the_end_of_the_body(streaming: Caller, monkeypatch):
    """It may come a moment later, and the connection serves the next call too."""
    monkeypatch.setattr(attempt, "END_OF_BODY_SECONDS", 5.0)
    handed_on = threading.Event()
    with RawServer([*LAST, handed_on, SSE_END], stream(EVENTS)) as server:
        streaming.on_piece = lambda piece: piece == "lo" and handed_on.set()
        assert streaming.ask_each(streaming.model(server), "one", "two") == ["hello", "hello"]
    assert server.connections == 1


def test_an_error_of_the_connection_is_caught_by_the_frameworks_own_except_clauses(caller: Caller):
    with RawServer([Cut()]) as server:
        error = caller.fails(server, max_retries=0)
    assert isinstance(error, ModelError) == (caller.library == "langchain")
    with RawServer(answer(b"garbage")) as server:
        caller.fails(server, ProtocolError)
