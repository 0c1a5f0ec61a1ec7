"""Kinds of OpenAI-compatible servers: their shapes, their errors, and how they break.

The shapes are written after the servers' sources of 2026 (vLLM's and SGLang's protocol.py, Ollama's
openai.go) and, for llama.cpp, what a real server said; none but llama.cpp's is a recording.
"""

import asyncio
import contextlib
import json
import logging
import ssl
import threading
from contextlib import aclosing

import pytest
import trustme

from dashscope_oss import ConfigurationError, Message, find_model
from dashscope_oss.gateway import APIError, EngineRequest, OpenAIEngine, Upstream
from dashscope_oss.gateway.engines.openai.upstream_error import error_text
from dashscope_oss.gateway.engines.openai.upstream_response import (
    UpstreamResponseReader,
    listed_model_ids,
)
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.faults.server import Close, Cut, Endless, RawServer
from tests.gateway.fake_upstream import (
    HTML,
    JSON,
    SSE,
    Server,
    chunk,
    events,
    failed,
    said,
    streamed,
)

CHAT = "llama3-8b-instruct"
PROMPT = "ziya-llama-13b-v1"


def job(model=CHAT, **parameters):
    model_info = find_model(model)
    if model_info.takes_messages:
        return EngineRequest(
            model_info=model_info, messages=(Message("user", "hi"),), parameters=parameters
        )
    return EngineRequest(model_info=model_info, prompt="<human>:hi\n<bot>:", parameters=parameters)


async def asked(server, job, **upstream) -> list[Delta]:
    engine = OpenAIEngine(Upstream(url=server.url, **{"default": "w", "timeout": 5.0, **upstream}))
    await engine.start()
    try:
        return [delta async for delta in engine.generate(job)]
    finally:
        await engine.aclose()


async def refused(server, job, **upstream) -> APIError:
    with pytest.raises(APIError) as caught:
        await asked(server, job, **upstream)
    return caught.value


async def sent(job, **upstream) -> dict:
    """The body that a server gets for ``job``."""
    server = Server(streamed(*said("x")))
    await asked(server, job, **upstream)
    return server.calls[0][1]


# vLLM: choices with null fields, "reasoning", a call of a forced tool ends with "stop", usage in
# every piece (continuous_usage_stats) with cached tokens.
VLLM = (
    chunk(role="assistant", content="", reasoning=None),
    {**chunk(reasoning="Hm."), "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
    chunk(
        tool_calls=[
            {"id": "chatcmpl-tool-1", "type": "function", "index": 0, "function": {"name": "add"}}
        ]
    ),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
    chunk("stop", content=None),
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 9,
            "total_tokens": 21,
            "completion_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
    },
)
# SGLang: "reasoning_content", usage null until its own last piece, thoughts counted beside it.
SGLANG = (
    {**chunk(role="assistant", content=""), "usage": None},
    {**chunk(reasoning_content="Hm.", content=None, tool_calls=None), "usage": None},
    {**chunk(content="Hi"), "usage": None},
    {**chunk("stop", content=None), "usage": None},
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 9,
            "total_tokens": 13,
            "completion_tokens": 4,
            "prompt_tokens_details": None,
            "reasoning_tokens": 2,
        },
    },
)
# Ollama: whole calls, numbered alike though they are two; usage in a last piece of its own.
OLLAMA = (
    chunk(role="assistant", content="", reasoning="Hm."),
    chunk(
        role="assistant",
        content="",
        tool_calls=[
            {
                "id": "call_a",
                "index": 0,
                "type": "function",
                "function": {"name": "add", "arguments": "{}"},
            },
            {
                "id": "call_b",
                "index": 0,
                "type": "function",
                "function": {"name": "add", "arguments": "{}"},
            },
        ],
    ),
    chunk("tool_calls", role="assistant", content=""),
    {
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    },
)


@pytest.mark.parametrize(
    ("kind", "objects", "calls", "usage"),
    [
        ("vllm", VLLM, (ToolCall("chatcmpl-tool-1", "add", '{"a": 1}', 0),), (9, 12, 21, 8, None)),
        ("sglang", SGLANG, (), (9, 4, 13, None, 2)),
        (
            "ollama",
            OLLAMA,
            (ToolCall("call_a", "add", "{}", 0), ToolCall("call_b", "add", "{}", 1)),
            (9, 4, 13, None, None),
        ),
    ],
)
async def test_each_kinds_answer_is_read(kind, objects, calls, usage):
    """Thoughts, calls, finish reason and every count, whatever the server calls them."""
    reply = join_deltas(await asked(Server(streamed(*objects)), job("glm-5"), kind=kind))

    assert reply.reasoning == "Hm."
    assert reply.tool_calls == calls
    assert reply.finish_reason == ("tool_calls" if calls else "stop")
    assert reply.usage == Usage(*usage)


