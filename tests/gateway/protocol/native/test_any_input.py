"""Whatever comes in becomes a request or the vendor's error, never a traceback or a dead server."""

import json
import socket

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.parse_request import parse_request
from dashscope_oss.gateway.protocol.native.response_encoder import ResponseEncoder, encode_reply
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.registry import lookup

PATH = "/services/aigc/{}/generation"
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["user", "json", "auto", "json_object", "message", "function", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def wild(likely):
    """What is meant, and one time in fifteen anything."""
    return st.integers(0, 14).flatmap(lambda n: anything if n == 7 else likely)


text = wild(st.text(min_size=1, max_size=5))
function = wild(st.fixed_dictionaries({"name": text, "arguments": text}))
tool = wild(st.fixed_dictionaries({"type": st.just("function"), "function": function}))
answered_turn = wild(st.fixed_dictionaries({"role": st.just("assistant"), "content": text}))
tool_turn = wild(
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "tool_calls": wild(st.lists(st.fixed_dictionaries({"id": text, "function": function}))),
        }
    )
)
user_turn = wild(st.fixed_dictionaries({"role": wild(st.just("user")), "content": text}))
parts = wild(st.lists(wild(st.fixed_dictionaries({"text": text})), max_size=2))
user_turn_in_parts = wild(st.fixed_dictionaries({"role": st.just("user"), "content": parts}))
messages = st.lists(user_turn | answered_turn | tool_turn, max_size=3).flatmap(
    lambda turns: user_turn.map(lambda last: [*turns, last])
)
round_ = wild(st.fixed_dictionaries({"user": text, "bot": text}))
prompts = st.fixed_dictionaries(
    {"prompt": text}, optional={"history": wild(st.lists(round_, max_size=2))}
)
inputs = {
    "llama3-8b-instruct": st.fixed_dictionaries({"messages": wild(messages)}),
    "llama2-7b-chat-v2": st.fixed_dictionaries({"messages": wild(messages)}) | prompts,
    "ziya-llama-13b-v1": prompts,
    "glm-5": st.fixed_dictionaries({"messages": wild(messages)}),
    "qwen3.6-27b": st.fixed_dictionaries({"messages": wild(st.lists(user_turn_in_parts))}),
}
values = {
    "temperature": st.floats(0, 1.5),
    "top_k": st.integers(0, 200),
    "max_tokens": st.integers(1, 1000),
    "stop": st.text() | st.lists(st.text()) | st.lists(st.integers()),
    "n": st.just(1),
    "result_format": st.sampled_from(["text", "message"]),
    "incremental_output": st.booleans(),
    "tools": st.lists(tool, max_size=2),
    "tool_choice": st.sampled_from(["auto", "none"]) | tool,
    "response_format": st.fixed_dictionaries({"type": wild(st.just("text"))}),
    "enable_thinking": st.booleans(),
    "colour": anything,
}
parameters = st.fixed_dictionaries({}, optional={k: wild(v) for k, v in values.items()})
body = st.sampled_from(sorted(inputs)).flatmap(
    lambda model: wild(
        st.fixed_dictionaries(
            {"model": wild(st.just(model)), "input": wild(inputs[model])},
            optional={"parameters": wild(parameters)},
        )
    )
)


def endpoint_of(data):
    """Where the call goes: mostly to where its model is."""
    model = data.get("model") if isinstance(data, dict) else None
    return "multimodal-generation" if model == "qwen3.6-27b" else "text-generation"


def read(content, *, endpoint="text-generation", stream=False):
    """The request or the error; any other exception fails the test."""
    try:
        return parse_request(
            content,
            endpoint=endpoint,
            stream=stream,
            request_id="r",
            find_model=lookup.known_model,
        )
    except APIError as error:
        return error


@given(st.binary())
def test_any_bytes_are_a_request_or_an_error(content):
    """Bytes that are no call are refused as such."""
    result = read(content)

    assert isinstance(result, APIError)
    assert result.status in (400, 404)


@settings(max_examples=150)
@given(body, st.booleans())
def test_any_json_is_a_request_or_an_error(data, stream):
    """A request has exactly one of prompt and messages; an error is the caller's and says so."""
    result = read(json.dumps(data).encode(), endpoint=endpoint_of(data), stream=stream)

    if isinstance(result, EngineRequest):
        assert (result.prompt is None) != (result.messages is None)
        assert None not in result.parameters.values()
    else:
        assert result.status in (400, 404)
        assert result.code
        assert result.message


