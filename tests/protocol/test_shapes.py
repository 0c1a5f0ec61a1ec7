"""Bodies of a good status: which are an answer, and which only look like one.

Each is read as a whole call and as a stream, as the transport reads them.
"""

from __future__ import annotations

import json
import re

from dashscope_oss import chat_request, find_model
from dashscope_oss.errors import (
    AuthenticationError,
    ContentBlockedError,
    DashScopeError,
    InvalidRequestError,
    ProtocolError,
    RateLimitError,
    ServerError,
)
from dashscope_oss.messages import Message
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.faults.server import (
    SSE,
    as_bytes,
    error_frame,
    frame,
    message_frame,
    message_reply,
    sse,
    text_reply,
)

REQUEST = chat_request(find_model("deepseek-v4-flash"), [Message("user", "question")])
JSON = "application/json"


def read_whole(body: bytes, kind: str) -> str:
    return reply_in(REQUEST, body, None, None, kind).text


def read_streamed(body: bytes, kind: str) -> str:
    assembler = Assembler(REQUEST)
    assembler.begin(None, None, kind)
    return join_deltas([*assembler.feed(body), *assembler.close()]).text


def outcomes(body: object, kind: str = JSON) -> tuple[str | DashScopeError, ...]:
    """Return what a call and a stream make of a body: their text, or their error."""
    results: list[str | DashScopeError] = []
    for read in (read_whole, read_streamed):
        try:
            results.append(read(as_bytes(body), kind))
        except DashScopeError as error:
            results.append(error)
    return tuple(results)


TYPES = ("", "text/html", "text/plain", "application/json; charset=gbk", SSE, SSE.upper(), "x")


def test_an_answer_is_read_whatever_its_type_says():
    events = message_frame("hel") + message_frame("lo", "stop")
    texts = {
        (kind, name): outcomes(body, kind)
        for kind in TYPES
        for name, body in {"JSON": message_reply("hello"), "events": events}.items()
    }
    assert texts == dict.fromkeys(texts, ("hello", "hello"))


def test_a_body_without_an_answer_is_an_error_whatever_its_type_says():
    wrong = {
        (body, kind): outcome
        for body in (b"<html>no</html>", b"upstream timed out", b"", b" \n")
        for kind in ("", "text/html", JSON, SSE)
        for outcome in outcomes(body, kind)
        if not is_no_answer(outcome)
    }
    assert wrong == {}


def is_no_answer(outcome: str | DashScopeError) -> bool:
    return isinstance(outcome, ProtocolError) and bool(
        re.search("not JSON|is empty|without an answer", str(outcome))
    )


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


def test_an_answer_is_read_in_every_shape():
    texts = {name: outcomes(body) for name, body in SHAPES.items()}
    assert texts == dict.fromkeys(SHAPES, ("hello", "hello"))


WRONG = {
    "list": [1, 2],
    "text": "hi",
    "number": 1,
    "null": None,
    "object": {},
    "output-null": {"output": None},
    "output-list": {"output": []},
    "output-text": {"output": "hello"},
    "output-empty": {"output": {}},
    "no-output": {"request_id": "r-1"},
    "choices-empty": {"output": {"choices": []}},
    "choices-null": {"output": {"choices": None}},
    "choices-text": {"output": {"choices": "abc"}},
    "choice-null": {"output": {"choices": [None]}},
    "choice-text": {"output": {"choices": ["x"]}},
    "only-a-second-choice": {"output": {"choices": [{"index": 1, "message": {"content": "hi"}}]}},
    "message-null": {"output": {"choices": [{"message": None, "finish_reason": "stop"}]}},
    "message-text": {"output": {"choices": [{"message": "hello", "finish_reason": "stop"}]}},
    "no-message": {"output": {"choices": [{"finish_reason": "stop"}]}},
    "no-content": {"output": {"choices": [{"message": {}, "finish_reason": "stop"}]}},
    "only-a-role": {"output": {"choices": [{"message": {"role": "assistant"}}]}},
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


def test_a_body_of_another_shape_is_an_error_and_never_an_empty_answer():
    answered = {
        name: outcome
        for name, body in WRONG.items()
        for outcome in outcomes(body)
        if not isinstance(outcome, ProtocolError)
    }
    assert answered == {}


def test_an_event_of_another_shape_is_an_error_and_never_an_empty_answer():
    """A line break ends the line of an event: what is left of it is another case."""
    answered = {
        name: outcome
        for name, body in WRONG.items()
        for outcome in outcomes(sse(as_bytes(body)), SSE)
        if name != "a-line-break-in-text" and not isinstance(outcome, ProtocolError)
    }
    assert answered == {}


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


def test_an_error_in_a_body_of_status_200_is_an_error():
    for name, (body, kind) in ERRORS.items():
        for error in [*outcomes(body), *outcomes(sse(as_bytes(body)), SSE)]:
            assert isinstance(error, kind), (name, error)
            assert error.message == "no", name


def test_a_model_that_said_nothing_gives_an_empty_answer():
    for body in (message_reply(""), message_reply(None), message_reply([]), text_reply("", "stop")):
        assert outcomes(body) == ("", "")


# Streams

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
    "texts-and-no-messages": frame("故宫 ") + frame("🏯 hello", "stop"),
    "after-the-end": EVENTS + message_frame("more") + b"data: garbage\n\n",
    "error-after-the-end": EVENTS + error_frame(500, "InternalError", "late"),
}


def test_every_framing_is_read():
    texts = {name: outcomes(body, SSE) for name, body in FRAMINGS.items()}
    assert texts == dict.fromkeys(FRAMINGS, (TEXT, TEXT))


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


def test_a_stream_that_goes_wrong_is_an_error_with_the_text_so_far():
    begun = message_frame("hel") + message_frame("lo")
    for name, event in BROKEN.items():
        for error in outcomes(begun + event, SSE):
            assert isinstance(error, ProtocolError), (name, error)
            assert (error.partial_text, error.request_id) == ("hello", "r-1"), name


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


def test_an_error_in_the_middle_keeps_the_text():
    begun = message_frame("hel") + message_frame("lo")
    for name, (event, kind) in ERROR_EVENTS.items():
        for error in outcomes(begun + event, SSE):
            assert isinstance(error, kind), (name, error)
            assert (error.partial_text, error.request_id) == ("hello", "r-1"), name


def test_an_empty_stream_is_an_error():
    for body in (b"", COMMENT, b"data:\n\n", b"data: [DONE]\n\n"):
        assert all(map(is_no_answer, outcomes(body, SSE))), body