async def test_usage_runs_along_where_the_server_counts_as_it_writes():
    """Each piece carries the counts so far: vLLM's continuous usage, llama.cpp's timings."""
    timed = {**chunk(content="a"), "timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 1}}
    counted = {**chunk(content="a"), "usage": {"prompt_tokens": 7, "completion_tokens": 1}}

    first = (await asked(Server(streamed(timed, chunk("stop"))), job()))[0].usage
    second = (await asked(Server(streamed(counted, chunk("stop"))), job()))[0].usage

    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (7, 1, 4)
    assert (second.input_tokens, second.output_tokens, second.cached_tokens) == (7, 1, None)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (None, {"top_k": 5, "repetition_penalty": 1.1}),
        ("vllm", {"top_k": 5, "repetition_penalty": 1.1}),
        ("sglang", {"top_k": 5, "repetition_penalty": 1.1}),
        ("llama.cpp", {"top_k": 5, "repeat_penalty": 1.1}),
    ],
)
async def test_each_kind_is_told_sampling_in_its_words(kind, names):
    """The same two parameters under the name that the server reads."""
    body = await sent(job(top_k=5, repetition_penalty=1.1), kind=kind)

    assert {
        k: body[k] for k in ("top_k", "repetition_penalty", "repeat_penalty") if k in body
    } == names


@pytest.mark.parametrize("top_k", [0, 101])
async def test_drawing_from_all_tokens_is_said_out_loud(top_k):
    """The service's 0 and 101 turn top_k off; a server would take its own default, or five."""
    assert (await sent(job(top_k=top_k), kind="vllm"))["top_k"] == -1


@pytest.mark.parametrize("name", ["top_k", "repetition_penalty", "thinking_budget"])
async def test_what_ollama_cannot_do_is_refused_not_ignored(name):
    """Ollama's OpenAI-compatible API would drop it in silence."""
    refusal = await refused(Server(), job("glm-5", **{name: 5}), kind="ollama")

    assert (refusal.status, refusal.code) == (400, "InvalidParameter")
    assert name in refusal.message
    assert "ollama" in refusal.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, {"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 9}}),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": True}, "thinking_token_budget": 9}),
        (
            "llama.cpp",
            {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget_tokens": 9},
        ),
    ],
)
async def test_thinking_is_switched_and_bounded_in_the_servers_words(kind, expected):
    """The switch goes to the chat template, the bound to where the server reads it."""
    body = await sent(job("glm-5", enable_thinking=True, thinking_budget=9), kind=kind)

    assert {
        name: value for name, value in body.items() if "t_template" in name or "budget" in name
    } == (expected)


@pytest.mark.parametrize(("switch", "effort"), [(True, "medium"), (False, "none")])
async def test_ollama_switches_thinking_by_effort(switch, effort):
    """It has no arguments for chat templates."""
    body = await sent(job("glm-5", enable_thinking=switch), kind="ollama")

    assert body["reasoning_effort"] == effort
    assert "chat_template_kwargs" not in body


async def test_stops_by_token_go_where_the_server_takes_them():
    """Ids of tokens are no texts; a server that knows none is not sent any."""
    body = await sent(job(stop=[13, 2]), kind="vllm")
    refusal = await refused(Server(), job(stop=[13, 2]), kind="llama.cpp")

    assert (body["stop_token_ids"], "stop" in body) == ([13, 2], False)
    assert (refusal.status, "stop" in refusal.message) == (400, True)
    assert (await refused(Server(), job(stop=[[13, 2]]), kind="vllm")).status == 400


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        ("vllm", "response_format", None),
        ("llama.cpp", "json_schema", {"type": "object", "properties": {}}),
    ],
)
async def test_a_schema_reaches_raw_completions(kind, name, wanted):
    """llama.cpp ignores response_format there; Ollama takes no form at all and is not asked."""
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    body = await sent(job(PROMPT, response_format=form), kind=kind)

    assert body[name] == (wanted or form)
    assert (await refused(Server(), job(PROMPT, response_format=form), kind="ollama")).status == 400


