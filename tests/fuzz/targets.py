"""What must hold for any bytes; each function raises ``AssertionError`` where it does not.

The first bytes of an input, its head, choose a model, a content type, and where to cut; the rest is
what comes over the wire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx2

from dashscope_oss import (
    Message,
    Options,
    ProtocolError,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.errors import DashScopeError
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.parse_request import parse_request
from dashscope_oss.gateway.protocol.openai import parse_request as openai_request
from dashscope_oss.messages import Delta, Reply
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.protocol.streaming.sse import Decoder, Event
from dashscope_oss.registry.lookup import known_model
from dashscope_oss.transport.http_errors import error_of_response

HEAD = 4
MAX_MESSAGE_LENGTH = 4000

_GIVEN_ID = re.compile("call_[0-9a-f]{24}")


def _requests() -> list[Request]:
    user = [Message("user", "question")]
    cumulative = Options(extra={"incremental_output": False})
    prompted = completion_request(
        find_model("llama2-7b-chat-v2"), "question", Options(stop=["##"]), stream=True
    )
    return [
        chat_request(find_model("deepseek-v4-flash"), user, stream=True),
        chat_request(find_model("qwen3.6-27b"), user, cumulative, stream=True),
        completion_request(find_model("ziya-llama-13b-v1"), "question", stream=True),
        replace(prompted, split_think=True, estimate_usage=True),
    ]


REQUESTS = _requests()
CONTENT_TYPES = ("text/event-stream", "application/json", "text/html", "")
STATUSES = (301, 400, 429, 500)


def check_decoder(data: bytes) -> None:
    """The decoder of events: the same events however they are cut, and never more than its limit.

    A line without an end counts too.
    """
    limit = (16, 64, 256, 4096)[data[0] % 4]
    body = data[HEAD:]
    at_once, cut_up = (_decoded(pieces, limit) for pieces in ([body], list(_cut(data))))
    if at_once is not None and cut_up is not None:
        assert at_once == cut_up
        assert all(len(event.data) <= limit for event in at_once)


def _decoded(pieces: list[bytes], limit: int) -> list[Event] | None:
    decoder, events = Decoder(limit), []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
            assert len(decoder._tail) <= limit
            assert sum(map(len, decoder._data)) <= limit
        return events + decoder.flush()
    except ProtocolError:
        return None


def check_stream(data: bytes) -> None:
    """A stream: its deltas, the last of them marked, or one of our errors with the text so far.

    However it is cut, both are the same.
    """
    request, content_type = REQUESTS[data[0] % 4], CONTENT_TYPES[data[1] % 4]
    at_once = _streamed(request, [data[HEAD:]], content_type)
    assert at_once == _streamed(request, list(_cut(data)), content_type)


def _streamed(
    request: Request, pieces: list[bytes], content_type: str
) -> Reply | tuple[type, str | None]:
    assembler, deltas = Assembler(request), []
    assembler.begin(None, None, content_type)
    try:
        for piece in pieces:
            deltas += assembler.feed(piece)
        deltas += assembler.close()
    except DashScopeError as error:
        _check_error(error)
        _check_partial_text(error, deltas)
        return type(error), error.partial_text
    reply = join_deltas(deltas)
    _check_reply(reply)
    assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    # A call that came without an id was given one by chance.
    calls = [replace(call, id=_GIVEN_ID.sub("", call.id or "")) for call in reply.tool_calls]
    return replace(reply, tool_calls=tuple(calls))


def _check_partial_text(error: DashScopeError, deltas: list[Delta]) -> None:
    handed_on = "".join(delta.text for delta in deltas)
    assert (error.partial_text or "").startswith(handed_on)


def check_reply(data: bytes) -> None:
    """A whole body: a reply, or one of our errors; with a bad status always an error."""
    request, content_type, body = REQUESTS[data[0] % 4], CONTENT_TYPES[data[1] % 4], data[HEAD:]
    try:
        _check_reply(reply_in(request, body, None, None, content_type))
    except DashScopeError as error:
        _check_error(error)
    head = httpx2.Response(STATUSES[data[2] % 4], headers={"retry-after": data[:2].hex()})
    _check_error(error_of_response(head, body, request.model_info.id))


def _check_reply(reply: Reply) -> None:
    assert isinstance(reply.text, str)
    assert isinstance(reply.reasoning, str)
    assert all(call.name and isinstance(call.arguments, str) for call in reply.tool_calls)
    if usage := reply.usage:
        counts = (usage.input_tokens, usage.output_tokens, usage.total_tokens)
        assert all(count is None or count >= 0 for count in counts)


def _check_error(error: DashScopeError) -> None:
    assert 0 < len(str(error)) < MAX_MESSAGE_LENGTH
    assert error.code is None or isinstance(error.code, str)
    assert error.request_id is None or isinstance(error.request_id, str)


def check_request(data: bytes) -> None:
    """A call at the gateway: a request with exactly one of prompt and messages, or a refusal."""
    endpoint = "multimodal-generation" if data[0] % 2 else "text-generation"
    try:
        request = parse_request(
            data[HEAD:],
            endpoint=endpoint,
            stream=bool(data[1] % 2),
            request_id="r",
            find_model=known_model,
        )
    except APIError as refusal:
        _check_refusal(refusal)
    else:
        _check_request(request)


def check_completion(data: bytes) -> None:
    """The same for a call in OpenAI's form."""
    try:
        request = openai_request.parse_request(data[HEAD:], request_id="r", find_model=known_model)
    except APIError as refusal:
        _check_refusal(refusal)
    else:
        _check_request(request)
        assert request.as_message


def _check_refusal(refusal: APIError) -> None:
    assert refusal.status in (400, 404)
    assert refusal.code
    assert 0 < len(refusal.message) < MAX_MESSAGE_LENGTH


def _check_request(request: EngineRequest) -> None:
    assert (request.prompt is None) != (request.messages is None)
    assert all(isinstance(text, str) for text in request.texts)
    assert None not in request.parameters.values()
    assert isinstance(request.as_message, bool)
    assert isinstance(request.incremental, bool)


def _cut(data: bytes) -> Iterator[bytes]:
    """The body in pieces whose lengths the head tells in turn."""
    body, start, turn = data[HEAD:], 0, 0
    sizes = (data[2] % 32 + 1, data[3] + 1)
    while start < len(body):
        yield body[start : start + sizes[turn % 2]]
        start, turn = start + sizes[turn % 2], turn + 1


def of_any_length(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return ``target`` for input of any length: a head that is too short is filled up."""
    return lambda data: target(data.ljust(HEAD, b"\0"))


TARGETS = {
    "decoder": of_any_length(check_decoder),
    "stream": of_any_length(check_stream),
    "reply": of_any_length(check_reply),
    "request": of_any_length(check_request),
    "completion": of_any_length(check_completion),
}
