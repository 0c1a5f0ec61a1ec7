"""The log: each try and each retry, with what support asks for, and never a word of the call."""

from __future__ import annotations

import gc
import logging

import pytest

from .callers import KEY, MODEL, Caller
from .server import (
    SSE_HEAD,
    Close,
    RawServer,
    UntilGone,
    answer,
    chunk,
    frame,
    stream,
    text_reply,
)

NAME = "dashscope_oss"


def lines(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == NAME]


def test_the_log_has_a_line_for_each_try_and_each_retry(caller: Caller, caplog):
    """Model, attempt, status, request id and seconds; the reason of a retry; no words."""
    caplog.set_level(logging.DEBUG, NAME)
    good = (
        stream(frame("answer", "stop"))
        if caller.streams
        else answer(text_reply("answer"), headers=[("X-Request-Id", "r-1")])
    )
    busy = answer({"code": "Throttling", "message": "question?", "request_id": "r-0"}, "429 No")
    with RawServer(busy, good) as server:
        caller(server)
    first, retry, second = lines(caplog)
    assert first.startswith(f"model {MODEL}: attempt 1, status 429, request id r-0, 0.")
    assert first.endswith(" s, RateLimitError")
    assert retry.startswith(f"model {MODEL}: again in 0.")
    assert retry.endswith("s after RateLimitError, status 429, code Throttling")
    assert second.startswith(f"model {MODEL}: attempt 2, status 200, request id r-1, 0.")
    assert "question" not in " ".join([first, retry, second])
    assert "answer" not in " ".join([first, retry, second])


def test_the_log_says_which_call_had_no_answer(core: Caller, caplog):
    caplog.set_level(logging.DEBUG, NAME)
    with RawServer([Close()]) as server:
        core.fails(server, max_retries=0)
    (line,) = lines(caplog)
    assert line.startswith(f"model {MODEL}: attempt 1, status None, request id None, 0.")
    assert line.endswith("APIConnectionError")


def test_the_log_says_of_a_stream_that_it_was_stopped(streaming: Caller, caplog):
    caplog.set_level(logging.DEBUG, NAME)

    def stop(_: str) -> None:
        raise LookupError

    streaming.on_piece = stop
    with (
        RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server,
        pytest.raises(LookupError),
    ):
        streaming(server)
    gc.collect()
    (line,) = lines(caplog)
    assert line.endswith("stopped")


def test_nothing_is_logged_above_debug(core: Caller, caplog):
    caplog.set_level(logging.INFO, NAME)
    with RawServer([Close()]) as server:
        core.fails(server, max_retries=1)
    assert lines(caplog) == []


def test_the_log_shows_no_part_of_a_key_that_the_server_repeats(core: Caller, caplog):
    """Also where the key stands at the place at which a long request id is cut."""
    caplog.set_level(logging.DEBUG, NAME)
    page = answer({"code": "X"}, "400 No", headers=[("X-Request-Id", "r" * 190 + KEY)])
    with RawServer(page) as server:
        core.fails(server)
    assert caplog.messages
    assert KEY[:6] not in caplog.text
