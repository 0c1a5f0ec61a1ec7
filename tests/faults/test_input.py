"""What cannot be sent is refused before any request; everything else arrives as it was passed."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage as IndexMessage
from llama_index.core.llms import ImageBlock

from dashscope_oss.errors import DashScopeError, UnsupportedInputError

from .callers import Caller, check_clear
from .matrix import caller_id, in_frameworks
from .server import RawServer, answer, message_reply

TOOL_ARGUMENTS = {"when": datetime.now(UTC)}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES = {
    "langchain": {
        "empty": [],
        "nothing-said": [HumanMessage("")],
        "blank": [HumanMessage(" \n\t")],
        "unknown-role": [ChatMessage("hi", role="wizard")],
        "picture": [HumanMessage([{"type": "image_url", "image_url": {"url": "data:x"}}])],
        "sound": [HumanMessage([{"type": "audio", "base64": "eA==", "mime_type": "audio/wav"}])],
        "surrogate": [HumanMessage("a\ud800b")],
        "surrogate-in-system": [SystemMessage("\udfff"), HumanMessage("hi")],
        "tool-arguments": [
            HumanMessage("hi"),
            AIMessage("", tool_calls=[{"name": "f", "args": TOOL_ARGUMENTS, "id": "1"}]),
        ],
    },
    "llama_index": {
        "empty": [],
        "nothing-said": [IndexMessage("")],
        "blank": [IndexMessage(" \n\t")],
        "calling-user": [IndexMessage("hi", additional_kwargs={"tool_calls": [CALL]})],
        "picture": [IndexMessage(blocks=[ImageBlock(image=b"eA==", image_mimetype="image/png")])],
        "surrogate": [IndexMessage("a\ud800b")],
        "surrogate-in-system": [IndexMessage("\udfff", role="system"), IndexMessage("hi")],
        "tool-arguments": [
            IndexMessage("hi"),
            IndexMessage(
                role="assistant",
                blocks=[
                    {"block_type": "tool_call", "tool_name": "f", "tool_kwargs": TOOL_ARGUMENTS}
                ],
            ),
        ],
    },
}


def refused(caller: Caller, question: object, **settings) -> DashScopeError:
    """Return the error of a call that must not reach the server."""
    with RawServer(caller.hello) as server, pytest.raises(DashScopeError) as caught:
        caller(server, question, **settings)
    assert (server.requests, server.connections) == ([], 0)
    return caught.value


@pytest.mark.parametrize(
    ("caller", "name"),
    [((framework, "chat"), name) for framework, names in MESSAGES.items() for name in names],
    indirect=["caller"],
)
def test_messages_that_the_model_cannot_take_are_refused_before_sending(caller: Caller, name):
    error = refused(caller, MESSAGES[caller.library][name])
    assert isinstance(error, UnsupportedInputError)
    if name == "tool-arguments":
        assert "datetime" in str(error)
    else:
        check_clear(error)


def test_a_picture_and_half_a_character_are_refused_before_sending_in_every_mode(caller: Caller):
    for name in ("picture", "surrogate"):
        error = refused(caller, MESSAGES[caller.library][name])
        assert isinstance(error, UnsupportedInputError)
        check_clear(error)


def test_a_parameter_that_is_no_number_is_refused_before_sending(caller: Caller):
    for name, number in (("temperature", math.nan), ("presence_penalty", -math.inf)):
        assert name in str(refused(caller, "hi", **{name: number}))


def test_a_parameter_that_is_not_json_is_refused_before_sending(caller: Caller):
    setting = "model_kwargs" if caller.library == "langchain" else "additional_kwargs"
    for extra in ({"x": [{"y": math.inf}]}, {"x": object()}, {"\ud800": 1}):
        assert isinstance(refused(caller, "hi", **{setting: extra}), UnsupportedInputError)


def test_text_over_the_models_limit_is_refused_before_sending(caller: Caller):
    error = refused(caller, "字" * 40_000, model="baichuan2-7b-chat-v1")
    assert "tokens" in str(error)


TEXTS = (
    "a\x00b\x01\x1b[0m\x7f",
    "line ends a\r\nb\rc\nd\u2028e\u2029f\x85g",
    "👩‍👩‍👧 🏯 é",
    "\u202eשלום مرحبا\u202c",
    "beyond 16 bits \U0002a6a5\U0010ffff",
    "\ufeffhi\ufffe\uffff",
    '{"role":"system"}\\u0041"\\',
    "'\"`<|im_end|></s>",
    "  blanks around \n",
)


def test_text_arrives_as_it_was_passed(caller: Caller):
    hello = caller.hello if caller.streams else [caller.hello]
    with RawServer(hello) as server:
        caller.ask_each(caller.model(server), *TEXTS)
    arrived = [request.body["input"]["messages"][-1]["content"] for request in server.requests]
    assert arrived == list(TEXTS)


@pytest.mark.filterwarnings("ignore:no record of the model")
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("caller", in_frameworks(["chat", "astream"]), indirect=True, ids=caller_id)
def test_ten_megabytes_of_prompt_arrive(caller: Caller):
    text = "故宫 x" * 1_500_000
    with RawServer(caller.hello) as server:
        caller(server, text, model="unheard-of-model", timeout=30)
    assert server.requests[0].body["input"]["messages"][-1]["content"] == text


def test_an_answer_with_odd_text_can_be_sent_back(caller: Caller):
    """What one call returned, the next one may say."""
    odd = "\x00\u2028🏯"
    with RawServer(answer(message_reply(odd)), caller.hello) as server:
        text = caller(server).text
        history = (
            [HumanMessage("hi"), AIMessage(text), HumanMessage("and?")]
            if caller.library == "langchain"
            else [IndexMessage("hi"), IndexMessage(text, role="assistant"), IndexMessage("and?")]
        )
        caller(server, history)
    assert server.requests[1].body["input"]["messages"][1]["content"] == odd
