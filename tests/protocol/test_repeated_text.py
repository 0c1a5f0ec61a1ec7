"""Streams whose events may hold new text or all the text so far, or come twice."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dashscope_oss import find_model
from dashscope_oss.protocol.assembler import Assembler
from tests.protocol.bodies import HOSTED, chat_body, request_to, streamed_reply, text_body

LLAMA = find_model("llama2-7b-chat-v2")


def test_an_event_that_comes_twice_under_its_id_counts_once():
    head = b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:"
    event = head % 1 + b'{"output":{"text":"a","finish_reason":"null"}}\n\n'
    last = head % 2 + b'{"output":{"text":"","finish_reason":"stop"}}\n\n'
    assembler = Assembler(request_to())
    more = event.replace(b"id:1", b"id:2")
    last = last.replace(b"id:2", b"id:3")
    assert "".join(d.text for d in assembler.feed(event + more + more + last)) == "aa"


def test_events_that_all_have_one_id_are_all_counted():
    head = b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:"
    event = head + b'{"output":{"text":"a","finish_reason":"null"}}\n\n'
    last = head + b'{"output":{"text":"","finish_reason":"stop"}}\n\n'
    assembler = Assembler(request_to())
    assert "".join(d.text for d in assembler.feed(event + event + last)) == "aa"


def with_id(id, text, finish="null"):
    body = json.dumps({"output": {"text": text, "finish_reason": finish}})
    return f"id:{id}\nevent:result\n:HTTP_STATUS/200\ndata:{body}\n\n".encode()


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ([(1, "Hel"), (1, "Hel"), (2, "lo"), (3, "", "stop")], "Hello"),
        ([(1, "a"), (2, "b"), (3, "c"), (2, "b"), (3, "c"), (4, "d"), (5, "", "stop")], "abcd"),
        ([(0, "ha"), (1, "ho"), (0, "ha"), (9, "", "stop")], "hahoha"),
        ([(7, "ha"), (7, "ha"), (7, "!"), (7, "", "stop")], "haha!"),
        ([(7, "ha"), (7, "!"), (8, "a"), (7, "ha"), (8, "", "stop")], "ha!aha"),
    ],
    ids=["the first", "several", "ids of something else", "one id", "ids that mean nothing"],
)
def test_events_count_once_where_ids_tell_them_apart(stream, text):
    assembler = Assembler(request_to())
    chunks = [with_id(*event) for event in stream]
    deltas = [delta for chunk in chunks for delta in assembler.feed(chunk)]
    assert "".join(delta.text for delta in [*deltas, *assembler.close()]) == text


def test_events_of_one_id_that_are_all_the_same_are_not_held_back_without_end():
    assembler = Assembler(request_to(replace(HOSTED, incremental="forced")))
    event = b'id:1\ndata:{"output":{"text":"ha","finish_reason":"null"}}\n\n'
    texts = ["".join(delta.text for delta in assembler.feed(event)) for _ in range(40)]
    assert "".join(texts) == "ha" * 40
    assert texts[-1] == "ha"


def test_events_of_one_id_that_are_all_the_same_are_all_counted():
    assembler = Assembler(request_to(replace(LLAMA, incremental="unknown")))
    stream = b"".join(b'id:1\ndata:{"output":{"text":"ha"}}\n\n' for _ in range(3))
    assert "".join(d.text for d in [*assembler.feed(stream), *assembler.close()]) == "hahaha"


@pytest.mark.parametrize("shape", [text_body, chat_body])
def test_two_events_of_all_the_text_so_far_are_not_doubled_though_new_text_was_promised(shape):
    assert streamed_reply(request_to(), shape("Hi", "null"), shape("Hi there", "stop")).text == (
        "Hi there"
    )


def test_counts_of_tokens_tell_new_text_from_text_so_far():
    def event(text, count):
        return text_body(text, usage={"input_tokens": 3, "output_tokens": count})

    request = request_to(replace(LLAMA, incremental="unknown"))
    assert streamed_reply(request, event("1", 1), event("12", 3)).text == "112"
    assert streamed_reply(request, event("1", 1), event("12", 2)).text == "12"


def test_text_so_far_is_told_where_a_strict_caller_did_not_ask_for_new_text():
    request = request_to(LLAMA, strict=True)
    assert streamed_reply(request, text_body("ha"), text_body("ha")).text == "ha"
    assert streamed_reply(request, text_body("a"), text_body("b")).text == "ab"


@pytest.mark.parametrize("mode", ["unknown", "yes"])
def test_arguments_so_far_are_not_doubled_whatever_was_promised(mode):
    stream = [
        chat_body("", "null", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": a}}])
        for a in ('{"a', '{"a": 1', '{"a": 1}')
    ]
    request = request_to(replace(HOSTED, incremental=mode))
    (call,) = streamed_reply(request, *stream, chat_body("", "tool_calls")).tool_calls
    assert call.arguments == '{"a": 1}'