@pytest.mark.parametrize("prompt", ["hi", "<reserved_106>hi<reserved_107>"])
async def test_a_bare_prompt_to_a_chat_model_is_written_in_its_form(prompt):
    """Raw completions for a model that takes both: as the hosted service did, and not twice."""
    asked = EngineRequest(model_info=find_model("baichuan2-7b-chat-v1"), prompt=prompt)

    body = await sent(asked, api="completions")

    assert body["prompt"] == "<reserved_106>hi<reserved_107>"


async def test_the_length_goes_by_the_name_that_all_servers_know():
    """Ollama, and raw completions everywhere, overlook max_completion_tokens."""
    bodies = [await sent(job(model, max_completion_tokens=5)) for model in (CHAT, PROMPT)]

    assert [body["max_tokens"] for body in bodies] == [5, 5]
    assert "max_completion_tokens" not in bodies[0]


async def test_tools_for_raw_completions_are_refused():
    """A prompt goes to the weights as it is: nobody would tell them of the tools."""
    tools = [{"type": "function", "function": {"name": "f"}}]

    assert (await refused(Server(), job(CHAT, tools=tools), api="completions")).status == 400


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("add", "subtract")]
FORCED = {"type": "function", "function": {"name": "add"}}


async def test_a_forced_tool_is_forced_where_names_are_overlooked():
    """llama.cpp takes a named function for "auto": it is offered alone, and must be called."""
    asked = job("glm-5", tools=TOOLS, tool_choice=FORCED)

    named, alone = await sent(asked, kind="vllm"), await sent(asked, kind="llama.cpp")

    assert (named["tools"], named["tool_choice"]) == (TOOLS, FORCED)
    assert (alone["tools"], alone["tool_choice"]) == ([TOOLS[0]], "required")
    assert "tool_choice" in (await refused(Server(), asked, kind="ollama")).message
    missing = job("glm-5", tools=TOOLS[1:], tool_choice=FORCED)
    assert (await refused(Server(), missing, kind="llama.cpp")).status == 400


TEXTS = {
    "openai": {"error": {"message": "no", "type": "x", "code": None}},
    "vllm": {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 400}},
    "sglang": {"object": "error", "message": "no", "type": "BadRequest", "code": 400},
    "ollama": {"error": "no"},
    "fastapi": {"detail": "no"},
    "fastapi's list": {"detail": [{"loc": ["body", "x"], "msg": "no", "type": "missing"}]},
    "a list": [{"error": {"message": "no"}}],
    "a word": "no",
}


@pytest.mark.parametrize("form", TEXTS)
async def test_every_form_of_an_error_is_read(form):
    """What the server says of a bad request reaches the caller, wherever it stands."""
    refusal = await refused(Server(failed(400, TEXTS[form])), job())

    assert (refusal.status, refusal.code) == (400, "InvalidParameter")
    assert refusal.message == "<400> InternalError.Algo.InvalidParameter: no"


def test_a_page_of_html_is_no_reason():
    """A proxy's error page is not handed to callers."""
    assert error_text(b"<html><body>nginx") == "the answer holds no text"
    assert error_text(b"") == "the answer holds no text"
    assert error_text(b"plain words") == "plain words"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "This model's maximum context length is 2048 tokens. However, you requested 3000 "
            "tokens in the messages, Please reduce the length of the messages.",
            "Range of input length should be [1, 2048]",
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum "
            "context length is 2048 tokens and your request has 10 input tokens.",
            "Range of max_tokens should be [1, 2048]",
        ),
        (
            "request (731 tokens) exceeds the available context size (512 tokens), try "
            "increasing it",
            "Range of input length should be [1, 512]",
        ),
        (
            "The input (3000 tokens) is longer than the model's context length (2048 tokens).",
            "Range of input length should be [1, 2048]",
        ),
        (
            "the context window is full",
            "Range of input length should be [1, N]. the context window is full",
        ),
    ],
)
async def test_too_long_is_told_in_the_vendors_words(text, expected):
    """vLLM, llama.cpp and SGLang: the limit that the server names is the limit that is told."""
    refusal = await refused(Server(failed(400, {"error": {"message": text}})), job())

    assert refusal.message == expected


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
    "no finish reason": (200, SSE, events(chunk(content="half"))),
    "an unknown reason": (200, SSE, events(chunk("magic"))),
    "an error inside": (200, SSE, events({"error": {"message": "out of memory"}})),
    "an error in SGLang's form": (200, SSE, events({"object": "error", "message": "no"})),
    "an error as JSON with a good status": (200, JSON, b'{"error": "no"}'),
    "an error with a page": (500, HTML, b"<html>"),
    "a redirect": (307, HTML, b""),
    "a redirect to no address": (307, f"{HTML}\r\nlocation: javascript:x", b""),
    "an error nested deeper than Python goes": (500, JSON, b"[" * 100_000),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_lies_is_an_error_never_an_answer(lie, caplog):
    """Whatever is not of the form is the vendor's 500, and no traceback."""
    caplog.set_level(logging.ERROR)

    refusal = await refused(Server(LIES[lie]), job())

    assert (refusal.status, refusal.code[:13]) == (500, "InternalError")
    assert not any(record.exc_info for record in caplog.records)


