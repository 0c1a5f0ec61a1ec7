"""Bodies of a good status: what is an answer, and what only looks like one."""

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

from .callers import Caller, usage_of
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

TYPES = [None, "text/html", "text/plain", "application/json; charset=gbk", SSE, SSE.upper(), "x"]


@pytest.mark.parametrize("kind", TYPES)
def test_json_is_read_whatever_its_type_says(caller: Caller, kind):
    with RawServer(answer(message_reply("hello"), kind=kind)) as server:
        assert caller(server).text == "hello"


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_is_read_whatever_its_type_says(caller: Caller, kind):
    body = message_frame("hel") + message_frame("lo", "stop")
    with RawServer(answer(body, kind=kind)) as server:
        assert caller(server).text == "hello"


@pytest.mark.parametrize("kind", [None, "text/html", "application/json", SSE])
@pytest.mark.parametrize("body", [b"<html>no</html>", b"upstream timed out", b"", b" \n"])
def test_what_is_no_answer_is_an_error_whatever_its_type_says(caller: Caller, kind, body):
    with RawServer(answer(body, kind=kind)) as server:
        caller.fails(server, ProtocolError, r"not JSON|is empty|without an answer")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        text_reply("hello"),
        message_reply("hello"),
        message_reply([{"text": "hel"}, {"text": "lo"}]),
        {"output": {"text": None, "choices": message_reply("hello")["output"]["choices"]}},
        {"output": {"text": "hello", "choices": None}},
        {"output": {"text": "hello", "choices": []}},
        {"output": {"text": "hello", "finish_reason": None}},
        {"output": {"text": "hello", "finish_reason": "unheard_of"}},
        {"output": {"text": "hello", "finish_reason": 5}},
        {"output": {"text": "hello", "new": {"a": [1]}}, "newer": 1, "usage": None},
        {"code": "", "message": "", "status_code": 200, "output": {"text": "hello"}},
        {"code": 200, "output": {"text": "hello"}},
        {"code": "Success", "output": {"text": "hello"}},
        message_reply("hello", tool_calls=None, reasoning_content=None),
        b'\xef\xbb\xbf{"output":{"text":"hello"}}',
        b' \n{"output":{"text":"hello"}}\n ',
        b'{"output":{"text":"hello"},"x":1e999,"y":NaN}',
    ],
    ids=str,
)
def test_an_answer_in_every_shape(caller: Caller, body):
    with RawServer(answer(body)) as server:
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
    "content-of-a-picture": message_reply([{"image": "x"}]),
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


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_is_no_answer_is_an_error_and_never_an_empty_one(caller: Caller, body):
    with RawServer(answer(body)) as server:
        error = caller.fails(server, ProtocolError)
    assert error.status_code == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", [name for name in WRONG if name != "a-line-break-in-text"])
def test_what_is_no_event_is_an_error_and_never_an_empty_answer(caller: Caller, name):
    with RawServer(answer(sse(as_bytes(WRONG[name])), kind=SSE)) as server:
        caller.fails(server, ProtocolError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "InvalidApiKey", "message": "no", "request_id": "r-1"}, AuthenticationError),
        ({"code": "InvalidApiKey", "message": "no", "output": None}, AuthenticationError),
        ({"code": "InvalidApiKey", "message": "no", "output": {"text": ""}}, AuthenticationError),
        ({"error": {"code": "invalid_api_key", "message": "no"}}, AuthenticationError),
        ({"error": "no"}, ProtocolError),
        ({"status_code": 400, "message": "no"}, InvalidRequestError),
        ({"code": 400, "message": "no"}, InvalidRequestError),
    ],
    ids=str,
)
def test_an_error_in_a_body_of_status_200_is_an_error(caller: Caller, body, kind):
    for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
        with RawServer(script) as server:
            assert caller.fails(server, kind).message == "no"


