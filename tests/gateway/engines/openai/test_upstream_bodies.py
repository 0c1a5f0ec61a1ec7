"""What a body is, which of its events say nothing, and how an answer ends that does not say so."""

import asyncio
import json
import logging
import threading

import pytest

from dashscope_oss import Client, ClientOptions, Endpoint, Message, chat_request, find_model
from dashscope_oss.gateway import Gateway, OpenAIEngine, Upstream, serve_in_thread
from dashscope_oss.gateway.engines.openai import response_body
from dashscope_oss.gateway.engines.openai.upstream_response import UpstreamResponseReader
from dashscope_oss.gateway.interface.api_error import AnswerBrokenOff
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.protocol.streaming.sse import END_OF_STREAM, Event
from tests.gateway.engines.openai.calls import (
    CHAT_MODEL,
    deltas_of,
    engine_request,
    generate,
    generate_error,
    started_engine,
)
from tests.gateway.fake_upstream import (
    JSON,
    SSE,
    FakeUpstream,
    chunk,
    events,
    failed,
    short_answer,
)

STREAM = events(*short_answer("Hi"))
WHOLE = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
).encode()
TYPES = [
    SSE,
    JSON,
    "text/plain; charset=utf-8",
    "text/json",
    "application/octet-stream",
    "application/x-ndjson",
    "text/html",
    None,
]


@pytest.mark.parametrize("body", [STREAM, WHOLE, b"\xef\xbb\xbf" + STREAM, b"\n\n" + WHOLE])
async def test_the_body_says_what_it_is_whatever_its_content_type(body, subtests):
    """Proxies mislabel streams, and servers that cannot stream say that they do."""
    for content_type in TYPES:
        with subtests.test(content_type=content_type):
            deltas = await generate(FakeUpstream((200, content_type, body)))
            assert join_deltas(deltas).text == "Hi"
            assert deltas[-1].finish_reason == "stop"


SILENT = [
    b": comment\n\n",
    b"data: null\n\n",
    b"data: []\n\n",
    b"data: {}\n\n",
    b'data: ""\n\n',
    b"data:\n\n",
    b"data: ping\n\n",
    b'data: "PING"\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b"event: heartbeat\ndata: 12:30\n\n",
    b"event: keepalive\ndata: {}\n\n",
    b"event: metrics\ndata: load=3\n\n",
    b'data: {"type": "ping"}\n\n',
    b'data: {"choices": []}\n\n',
    b'data: {"choices": null}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "null"}]}\n\n',
]