async def test_a_failed_call_is_logged_in_one_line_that_says_where(caplog):
    """Whatever the server repeats of a caller's text: it forges no line, and can be sent on."""
    text = "bad \ud800 \x1b[31m\nERROR root: all is lost"

    refusal = await refused(Server(failed(500, {"error": text})), job(), name="gpu")
    (record,) = caplog.records

    assert refusal.cause == "HTTP 500: bad [31m ERROR root: all is lost"
    assert record.getMessage().startswith("a call failed at gpu, http://127.0.0.1:")
    assert record.getMessage().endswith(f"/v1: {refusal.cause}")


async def test_a_callers_own_fault_is_no_error_in_the_log(caplog):
    """Callers could fill it; and what a server says of a request may quote the prompt."""
    caplog.set_level(logging.WARNING)
    refusal = await refused(Server(failed(400, {"error": "bad\nword"})), job())

    assert refusal.message.endswith(": bad word")
    assert caplog.records == []


async def test_a_server_that_is_another_than_meant_is_guessed_at(caplog):
    """llama.cpp answers without /v1 too, but in a form of its own."""
    server = Server((200, SSE, b'data: {"content": "Hi", "stop": true}\n\n'))
    server.url = server.url.removesuffix("/v1")
    await refused(server, job(PROMPT), kind="llama.cpp")

    assert f"(is {server.url} the base URL, which ends in /v1?)" in caplog.text


async def test_a_number_beyond_measure_is_refused_before_it_is_sent():
    """JSON can write one that no double holds; in a schema nobody has looked at it."""
    server = Server()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"least": 1e999}}}]

    refusal = await refused(server, job("glm-5", tools=tools))

    assert (refusal.status, refusal.code) == (400, "InvalidParameter")
    assert server.calls == []


@pytest.mark.parametrize(
    "piece",
    [{"content": "x" * 4_000_000}, {"tool_calls": [{"function": {"arguments": "x" * 10**6}}]}],
)
def test_an_answer_without_end_is_given_up(piece):
    """A plain call keeps all of it until it is whole: it must not fill the memory."""
    reader, data = UpstreamResponseReader(), json.dumps(chunk(**piece)).encode()

    with pytest.raises(APIError, match="does not end"):
        [reader.push(data) for _ in range(100)]


async def test_cookies_of_a_server_are_not_kept():
    """Else a balancer before several servers would send all callers to the same one."""
    server = Server((200, f"{SSE}\r\nset-cookie: server=1; path=/", events(*said("x"))))
    engine = OpenAIEngine(Upstream(url=server.url, default="w"))
    await engine.start()
    for _ in range(2):
        assert [delta async for delta in engine.generate(job())]
    await engine.aclose()

    assert ["cookie" in headers for _, _, headers in server.calls] == [False, False]


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        ({"error": {"message": "slow down", "code": 429}}, 429),
        ({"error": {"message": "exceeds the available context size (5", "code": 400}}, 400),
        ({"object": "error", "message": "loading", "code": 503}, 503),
    ],
)
async def test_an_error_inside_the_stream_keeps_its_status(inside, status):
    """llama.cpp and SGLang tell of some errors after a good status."""
    assert (await refused(Server(streamed(inside)), job())).status == status