def test_an_empty_answer_of_the_model_is_one(caller: Caller):
    """The one thing that may look like nothing: a model that said nothing, in so many words."""
    for body in (message_reply(""), message_reply(None), message_reply([]), text_reply("", "stop")):
        with RawServer(answer(body)) as server:
            assert caller(server).text == ""


GOOD = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (GOOD, GOOD),
        ({"input_tokens": 3, "output_tokens": 4, "new": {"a": 1}}, GOOD),
        ({**GOOD, "prompt_tokens_details": "none"}, GOOD),
        (None, None),
        ({}, None),
        ([1], None),
        ("many", None),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
        ({"input_tokens": "3", "output_tokens": "4"}, None),
        ({"input_tokens": -3, "output_tokens": -4}, None),
        ({"input_tokens": True, "output_tokens": False}, None),
        ({"total_tokens": 7}, None),
    ],
    ids=str,
)
def test_usage_is_what_was_reported_or_none(caller: Caller, said, counted):
    body = {**message_reply("hello"), "usage": said}
    for script in (answer(body), answer(sse(as_bytes(body)), kind=SSE)):
        with RawServer(script) as server:
            answered = caller(server)
        found = usage_of(answered)
        assert answered.text == "hello"
        assert (found and {name: found[name] for name in GOOD}) == counted


def test_half_of_a_usage_is_never_filled_with_noughts(caller: Caller):
    with RawServer(answer(message_reply("hello", usage={"input_tokens": 3}))) as server:
        assert usage_of(caller(server)) in (None, {"input_tokens": 3})


def test_arguments_of_a_tool_that_come_as_an_object_are_kept(caller: Caller):
    call = {"id": "a", "function": {"name": "look", "arguments": {"at": "苏"}}}
    with RawServer(answer(message_reply("", "tool_calls", tool_calls=[call]))) as server:
        last = caller(server).last
    found = last if caller.framework == "langchain" else last.message
    listed = getattr(found, "tool_calls", None) or found.additional_kwargs["tool_calls"]
    assert "look" in str(listed)
    assert "苏" in str(listed)


@pytest.mark.parametrize("packed", [gzipped, deflated])
def test_a_compressed_answer_is_read(caller: Caller, packed):
    with RawServer(packed(message_reply("hello"))) as server:
        assert caller(server).text == "hello"
    with RawServer(packed(frame("hel") + frame("lo", "stop"), kind=SSE)) as server:
        assert caller(server).text == "hello"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "gzip, gzip"])
def test_an_answer_that_cannot_be_decompressed_is_an_error(caller: Caller, coding):
    script = answer(b"not compressed", headers=[("Content-Encoding", coding)])
    with RawServer(script) as server:
        caller.fails(server, ProtocolError, "decompressed")
    assert len(server.requests) == 1


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd"])
def test_a_coding_that_nobody_asked_for_is_refused_unread(caller: Caller, coding):
    """A kilobyte that was packed twice may hold gigabytes."""
    packed = gzip.compress(gzip.compress(as_bytes(message_reply("hello"))))
    with RawServer(answer(packed, headers=[("Content-Encoding", coding)])) as server:
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


@pytest.mark.parametrize("lost", [14, 40, 110])
def test_a_compressed_answer_that_was_cut_is_an_error(caller: Caller, lost):
    data = gzip.compress(as_bytes(message_reply("hello")))[:-lost]
    with RawServer(answer(data, headers=[("Content-Encoding", "gzip")])) as server:
        caller.fails(server, ProtocolError)
    data = gzip.compress(message_frame("hello") + message_frame("", "stop"))[:-lost]
    with RawServer(answer(data, kind=SSE, headers=[("Content-Encoding", "gzip")])) as server:
        caller.fails(server, DashScopeError)


def test_control_characters_and_emoji_of_an_answer_are_kept(caller: Caller):
    text = "a\x00b\x1b\u2028\u202e🏯é\r\n\t"
    for script in (answer(message_reply(text)), answer(message_frame(text, "stop"), kind=SSE)):
        with RawServer(script) as server:
            assert caller(server).text == text
