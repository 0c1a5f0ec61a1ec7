"""Streams: however they are framed and cut, and every way in which they end too soon."""

from __future__ import annotations

import gzip
import threading

from dashscope_oss.errors import (
    APIConnectionError,
    APITimeoutError,
    ContentBlockedError,
    ProtocolError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.protocol import assembler
from dashscope_oss.protocol.streaming import sse as sse_module

from .callers import Caller, tool_calls_of, usage_of
from .matrix import STREAMING, every_caller, table
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
    head,
    message_frame,
    message_reply,
    sse,
    stream,
)

TEXT = "故宫 🏯 hello"
EVENTS = message_frame("故宫 ") + message_frame("🏯 ") + message_frame("hello", "stop")
COMMENT = b": keep-alive\n\n"


@every_caller
def test_comments_pings_and_what_follows_the_last_event_are_no_part_of_it(caller: Caller):
    """``tests/protocol/test_shapes.py`` has every framing."""
    ping = b"event: ping\ndata: now\n\n"
    body = COMMENT + ping + EVENTS + message_frame("more") + ping + b"data: garbage\n\n"
    with RawServer([SSE_HEAD, chunk(body), SSE_END]) as server:
        assert caller(server).text == TEXT


def test_a_stream_in_single_bytes_is_read(streaming: Caller):
    """Packets end inside characters, line ends and the byte order mark."""
    events = b"\xef\xbb\xbf" + EVENTS.replace(b"\n", b"\r\n")
    pieces = b"".join(chunk(bytes([byte])) for byte in events)
    with RawServer([SSE_HEAD, Drip(pieces, size=6), SSE_END]) as server:
        assert streaming(server).text == TEXT


def test_several_events_in_a_packet_are_several_pieces(streaming: Caller):
    with RawServer([SSE_HEAD + chunk(EVENTS) + SSE_END]) as server:
        streaming(server)
    assert [piece for piece in streaming.pieces if piece] == ["故宫 ", "🏯 ", "hello"]


def test_a_stream_without_a_length_ends_with_its_connection(core: Caller):
    for version in ("1.0", "1.1"):
        with RawServer([head(kind=SSE, version=version) + EVENTS, Close()]) as server:
            assert core(server).text == TEXT


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
    "no-finish": (message_frame(""), "broke off"),
    "done": (b"data: [DONE]\n\n", "broke off"),
    "half-an-event": (b'data:{"outp', "not JSON"),
    "list": (b"data:[1]\n\n", "not a JSON object"),
}


def test_a_stream_that_goes_wrong_is_an_error_with_the_text_so_far(streaming: Caller):
    """Whoever streams has the pieces, and the error has them too; nothing is tried again."""
    for event, reason in BROKEN.values():
        with RawServer(stream(message_frame("hel"), message_frame("lo"), event)) as server:
            error = streaming.fails(server, ProtocolError, reason)
        assert error.partial_text == "hello" == "".join(streaming.pieces)
        assert (error.status_code, error.request_id) == (200, "r-1")
        assert len(server.requests) == 1


def test_a_stream_that_nobody_asked_for_and_that_goes_wrong_is_an_error(whole: Caller):
    for event, reason in BROKEN.values():
        with RawServer(stream(message_frame("hello"), event)) as server:
            whole.fails(server, ProtocolError, reason)


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


def test_what_becomes_of_the_connection_behind_a_whole_stream_harms_nobody(streaming: Caller):
    for end in (Cut(), Close(), UntilGone()):
        with RawServer([SSE_HEAD, chunk(EVENTS), end]) as server:
            assert streaming(server, timeout=0.8).text == TEXT
        assert len(server.requests) == 1


def test_an_error_in_the_middle_keeps_the_text_and_is_not_tried_again(streaming: Caller):
    throttled = b'data:{"code":"Throttling","message":"slow","request_id":"r-1"}\n\n'
    for event, kind in (
        (error_frame(400, "DataInspectionFailed", "no"), ContentBlockedError),
        (error_frame(500, "InternalError", "no"), ServerError),
        (throttled, RateLimitError),
    ):
        with RawServer(stream(message_frame("hel"), message_frame("lo"), event)) as server:
            error = streaming.fails(server, kind)
        assert (error.partial_text, error.request_id) == ("hello", "r-1")
        assert streaming.pieces == ["hel", "lo"]
        assert (len(server.requests), streaming.waits) == (1, [])


def test_an_empty_stream_is_an_error(streaming: Caller):
    with RawServer([SSE_HEAD, SSE_END]) as server:
        streaming.fails(server, ProtocolError, "without an answer")
    assert len(server.requests) == 1


# Size


ENDLESS = {
    "line": b"data:" + b"x" * 999,
    "data-lines": b"data:x\n",
    "empty-lines": b"data:\n",
    "comment": b": " + b"x" * 999,
    "field": b"x" * 999,
    "blanks": b" " * 999,
}


@table(ENDLESS, "line")
def test_a_line_or_event_without_end_is_an_error(caller: Caller, monkeypatch, case):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 50_000)
    with RawServer([head(kind=SSE), Endless(case)]) as server:
        caller.fails(server, ProtocolError, "longer than 50000 bytes")


@table(["application/json", SSE, "text/html"], "application/json")
def test_a_body_without_end_is_an_error(caller: Caller, monkeypatch, case):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 200_000)
    with RawServer([head(kind=case), b'{"output":{"text":"', Endless(b"x" * 65_536)]) as server:
        caller.fails(server, ProtocolError, "longer than 200000 bytes")
    assert len(server.requests) == 1


def test_an_answer_that_never_ends_is_an_error_with_its_text(streaming: Caller, monkeypatch):
    monkeypatch.setattr(assembler, "MAX_ANSWER_CHARACTERS", 5_000)
    with RawServer([head(kind=SSE), Endless(message_frame("x" * 500))]) as server:
        error = streaming.fails(server, ProtocolError, "longer than 5000 characters")
    assert len(error.partial_text or "") == 5_500


def test_a_small_body_that_unpacks_to_a_huge_one_is_an_error(core: Caller, monkeypatch):
    monkeypatch.setattr(sse_module, "MAX_REPLY_BYTES", 200_000)
    bomb = gzip.compress(b"data:" + b"x" * 5_000_000)
    for kind in ("application/json", SSE):
        coded = answer(bomb, kind=kind, headers=[("Content-Encoding", "gzip")])
        with RawServer(coded) as server:
            core.fails(server, ProtocolError, "longer than 200000 bytes")
