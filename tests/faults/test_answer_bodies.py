"""Bodies of a good status: which are an answer, and which only look like one."""

from __future__ import annotations

import gzip
import threading
import zlib

import pytest

from dashscope_oss.errors import (
    AuthenticationError,
    DashScopeError,
    ProtocolError,
)

from .callers import Caller, tool_calls_of, usage_of
from .matrix import table
from .server import (
    SSE,
    Close,
    RawServer,
    answer,
    as_bytes,
    chunk,
    chunked_head,
    deflated,
    frame,
    gzipped,
    message_frame,
    message_reply,
    sse,
    text_reply,
)


def test_an_answer_is_read(caller: Caller):
    with RawServer(caller.hello) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 1


def test_an_answer_is_read_whatever_its_type_says(caller: Caller):
    events = message_frame("hel") + message_frame("lo", "stop")
    for script in (answer(message_reply("hello"), kind="text/html"), answer(events, kind="x")):
        with RawServer(script) as server:
            assert caller(server).text == "hello"


def test_a_page_in_place_of_an_answer_is_an_error(caller: Caller):
    with RawServer(answer(b"<html>log in</html>", kind="text/html")) as server:
        caller.fails(server, ProtocolError, "log in")
    assert len(server.requests) == 1


def test_an_answer_in_parts_is_read(caller: Caller):
    with RawServer(answer(message_reply([{"text": "hel"}, {"text": "lo"}]))) as server:
        assert caller(server).text == "hello"


WRONG = {
    "empty": b"",
    "object": {},
    "tool-nameless": message_reply("", tool_calls=[{"id": "a", "function": {"arguments": "{}"}}]),
    "cut": b'{"output":{"text":"hel',
}


def test_a_body_of_another_shape_is_an_error_and_never_an_empty_answer(caller: Caller):
    """And it was paid for: nobody asks for it again."""
    for body in WRONG.values():
        for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
            with RawServer(script) as server:
                error = caller.fails(server, ProtocolError)
            assert error.status_code == 200
            assert (len(server.requests), caller.waits) == (1, [])


def test_an_error_in_a_body_of_status_200_is_an_error(caller: Caller):
    body = {"code": "InvalidApiKey", "message": "no", "request_id": "r"}
    for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
        with RawServer(script) as server:
            assert caller.fails(server, AuthenticationError).message == "no"


def test_a_model_that_said_nothing_gives_an_empty_answer(caller: Caller):
    for body in (message_reply(""), message_reply(None), message_reply([]), text_reply("", "stop")):
        with RawServer(answer(body)) as server:
            assert caller(server).text == ""


COUNTS = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def test_usage_is_what_was_reported_or_none(caller: Caller):
    for reported, expected in (
        ({"input_tokens": 3, "output_tokens": 4, "new": {"a": 1}}, COUNTS),
        (dict.fromkeys(COUNTS, 0), None),
        (None, None),
    ):
        body = {**message_reply("hello"), "usage": reported}
        for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
            with RawServer(script) as server:
                usage = usage_of(caller(server))
            assert (usage and {name: usage[name] for name in COUNTS}) == expected


def test_the_missing_half_of_a_usage_is_never_filled_with_zeros(caller: Caller):
    with RawServer(answer(message_reply("hello", usage={"input_tokens": 3}))) as server:
        assert usage_of(caller(server)) in (None, {"input_tokens": 3})


def test_arguments_of_a_tool_that_come_as_an_object_are_kept(caller: Caller):
    call = {"id": "a", "function": {"name": "look", "arguments": {"at": "苏"}}}
    with RawServer(answer(message_reply("", "tool_calls", tool_calls=[call]))) as server:
        (tool_call,) = tool_calls_of(caller(server))
    assert "look" in str(tool_call)
    assert "苏" in str(tool_call)


@pytest.mark.parametrize("compressed", [gzipped, deflated])
def test_a_compressed_answer_is_read(caller: Caller, compressed):
    for script in (
        compressed(message_reply("hello")),
        compressed(frame("hel") + frame("lo", "stop"), kind=SSE),
    ):
        with RawServer(script) as server:
            assert caller(server).text == "hello"


@table(["gzip", "deflate", "zstd", "gzip, gzip"], "gzip")
def test_an_answer_that_cannot_be_decompressed_is_an_error(caller: Caller, case):
    script = answer(b"not compressed", headers=[("Content-Encoding", case)])
    with RawServer(script) as server:
        caller.fails(server, ProtocolError, "decompressed")
    assert len(server.requests) == 1


@table(["gzip, gzip", "br", "zstd"], in_turns=False)
def test_a_coding_that_nobody_asked_for_is_refused_unread(caller: Caller, case):
    """A kilobyte that was packed twice may hold gigabytes."""
    packed = gzip.compress(gzip.compress(as_bytes(message_reply("hello"))))
    with RawServer(answer(packed, headers=[("Content-Encoding", case)])) as server:
        caller.fails(server, ProtocolError, "decompressed.*Content-Encoding")
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_a_compressed_stream_that_breaks_leaves_its_text(streaming: Caller):
    packer = zlib.compressobj()
    whole = packer.compress(message_frame("hel")) + packer.flush(zlib.Z_FULL_FLUSH)
    head = chunked_head(kind=SSE, headers=[("Content-Encoding", "deflate")])
    seen = threading.Event()
    streaming.on_piece = lambda _: seen.set()
    with RawServer([head, chunk(whole), seen, chunk(b"no deflate"), Close()]) as server:
        error = streaming.fails(server, ProtocolError, "decompressed")
    assert error.partial_text == "hel"


def test_a_compressed_answer_that_was_cut_is_an_error(core: Caller):
    coded = [("Content-Encoding", "gzip")]
    whole = gzip.compress(as_bytes(message_reply("hello")))
    events = gzip.compress(message_frame("hello") + message_frame("", "stop"))
    for missing in (14, 40, 110):
        with RawServer(answer(whole[:-missing], headers=coded)) as server:
            core.fails(server, ProtocolError)
        with RawServer(answer(events[:-missing], kind=SSE, headers=coded)) as server:
            core.fails(server, DashScopeError)


def test_control_characters_and_emoji_of_an_answer_are_kept(caller: Caller):
    text = "a\x00b\x1b\u2028\u202e🏯é\r\n\t"
    for script in (answer(message_reply(text)), answer(message_frame(text, "stop"), kind=SSE)):
        with RawServer(script) as server:
            assert caller(server).text == text