async def test_events_that_say_nothing_are_skipped(subtests):
    """Before the answer, in its middle and behind its end."""
    first, last = (events(piece, done=False) for piece in short_answer("Hi"))
    usage = events({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    for event in SILENT:
        with subtests.test(event=event):
            body = event + first + event + last + event + usage
            reply = join_deltas(await generate(FakeUpstream((200, SSE, body))))
            assert (reply.text, reply.finish_reason, reply.usage.total_tokens) == ("Hi", "stop", 2)


async def test_a_server_that_only_shows_that_it_is_there_is_given_up(subtests):
    """Else a caller would wait for ever: the limit is for the next piece of the answer."""
    over = threading.Event()
    servers = [FakeUpstream((200, SSE, b"", over, event)) for event in SILENT]
    errors = await asyncio.gather(*(generate_error(server, timeout=0.3) for server in servers))
    over.set()
    for event, error in zip(SILENT, errors, strict=True):
        with subtests.test(event=event):
            assert (error.status, error.code) == (500, "RequestTimeOut")


@pytest.mark.parametrize("content_type", [JSON, SSE])
async def test_blank_lines_alone_are_no_answer(content_type):
    """DeepSeek sends them while a reply waits for its turn."""
    over = threading.Event()
    waiting = FakeUpstream((200, content_type, b"\n", over, b"\n"))

    error = await generate_error(waiting, timeout=0.3)
    over.set()

    assert error.code == "RequestTimeOut"
    assert (await generate(FakeUpstream((200, JSON, b"\n" * 99 + WHOLE))))[0].text == "Hi"


async def test_a_long_event_that_arrives_slowly_is_no_silence():
    """Its bytes are a part of the answer."""
    over = threading.Event()
    threading.Timer(0.6, over.set).start()
    piece = b'data: {"choices": [{"delta": {"content": "'
    server = FakeUpstream((200, SSE, piece, over, b"x"))

    error = await generate_error(server, timeout=0.3)

    assert error.code != "RequestTimeOut"


def calls(*arguments, **more):
    return [{"id": "c", "function": {"name": "f", "arguments": a}, **more} for a in arguments]


@pytest.mark.parametrize(
    ("pieces", "max_tokens", "finish_reason"),
    [
        ([chunk(content="Hi")], None, "stop"),
        ([chunk(content="Hi")], 9, "stop"),
        (
            [{**chunk(content="Hi"), "usage": {"prompt_tokens": 1, "completion_tokens": 9}}],
            9,
            "length",
        ),
        ([chunk(tool_calls=calls('{"a": 1}'))], None, "tool_calls"),
        ([chunk(content="Hi"), chunk(tool_calls=calls(""))], None, "tool_calls"),
    ],
)
async def test_an_end_without_a_reason_is_taken_for_what_the_stream_proves(
    caplog, pieces, max_tokens, finish_reason
):
    """[DONE] came, and text or a whole call: some servers never send a reason. One line says it."""
    server = FakeUpstream((200, SSE, events(*pieces)))
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}

    deltas = await generate(server, engine_request(**limit), name="gpu")

    assert deltas[-1].finish_reason == finish_reason
    (line,) = caplog.messages
    assert line.startswith(f"gpu at {server.url} ends its answers without a finish reason")


@pytest.mark.parametrize(
    ("pieces", "done"),
    [
        ([chunk(content="Hi")], False),
        ([chunk(role="assistant")], True),
        ([chunk(reasoning_content="Hm.")], True),
        ([chunk(tool_calls=calls('{"a":'))], True),
        ([], True),
    ],
    ids=["no [DONE]", "no text", "only thoughts", "half a call", "nothing"],
)
async def test_an_end_without_a_reason_that_proves_nothing_is_an_error(pieces, done):
    """A broken connection may look the same."""
    error = await generate_error(FakeUpstream((200, SSE, events(*pieces, done=done))))

    assert isinstance(error, AnswerBrokenOff)


async def test_a_whole_reply_without_a_reason_is_whole():
    """Its JSON is complete."""
    body = json.dumps({"choices": [{"message": {"content": "Hi"}}]}).encode()

    assert (await generate(FakeUpstream((200, JSON, body))))[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [("STOP", "stop"), ("end_turn", "stop"), ("MAX_TOKENS", "length"), ("eos_token", "stop")],
)
def test_a_finish_reason_in_other_words_is_the_services(reason, finish_reason):
    """Proxies hand on those of other makers."""
    reader = UpstreamResponseReader()
    for piece in (chunk(content="Hi"), chunk(reason)):
        reader.push(Event("", None, json.dumps(piece).encode()))
    reader.push(END_OF_STREAM)

    assert reader.finish().finish_reason == finish_reason


@pytest.mark.parametrize("ending", ["silence", "a break"])
async def test_an_answer_that_is_over_needs_no_end_of_its_stream(monkeypatch, ending):
    """Some servers never send [DONE] and keep the connection; others break it."""
    monkeypatch.setattr(response_body, "_AFTER_THE_ANSWER_TIMEOUT", 0.05)
    body = events(*short_answer("Hi"), done=False)
    over = threading.Event()
    answer = (
        (200, SSE, body, over)
        if ending == "silence"
        else (200, f"{SSE}\r\ncontent-length: 9999", body)
    )

    reply = join_deltas(await generate(FakeUpstream(answer)))
    over.set()

    assert (reply.text, reply.finish_reason) == ("Hi", "stop")


async def test_a_reason_that_comes_too_early_ends_nothing():
    """Some servers give one behind the thoughts, and go on."""
    pieces = (chunk("stop", reasoning_content="Hm."), chunk(content="Hi"), chunk("length"))

    reply = join_deltas(await generate(FakeUpstream((200, SSE, events(*pieces)))))

    assert (reply.reasoning, reply.text, reply.finish_reason) == ("Hm.", "Hi", "length")


REFUSED = {
    "mistral": {
        "object": "error",
        "message": {
            "detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "no"}]
        },
    },
    "openai": {"error": {"message": "Unrecognized request argument supplied: stream_options"}},
}


@pytest.mark.parametrize("form", REFUSED)
async def test_a_server_that_takes_no_stream_options_is_asked_without(caplog, form):
    """Once, and for every later call; its answers have no counts, and the log says so."""
    server = FakeUpstream(failed(422, REFUSED[form]), (200, SSE, STREAM))
    async with started_engine(server.url, name="gpu") as engine:
        replies = [join_deltas(await deltas_of(engine)) for _ in range(2)]

    assert [(reply.text, reply.usage) for reply in replies] == [("Hi", None)] * 2
    assert ["stream_options" in call[1] for call in server.calls] == [True, False, False]
    (line,) = caplog.messages
    assert line.startswith(f"gpu at {server.url} takes no stream_options")


async def test_another_refusal_is_not_tried_again():
    """Nor is one that names the field in an answer without it."""
    for server in (
        FakeUpstream(failed(422, {"error": "no"})),
        FakeUpstream(failed(500, REFUSED["openai"])),
    ):
        await generate_error(server)
        assert len(server.calls) == 1


def test_an_announced_call_that_does_not_come_is_a_stop_or_an_error():
    """An agent would wait for a call; an empty answer would hide the fault."""
    reader = UpstreamResponseReader()
    reader.push(Event("", None, json.dumps(chunk("tool_calls", content="Hi")).encode()))
    empty = UpstreamResponseReader()
    empty.push(Event("", None, json.dumps(chunk("tool_calls")).encode()))

    assert reader.finish().finish_reason == "stop"
    assert len(reader.oddities) == 1
    with pytest.raises(AnswerBrokenOff):
        empty.finish()


@pytest.mark.parametrize("stream", [True, False])
def test_our_client_gets_a_mislabelled_stream_without_a_reason_through_the_gateway(stream, caplog):
    """All of it at once, over HTTP: the answer says stop, and the log names the upstream once."""
    caplog.set_level(logging.WARNING)
    body = SILENT[0] + events(chunk(content="Hang"), done=False) + events(chunk(content="zhou"))
    server = FakeUpstream((200, JSON, body))
    engine = OpenAIEngine(Upstream(url=server.url, name="gpu", default="w"))
    request = chat_request(find_model(CHAT_MODEL), [Message("user", "hi")], stream=stream)
    with (
        serve_in_thread(Gateway(engine)) as url,
        Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client,
    ):
        replies = [join_deltas([*client.stream(request)]) for _ in range(2)]

    assert [(reply.text, reply.finish_reason) for reply in replies] == [("Hangzhou", "stop")] * 2
    assert len([line for line in caplog.messages if "gpu" in line]) == 1