@settings(max_examples=50)
@given(body, st.booleans())
async def test_the_gateway_answers_any_json(data, stream):
    """Never by an internal error; the body of the answer is JSON or events."""
    status, answer = await answered(data, stream=stream)

    assert status in (200, 400, 404)
    assert "InternalError" not in answer or "InternalError" in json.dumps(data)
    if not stream:
        assert json.loads(answer)["request_id"]


async def answered(data, *, stream):
    """Status and body of the whole application, without sockets."""
    headers = {"accept": "text/event-stream" if stream else "*/*"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Gateway(ScriptedEngine())), base_url="http://gateway/api/v1"
    ) as client:
        path = PATH.format(endpoint_of(data))
        reply = await client.post(path, content=json.dumps(data).encode(), headers=headers)
    return reply.status_code, reply.text


deltas = st.builds(
    Delta,
    text=st.text(max_size=5),
    reasoning=st.text(max_size=3),
    tool_calls=st.lists(
        st.builds(ToolCall, id=st.text(), name=st.text(), arguments=st.text(), index=st.just(0)),
        max_size=1,
    ).map(tuple),
    usage=st.none() | st.just(Usage(input_tokens=1, output_tokens=2, total_tokens=3)),
)


@given(st.lists(deltas, max_size=5), st.sampled_from(sorted(inputs)), st.booleans())
def test_what_is_written_reads_back(parts, model, as_message):
    """The last event of a stream that repeats itself holds what the plain reply holds."""
    model_info = lookup.known_model(model)
    form = "message" if as_message else "text"
    parameters = {"result_format": form, "incremental_output": False}
    request = EngineRequest(
        model_info=model_info, prompt="p", parameters=parameters, request_id='r"\\'
    )
    parts = [*parts, Delta(finish_reason="stop", last=True, usage=joined_usage(parts))]

    encoder = ResponseEncoder(request)
    events = [encoder.event(part) for part in parts]
    last = json.loads(events[-1].split(b"data:", 1)[1])

    assert last == json.loads(encode_reply(request, parts))
    assert last["request_id"] == request.request_id


def joined_usage(parts):
    return next((part.usage for part in reversed(parts) if part.usage), None)


@pytest.fixture
def engine(gateway):
    return gateway(Answer("alive"))


def alive(engine):
    body = {"model": "llama2-7b-chat-v2", "input": {"prompt": "Are you there?"}}
    url = engine.base_url + PATH.format("text-generation")
    return httpx.post(url, json=body, verify=False).json()["output"]["text"] == "alive"


def raw(engine):
    host, port = engine.base_url.split("/")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=10)


HEAD = f"POST /api/v1{PATH.format('text-generation')} HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("length", [50_000_000, None])
def test_a_body_of_50_mb_is_refused_and_the_server_lives_on(engine, length):
    """By its size, whether that was announced or not; it is not kept in memory."""
    chunk = b" " * 1_000_000
    content = (chunk for _ in range(50))
    headers = {"Content-Length": str(length)} if length else {}

    url = engine.base_url + PATH.format("text-generation")
    try:
        reply = httpx.post(url, content=content, headers=headers, verify=False)
    except httpx.TransportError:
        reply = None  # answered and closed while the rest was still on its way

    assert reply is None or reply.json()["code"] == "BadRequest.TooLarge"
    assert alive(engine)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        HEAD.encode(),
        HEAD.encode() + b"Content-Length: 100\r\n\r\n{",
        HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD.encode() + b"Content-Length: -1\r\n\r\n",
        HEAD.encode() + b"X: " + b"a" * 200_000,
    ],
    ids=["nothing", "TLS", "no HTTP", "half a head", "half a body", "no chunks", "length", "long"],
)
def test_a_client_that_vanishes_leaves_the_server_alive(engine, sent):
    """At any point of its request; what it did not send in full does not count as a call."""
    with raw(engine) as connection:
        connection.sendall(sent)

    assert alive(engine)
    assert [request.body["model"] for request in engine.requests] == ["llama2-7b-chat-v2"]


def test_a_client_that_vanishes_in_its_stream_leaves_the_server_alive(gateway):
    """Events to nobody are dropped."""
    engine = gateway(Answer(pieces=("x" * 100_000,) * 50, pause=0.001), Answer("alive"))
    body = b'{"model":"llama2-7b-chat-v2","input":{"prompt":"hi"}}'
    head = f"{HEAD}X-DashScope-SSE: enable\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    with raw(engine) as connection:
        connection.sendall(head + body)
        connection.recv(100)

    assert alive(engine)
