"""Streamed answers: the same deltas however the bytes are cut, or an error with the text so far."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import (
    ContentBlockedError,
    InvalidRequestError,
    ProtocolError,
    RateLimitError,
    ServerError,
    Usage,
    completion_request,
    find_model,
)
from dashscope_oss.protocol import assembler as assembler_module
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.response import read_reply
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.protocol.bodies import (
    HOSTED,
    broken,
    chat_body,
    deltas_of,
    error_event,
    events,
    request_to,
    streamed_reply,
    text_body,
)

BAICHUAN = find_model("baichuan2-7b-chat-v1")
BELLE = find_model("belle-llama-13b-2m-v1")
LLAMA = find_model("llama2-7b-chat-v2")
ZIYA = find_model("ziya-llama-13b-v1")

PIECES = ["ha", "ha", "lo ", "ha", "."]
SO_FAR = ["ha", "haha", "hahalo ", "hahalo ha", "hahalo ha."]
TEXT = "hahalo ha."


def bodies(texts, *, last, shape=text_body):
    return [*(shape(text, "null") for text in texts), shape(last, "stop")]


@pytest.mark.parametrize("shape", [text_body, chat_body])
@pytest.mark.parametrize(
    ("incremental", "texts", "last"),
    [
        ("yes", PIECES, ""),
        ("forced", PIECES, ""),
        ("no", SO_FAR, TEXT),
        ("no", SO_FAR, ""),
        ("unknown", PIECES, ""),
        ("unknown", SO_FAR[:-1], TEXT),
    ],
)
def test_new_text_and_text_so_far_give_the_same_answer(shape, incremental, texts, last):
    request = request_to(replace(HOSTED, incremental=incremental))
    deltas = deltas_of(request, *bodies(texts, last=last, shape=shape))
    assert "".join(delta.text for delta in deltas) == TEXT
    assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert deltas[-1].finish_reason == "stop"
    assert {delta.finish_reason for delta in deltas[:-1]} <= {None}


def test_log_probabilities_of_another_form_are_handed_on_as_they_are():
    body = chat_body("hi", "stop")
    body["output"]["choices"][0]["logprobs"] = {"tokens": ["hi"]}
    assert streamed_reply(request_to(HOSTED), body).logprobs == {"tokens": ["hi"]}


@pytest.mark.parametrize("texts", [PIECES, SO_FAR])
def test_it_finds_out_what_events_hold_without_any_finish_reason(texts):
    request = request_to(replace(LLAMA, incremental="unknown"))
    assert streamed_reply(request, *map(text_body, texts)).text == TEXT


def test_a_stream_of_new_text_is_handed_on_piece_by_piece():
    """One that repeats the first waits for the next: then it is certain that it is new."""
    deltas = deltas_of(request_to(), *bodies(PIECES, last=""))
    assert [delta.text for delta in deltas] == [PIECES[0], "".join(PIECES[1:3]), *PIECES[3:], ""]


def test_the_text_so_far_is_expected_where_the_caller_turned_incremental_output_off():
    request = request_to(extra={"incremental_output": False})
    assert streamed_reply(request, *bodies(SO_FAR, last=TEXT)).text == TEXT


@pytest.mark.parametrize(("header", "texts"), [("true", PIECES), ("false", SO_FAR)])
def test_a_gateways_word_on_what_events_hold_wins_over_the_record(header, texts):
    assembler = Assembler(request_to(replace(HOSTED, incremental="unknown")))
    assembler.begin("real-weights", header)
    stream = events(bodies(texts, last="" if header == "true" else TEXT))
    reply = join_deltas([*assembler.feed(stream), *assembler.close()])
    assert (reply.text, reply.served_by) == (TEXT, "real-weights")


@given(st.lists(st.text(max_size=6), min_size=1, max_size=8), st.lists(st.integers(0, 600)))
def test_a_stream_cut_anywhere_gives_the_same_text(pieces, places):
    stream = events(bodies(pieces, last=""))
    ends = [*sorted(place for place in places if place < len(stream)), len(stream)]
    assembler = Assembler(request_to())
    deltas = []
    for start, end in zip([0, *ends], ends, strict=False):
        deltas += assembler.feed(stream[start:end])
    assert join_deltas([*deltas, *assembler.close()]).text == "".join(pieces)


@pytest.mark.parametrize("incremental", ["yes", "unknown"])
def test_echo_and_end_mark_are_removed_from_a_stream(incremental):
    request = completion_request(replace(ZIYA, incremental=incremental), "一\n二")
    answer = "<s><human> :一 二\n<bot> : 三四</s>"
    texts = [answer[n : n + 3] for n in range(0, len(answer), 3)]
    assert streamed_reply(request, *map(text_body, texts)).text == "三四"


def test_a_stop_text_in_two_pieces_ends_a_stream_and_keeps_its_usage():
    """Nothing of it is handed on; what comes behind it is not read."""
    assembler = Assembler(request_to(find_model("llama3-8b-instruct"), stop="##"))
    body = {**chat_body("one #", "null"), "usage": {"input_tokens": 2}}
    deltas = list(assembler.feed(events([body, chat_body("# two", "null"), chat_body("x")])))
    assert "".join(delta.text for delta in deltas) == "one "
    assert (deltas[-1].last, deltas[-1].finish_reason) == (True, "stop")
    assert deltas[-1].usage.input_tokens == 2
    assert assembler.cut
    assert list(assembler.close()) == []


def test_thoughts_between_tags_are_split_off_a_stream():
    texts = ["<thi", "nk>h", "m</think>\n", "\n7", "."]
    reply = streamed_reply(request_to(split_think=True), *bodies(texts, last=""))
    assert (reply.text, reply.reasoning) == ("7.", "hm")


def test_reasoning_and_content_are_kept_apart():
    stream = [
        chat_body("", "null", reasoning_content="first "),
        chat_body("", "null", reasoning_content="think"),
        chat_body("four", "null", reasoning_content=""),
        chat_body("", "stop", reasoning_content=""),
    ]
    reply = streamed_reply(request_to(), *stream)
    assert (reply.reasoning, reply.text) == ("first think", "four")


def test_usage_is_the_last_that_was_reported_and_never_a_sum():
    reported = [{"input_tokens": 5, "output_tokens": n} for n in (1, 2, 3)]
    stream = [{**text_body("a", "null"), "usage": usage} for usage in reported]
    deltas = deltas_of(request_to(), *stream, text_body("", "stop"))
    assert deltas[-1].usage == Usage(5, 3, 8)
    assert {delta.usage for delta in deltas[:-1]} == {None}


def test_usage_that_nobody_reported_is_estimated_on_request():
    reply = streamed_reply(request_to(estimate_usage=True), *bodies(PIECES, last=""))
    assert reply.usage.estimated


def test_every_delta_carries_request_id_and_the_weights_that_answer():
    assembler = Assembler(request_to())
    assembler.begin("real-weights", None)
    stream = [{**text_body(t, f), "request_id": "r-1"} for t, f in (("a", "null"), ("", "stop"))]
    deltas = [*assembler.feed(events(stream)), *assembler.close()]
    facts = [(delta.request_id, delta.served_by) for delta in deltas]
    assert facts == [("r-1", "real-weights")] * 2


def test_events_behind_the_last_are_ignored():
    reply = streamed_reply(request_to(), text_body("a", "stop"), text_body("b", "null"))
    assert reply.text == "a"


def test_events_without_an_answer_are_passed_over():
    stream = [{"output": {"choices": []}}, chat_body("a", "null"), {"request_id": "1"}]
    assert streamed_reply(request_to(), *stream, chat_body("", "stop")).text == "a"


def test_pieces_of_tool_calls_are_joined_and_their_finish_reason_kept():
    def piece(index, arguments, **first):
        call = {"index": index, "function": {"arguments": arguments, **first}}
        return chat_body("", "null", tool_calls=[call])

    stream = [piece(0, '{"a":', name="add"), piece(1, "{", name="sub"), piece(0, "1}")]
    last = chat_body("", "tool_calls", tool_calls=[{"index": 1, "function": {"arguments": "}"}}])
    reply = streamed_reply(request_to(), *stream, last)
    assert reply.finish_reason == "tool_calls"
    assert [(call.name, call.arguments, call.index) for call in reply.tool_calls] == [
        ("add", '{"a":1}', 0),
        ("sub", "{}", 1),
    ]


def test_calls_without_an_id_get_one_each():
    """Frameworks match results to calls by it."""
    calls = [
        {"index": at, "id": id, "function": {"name": "f"}} for at, id in enumerate(("null", ""))
    ]
    for reply in (
        streamed_reply(request_to(), chat_body("", "tool_calls", tool_calls=calls)),
        read_reply(request_to(), chat_body("", "tool_calls", tool_calls=calls)),
    ):
        first, second = (call.id for call in reply.tool_calls)
        assert first.startswith("call_")
        assert first != second
        assert second.startswith("call_")


def test_an_id_that_comes_late_is_the_calls_id():
    begun = chat_body("", "null", tool_calls=[{"index": 0, "function": {"name": "f"}}])
    late = {"index": 0, "id": "c1", "function": {"arguments": "{}"}}
    (call,) = streamed_reply(
        request_to(), begun, chat_body("", "stop", tool_calls=[late])
    ).tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "f", "{}")


def test_two_calls_of_different_names_under_one_index_are_two_calls():
    pieces = [
        chat_body(
            "", "null", tool_calls=[{"index": 0, "function": {"name": name, "arguments": "{}"}}]
        )
        for name in ("add", "sub")
    ]
    reply = streamed_reply(request_to(), *pieces, chat_body("", "tool_calls"))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("add", "{}"),
        ("sub", "{}"),
    ]


def test_a_name_that_each_piece_repeats_begins_no_further_call():
    pieces = [
        chat_body(
            "", "null", tool_calls=[{"index": 0, "function": {"name": "f", "arguments": part}}]
        )
        for part in ('{"a"', ":1}")
    ]
    reply = streamed_reply(request_to(), *pieces, chat_body("", "tool_calls"))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("f", '{"a":1}')]


def test_arguments_of_tool_calls_may_come_as_all_so_far():
    stream = [
        chat_body("", "null", tool_calls=[{"function": {"name": "f", "arguments": arguments}}])
        for arguments in ("{", '{"a"', '{"a":1}')
    ]
    request = request_to(replace(HOSTED, incremental="no"))
    (call,) = streamed_reply(request, *stream[:1], *_unnamed(stream[1:]), chat_body("")).tool_calls
    assert call.arguments == '{"a":1}'


def _unnamed(stream):
    for body in stream:
        del body["output"]["choices"][0]["message"]["tool_calls"][0]["function"]["name"]
        yield body


def test_a_stream_whose_tool_call_names_no_tool_is_an_error():
    call = {"index": 0, "id": "c", "function": {"arguments": "{}"}}
    _, error = broken(request_to(), events([chat_body("", "tool_calls", tool_calls=[call])]))
    assert "without naming it" in str(error)


# How a stream ends


@pytest.mark.parametrize("model_info", [HOSTED, BAICHUAN], ids=lambda model_info: model_info.id)
def test_a_stream_without_a_finish_reason_broke_off(model_info):
    handed_on, error = broken(
        request_to(model_info), events([text_body("some "), text_body("words")])
    )
    assert isinstance(error, ProtocolError)
    assert "broke off" in str(error)
    assert (handed_on, error.partial_text) == ("some words", "some words")


def test_a_model_that_reports_no_finish_reason_may_just_end():
    reply = streamed_reply(request_to(LLAMA), text_body("some "), text_body("words"))
    assert (reply.text, reply.finish_reason) == ("some words", None)


def test_a_text_answer_of_which_no_event_speaks_of_a_finish_reason_may_just_end():
    """As in the text sample of the page Baichuan; a message has one."""
    request = completion_request(BAICHUAN, "question", stream=True)
    reply = streamed_reply(request, text_body("some "), text_body("words"))
    assert (reply.text, reply.finish_reason) == ("some words", None)


@pytest.mark.parametrize(
    ("model_info", "pieces"),
    [(ZIYA, ["好的。</s>", "\n<human> :", " 再来"]), (BELLE, ["好的。\n\nHu", "man:再来", "!"])],
    ids=["ziya", "belle"],
)
def test_a_stream_ends_where_the_model_begins_the_users_next_turn(model_info, pieces):
    assembler = Assembler(request_to(model_info))
    reply = join_deltas(list(assembler.feed(events(map(text_body, pieces)))))
    assert (reply.text, reply.finish_reason, assembler.cut) == ("好的。", "stop", True)


@pytest.mark.parametrize("word", ["null", None, ""])
def test_once_any_event_has_a_finish_reason_the_last_must_have_one_too(word):
    first = {"output": {"text": "some ", "finish_reason": word}}
    _, error = broken(request_to(LLAMA), events([first, text_body("words")]))
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "some words"


@pytest.mark.parametrize("model_info", [HOSTED, LLAMA, ZIYA], ids=lambda model_info: model_info.id)
@pytest.mark.parametrize("stream", [b"", b": ping\n\n", b"id:1\nevent:result\n\n", b"<html>\n"])
def test_an_empty_stream_is_an_error_and_not_an_empty_answer(model_info, stream):
    handed_on, error = broken(request_to(model_info), stream)
    assert isinstance(error, ProtocolError)
    assert (handed_on, error.partial_text) == ("", "")


def test_a_finish_reason_alone_is_no_answer():
    event = {"output": {"text": None, "finish_reason": "stop"}}
    assert "finished without an answer" in str(broken(request_to(), events([event]))[1])


def test_text_that_was_held_back_comes_with_the_end_of_a_stream_that_just_ends():
    request = request_to(replace(LLAMA, incremental="unknown"))
    assert streamed_reply(request, text_body("ha"), text_body("haha")).text == "haha"


# What a stream reports


@pytest.mark.parametrize(
    ("stream", "kind", "status"),
    [
        (error_event(400, "InvalidParameter"), InvalidRequestError, 400),
        (error_event(429, "Throttling.RateQuota"), RateLimitError, 429),
        (error_event(429, ""), RateLimitError, 429),
        (error_event(503, "NewCode"), ServerError, 503),
        (error_event(None, "InternalError"), ServerError, None),
        (error_event(400, "DataInspectionFailed", b"event: error"), ContentBlockedError, 400),
        (error_event(500, "InternalError", b"event:result"), ServerError, 500),
        (error_event(None, "Throttling", b"event:result"), RateLimitError, None),
        (error_event(200, "Throttling", b"event:result"), RateLimitError, None),
    ],
)
def test_an_error_event_in_a_good_answer(stream, kind, status):
    handed_on, error = broken(request_to(), stream)
    assert type(error) is kind
    assert (error.status_code, error.request_id, error.model) == (status, "r-7", "glm-5")
    assert (handed_on, error.partial_text) == ("", "")
    assert "the reason" in str(error)


def test_text_of_earlier_events_in_the_same_packet_is_handed_on_before_the_error():
    stream = events([text_body("some ", "null"), text_body("words", "null")])
    handed_on, error = broken(request_to(), stream + error_event(400, "DataInspectionFailed"))
    assert handed_on == "some words"
    assert error.partial_text == "some words"


def test_an_error_without_a_request_id_gets_that_of_the_stream():
    stream = events([{**text_body("a", "null"), "request_id": "r-1"}])
    _, error = broken(request_to(), stream + b"event:error\ndata:{}\n\n")
    assert error.request_id == "r-1"


def test_an_event_that_is_no_json_is_an_error_with_the_text_so_far():
    _, error = broken(request_to(), events([text_body("some ", "null")]) + b"data:{broken\n\n")
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "some "


def test_text_that_was_taken_back_is_an_error_with_the_text_so_far():
    request = request_to(replace(HOSTED, incremental="no"))
    _, error = broken(request, events([text_body("hello", "null"), text_body("help", "stop")]))
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "hello"


def test_an_event_that_does_not_end_is_an_error_with_the_text_so_far(monkeypatch):
    monkeypatch.setattr("dashscope_oss.protocol.streaming.sse.MAX_REPLY_BYTES", 300)
    stream = events([text_body("some ", "null")]) + b"data:" + b"x" * 400
    assembler = Assembler(request_to())
    first = len(events([text_body("some ", "null")]))
    assert [delta.text for delta in assembler.feed(stream[:first])] == ["some "]
    with pytest.raises(ProtocolError, match="longer than 300 bytes") as caught:
        list(assembler.feed(stream[first:]))
    assert caught.value.partial_text == "some "


def test_an_answer_without_end_is_an_error(monkeypatch):
    """Text, thoughts and arguments of tool calls count."""
    monkeypatch.setattr(assembler_module, "MAX_ANSWER_CHARACTERS", 10)
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "12345"}}
    stream = [
        chat_body("1234", "null"),
        chat_body("", "null", reasoning_content="5"),
        chat_body("", "null", tool_calls=[call]),
    ]
    assert len(list(Assembler(request_to()).feed(events(stream)))) == 3
    _, error = broken(request_to(), events([*stream, chat_body("6", "null")]))
    assert "longer than 10 characters" in str(error)
    assert error.partial_text == "12346"


def test_a_nameless_call_is_an_error_in_a_stream_that_just_ends_too():
    message = {"content": "hi", "tool_calls": [{"function": {"arguments": "{}"}}]}
    _, error = broken(request_to(LLAMA), events([{"output": {"choices": [{"message": message}]}}]))
    assert "without naming it" in str(error)
    assert error.partial_text == "hi"


# JSON in place of a stream


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", ""])
def test_json_in_place_of_a_stream_is_its_only_delta(content_type):
    assembler = Assembler(request_to())
    assembler.begin("real-weights", None, content_type)
    assert list(assembler.feed(json.dumps(chat_body("hi")).encode())) == []
    (delta,) = assembler.close()
    assert (delta.text, delta.last, delta.served_by) == ("hi", True, "real-weights")
    assert assembler.finished
    assert assembler.handed_on


def test_an_error_in_place_of_a_stream_is_raised():
    _, error = broken(request_to(), b'{"code": "Throttling", "message": "m"}')
    assert isinstance(error, RateLimitError)
    assert error.partial_text == ""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps(chat_body("hi")).encode(), "application/json"),
        (events([chat_body("h", "null"), chat_body("i")]), "text/event-stream"),
        (events([chat_body("h", "null"), chat_body("i")]), "application/json"),
    ],
)
def test_a_whole_body_is_a_reply_whatever_its_content_type_says(body, content_type):
    assert reply_in(request_to(), body, "real-weights", "true", content_type).text == "hi"
