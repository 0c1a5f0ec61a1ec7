"""Answers that go on where the caller's last message ends, and log probabilities of tokens."""

import json

import pytest

from dashscope_oss import (
    Client,
    Endpoint,
    InvalidRequestError,
    Message,
    Options,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import Answer, APIError, EngineRequest
from dashscope_oss.gateway.protocol.native.parse_request import parse_request
from dashscope_oss.gateway.protocol.native.response_encoder import ResponseEncoder
from dashscope_oss.messages import Delta
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry.lookup import known_model

USER = {"role": "user", "content": "hi"}
BEGUN = {"role": "assistant", "content": "Once upon", "partial": True}
THINKING = {"enable_thinking": True, "incremental_output": True, "result_format": "message"}
LOGPROBS = {"content": [{"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": []}]}


def parsed(*messages, model="glm-5", stream=False, **parameters) -> EngineRequest:
    body = {"model": model, "input": {"messages": messages}, "parameters": parameters}
    return parse_request(
        json.dumps(body).encode(),
        endpoint="text-generation",
        stream=stream,
        request_id="r",
        find_model=known_model,
    )


@pytest.mark.parametrize("model", ["glm-5", "llama3-8b-instruct"])
def test_a_partial_answer_reaches_the_engine(model):
    """Of every model that takes messages."""
    request = parsed(USER, BEGUN, model=model)

    assert request.is_partial
    assert request.messages[-1] == Message("assistant", "Once upon", partial=True)


@pytest.mark.parametrize(
    ("messages", "parameters", "text"),
    [
        ([{**USER, "partial": True}], {}, "partial is for the last message"),
        ([BEGUN, USER], {}, "partial is for the last message"),
        ([USER, {**BEGUN, "partial": "yes"}], {}, "valid boolean: input.messages.partial"),
        ([USER, BEGUN], THINKING, "Partial mode is not supported when enable_thinking is true"),
        ([USER], {"logprobs": 5}, "valid boolean: parameters.logprobs"),
        ([USER], {"top_logprobs": -1}, "at least 0: parameters.top_logprobs"),
        ([USER], {"top_logprobs": True}, "at least 0: parameters.top_logprobs"),
    ],
)
def test_what_cannot_be_meant_is_refused(messages, parameters, text):
    """As a bad parameter, before any engine is asked."""
    with pytest.raises(APIError) as caught:
        parsed(*messages, stream=bool(parameters.get("enable_thinking")), **parameters)

    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")
    assert text in caught.value.message


@pytest.mark.parametrize(("stream", "incremental"), [(False, False), (True, True), (True, False)])
def test_log_probabilities_stand_beside_the_message(gateway, stream, incremental):
    """In the vendor's place for them, which has no form of text; once, however they are sent."""
    engine = gateway(Answer("Hi there, you", logprobs=LOGPROBS))
    extra = {"logprobs": True, "top_logprobs": 2, "result_format": "text"}
    if stream:
        extra["incremental_output"] = incremental
    request = chat_request(
        find_model("llama3-8b-instruct"),
        [Message("user", "hi")],
        Options(extra=extra),
        stream=stream,
    )
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    assert (reply.text, reply.logprobs) == ("Hi there, you", LOGPROBS)


@pytest.mark.parametrize("incremental", [True, False])
def test_streamed_log_probabilities_come_once_with_each_token(incremental):
    """In events that hold the text so far they are those so far; our client takes the new ones."""
    tokens = [{"token": token, "logprob": -0.5} for token in ("Hi", " you", "!")]
    request = parsed(USER, stream=True, logprobs=True, incremental_output=incremental)
    encoder = ResponseEncoder(request)
    pieces = [Delta(text=t["token"], logprobs={"content": [t]}) for t in tokens]
    written = [encoder.event(piece) for piece in (*pieces, Delta(finish_reason="stop", last=True))]

    assert b" you" in written[1]
    assert (b'"Hi"' in written[1]) is not incremental
    options = Options(extra={"logprobs": True, "incremental_output": incremental})
    question = chat_request(find_model("glm-5"), [Message("user", "hi")], options, stream=True)
    assembler = Assembler(question)
    assembler.begin(None, "true" if incremental else "false")
    reply = join_deltas([*assembler.feed(b"".join(written)), *assembler.close()])
    assert (reply.text, reply.logprobs) == ("Hi you!", {"content": tokens})


def test_a_script_without_log_probabilities_says_so(gateway):
    """An answer that lacks what was asked for would hide a fault of the test."""
    engine = gateway(Answer("Hi"))
    options = Options(extra={"logprobs": True})
    request = chat_request(find_model("glm-5"), [Message("user", "hi")], options)

    with (
        Client(Endpoint.resolve(base_url=engine.base_url)) as client,
        pytest.raises(InvalidRequestError, match="the answer in the script has none"),
    ):
        client.send(request)
