"""Answers are written as OpenAI's clients read them."""

import threading
import time

import httpx
import pytest

from dashscope_oss import Client, Endpoint, Message, Options, chat_request, find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.gateway.protocol.openai.calls import (
    ADD,
    CALLS,
    COUNTS,
    HI,
    USAGE,
    ask,
    choice,
    chunks,
    deltas,
    door,
)

THINKS = "deepseek-v4-pro"
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5}]}
USAGE_ASKED = {"stream_options": {"include_usage": True}}


def test_a_whole_answer_is_a_chat_completion(gateway):
    engine = gateway(Answer("hello", usage=USAGE))
    began = int(time.time())

    response = ask(engine.base_url)

    completion = response.json()
    assert began <= completion.pop("created") <= time.time()
    assert completion == {
        "id": f"chatcmpl-{response.headers['x-request-id']}",
        "object": "chat.completion",
        "model": "llama3-8b-instruct",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": COUNTS,
    }
    assert response.headers["x-dashscope-oss-served-by"] == "none (scripted)"


def test_a_stream_is_chunks_and_done(gateway):
    """The role stands in the first chunk; usage in none, since nobody asked."""
    engine = gateway(Answer(pieces=("hel", "lo"), usage=USAGE))

    response = ask(engine.base_url, stream=True)

    sent = chunks(response)
    assert deltas(response) == [
        {"role": "assistant", "content": "hel"},
        {"content": "lo"},
        {"content": ""},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in sent] == [None, None, "stop"]
    assert {chunk["object"] for chunk in sent} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in sent} == {f"chatcmpl-{response.headers['x-request-id']}"}
    assert not any("usage" in chunk for chunk in sent)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "x-dashscope-oss-incremental" not in response.headers


def test_a_stream_counts_tokens_where_that_is_asked(gateway):
    """In a chunk of its own without choices; all others say null."""
    engine = gateway(Answer("hello", usage=USAGE))

    *before, last = chunks(ask(engine.base_url, stream=True, **USAGE_ASKED))

    assert {chunk["usage"] for chunk in before} == {None}
    assert (last["choices"], last["usage"]) == ([], COUNTS)


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_nobody_counted_is_not_made_up(gateway, stream):
    """An answer without a reason for its end has ended by itself."""
    engine = gateway(Answer("never"))

    async def uncounted(request):
        yield Delta(text="hello", last=True)

    engine.generate = uncounted
    response = ask(engine.base_url, stream=stream, **USAGE_ASKED)

    if stream:
        [chunk] = chunks(response)
        assert (chunk["usage"], chunk["choices"][0]["finish_reason"]) == (None, "stop")
    else:
        assert choice(response)["finish_reason"] == "stop"
        assert response.json()["usage"] is None


def test_counts_of_single_kinds_of_tokens_stand_in_details(gateway):
    usage = Usage(
        input_tokens=7, output_tokens=9, total_tokens=16, cached_tokens=3, reasoning_tokens=0
    )
    engine = gateway(Answer("hello", usage=usage))

    assert ask(engine.base_url).json()["usage"] == {
        **COUNTS,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_usage_of_an_earlier_piece_is_not_lost(gateway):
    engine = gateway(Answer("never"))

    async def early(request):
        yield Delta(text="hello", usage=USAGE)
        yield Delta(last=True)

    engine.generate = early
    assert chunks(ask(engine.base_url, stream=True, **USAGE_ASKED))[-1]["usage"] == COUNTS


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_are_reasoning_content(gateway, stream):
    """The switch and its budget stand beside the model, where extra_body puts them."""
    engine = gateway(Answer("4", reasoning="2 and 2"))

    response = ask(
        engine.base_url, model=THINKS, stream=stream, enable_thinking=True, thinking_budget=9
    )

    if stream:
        first, second, _ = deltas(response)
        assert first == {"role": "assistant", "content": "", "reasoning_content": "2 and 2"}
        assert second == {"content": "4"}
    else:
        message = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
        assert choice(response)["message"] == message


def test_calls_of_tools_in_a_whole_answer(gateway):
    engine = gateway(Answer(tool_calls=CALLS))

    answer = choice(ask(engine.base_url, model="glm-5", tools=[ADD]))

    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"id": "c2", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}},
    ]