async def test_a_server_that_does_not_stream_is_read_all_the_same():
    """One JSON body for a request of events: its whole message is the one piece."""
    body = {
        "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }

    deltas = await asked(Server((200, JSON, json.dumps(body).encode())), job())

    assert (join_deltas(deltas).text, join_deltas(deltas).finish_reason) == ("Hi", "stop")
    assert deltas[-1].usage.total_tokens == 2


async def test_content_in_parts_and_arguments_as_an_object_are_read():
    """Some servers send text as a list, and arguments that are no text."""
    call = {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    pieces = (
        chunk(content=[{"type": "text", "text": "Hi"}]),
        chunk(tool_calls=[call]),
        chunk("stop"),
    )

    reply = join_deltas(await asked(Server(streamed(*pieces)), job()))

    assert (reply.text, reply.tool_calls[0].arguments) == ("Hi", '{"x":1}')


async def test_a_server_that_stalls_is_a_timeout():
    """Nothing within the time between two pieces: the vendor's code for that."""
    silent = (200, SSE, events(chunk(content="half"), done=False), threading.Event())

    refusal = await refused(Server(silent), job(), timeout=0.2)

    assert (refusal.status, refusal.code) == (500, "RequestTimeOut")


async def test_a_server_that_cuts_is_an_error():
    """Half an answer and the end of the connection."""
    half = (200, SSE, events(chunk(content="half"), done=False))

    assert (await refused(Server(half), job())).message == "The engine broke off its answer."


async def test_an_event_without_end_is_an_error():
    """Ten megabytes are no piece of an answer: memory is not filled with it."""
    endless = (200, SSE, b"data: " + b"x" * 10_000_001)

    assert (await refused(Server(endless), job())).message == "The engine's answer cannot be read."


@pytest.mark.parametrize("end", [Close(), Cut()], ids=["closed", "reset"])
async def test_a_request_that_may_have_been_read_is_not_sent_again(end):
    """The server closes a kept connection with the request on it: one error, no second POST."""
    body = events(*said("Hi"))
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\ncontent-length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    with RawServer(whole, [end], whole) as server:
        engine = OpenAIEngine(Upstream(url=f"{server.origin}/v1", default="w"))
        await engine.start()
        assert join_deltas([delta async for delta in engine.generate(job())]).text == "Hi"
        with pytest.raises(APIError, match="broke off"):
            await anext(engine.generate(job()))
        assert len(server.requests) == 2
        assert join_deltas([delta async for delta in engine.generate(job())]).text == "Hi"
        await engine.aclose()


def test_with_a_default_everything_is_listed():
    """Any id is served: the registry's, and those of the map that it lacks."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", default="w", names={"mine": "m"}))

    ids = [model_info.id for model_info in engine.models()]

    assert {CHAT, PROMPT, "mine"} <= set(ids)
    assert len(ids) == len(set(ids))


async def test_a_caller_who_leaves_ends_the_servers_work():
    """The connection to the server is closed at once, not when the answer would be over."""
    server = Server((200, SSE, events(chunk(content="a"), done=False), threading.Event()))
    engine = OpenAIEngine(Upstream(url=server.url, default="w"))
    await engine.start()
    async with aclosing(engine.generate(job())) as deltas:
        assert (await anext(deltas)).text == "a"
        assert engine.upstreams()[0].under_way == 1

    assert await asyncio.to_thread(server.left.wait, 5)
    assert engine.upstreams()[0].under_way == 0
    await engine.aclose()


@pytest.mark.parametrize("done", [True, False])
async def test_the_last_event_counts_though_its_blank_line_is_missing(done):
    """Some servers end without it, and without [DONE]."""
    body = events(*said("Hi"), done=done).rstrip()

    reply = join_deltas(await asked(Server((200, SSE, body)), job()))

    assert (reply.text, reply.finish_reason) == ("Hi", "stop")


async def test_an_event_that_says_nothing_is_passed_over():
    """It is neither text nor the end."""
    body = b"event: error\n\n" + events(*said("Hi"))

    assert join_deltas(await asked(Server((200, SSE, body)), job())).text == "Hi"


async def test_counts_that_are_not_said_are_none():
    """Never nought."""
    half = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": None}}

    assert join_deltas(await asked(Server(streamed(*said("Hi"), half)), job())).usage is None


async def test_content_that_is_no_text_is_an_error():
    """A picture in the answer is not left out in silence."""
    picture = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]

    refusal = await refused(Server(streamed(chunk(content=picture), chunk("stop"))), job())

    assert refusal.message == "The engine's answer cannot be read."


@pytest.mark.parametrize("listed", [b"<html>", b"[]", b'{"data": 1}', b'{"data": [1]}'])
def test_a_page_that_lists_no_models_lists_none(listed):
    """What a server says at /models is only compared, never trusted."""
    assert listed_model_ids(listed) == set()


async def test_without_a_template_there_are_no_raw_completions():
    """The text that the weights want is not guessed."""
    refusal = await refused(Server(streamed()), job("glm-5"), api="completions")

    assert refusal.message == "No template is known to write messages for this model."


def test_without_a_default_only_what_is_named_is_listed():
    """An id that no registry has too."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", names={CHAT: "a", "mine": "b"}))

    assert [model_info.id for model_info in engine.models()] == [CHAT, "mine"]


