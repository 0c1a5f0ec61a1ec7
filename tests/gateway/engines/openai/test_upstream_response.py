"""How the parts of an answer are read, and which answers are none."""

import json
import logging
import threading

import pytest

from dashscope_oss.gateway import APIError
from dashscope_oss.gateway.engines.openai.upstream_response import (
    UpstreamResponseReader,
    listed_model_ids,
)
from dashscope_oss.messages import Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.protocol.streaming.sse import Event
from tests.gateway.engines.openai.calls import generate, generate_error
from tests.gateway.fake_upstream import (
    HTML,
    JSON,
    SSE,
    FakeUpstream,
    chunk,
    events,
    short_answer,
    streamed,
)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"usage": {"prompt_tokens": 7, "completion_tokens": 1}}, Usage(7, 1, 8)),
        (
            {"timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 1}},
            Usage(7, 1, 8, cached_tokens=4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 7,
                    "completion_tokens": 4,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                }
            },
            Usage(7, 4, 11, reasoning_tokens=3),
        ),
        ({"timings": {"predicted_n": 1}}, None),
    ],
    ids=["vLLM's continuous usage", "llama.cpp's timings", "thinking", "half of the timings"],
)
async def test_running_counts_come_with_each_piece(counts, expected):
    """A caller who leaves early has been charged for what was generated."""
    server = FakeUpstream(streamed({**chunk(content="a"), **counts}, chunk("stop")))

    assert (await generate(server))[0].usage == expected


@pytest.mark.parametrize(
    "count",
    [None, True, 10**400, -1, 1.5, "7"],
    ids=["null", "a boolean", "huge", "negative", "a fraction", "text"],
)
async def test_a_count_that_is_no_count_leaves_the_usage_out(count):
    """It is unknown then, never 0."""
    usage = {"prompt_tokens": count, "completion_tokens": 1}
    body = events({"choices": [], "usage": usage}, *short_answer("Hi"))

    assert join_deltas(await generate(FakeUpstream((200, SSE, body)))).usage is None


