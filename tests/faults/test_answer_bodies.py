"""Bodies of a good status: which are an answer, and which only look like one."""

from __future__ import annotations

import gzip
import json
import threading
import zlib

import pytest

from dashscope_oss.errors import (
    AuthenticationError,
    DashScopeError,
    InvalidRequestError,
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


TYPES = {
    "none": None,
    "html": "text/html",
    "plain": "text/plain",
    "json-gbk": "application/json; charset=gbk",
    "events": SSE,
    "events-in-capitals": SSE.upper(),
    "x": "x",
}


@table(TYPES, "html")
def test_json_is_read_whatever_its_type_says(caller: Caller, case):
    with RawServer(answer(message_reply("hello"), kind=case)) as server:
        assert caller(server).text == "hello"


@table(TYPES, "json-gbk")
def test_a_stream_is_read_whatever_its_type_says(caller: Caller, case):
    body = message_frame("hel") + message_frame("lo", "stop")
    with RawServer(answer(body, kind=case)) as server:
        assert caller(server).text == "hello"


NO_ANSWERS = {
    f"{name}-as-{kind}": (body, kind)
    for name, body in {
        "page": b"<html>no</html>",
        "words": b"upstream timed out",
        "empty": b"",
        "blank": b" \n",
    }.items()
    for kind in (None, "text/html", "application/json", SSE)
}


@table(NO_ANSWERS, "page-as-text/html")
def test_a_body_without_an_answer_is_an_error_whatever_its_type_says(caller: Caller, case):
    body, kind = case
    with RawServer(answer(body, kind=kind)) as server:
        caller.fails(server, ProtocolError, r"not JSON|is empty|without an answer")
    assert len(server.requests) == 1


CHOICES = message_reply("hello")["output"]["choices"]
SHAPES = {
    "text": text_reply("hello"),
    "message": message_reply("hello"),
    "parts": message_reply([{"text": "hel"}, {"text": "lo"}]),
    "choices-beside-null-text": {"output": {"text": None, "choices": CHOICES}},
    "text-beside-null-choices": {"output": {"text": "hello", "choices": None}},
    "text-beside-no-choices": {"output": {"text": "hello", "choices": []}},
    "finish-null": {"output": {"text": "hello", "finish_reason": None}},
    "finish-unknown": {"output": {"text": "hello", "finish_reason": "unheard_of"}},
    "finish-number": {"output": {"text": "hello", "finish_reason": 5}},
    "new-fields": {"output": {"text": "hello", "new": {"a": [1]}}, "newer": 1, "usage": None},
    "empty-code": {"code": "", "message": "", "status_code": 200, "output": {"text": "hello"}},
    "code-200": {"code": 200, "output": {"text": "hello"}},
    "code-success": {"code": "Success", "output": {"text": "hello"}},
    "null-fields": message_reply("hello", tool_calls=None, reasoning_content=None),
    "byte-order-mark": b'\xef\xbb\xbf{"output":{"text":"hello"}}',
    "blanks-around": b' \n{"output":{"text":"hello"}}\n ',
    "numbers-json-lacks": b'{"output":{"text":"hello"},"x":1e999,"y":NaN}',
}


@table(SHAPES, "text", "parts")
def test_an_answer_is_read_in_every_shape(caller: Caller, case):
    with RawServer(answer(case)) as server:
        assert caller(server).text == "hello"


WRONG = {
    "list": [1, 2],
    "text": "hi",
    "number": 1,
    "null": None,
    "object": {},
    "output-null": {"output": None},
    "output-list": {"output": []},
    "output-text": {"output": "hello"},
    "no-output": {"request_id": "r-1"},
    "choices-empty": {"output": {"choices": []}},
    "choices-null": {"output": {"choices": None}},
    "choices-text": {"output": {"choices": "abc"}},
    "choice-null": {"output": {"choices": [None]}},
    "message-null": {"output": {"choices": [{"message": None, "finish_reason": "stop"}]}},
    "message-text": {"output": {"choices": [{"message": "hello", "finish_reason": "stop"}]}},
    "no-message": {"output": {"choices": [{"finish_reason": "stop"}]}},
    "no-content": {"output": {"choices": [{"message": {}, "finish_reason": "stop"}]}},
    "content-number": message_reply(5),
    "content-object": message_reply({"a": 1}),
    "content-true": message_reply(True),
    "content-numbers": message_reply([1, 2]),
    "part-number": message_reply([{"text": 5}]),
    "text-null": {"output": {"text": None, "finish_reason": "stop"}},
    "text-number": {"output": {"text": 1, "finish_reason": "stop"}},
    "text-list": {"output": {"text": ["hello"], "finish_reason": "stop"}},
    "text-nan": b'{"output":{"text":NaN}}',
    "reasoning-number": message_reply("hello", reasoning_content=5),
    "tools-text": message_reply("", tool_calls="x"),
    "tools-null": message_reply("", tool_calls=[None]),
    "tool-nameless": message_reply("", tool_calls=[{"id": "a", "function": {"arguments": "{}"}}]),
    "openai": {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]},
    "words-only": {"message": "over capacity"},
    "cut": b'{"output":{"text":"hel',
    "two": b'{"output":{"text":"a"}}{"output":{"text":"b"}}',
    "followed": b'{"output":{"text":"a"}} garbage',
    "deep-list": b"[" * 100_000,
    "deep-object": b'{"a":' * 100_000,
    "deep-closed": b'{"output":' * 5000 + b"1" + b"}" * 5000,
    "no-utf8": b'{"output":{"text":"\xff"}}',
    "utf-16": '{"output":{"text":"hello"}}'.encode("utf-16"),
    "gbk": json.dumps(text_reply("故宫"), ensure_ascii=False).encode("gbk"),
    "half-a-character": b'{"output":{"text":"\\ud83d"}}',
    "a-line-break-in-text": b'{"output":{"text":"a\nb"}}',
    "number-of-5000-digits": b'{"output":{"text":"a"},"usage":' + b"9" * 5000 + b"}",
}