def test_calls_of_tools_are_streamed_in_pieces(gateway):
    """Only the first piece of a call has its id and name; calls are numbered."""
    engine = gateway(Answer("never"))

    async def pieces(request):
        yield Delta(tool_calls=(ToolCall("c1", "add", '{"a"', 0),))
        yield Delta(tool_calls=(ToolCall(arguments=": 1}", index=0),))
        yield Delta(tool_calls=(ToolCall("c2", "add", "{}", 1),))
        yield Delta(finish_reason="tool_calls", last=True)

    engine.generate = pieces
    response = ask(engine.base_url, model="glm-5", tools=[ADD], stream=True)

    calls = [call for delta in deltas(response) for call in delta.get("tool_calls", ())]
    assert calls[1] == {"index": 0, "function": {"arguments": ": 1}"}}
    assert [call.get("id") for call in calls] == ["c1", None, "c2"]
    assert chunks(response)[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_has_its_id_in_its_first_piece_though_the_engine_gives_it_late(gateway):
    """Servers leave it out, and get one when the answer ends; clients match results by it."""
    engine = gateway(Answer("never"))

    async def pieces(request):
        yield Delta(tool_calls=(ToolCall("", "add", "{}", 0), ToolCall("", "add", "{}", 1)))
        yield Delta(tool_calls=(ToolCall("c1", index=0), ToolCall("c2", index=1)), last=True)

    engine.generate = pieces
    response = ask(engine.base_url, model="glm-5", tools=[ADD], stream=True)

    first, second, *later = [call for delta in deltas(response) for call in delta["tool_calls"]]
    assert first["id"].startswith("call_")
    assert second["id"].startswith("call_")
    assert first["id"] != second["id"]
    assert not any("id" in call for call in later)


def test_calls_that_the_engine_does_not_number_are_numbered(gateway):
    engine = gateway(Answer(tool_calls=CALLS))

    response = ask(engine.base_url, model="glm-5", tools=[ADD], stream=True)

    calls = [call for delta in deltas(response) for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 1]


def test_calls_that_the_engine_counts_from_1_are_counted_from_0(gateway):
    """OpenAI's SDK puts each into a list at its number, and fails at one beyond the end."""
    engine = gateway(Answer("never"))

    async def pieces(request):
        yield Delta(tool_calls=(ToolCall("c1", "add", "{", 1), ToolCall(arguments="}", index=1)))
        yield Delta(tool_calls=(ToolCall("c2", "add", "{}", 2),), last=True)

    engine.generate = pieces
    response = ask(engine.base_url, model="glm-5", tools=[ADD], stream=True)

    calls = [call for delta in deltas(response) for call in delta["tool_calls"]]
    assert [call["index"] for call in calls] == [0, 0, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_stand_beside_the_message(gateway, stream):
    engine = gateway(Answer("a", logprobs=LOGPROBS))

    response = ask(engine.base_url, logprobs=True, stream=stream)

    answer = chunks(response)[-1]["choices"][0] if stream else choice(response)
    assert answer["logprobs"] == LOGPROBS


def test_a_chunk_arrives_before_the_next_is_made(gateway):
    hold = threading.Event()
    engine = gateway(Answer(pieces=("one ", "two"), hold=hold))
    body = {"model": "llama3-8b-instruct", "messages": HI, "stream": True}
    url = f"{door(engine.base_url)}/chat/completions"

    with httpx.Client() as client, client.stream("POST", url, json=body) as response:
        lines = response.iter_lines()
        first = next(lines)
        assert not hold.is_set()
        hold.set()
        rest = list(lines)

    assert "one " in first
    assert rest[-2:] == ["data: [DONE]", ""]


@pytest.mark.parametrize("stream", [False, True])
def test_both_doors_give_the_same(gateway, stream):
    """Text, thoughts, calls, finish reason and usage, of the same answer of the engine."""
    engine = gateway(Answer("text", reasoning="thoughts", tool_calls=CALLS, usage=USAGE))

    of_native = read_natively(engine, stream=stream)
    response = ask(
        engine.base_url, model=THINKS, tools=[ADD], enable_thinking=True, stream=stream,
        **USAGE_ASKED,
    )  # fmt: skip
    of_openai = read_stream(response) if stream else read_whole(response)

    assert of_openai == of_native
    assert of_native == ("text", "thoughts", of_native[2], "tool_calls", 16)
    assert [call[1:] for call in of_native[2]] == [(c.name, c.arguments) for c in CALLS]


def read_natively(engine, *, stream):
    options = Options(tools=[ADD], enable_thinking=True)
    request = chat_request(find_model(THINKS), [Message("user", "hi")], options, stream=stream)
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        reply = join_deltas(list(client.stream(request))) if stream else client.send(request)
    calls = [(call.id, call.name, call.arguments) for call in reply.tool_calls]
    return reply.text, reply.reasoning, calls, reply.finish_reason, reply.usage.total_tokens


def read_whole(response):
    answer = choice(response)
    message = answer["message"]
    total = response.json()["usage"]["total_tokens"]
    calls = read_calls(message["tool_calls"])
    return message["content"], message["reasoning_content"], calls, answer["finish_reason"], total


def read_stream(response):
    pieces, (*_, last, usage) = deltas(response), chunks(response)
    text, thoughts = (
        "".join(piece.get(name, "") for piece in pieces)
        for name in ("content", "reasoning_content")
    )
    calls = read_calls(call for piece in pieces for call in piece.get("tool_calls", ()))
    finish_reason = last["choices"][0]["finish_reason"]
    return text, thoughts, calls, finish_reason, usage["usage"]["total_tokens"]


def read_calls(calls):
    return [(call["id"], *call["function"].values()) for call in calls]
