"""Streams: however they are framed and cut, and every way in which they end too soon."""

from __future__ import annotations

import gzip
import threading

import pytest

from dashscope_oss.errors import (
    APIConnectionError,
    APITimeoutError,
    ContentBlockedError,
    DashScopeError,
    ProtocolError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.protocol import assembler
from dashscope_oss.protocol.streaming import sse as sse_module

from .callers import MODES, Caller, tool_calls_of, usage_of
from .matrix import STREAMING, WHOLE, table
from .server import (
    SSE,
    SSE_END,
    SSE_HEAD,
    Close,
    Cut,
    Drip,
    Endless,
    RawServer,
    UntilGone,
    answer,
    as_bytes,
    chunk,
    error_frame,
    frame,
    head,
    message_frame,
    message_reply,
    sse,
    stream,
)

TEXT = "故宫 🏯 hello"
EVENTS = message_frame("故宫 ") + message_frame("🏯 ") + message_frame("hello", "stop")
COMMENT = b": keep-alive\n\n"

FRAMINGS = {
    "lf": EVENTS,
    "crlf": EVENTS.replace(b"\n", b"\r\n"),
    "cr": EVENTS.replace(b"\n", b"\r"),
    "bom": b"\xef\xbb\xbf" + EVENTS,
    "blank-first": b"\n\r\n\n" + EVENTS,
    "no-blank-lines": EVENTS.replace(b"\n\n", b"\n"),
    "no-last-line-end": EVENTS.rstrip(b"\n"),
    "space-after-colon": EVENTS.replace(b"data:", b"data: ").replace(b"event:", b"event: "),
    "data-only": b"".join(line + b"\n\n" for line in EVENTS.split(b"\n") if line[:4] == b"data"),
    "comments": COMMENT + EVENTS.replace(b"id:1", COMMENT + b":\nid:1") + COMMENT,
    "unknown-fields": EVENTS.replace(b"id:1", b"retry: 5\nfoo: bar\nbaz\nid:1"),
    "unknown-field-first": b"foo: bar\n\n" + EVENTS,
    "ping": b"event: ping\ndata: now\n\n" + EVENTS + b"event: ping\ndata: {}\n\n",
    "empty-data": b"data:\n\n" + EVENTS,
    "done": EVENTS + b"data: [DONE]\n\n",
    "several-data-lines": EVENTS.replace(b'"output": ', b'"output":\ndata:'),
    "output-null": b'data:{"output":null,"request_id":"r"}\n\n' + EVENTS,
    "choices-empty": b'data:{"output":{"choices":[]}}\n\n' + EVENTS,
    "content-null": message_frame(None) + EVENTS,
    "after-the-end": EVENTS + message_frame("more") + b"data: garbage\n\n",
    "error-after-the-end": EVENTS + error_frame(500, "InternalError", "late"),
}


@table(FRAMINGS, "lf", "ping", aiohttp=True)
def test_every_framing_is_read(caller: Caller, case):
    with RawServer([SSE_HEAD, chunk(case), SSE_END]) as server:
        assert caller(server).text == TEXT


@table(
    {name: FRAMINGS[name] for name in ("lf", "crlf", "cr", "bom", "no-blank-lines")},
    "crlf",
    core=STREAMING,
    modes=STREAMING,
)
def test_a_stream_in_single_bytes_is_read(caller: Caller, case):
    """Packets end inside characters, line ends and the byte order mark."""
    pieces = b"".join(chunk(bytes([byte])) for byte in case)
    with RawServer([SSE_HEAD, Drip(pieces, size=6), SSE_END]) as server:
        assert caller(server).text == TEXT


def test_several_events_in_a_packet_are_several_pieces(streaming: Caller):
    with RawServer([SSE_HEAD + chunk(EVENTS) + SSE_END]) as server:
        streaming(server)
    assert [piece for piece in streaming.pieces if piece] == ["故宫 ", "🏯 ", "hello"]


def test_a_stream_without_a_length_ends_with_its_connection(core: Caller):
    for version in ("1.0", "1.1"):
        with RawServer([head(kind=SSE, version=version) + EVENTS, Close()]) as server:
            assert core(server).text == TEXT


def test_texts_where_messages_were_asked_for_are_read(caller: Caller):
    with RawServer(stream(frame("hel"), frame("lo", "stop"))) as server:
        assert caller(server).text == "hello"


def test_usage_is_that_of_the_last_event_and_no_sum(caller: Caller):
    first = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    last = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    replies = [message_reply("a", "null", first), message_reply("b", "stop", last)]
    with RawServer(stream(*(sse(as_bytes(reply)) for reply in replies))) as server:
        usage = usage_of(caller(server))
    assert {name: usage[name] for name in last} == last


def test_pieces_of_a_tool_call_without_an_index_are_one_call(streaming: Caller):
    first = {"id": "a", "function": {"name": "look", "arguments": '{"at"'}}
    rest = {"function": {"arguments": ':"home"}'}}
    script = stream(
        message_frame("", tool_calls=[first]),
        message_frame("", tool_calls=[rest]),
        message_frame("", "tool_calls"),
    )
    with RawServer(script) as server:
        (tool_call,) = tool_calls_of(streaming(server))
    assert "home" in str(tool_call)


def test_a_tool_call_that_nobody_names_is_an_error(streaming: Caller):
    call = {"index": 0, "id": "a", "function": {"arguments": "{}"}}
    script = stream(message_frame("", tool_calls=[call]), message_frame("", "tool_calls"))
    with RawServer(script) as server:
        streaming.fails(server, ProtocolError, "without naming it")


BROKEN = {
    "no-finish": message_frame(""),
    "finish-of-no-text": message_frame("", None).replace(b'"r-1"', b'"r-1","finish_reason":5'),
    "done": b"data: [DONE]\n\n",
    "half-an-event": b'data:{"outp',
    "no-json": b"data: garbage\n\n",
    "json-cut": b'data:{"output":\n\n',
    "list": b"data:[1]\n\n",
    "null": b"data:null\n\n",
    "no-utf8": b'data:{"output":{"text":"\xff"}}\n\n',
    "half-a-character": b'data:{"output":{"text":"\\ud83d"}}\n\n',
    "deep": b"data:" + b"[" * 100_000 + b"\n\n",
    "number": message_frame(5),
    "page": b"<html>bad gateway</html>",
    "error-without-words": b"event:error\ndata:\n\n",
}


@table(BROKEN, "done", "half-an-event", "list", core=["stream"], modes=STREAMING)
def test_a_stream_that_goes_wrong_is_an_error_with_the_text_so_far(caller: Caller, case):
    """Whoever streams has the pieces, and the error has them too; nothing is tried again."""
    with RawServer(stream(message_frame("hel"), message_frame("lo"), case)) as server:
        error = caller.fails(server, ProtocolError)
    assert error.partial_text == "hello" == "".join(caller.pieces)
    assert (error.status_code, error.request_id) == (200, "r-1")
    assert len(server.requests) == 1


@table(BROKEN, "half-an-event", core=["chat"], modes=WHOLE)
def test_a_stream_that_nobody_asked_for_and_that_goes_wrong_is_an_error(caller: Caller, case):
    with RawServer(stream(message_frame("hello"), case)) as server:
        caller.fails(server, ProtocolError)


@table(
    {
        f"{how}-{where}": (rest, end)
        for how, end in {"reset": Cut(), "close": Close()}.items()
        for where, rest in {
            "between-chunks": b"",
            "in-a-chunk": b"ff\r\nid:",
            "in-an-event": chunk(b'data:{"out'),
        }.items()
    },
    "reset-between-chunks",
    "close-in-an-event",
    core=STREAMING,
    modes=STREAMING,
    aiohttp=True,
)
def test_a_connection_that_breaks_in_a_stream_is_an_error_with_the_text(caller: Caller, case):
    rest, end = case
    seen = threading.Event()
    caller.on_piece = lambda _: seen.set()
    with RawServer([SSE_HEAD, chunk(message_frame("hel")), seen, rest, end]) as server:
        error = caller.fails(server, APIConnectionError, "middle of the answer: .*[a-z]")
    assert (error.partial_text, caller.pieces) == ("hel", ["hel"])
    assert (len(server.requests), caller.waits) == (1, [])


def test_a_stall_in_a_stream_is_a_timeout_with_the_text(streaming: Caller):
    with RawServer([SSE_HEAD, chunk(message_frame("hel")), UntilGone()]) as server:
        limits = {"timeout": 0.8, "total_timeout": 20}
        error = streaming.fails(server, APITimeoutError, "next piece.*0.8 s", **limits)
    assert (error.partial_text, streaming.pieces) == ("hel", ["hel"])
    assert len(server.requests) == 1


def test_a_stream_that_flows_slowly_is_never_cut(streaming: Caller):
    """Its pieces come in time, though all of them together take longer than the limit."""
    pieces = [message_frame(letter) for letter in "slowly"]
    body = b"".join(map(chunk, [*pieces, message_frame("", "stop")]))
    size = len(chunk(pieces[0]))
    with RawServer([SSE_HEAD, Drip(body, 0.2, size), SSE_END]) as server:
        assert streaming(server, timeout=1, total_timeout=1).text == "slowly"


@pytest.mark.parametrize("end", [Cut(), Close(), UntilGone()], ids=["reset", "close", "stall"])
def test_what_becomes_of_the_connection_behind_a_whole_stream_harms_nobody(streaming: Caller, end):
    with RawServer([SSE_HEAD, chunk(EVENTS), end]) as server:
        assert streaming(server, timeout=0.8).text == TEXT
    assert len(server.requests) == 1


ERROR_EVENTS = {
    "blocked": (error_frame(400, "DataInspectionFailed", "no"), ContentBlockedError),
    "rate": (error_frame(429, "Throttling.RateQuota", "slow"), RateLimitError),
    "status": (error_frame(500, "Unheard.Of", "no"), ServerError),
    "no-json": (b":HTTP_STATUS/503\nevent:error\ndata:no JSON\n\n", ServerError),
    "no-data": (b"event:error\n:HTTP_STATUS/503\n\n", ServerError),
    "comment": (b":HTTP_STATUS/429\n\n", RateLimitError),
    "no-event": (
        b'data:{"code":"Throttling","message":"slow","request_id":"r-1"}\n\n',
        RateLimitError,
    ),
    "bare": (b'event:error\ndata:{"code":"InternalError","message":"no"}\n\n', ServerError),
}


@table(ERROR_EVENTS, "blocked", "no-event", core=["stream"], modes=STREAMING)
def test_an_error_in_the_middle_keeps_the_text_and_is_not_tried_again(caller: Caller, case):
    event, kind = case
    with RawServer(stream(message_frame("hel"), message_frame("lo"), event)) as server:
        error = caller.fails(server, kind)
    assert (error.partial_text, error.request_id) == ("hello", "r-1")
    assert (len(server.requests), caller.waits) == (1, [])


def test_the_status_of_the_comment_goes_before_that_of_the_head(core: Caller):
    with RawServer(stream(error_frame(401, "Unheard.Of", "no"))) as server:
        assert core.fails(server, DashScopeError).status_code == 401


@table(
    {"nothing": b"", "comment": COMMENT, "empty-data": b"data:\n\n", "done": b"data: [DONE]\n\n"},
    "nothing",
    core=["stream"],
    modes=STREAMING,
)
def test_an_empty_stream_is_an_error(caller: Caller, case):
    script = [SSE_HEAD, chunk(case), SSE_END] if case else [SSE_HEAD, SSE_END]
    with RawServer(script) as server:
        caller.fails(server, ProtocolError, "without an answer")
    assert len(server.requests) == 1


# Size


@table(
    {
        "line": b"data:" + b"x" * 999,
        "data-lines": b"data:x\n",
        "empty-lines": b"data:\n",
        "comment": b": " + b"x" * 999,
        "field": b"x" * 999,
        "blanks": b" " * 999,
    },
    "line",
)
def test_a_line_or_event_without_end_is_an_error(caller: Caller, monkeypatch, case):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 50_000)
    with RawServer([head(kind=SSE), Endless(case)]) as server:
        caller.fails(server, ProtocolError, "longer than 50000 bytes")