async def test_an_engine_that_was_not_started_says_so():
    """And it can be closed."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", default="w"))

    with pytest.raises(RuntimeError, match=r"start\(\) was not called"):
        await anext(engine.generate(job()))
    await engine.aclose()


@pytest.mark.parametrize(
    ("status", "expected"), [(400, "InvalidParameter"), (200, "InternalError")]
)
async def test_an_answer_without_end_is_read_no_further(monkeypatch, status, expected):
    """Neither an error nor an answer that is no stream may fill the memory."""
    monkeypatch.setattr("dashscope_oss.gateway.engines.openai.response_body.MAX_BODY_BYTES", 1000)
    server = Server((status, JSON, b" " * 5000, threading.Event()))

    assert (await refused(server, job())).code == expected
    assert server.left.wait(5)


async def test_the_name_of_a_stream_may_be_in_capitals():
    """Content types are not told apart by case."""
    server = Server((200, "Text/Event-Stream; charset=utf-8", events(*said("Hi"))))

    assert join_deltas(await asked(server, job())).text == "Hi"


@pytest.mark.parametrize(
    "count", [True, 10**400, -1, 1.5, "7"], ids=["truth", "huge", "minus", "half", "text"]
)
async def test_counts_that_can_be_none_are_not_passed_on(count):
    """No number is made of them."""
    usage = {"prompt_tokens": count, "completion_tokens": 1}
    body = json.dumps({"choices": [], "usage": usage}).encode()
    answered = b"data: " + body + b"\n\n" + events(*said("Hi"))

    assert join_deltas(await asked(Server((200, SSE, answered)), job())).usage is None


async def test_what_an_unreadable_answer_was_is_told_of_the_upstream():
    """The last error holds every failure by the server's fault, not only those of HTTP."""
    server = Server((200, HTML, b"<html>"), failed(500, {"error": "no memory"}))
    engine = OpenAIEngine(Upstream(url=server.url, default="w"))
    await engine.start()
    found = []
    for _ in range(2):
        with pytest.raises(APIError):
            await anext(engine.generate(job()))
        found.append(engine.upstreams()[0].last_error)
    await engine.aclose()

    assert found == ["The engine's answer cannot be read.", "HTTP 500: no memory"]


async def test_comments_that_keep_a_connection_open_are_no_answer():
    """The time between two pieces holds though something comes all the time."""
    head = b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\n\r\n"
    with RawServer([head, Endless(b": ping\n\n", pause=0.02)]) as server:
        engine = OpenAIEngine(Upstream(url=f"{server.origin}/v1", default="w", timeout=0.2))
        await engine.start()
        with pytest.raises(APIError, match="timed out"):
            await anext(engine.generate(job()))
        await engine.aclose()


class Secured(Server):
    """Speaks TLS."""

    def __init__(self, certificate, *answers):
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        super().__init__(*answers)
        self.url = self.url.replace("http:", "https:")

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            super()._serve(self._tls.wrap_socket(connection, server_side=True))


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_upstreams_certificate_is_checked(tmp_path, monkeypatch, trusted):
    """``SSL_CERT_FILE`` names an authority of one's own; without it there is no answer."""
    authority = trustme.CA()
    server = Secured(authority.issue_cert("127.0.0.1"), streamed(*said("hi")))
    if trusted:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert join_deltas(await asked(server, job())).text == "hi"
    else:
        refusal = await refused(server, job())
        assert refusal.status == 503
        assert "CERTIFICATE_VERIFY_FAILED" in refusal.cause


async def test_an_authority_that_cannot_be_read_is_told_at_the_start(monkeypatch):
    """Where it matters: an upstream without TLS needs none."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    await OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1")).start()

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        await OpenAIEngine(Upstream(url="https://127.0.0.1:9/v1")).start()
