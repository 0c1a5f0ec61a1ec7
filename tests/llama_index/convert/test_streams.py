"""The pieces of a stream: each with its delta and all the text so far, as soon as it is there."""

import asyncio
import json
import threading
from itertools import accumulate, product

import httpx2
import pytest
from llama_index.core.llms import ChatMessage, MessageRole

from dashscope_oss import ToolCall
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, MODELS, PROMPT_ONLY, STREAMS, WITH_TOOLS
from tests.llama_index.mock_service import message, model_over, streamed

PIECES = ("你好，", "世界", "！")
ANSWERS = (
    *((model, Answer(pieces=PIECES)) for model in MODELS),
    (WITH_TOOLS, Answer(pieces=PIECES, reasoning="They greet me.")),
)


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_every_piece_of_a_stream_holds_the_text_so_far(make, ask):
    """Beside its delta, which is text; the role is there from the first."""
    for model, answer in ANSWERS:
        called = ask(make(model, answer), "hi")
        assert called.texts == list(accumulate(called.deltas))
        assert len(set(called.texts)) > 2
        if "chat" in ask.name:
            assert {piece.message.role for piece in called.pieces} == {MessageRole.ASSISTANT}


@pytest.mark.parametrize("ask", ["stream_chat", "astream_chat"], indirect=True)
def test_a_piece_without_text_has_an_empty_delta(make, ask):
    """Where the model thinks or calls a tool."""
    call = ToolCall(id="1", name="now", arguments="{}", index=0)
    called = ask(make(WITH_TOOLS, Answer(reasoning="Hm.", tool_calls=(call,))), "hi")
    assert len(called.deltas) > 1
    assert set(called.deltas) == {""}
    assert {piece.message.role for piece in called.pieces} == {MessageRole.ASSISTANT}


def test_a_stream_arrives_while_it_is_made(make):
    release = threading.Event()
    llm = make(CHAT, Answer(pieces=("first ", "second"), hold=release))
    stream = llm.stream_chat([ChatMessage("hi")])
    assert next(stream).delta == "first "
    release.set()
    assert [response.message.content for response in stream][-1] == "first second"


async def test_an_async_stream_arrives_while_it_is_made(make, monkeypatch):
    """And no thread is used for it."""
    release = threading.Event()
    llm = make(PROMPT_ONLY, Answer(pieces=("first ", "second"), hold=release))
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "run_in_executor", None, raising=False)
        stream = await llm.astream_complete("hi")
        assert (await anext(stream)).delta == "first "
        release.set()
        assert [response.text async for response in stream][-1] == "first second"
        await llm.aclose()


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_both_ways_to_stream_give_the_same_text(ask):
    """Also from a server that repeats all the text so far."""
    for pieces in (("你", "好", "世界"), ("你", "你好", "你好世界")):
        outputs = [*map(message, pieces[:-1]), message(pieces[-1], "stop")]
        called = ask(model_over(streamed(*outputs)), "hi")
        assert called.text == "".join(called.deltas) == "你好世界"


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_two_events_of_all_the_text_so_far_are_not_doubled_though_new_was_promised(ask):
    called = ask(model_over(streamed(message("Hi"), message("Hi there", "stop")), "glm-5"), "hi")
    assert called.text == "Hi there"


def test_an_answer_ends_where_the_model_begins_the_users_next_turn(make, ask):
    pieces = ("Fine.</s>\n", "<human> : And you?")
    assert ask(make(PROMPT_ONLY, Answer(pieces=pieces)), "hi").text == "Fine."


def test_a_text_answer_without_a_finish_reason_is_whole(ask):
    """As the pages Baichuan and LLaMA write it, the latter beside the output."""
    streams = "stream" in ask.name
    body = {"output": {"text": "Hey"}} if streams else {"text": "Hey"}
    text = f"data:{json.dumps(body)}\n\n" if streams else json.dumps(body)
    model = "baichuan2-7b-chat-v1" if "complete" in ask.name else CHAT
    assert ask(model_over(lambda _: httpx2.Response(200, text=text), model), "hi").text == "Hey"


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_stream_may_arrive_in_any_pieces(ask):
    """Null content, no choices, comments, CRLF, cuts inside a character."""
    outputs = ({"choices": []}, message(None), message("你"), message("好"), message("", "stop"))
    for size, line_end in product((1, 2, 7), ("\n", "\r\n")):
        called = ask(model_over(streamed(*outputs, line_end=line_end, size=size)), "hi")
        assert called.text == "".join(called.deltas) == "你好"