async def test_counts_beside_a_code_are_no_error():
    """Some gateways say in each object that all is well."""
    counts = {"code": "0", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    server = FakeUpstream(streamed(*short_answer("Hi"), counts))

    assert join_deltas(await generate(server)).usage.total_tokens == 2


async def test_a_server_that_does_not_stream_is_read_too():
    """One JSON body for a request of events: its whole message is the one piece."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }

    deltas = await generate(FakeUpstream((200, JSON, json.dumps(body).encode())))

    assert [delta.text for delta in deltas] == ["Hi", ""]
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage.total_tokens == 2


async def test_content_in_parts_and_arguments_as_an_object_are_read():
    """Some servers send text as a list, and arguments that are not text."""
    call = {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    pieces = (
        chunk(content=[{"type": "text", "text": "Hi"}]),
        chunk(tool_calls=[call]),
        chunk("stop"),
    )

    reply = join_deltas(await generate(FakeUpstream(streamed(*pieces))))

    assert (reply.text, reply.tool_calls[0].arguments) == ("Hi", '{"x":1}')


async def test_content_that_is_not_text_is_an_error():
    """A picture in the answer is not left out in silence."""
    picture = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]

    error = await generate_error(FakeUpstream(streamed(chunk(content=picture), chunk("stop"))))

    assert error.message == "The engine's answer cannot be read."


@pytest.mark.parametrize("done", [True, False])
async def test_the_last_event_counts_without_its_blank_line(done):
    """Some servers end without it, and without [DONE]."""
    body = events(*short_answer("Hi"), done=done).rstrip()

    reply = join_deltas(await generate(FakeUpstream((200, SSE, body))))

    assert (reply.text, reply.finish_reason) == ("Hi", "stop")


async def test_an_event_without_data_is_skipped():
    """It is neither text nor the end."""
    body = b"event: error\n\n" + events(*short_answer("Hi"))

    assert join_deltas(await generate(FakeUpstream((200, SSE, body)))).text == "Hi"


async def test_the_content_type_of_a_stream_may_be_in_capitals():
    """Content types are compared without regard to case."""
    server = FakeUpstream((200, "Text/Event-Stream; charset=utf-8", events(*short_answer("Hi"))))

    assert join_deltas(await generate(server)).text == "Hi"


LIES = {
    "HTML with a good status": (200, HTML, b"<html>hello</html>"),
    "JSON that is no object": (200, JSON, b"[1, 2]"),
    "an event that is no JSON": (200, SSE, b"data: hello\n\n"),
    "choices that are no list": (200, SSE, events({"choices": 5})),
    "a delta that is no object": (200, SSE, events({"choices": [{"delta": 5}]})),
    "a text that is a number": (200, SSE, events(chunk(content=5))),
    "calls that are no list": (200, SSE, events(chunk(tool_calls=5))),
    "a call that is no object": (200, SSE, events(chunk(tool_calls=["x"]))),
    "an empty answer": (200, SSE, b""),
    "only the end": (200, SSE, b"data: [DONE]\n\n"),
    "neither a finish reason nor an end": (200, SSE, events(chunk(content="half"), done=False)),
    "an unknown reason": (200, SSE, events(chunk("magic"))),
    "an error inside": (200, SSE, events({"error": {"message": "out of memory"}})),
    "an error in SGLang's form": (200, SSE, events({"object": "error", "message": "no"})),
    "an error as JSON with a good status": (200, JSON, b'{"error": "no"}'),
    "an error of FastAPI with a good status": (200, JSON, b'{"detail": "no"}'),
    "an error by its code": (200, JSON, b'{"code": 50, "message": "no"}'),
    "an error with a page": (500, HTML, b"<html>"),
    "a redirect": (307, HTML, b""),
    "a redirect to no address": (307, f"{HTML}\r\nlocation: javascript:x", b""),
    "an error nested deeper than Python goes": (500, JSON, b"[" * 100_000),
}


async def test_an_answer_in_no_known_form_is_an_error_never_an_answer(caplog, subtests):
    """It is the vendor's 500, without a traceback."""
    caplog.set_level(logging.ERROR)
    for name, answer in LIES.items():
        with subtests.test(name):
            error = await generate_error(FakeUpstream(answer))
            assert (error.status, error.code[:13]) == (500, "InternalError")
            assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "piece",
    [{"content": "x" * 4_000_000}, {"tool_calls": [{"function": {"arguments": "x" * 10**6}}]}],
)
def test_an_answer_without_end_is_given_up(piece):
    """A plain call keeps all of it until it is whole: it must not fill the memory."""
    reader, data = UpstreamResponseReader(), json.dumps(chunk(**piece)).encode()

    with pytest.raises(APIError, match="does not end"):
        [reader.push(Event("", None, data)) for _ in range(100)]


async def test_an_event_without_end_is_an_error():
    """Ten megabytes are no piece of an answer: memory is not filled with them."""
    endless = (200, SSE, b"data: " + b"x" * 10_000_001)

    assert (
        await generate_error(FakeUpstream(endless))
    ).message == "The engine's answer cannot be read."


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidParameter"), (200, "InternalError")])
async def test_a_body_without_end_is_not_read_to_its_end(monkeypatch, status, code):
    """Neither an error nor an answer that is no stream may fill the memory."""
    monkeypatch.setattr("dashscope_oss.gateway.engines.openai.response_body.MAX_BODY_BYTES", 1000)
    server = FakeUpstream((status, JSON, b" " * 5000, threading.Event()))

    assert (await generate_error(server)).code == code
    assert server.left.wait(5)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 1}', b'{"data": [1]}'])
def test_a_page_that_lists_no_models_lists_none(body):
    """What a server sends at /models is only compared, never trusted."""
    assert listed_model_ids(body) == set()
