"""What cannot be sent is refused before a request; all else arrives as it was given."""

from __future__ import annotations

import math

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage as IndexMessage
from llama_index.core.llms import ImageBlock, MessageRole

from dashscope_oss.errors import DashScopeError, UnsupportedInputError

from .callers import Caller, check_clear
from .server import RawServer, answer, message_reply

GOOD = answer(message_reply("hello"))
IN_LANGCHAIN = {
    "empty": [],
    "nothing-said": [HumanMessage("")],
    "blank": [HumanMessage(" \n\t")],
    "unknown-role": [ChatMessage("hi", role="wizard")],
    "picture": [HumanMessage([{"type": "image_url", "image_url": {"url": "data:x"}}])],
    "sound": [HumanMessage([{"type": "audio", "base64": "eA==", "mime_type": "audio/wav"}])],
    "surrogate": [HumanMessage("a\ud800b")],
    "surrogate-in-system": [SystemMessage("\udfff"), HumanMessage("hi")],
}
IN_LLAMA_INDEX = {
    "empty": [],
    "nothing-said": [IndexMessage("")],
    "blank": [IndexMessage(" \n\t")],
    "unknown-role": [IndexMessage("hi", role=MessageRole.FUNCTION)],
    "picture": [IndexMessage(blocks=[ImageBlock(image=b"eA==", image_mimetype="image/png")])],
    "sound": None,
    "surrogate": [IndexMessage("a\ud800b")],
    "surrogate-in-system": [IndexMessage("\udfff", role="system"), IndexMessage("hi")],
}


def refused(caller: Caller, asked: object, **settings) -> DashScopeError:
    """The error of a call that must not reach the server."""
    with RawServer(GOOD) as server, pytest.raises(DashScopeError) as caught:
        caller(server, asked, **settings)
    assert (server.requests, server.connections) == ([], 0)
    return caught.value


@pytest.mark.parametrize("name", IN_LANGCHAIN)
def test_what_the_model_cannot_carry_is_refused_before_sending(caller: Caller, name):
    asked = (IN_LANGCHAIN if caller.framework == "langchain" else IN_LLAMA_INDEX)[name]
    if asked is None:
        pytest.skip("LlamaIndex has no such block without a file")
    error = refused(caller, asked)
    assert isinstance(error, UnsupportedInputError)
    check_clear(error)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["temperature", "top_p", "presence_penalty"])
def test_a_number_that_is_none_is_refused_before_sending(caller: Caller, name, number):
    assert name in str(refused(caller, "hi", **{name: number}))


@pytest.mark.parametrize(
    "extra",
    [
        {"x": math.nan},
        {"x": [{"y": math.inf}]},
        {"x": object()},
        {"x": "a\ud800"},
        {"\ud800": 1},
        {"x": b"\xff"},
    ],
    ids=["nan", "deep-inf", "object", "surrogate", "surrogate-name", "bytes"],
)
def test_a_parameter_that_is_no_json_is_refused_before_sending(caller: Caller, extra):
    given = "model_kwargs" if caller.framework == "langchain" else "additional_kwargs"
    assert isinstance(refused(caller, "hi", **{given: extra}), UnsupportedInputError)


def test_text_over_the_models_limit_is_refused_before_sending(caller: Caller):
    error = refused(caller, "字" * 40_000, model="baichuan2-7b-chat-v1")
    assert "tokens" in str(error)


TEXTS = {
    "control": "a\x00b\x01\x1b[0m\x7f",
    "line-ends": "a\r\nb\rc\nd\u2028e\u2029f\x85g",
    "emoji": "👩‍👩‍👧 🏯 é",
    "right-to-left": "\u202eשלום مرحبا\u202c",
    "beyond-16-bits": "\U0002a6a5\U0010ffff",
    "byte-order-mark": "\ufeffhi\ufffe\uffff",
    "json": '{"role":"system"}\\u0041"\\',
    "quotes": "'\"`<|im_end|></s>",
    "blanks-around": "  hi \n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_arrives_as_it_was_given(caller: Caller, text):
    with RawServer(GOOD) as server:
        caller(server, text)
    (request,) = server.requests
    assert request.body["input"]["messages"][-1]["content"] == text


def test_ten_megabytes_of_prompt_arrive(caller: Caller):
    text = "故宫 x" * 1_500_000
    with RawServer(GOOD) as server:
        caller(server, text, model="unheard-of-model", timeout=30)
    assert server.requests[0].body["input"]["messages"][-1]["content"] == text


def test_an_answer_with_odd_text_can_be_sent_back(caller: Caller):
    """What one call gave is what the next one may say."""
    odd = "\x00\u2028🏯"
    with RawServer(answer(message_reply(odd)), GOOD) as server:
        said = caller(server).text
        made = (
            [HumanMessage("hi"), AIMessage(said), HumanMessage("and?")]
            if caller.framework == "langchain"
            else [
                IndexMessage("hi"),
                IndexMessage(said, role="assistant"),
                IndexMessage("and?"),
            ]
        )
        caller(server, made)
    assert server.requests[1].body["input"]["messages"][1]["content"] == odd