@table(["application/json", SSE, "text/html"], "application/json", core=MODES)
def test_a_body_without_end_is_an_error(caller: Caller, monkeypatch, case):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 200_000)
    with RawServer([head(kind=case), b'{"output":{"text":"', Endless(b"x" * 65_536)]) as server:
        caller.fails(server, ProtocolError, "longer than 200000 bytes")
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["text", "reasoning_content"])
def test_an_answer_that_never_ends_is_an_error_with_its_text(streaming: Caller, monkeypatch, name):
    monkeypatch.setattr(assembler, "MAX_ANSWER_CHARACTERS", 5_000)
    piece = message_frame(**{"text": "", name: "x" * 500})
    with RawServer([head(kind=SSE), Endless(piece)]) as server:
        error = streaming.fails(server, ProtocolError, "longer than 5000 characters")
    assert len(error.partial_text or "") == (5_500 if name == "text" else 0)


def test_a_small_body_that_unpacks_to_a_huge_one_is_an_error(core: Caller, monkeypatch):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 200_000)
    bomb = gzip.compress(b"data:" + b"x" * 5_000_000)
    for kind in ("application/json", SSE):
        coded = answer(bomb, kind=kind, headers=[("Content-Encoding", "gzip")])
        with RawServer(coded) as server:
            core.fails(server, ProtocolError, "longer than 200000 bytes")
