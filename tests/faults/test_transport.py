"""Below the answer: connections that are refused, reset, cut, slow or used up, and odd HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest

from dashscope_oss.errors import APIConnectionError, APITimeoutError, DashScopeError, ProtocolError
from dashscope_oss.transport import client

from .callers import Caller
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


@pytest.mark.parametrize("script", LOST.values(), ids=LOST)
def test_a_connection_that_brings_no_answer_is_an_error_and_is_tried_again(caller: Caller, script):
    with RawServer(script) as server:
        caller.fails(server, APIConnectionError, "tries", max_retries=1)
    assert len(caller.waits) == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", ["reset", "no-body-reset", "reset-at-once"])
def test_a_reset_says_what_happened(caller: Caller, name):
    with RawServer(LOST[name]) as server:
        caller.fails(server, APIConnectionError, r": \S.*\w", max_retries=0)


def test_a_lost_connection_that_comes_back_is_nothing_to_know_of(caller: Caller):
    with RawServer([Cut()], [Close()], GOOD) as server:
        assert caller(server).text == "hello"
    assert (len(server.requests), len(caller.waits)) == (3, 2)


def test_nobody_listening_is_an_error_that_names_the_place(caller: Caller):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        caller.fails(f"http://{place}/api/v1", APIConnectionError, f"{place}.*gateway runs")
    assert len(caller.waits) == 2


def test_a_host_that_does_not_exist_is_an_error_that_names_it(caller: Caller):
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


@pytest.mark.parametrize("script", ODD.values(), ids=ODD)
def test_odd_http_is_read(caller: Caller, script):
    with RawServer(script) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [1, 2, 7])
def test_an_answer_in_small_packets_is_read(caller: Caller, size):
    script = [chunked_head(kind=SSE), Drip(chunk(EVENTS) + SSE_END, size=size)]
    with RawServer(script) as server:
        assert caller(server).text == "hello"


@pytest.mark.parametrize(
    "script",
    [
        [UntilGone()],
        [b"HTTP/1.1 200 OK\r\nContent-", UntilGone()],
        [head(length=50), UntilGone()],
        [head(length=50) + b'{"out', UntilGone()],
        [chunked_head(kind=SSE), UntilGone()],
        [chunked_head(kind=SSE), chunk(b": alive\n\n"), UntilGone()],
    ],
    ids=["silence", "in-the-head", "before-the-body", "in-the-body", "stream", "comment"],
)
def test_a_stall_is_a_timeout_that_names_its_limit(caller: Caller, script):
    with RawServer(script) as server:
        caller.fails(server, APITimeoutError, "next piece.*0.2 s", timeout=0.2, max_retries=0)
    assert len(server.requests) == 1


def test_a_server_that_reads_nothing_is_a_timeout_of_sending(caller: Caller):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        asked = "x" * 20_000_000
        with pytest.raises(APITimeoutError, match=r"sending the request.*0\.2 s"):
            caller(place, asked, timeout=0.2, max_retries=0)


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\nX: ", Endless(b"a" * 65_536)],
        [b"HTTP/1.1 200 OK\r\n", Endless(b"X-A: b\r\n" * 1000)],
        [Endless(b"a" * 65_536)],
    ],
    ids=["header", "headers", "status-line"],
)
def test_a_head_without_end_is_an_error(caller: Caller, script):
    with RawServer(script) as server:
        caller.fails(server, DashScopeError, max_retries=0)


@pytest.mark.parametrize("end", [Close(), Cut()], ids=["close", "reset"])
def test_a_kept_connection_that_died_is_replaced_in_silence(caller: Caller, end):
    """Nothing was sent on it, so this is no retry: it works without any."""
    good = stream(EVENTS) if caller.streams else [GOOD]
    with RawServer([*good, end], good) as server:
        model = caller.model(server, max_retries=0)

        def ended() -> bool:
            return server.ended.wait(5)

        async def both() -> list[str]:
            first = await caller.aask(model)
            assert await asyncio.to_thread(ended)
            second = await caller.aask(model)
            await model.aclose()
            return [first.text, second.text]

        if caller.is_async:
            texts = asyncio.run(both())
        else:
            texts = [caller.ask(model).text]
            assert ended()
            texts.append(caller.ask(model).text)
            model.close()
    assert texts == ["hello", "hello"]
    assert (server.connections, caller.waits) == (2, [])


def test_an_answer_that_breaks_the_rules_of_its_connection_spoils_no_other(caller: Caller):
    """More bytes than promised are no part of the next answer."""
    other = answer(message_reply("wrong"))
    with RawServer([GOOD + other], GOOD) as server:
        model = caller.model(server)

        async def both() -> list[str]:
            texts = [(await caller.aask(model)).text for _ in range(2)]
            await model.aclose()
            return texts

        if caller.is_async:
            texts = asyncio.run(both())
        else:
            texts = [caller.ask(model).text for _ in range(2)]
            model.close()
    assert texts == ["hello", "hello"]
    assert server.connections == 2


LAST = [chunked_head(kind=SSE), chunk(EVENTS)]


@pytest.mark.parametrize("tail", [b"", b"0\r\n", chunk(b": more")], ids=["none", "half", "comment"])
def test_a_body_that_goes_on_after_the_last_event_is_let_go(streaming: Caller, tail):
    """The answer ends without the end of its body, and its connection is closed."""
    forever = httpx.Timeout(None)
    with RawServer([*LAST, tail, UntilGone()]) as server:
        assert streaming(server, timeout=forever).text == "hello"
        assert server.gone.wait(5)


def test_the_last_piece_is_handed_on_before_the_end_of_the_body(streaming: Caller, monkeypatch):
    """It may come a moment later, and the connection serves the next call too."""
    monkeypatch.setattr(client, "END_OF_BODY", 5.0)
    handed_on = threading.Event()
    with RawServer([*LAST, handed_on, SSE_END], stream(EVENTS)) as server:
        model = streaming.model(server)
        streaming.on_piece = lambda piece: piece == "lo" and handed_on.set()

        async def both() -> None:
            for _ in range(2):
                assert (await streaming.aask(model)).text == "hello"
            await model.aclose()

        if streaming.is_async:
            asyncio.run(both())
        else:
            for _ in range(2):
                assert streaming.ask(model).text == "hello"
            model.close()
    assert server.connections == 1


def test_an_unanswered_error_is_one_of_this_package_in_both_worlds(caller: Caller):
    """LangChain's own ``except`` clauses work as well."""
    from langchain_core.exceptions import ModelError

    with RawServer([Cut()]) as server:
        error = caller.fails(server, max_retries=0)
    assert isinstance(error, ModelError) == (caller.framework == "langchain")
    with RawServer(answer(b"garbage")) as server:
        caller.fails(server, ProtocolError)