@table(WRONG, "object", "tool-nameless", "cut")
def test_a_body_of_another_shape_is_an_error_and_never_an_empty_answer(caller: Caller, case):
    with RawServer(answer(case)) as server:
        error = caller.fails(server, ProtocolError)
    assert error.status_code == 200
    assert len(server.requests) == 1


# A line break ends the event's line, so what is left of it is another case.
WRONG_EVENTS = {name: body for name, body in WRONG.items() if name != "a-line-break-in-text"}


@table(WRONG_EVENTS, "object", "tool-nameless", core=["stream"])
def test_an_event_of_another_shape_is_an_error_and_never_an_empty_answer(caller: Caller, case):
    with RawServer(answer(sse(as_bytes(case)), kind=SSE)) as server:
        caller.fails(server, ProtocolError)
    assert len(server.requests) == 1


ERRORS = {
    "code": ({"code": "InvalidApiKey", "message": "no", "request_id": "r"}, AuthenticationError),
    "null-output": (
        {"code": "InvalidApiKey", "message": "no", "output": None},
        AuthenticationError,
    ),
    "empty-text": (
        {"code": "InvalidApiKey", "message": "no", "output": {"text": ""}},
        AuthenticationError,
    ),
    "openai": ({"error": {"code": "invalid_api_key", "message": "no"}}, AuthenticationError),
    "openai-text": ({"error": "no"}, ProtocolError),
    "status": ({"status_code": 400, "message": "no"}, InvalidRequestError),
    "code-number": ({"code": 400, "message": "no"}, InvalidRequestError),
}


@table(ERRORS, "code")
def test_an_error_in_a_body_of_status_200_is_an_error(caller: Caller, case):
    body, kind = case
    for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
        with RawServer(script) as server:
            assert caller.fails(server, kind).message == "no"


def test_a_model_that_said_nothing_gives_an_empty_answer(caller: Caller):
    for body in (message_reply(""), message_reply(None), message_reply([]), text_reply("", "stop")):
        with RawServer(answer(body)) as server:
            assert caller(server).text == ""


COUNTS = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
USAGES = {
    "whole": (COUNTS, COUNTS),
    "no-total": ({"input_tokens": 3, "output_tokens": 4, "new": {"a": 1}}, COUNTS),
    "odd-details": ({**COUNTS, "prompt_tokens_details": "none"}, COUNTS),
    "null": (None, None),
    "empty": ({}, None),
    "list": ([1], None),
    "text": ("many", None),
    "zeros": ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
    "texts": ({"input_tokens": "3", "output_tokens": "4"}, None),
    "negative": ({"input_tokens": -3, "output_tokens": -4}, None),
    "booleans": ({"input_tokens": True, "output_tokens": False}, None),
    "only-total": ({"total_tokens": 7}, None),
}


@table(USAGES, "no-total", "zeros", core=["chat"])
def test_usage_is_what_was_reported_or_none(caller: Caller, case):
    reported, expected = case
    body = {**message_reply("hello"), "usage": reported}
    for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
        with RawServer(script) as server:
            answered = caller(server)
        usage = usage_of(answered)
        assert answered.text == "hello"
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


@table({"gzip": gzipped, "deflate": deflated}, "gzip", core=["chat", "stream", "achat", "astream"])
def test_a_compressed_answer_is_read(caller: Caller, case):
    with RawServer(case(message_reply("hello"))) as server:
        assert caller(server).text == "hello"
    with RawServer(case(frame("hel") + frame("lo", "stop"), kind=SSE)) as server:
        assert caller(server).text == "hello"


@table(["gzip", "deflate", "zstd", "gzip, gzip"], "gzip")
def test_an_answer_that_cannot_be_decompressed_is_an_error(caller: Caller, case):
    script = answer(b"not compressed", headers=[("Content-Encoding", case)])
    with RawServer(script) as server:
        caller.fails(server, ProtocolError, "decompressed")
    assert len(server.requests) == 1


@table(["gzip, gzip", "br", "zstd"], "gzip, gzip")
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


@pytest.mark.parametrize("missing", [14, 40, 110])
def test_a_compressed_answer_that_was_cut_is_an_error(core: Caller, missing):
    data = gzip.compress(as_bytes(message_reply("hello")))[:-missing]
    with RawServer(answer(data, headers=[("Content-Encoding", "gzip")])) as server:
        core.fails(server, ProtocolError)
    data = gzip.compress(message_frame("hello") + message_frame("", "stop"))[:-missing]
    with RawServer(answer(data, kind=SSE, headers=[("Content-Encoding", "gzip")])) as server:
        core.fails(server, DashScopeError)


def test_control_characters_and_emoji_of_an_answer_are_kept(caller: Caller):
    text = "a\x00b\x1b\u2028\u202e🏯é\r\n\t"
    for script in (answer(message_reply(text)), answer(message_frame(text, "stop"), kind=SSE)):
        with RawServer(script) as server:
            assert caller(server).text == text
