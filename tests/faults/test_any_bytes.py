"""Any bytes give an answer or an error of this package, and the same one however they are cut."""

from __future__ import annotations

import json

import httpx2
from hypothesis import example, given
from hypothesis import strategies as st

from dashscope_oss import Message, chat_request, find_model
from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Delta
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.transport.http_errors import error_of_response

from .server import SSE, as_bytes, error_frame, message_frame, message_reply, sse, text_reply

REQUEST = chat_request(find_model("deepseek-v4-flash"), [Message("user", "question")])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "output",
        "text",
        "choices",
        "message",
        "content",
        "finish_reason",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "id",
        "usage",
        "input_tokens",
        "output_tokens",
        "code",
        "message",
        "error",
        "status_code",
        "request_id",
        "logprobs",
        "reasoning_content",
    ]
)
# Objects with the protocol's own names, and anything at all behind them.
BODIES = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4)
)
SHAPED = st.one_of(
    st.builds(message_reply, JSON, st.sampled_from(["stop", "null", None])),
    st.builds(message_reply, st.text(), usage=BODIES, tool_calls=BODIES, reasoning_content=JSON),
    st.builds(lambda text, usage: text_reply(text, "stop", usage), st.text(), BODIES),
    BODIES,
)
KINDS = st.sampled_from([SSE, "application/json", "text/html", ""])
LINES = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"data:",
        b"data: [DONE]",
        b"event:error",
        b":HTTP_STATUS/429",
        b":",
        b"id:1",
        b"{",
        b"}",
        b'"',
        b"\xef\xbb\xbf",
        b"\xff",
        b"event:ping",
        b"retry:1",
        b" " * 70,
    ]
)
PARTS = LINES | st.binary(max_size=8) | SHAPED.map(lambda body: sse(json.dumps(body).encode()))
GARBLED = st.lists(PARTS, max_size=8).map(b"".join)


def read(pieces: list[bytes], kind: str) -> list[Delta] | tuple[str, str | None]:
    """Return what a body in these pieces becomes: its deltas, or its error and its text."""
    assembler = Assembler(REQUEST)
    assembler.begin(None, None, kind)
    deltas: list[Delta] = []
    try:
        for piece in pieces:
            deltas += assembler.feed(piece)
        deltas += assembler.close()
    except DashScopeError as error:
        return type(error).__name__, error.partial_text
    return deltas


def cut(body: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(GARBLED, st.lists(st.integers(0, 10_000), max_size=6), KINDS)
@example(b"\xef\xbb\xbf \n{", [1, 2, 3, 4], SSE)
@example(b"data", [1, 2], "application/json")
@example(b"event:error\n\n", [3], SSE)
def test_any_bytes_give_an_answer_or_an_error_of_this_package(body, places, kind):
    pieces = cut(body, places)
    at_once, cut_up = read([body], kind), read(pieces, kind)
    if isinstance(at_once, list) and isinstance(cut_up, list):
        assert join_deltas(at_once) == join_deltas(cut_up)
    else:
        assert at_once == cut_up


@given(SHAPED, KINDS)
def test_any_json_gives_an_answer_or_an_error_of_this_package(body, kind):
    data = json.dumps(body).encode()
    for written in (data, sse(data), as_bytes(data)):
        try:
            reply = reply_in(REQUEST, written, None, None, kind)
        except DashScopeError as error:
            message, reply = str(error), None
        else:
            message = ""
        assert len(message) < 4000
        assert reply is None or isinstance(reply.text, str)
        assert reply is None or all(call.name for call in reply.tool_calls)


@given(SHAPED | st.binary(), st.sampled_from([301, 400, 401, 429, 500]))
def test_any_body_of_a_bad_status_is_an_error_of_this_package(body, status):
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    for data in (written, sse(written, "error", 400)):
        error = error_of_response(httpx2.Response(status), data, "deepseek-v4-flash")
        assert isinstance(error, DashScopeError)
        assert len(str(error)) < 4000


@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=5),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.sampled_from([b"\n", b"\r", b"\r\n"]),
    st.booleans(),
)
def test_any_cut_of_a_good_stream_gives_its_text(texts, places, end, fails):
    last = error_frame(500, "InternalError", "no") if fails else message_frame("", "stop")
    body = b"".join([*map(message_frame, texts), last]).replace(b"\n", end)
    outcome = read(cut(body, places), SSE)
    whole = "".join(texts)
    if fails:
        assert outcome == ("ServerError", whole)
    else:
        assert isinstance(outcome, list)
        assert join_deltas(outcome).text == whole
