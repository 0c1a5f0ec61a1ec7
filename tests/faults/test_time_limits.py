"""Limits in time: they hold while bytes trickle in, and no stream that flows is cut."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from types import SimpleNamespace

import httpx2
import pytest

from dashscope_oss import (
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    ProtocolError,
    RateLimitError,
)
from dashscope_oss.transport.http import deadlines

from .callers import FRAMEWORKS, NOWHERE, Caller
from .matrix import only_httpx2, table
from .server import (
    SSE_END,
    SSE_HEAD,
    Drip,
    Endless,
    RawServer,
    Unread,
    UntilGone,
    answer,
    chunk,
    chunked_head,
    frame,
    head,
    refusal,
    stream,
    text_reply,
)

QUICK = {"timeout": 5, "total_timeout": 0.2}
FIRST_PIECE = {"timeout": 5, "total_timeout": 1}
"""The same where a piece must arrive before the time is up, on a busy machine too."""
GOOD = answer(text_reply("hello"))
PAUSE = 0.02


DRIPS = {
    "nothing": [UntilGone()],
    "status-line": [b"HTTP/1.1 200 ", Endless(b"O", PAUSE)],
    "header": [b"HTTP/1.1 200 OK\r\n", Endless(b"x", PAUSE)],
    "headers": [b"HTTP/1.1 200 OK\r\n", Endless(b"X-More: 1\r\n", PAUSE)],
    "body": [head(length=10**6), Endless(b" ", PAUSE)],
    "chunk-head": [chunked_head(), Endless(b"0", PAUSE)],
    "chunks": [chunked_head(), Endless(chunk(b" "), PAUSE)],
    "gzip": [chunked_head(headers=[("Content-Encoding", "gzip")]), Endless(chunk(b"\x1f"), PAUSE)],
    "refusal": [head("401 X", length=10**6), Endless(b" ", PAUSE)],
}


@table(DRIPS, "nothing", "headers", in_turns=False, aiohttp=True)
def test_a_server_that_sends_nothing_or_a_byte_now_and_then_holds_no_call_forever(
    caller: Caller, case
):
    began = time.monotonic()
    with RawServer(case) as server:
        error = caller.fails(server, max_retries=0, **QUICK)
        took = time.monotonic() - began
    assert error.partial_text is None
    assert isinstance(error, APITimeoutError | ProtocolError | AuthenticationError)
    assert took < 4, f"the limit was {QUICK['total_timeout']} s"


CONTINUE = 1000 * b"HTTP/1.1 100 Continue\r\n\r\n"
FLOODS = {
    "continue": [Endless(CONTINUE)],
    "early-hints": [Endless(1000 * b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")],
    "gzip": [
        chunked_head(headers=[("Content-Encoding", "gzip")]),
        chunk(gzip.compress(b"")),
        Endless(chunk(1000 * b"\0")),
    ],
}


@table(FLOODS, "continue", in_turns=False, aiohttp=True)
def test_a_flood_that_is_no_answer_ends_in_time(caller: Caller, case):
    """Every read finds data, so none ever waits."""
    limits = {"timeout": 5, "total_timeout": 0.1, "max_retries": 0}
    with RawServer(case) as server:
        caller.fails(server, APITimeoutError, r"total_timeout, 0\.1 s", **limits)


def test_an_answer_through_a_proxy_ends_in_time_too(core: Caller, monkeypatch):
    """Without the proxy it would be a refused connection."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    for script in (FLOODS["early-hints"], DRIPS["body"]):
        with RawServer(script) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.origin)
            core.fails(NOWHERE, APITimeoutError, "total_timeout", max_retries=0, **QUICK)


def test_a_stream_of_nothing_but_comments_is_no_answer(streaming: Caller):
    with RawServer([SSE_HEAD, Endless(chunk(b": still here\n\n"), PAUSE)]) as server:
        error = streaming.fails(
            server,
            APITimeoutError,
            r"next piece of the answer took longer than total_timeout, 0\.2 s",
            **QUICK,
        )
    assert error.partial_text is None
    assert len(server.requests) == 1


