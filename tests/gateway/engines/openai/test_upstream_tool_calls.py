"""Calls of tools as servers stream them: ids, places, names and arguments in any state."""

import json

import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    Endpoint,
    Message,
    Options,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import Gateway, OpenAIEngine, Upstream, serve_in_thread
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.gateway.engines.openai.calls import engine_request, generate, generate_error
from tests.gateway.fake_upstream import JSON, FakeUpstream, chunk, streamed


def piece(id=..., name=None, arguments=None, **more):
    """A piece of a call; what is not given is not there at all."""
    function = {"name": name, "arguments": arguments}
    call = {"function": {key: value for key, value in function.items() if value is not None}}
    return {**call, **more} if id is ... else {"id": id, **call, **more}


# Pieces -> the calls that they are: id ("*": any), name, arguments.
STREAMS = {
    "the id null as a word": (
        [piece("c1", "f", "", index=0), piece("null", None, '{"a": 1}', index=0)],
        [("c1", "f", '{"a": 1}')],
    ),
    "the id null": (
        [piece("c1", "f", "", index=0), piece(None, None, '{"a": 1}', index=0)],
        [("c1", "f", '{"a": 1}')],
    ),
    "the id empty": (
        [piece("c1", "f", "", index=0), piece("", None, '{"a": 1}', index=0)],
        [("c1", "f", '{"a": 1}')],
    ),
    "the id late": (
        [piece(None, "f", "", index=0), piece("c1", None, "{}", index=0)],
        [("c1", "f", "{}")],
    ),
    "no id": ([piece(..., "f", "{}", index=0)], [("*", "f", "{}")]),
    "no id and no index": ([piece(..., "f", "{"), piece(..., None, "}")], [("*", "f", "{}")]),
    "id and name in each piece": (
        [piece("c1", "f", "{", index=0), piece("c1", "f", "}", index=0)],
        [("c1", "f", "{}")],
    ),
    "two names under one index, without ids": (
        [piece(..., "f", "{}", index=0), piece(..., "g", "{}", index=0)],
        [("*", "f", "{}"), ("*", "g", "{}")],
    ),
    "two ids under one index": (
        [piece("c1", "f", "{}", index=0), piece("c2", "f", "{}", index=0)],
        [("c1", "f", "{}"), ("c2", "f", "{}")],
    ),
    "indices from 1": (
        [piece("c1", "f", "{}", index=1), piece("c2", "g", "{}", index=2)],
        [("c1", "f", "{}"), ("c2", "g", "{}")],
    ),
    "the index as text": (
        [piece("c1", "f", "{", index="0"), piece(None, None, "}", index="0")],
        [("c1", "f", "{}")],
    ),
    "arguments as an object": ([piece("c1", "f", {"a": 1}, index=0)], [("c1", "f", '{"a":1}')]),
    "arguments that are null": ([piece("c1", "f", index=0)], [("c1", "f", "")]),
    "all arguments once more at the end": (
        [
            piece("c1", "f", '{"a":', index=0),
            piece("c1", None, '"}"}', index=0),
            piece("c1", "f", '{"a": "}"}', index=0),
        ],
        [("c1", "f", '{"a":"}"}')],
    ),
    "all arguments once more, as text in text": (
        [piece("c1", "f", '{"a": 1}', index=0), piece("c1", "f", '"{\\"a\\": 1}"', index=0)],
        [("c1", "f", '{"a": 1}')],
    ),
    "arguments that break off": (
        [piece("c1", "f", '{"a": "x', index=0)],
        [("c1", "f", '{"a": "x')],
    ),
}


async def test_each_call_comes_once_with_an_id_of_its_own(subtests):
    """Whatever the pieces hold: results are told apart by the ids."""
    for name, (pieces, expected) in STREAMS.items():
        with subtests.test(name):
            chunks = [chunk(tool_calls=[call]) for call in pieces]
            deltas = await generate(FakeUpstream(streamed(*chunks, chunk("tool_calls"))))
            calls = join_deltas(deltas).tool_calls
            assert [(call.name, call.arguments) for call in calls] == [c[1:] for c in expected]
            for call, (id, *_) in zip(calls, expected, strict=True):
                assert call.id.startswith("call_") if id == "*" else call.id == id
            assert len({call.id for call in calls}) == len(calls)


async def test_a_call_in_openais_older_form_is_read():
    """``function_call``, as old servers and proxies still send it."""
    chunks = (
        chunk(function_call={"name": "f", "arguments": "{"}),
        chunk(function_call={"arguments": "}"}),
        chunk("function_call"),
    )

    reply = join_deltas(await generate(FakeUpstream(streamed(*chunks))))

    ((name, arguments),) = [(call.name, call.arguments) for call in reply.tool_calls]
    assert (name, arguments, reply.finish_reason) == ("f", "{}", "tool_calls")
    assert reply.tool_calls[0].id


async def test_a_call_that_is_no_list_is_read():
    """TGI sends the pieces of its only call so (huggingface/text-generation-inference, 2.x)."""
    calls = [piece("", "f", "{", index=0), piece("", None, "}", index=0)]
    chunks = [chunk(tool_calls=call) for call in calls]

    reply = join_deltas(await generate(FakeUpstream(streamed(*chunks, chunk("stop")))))

    ((name, arguments),) = [(call.name, call.arguments) for call in reply.tool_calls]
    assert (name, arguments, reply.finish_reason) == ("f", "{}", "tool_calls")


async def test_a_call_that_names_no_tool_is_an_error():
    """Nobody could answer it."""
    chunks = (chunk(tool_calls=[piece("c1", None, "{}", index=0)]), chunk("tool_calls"))

    error = await generate_error(FakeUpstream(streamed(*chunks)))

    assert error.message == "The engine's answer cannot be read."


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("f", "g")]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "events"])
@pytest.mark.parametrize("stream", [True, False])
def test_two_calls_without_ids_reach_our_client_through_the_gateway(stream, whole):
    """Over HTTP, in each of the service's forms: two calls, two ids."""
    calls = [piece(..., name, "{}", index=0) for name in ("f", "g")]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    answer = (
        (200, JSON, json.dumps(body).encode())
        if whole
        else streamed(*(chunk(tool_calls=[call]) for call in calls), chunk("tool_calls"))
    )
    engine = OpenAIEngine(Upstream(url=FakeUpstream(answer).url, default="w"))
    request = chat_request(
        find_model("glm-5"), [Message("user", "hi")], Options(tools=TOOLS), stream=stream
    )
    with (
        serve_in_thread(Gateway(engine)) as url,
        Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client,
    ):
        reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    assert [call.name for call in reply.tool_calls] == ["f", "g"]
    assert len({call.id for call in reply.tool_calls}) == 2
    assert all(call.id for call in reply.tool_calls)


async def test_the_reason_to_stop_at_calls_is_tool_calls():
    """vLLM ends a forced call with "stop"."""
    chunks = (chunk(tool_calls=[piece("c1", "f", "{}", index=0)]), chunk("stop"))

    deltas = await generate(FakeUpstream(streamed(*chunks)), engine_request("glm-5"))

    assert deltas[-1].finish_reason == "tool_calls"