def test_a_piece_that_never_gets_whole_ends_a_stream_with_its_text(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hel")), Endless(chunk(b"d"), PAUSE)]
    with RawServer(script) as server:
        error = streaming.fails(server, APITimeoutError, "total_timeout", **FIRST_PIECE)
    assert (error.partial_text, streaming.pieces) == ("hel", ["hel"])


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadlines, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_stream_that_flows_is_never_cut_however_long_it_is_read(streaming: Caller, clock):
    """Neither the time of all pieces nor that which the reader takes for one counts."""

    def take_time(_: str) -> None:
        clock.now += 50

    streaming.on_piece = take_time
    script = stream(*(frame(word) for word in "hello"), frame("", "stop"))
    with RawServer(script) as server:
        assert streaming(server, total_timeout=60).text == "hello"
    assert clock.now >= 350


def test_what_comes_after_the_end_of_an_answer_is_not_waited_for(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hello", "stop")), Endless(chunk(b":\n"), PAUSE)]
    with RawServer(script) as server:
        assert streaming(server).text == "hello"


def test_a_whole_answer_that_must_be_streamed_has_one_limit_for_all_of_it(whole: Caller):
    script = [SSE_HEAD, Endless(chunk(frame("word ")), PAUSE)]
    with RawServer(script) as server:
        error = whole.fails(
            server, APITimeoutError, "whole answer", model="qwq-32b", max_retries=0, **FIRST_PIECE
        )
    assert error.partial_text.startswith("word")


def test_tries_and_waits_count(core: Caller):
    """A try that could not begin in time is not waited for: its reason is told at once."""
    busy = refusal("429 Too Many", "Throttling", headers=[("Retry-After", "30")])
    with RawServer(busy, GOOD) as server:
        core.fails(server, RateLimitError, "retry_after 30", total_timeout=20)
    assert (len(server.requests), core.waits) == (1, [])


def test_four_times_the_timeout_is_the_default(caller: Caller):
    with RawServer([head(length=10**6), Endless(b"x", PAUSE)]) as server:
        caller.fails(server, APITimeoutError, r"total_timeout, 1 s", timeout=0.25)


@only_httpx2
def test_a_long_request_to_a_server_that_does_not_read_ends_in_time(core: Caller):
    ended = threading.Event()
    with RawServer(Unread([ended])) as server:
        with pytest.raises(APITimeoutError, match="total_timeout"):
            core(server, "x" * 12_000_000, max_retries=0, **QUICK)
        ended.set()


def test_a_call_through_a_client_of_the_users_own_ends_in_time(caller: Caller):
    own = caller.own_http_client()
    with RawServer([head(length=10**6), Endless(b" ", PAUSE)]) as server:
        caller.fails(server, APITimeoutError, "total_timeout", **own, **QUICK)


# The other limits


def test_a_wait_for_a_free_connection_ends_and_names_the_setting(core: Caller):
    held = threading.Event()
    with RawServer([held, GOOD]) as server:
        model = core.model(server, timeout=(5, 5, 5, 0.1), max_connections=1)
        match = r"a free connection took longer than 0\.1 s.*All .* are busy.*max_connections"
        with pytest.raises(APITimeoutError, match=match):
            _two_at_once(core, model, server, held)
    assert (len(server.requests), core.waits) == (1, [])


def _two_at_once(caller: Caller, model, server: RawServer, held: threading.Event) -> None:
    if caller.is_async:
        asyncio.run(_two_tasks(caller, model, server, held))
        return
    first = threading.Thread(target=caller.ask, args=(model,))
    first.start()
    server.asked.wait(5)
    try:
        caller.twin().ask(model)
    finally:
        held.set()
        first.join()
        model.close()


async def _two_tasks(caller: Caller, model, server: RawServer, held: threading.Event) -> None:
    first = asyncio.create_task(caller.aask(model))
    await asyncio.to_thread(server.asked.wait, 5)
    try:
        await caller.twin().aask(model)
    finally:
        held.set()
        await asyncio.gather(first, return_exceptions=True)
        await caller.aclose(model)


@table(
    {"httpx2": httpx2.Timeout(7, read=0.1), "two": (7, 0.1), "four": (7, 0.1, 7, 7)},
    "two",
)
def test_the_limits_may_be_given_one_by_one(caller: Caller, case):
    limits = {"timeout": case, "total_timeout": 10, "max_retries": 0}
    with RawServer([UntilGone()]) as server:
        caller.fails(server, APITimeoutError, r"next piece.*0\.1 s", **limits)


def test_no_limit_at_all_is_possible(caller: Caller):
    with RawServer(caller.hello) as server:
        assert caller(server, timeout=httpx2.Timeout(None)).text == "hello"


@pytest.mark.parametrize("library", ["core", *FRAMEWORKS])
def test_limits_that_cannot_be_are_refused_at_once(library):
    for total in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="total_timeout"):
            Caller(library, "chat").model(NOWHERE, total_timeout=total)
    for timeout in ((1,), (1, 2, 3, 4, 5), (1, -1), (1, float("nan"))):
        with pytest.raises(ConfigurationError, match="timeout"):
            Caller(library, "chat").model(NOWHERE, timeout=timeout)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_limits_given_one_by_one_can_be_stored(framework):
    model = Caller(framework, "chat").model(NOWHERE, timeout=httpx2.Timeout(7, read=9))
    assert model.timeout == (7, 9, 7, 7)
    assert "[7.0,9.0,7.0,7.0]" in model.model_dump_json().replace(" ", "")


def test_a_slow_stream_of_single_bytes_is_read(streaming_core: Caller):
    data = b"".join(chunk(frame(word)) for word in "ab") + chunk(frame("", "stop")) + SSE_END
    with RawServer([SSE_HEAD, Drip(data, size=7)]) as server:
        assert streaming_core(server, total_timeout=30).text == "ab"
