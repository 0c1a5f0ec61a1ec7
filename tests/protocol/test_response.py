"""From the service's JSON and event streams to replies and deltas."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import (
    ContentBlockedError,
    DashScopeError,
    Delta,
    InvalidRequestError,
    Message,
    ModelInfo,
    Options,
    ProtocolError,
    RateLimitError,
    Reply,
    ServerError,
    ToolCall,
    Usage,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.error_mapping import error_in_body, read_error_body
from dashscope_oss.protocol.json_body import read_json_object
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.response import read_reply
from dashscope_oss.protocol.streaming.deltas import delta_of, join_deltas, join_tool_calls

HOSTED = find_model("glm-5")
BAICHUAN = find_model("baichuan2-7b-chat-v1")
LLAMA = find_model("llama2-7b-chat-v2")
ZIYA = find_model("ziya-llama-13b-v1")


def asked(model_info: ModelInfo = HOSTED, **options: object) -> Request:
    return chat_request(model_info, [Message("user", "question")], Options(**options), stream=True)


def text_body(text: object, finish: object = None, **more: object) -> dict[str, object]:
    output = {"text": text} if finish is None else {"text": text, "finish_reason": finish}
    return {"output": output, **more}


def chat_body(content: object, finish: object = "stop", **more: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content, **more}
    return {"output": {"choices": [{"finish_reason": finish, "message": message}]}}


def sse(bodies: Iterable[object]) -> bytes:
    return b"".join(b"data:" + json.dumps(body).encode() + b"\n\n" for body in bodies)


def deltas_of(request: Request, *bodies: object) -> list[Delta]:
    deltas = Assembler(request)
    return [*deltas.feed(sse(bodies)), *deltas.close()]


def reply_of(request: Request, *bodies: object) -> Reply:
    return join_deltas(deltas_of(request, *bodies))


def broken(request: Request, data: bytes) -> tuple[str, DashScopeError]:
    """Return the text that was handed on and the error that followed."""
    deltas = Assembler(request)
    handed_on = ""

    def run() -> None:
        nonlocal handed_on
        for delta in deltas.feed(data):
            handed_on += delta.text
        for delta in deltas.close():
            handed_on += delta.text

    with pytest.raises(DashScopeError) as caught:
        run()
    return handed_on, caught.value


# Whole replies


def test_text_shape():
    data = text_body("hi", "stop", request_id="r-1", usage={"input_tokens": 3, "output_tokens": 2})
    assert read_reply(asked(), data, "real-weights") == Reply(
        text="hi",
        finish_reason="stop",
        usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        request_id="r-1",
        served_by="real-weights",
        raw=data,
    )


def test_message_shape():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    data = chat_body("hi", "tool_calls", reasoning_content="hm", tool_calls=[{"index": 0, **call}])
    reply = read_reply(asked(), data)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("hi", "hm", "tool_calls")
    assert reply.tool_calls == (ToolCall("c1", "f", "{}", 0),)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"text": "a"}, {"text": "b"}], "ab"),
        ([{"image": "x"}, {"text": "b"}, None], "b"),
    ],
)
def test_content_in_every_form(content, text):
    assert read_reply(asked(), chat_body(content)).text == text


@pytest.mark.parametrize(
    "output",
    [
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"role": "assistant"}}]},
        {"choices": [{"message": {"content": {"text": "hi"}}}]},
        {"choices": [{"index": 1, "message": {"content": "hi"}}]},
        {"text": 42, "finish_reason": "stop"},
        {"text": None, "finish_reason": "stop"},
    ],
)
def test_a_reply_without_text_is_no_empty_answer(output):
    with pytest.raises(ProtocolError):
        read_reply(asked(), {"output": output})
    deltas = Assembler(asked())
    event = b"data:" + json.dumps({"output": output}).encode() + b"\n\n"
    with pytest.raises(ProtocolError):
        list(chain(deltas.feed(event), deltas.close()))


@pytest.mark.parametrize("output", [{"text": ""}, {"choices": [{"message": {"content": ""}}]}])
def test_a_code_beside_an_empty_text_is_an_error(output):
    body = {"code": "DataInspectionFailed", "message": "no", "output": output}
    with pytest.raises(ContentBlockedError):
        read_reply(asked(), body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "no route"}, "no route"),
        ({"error": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["x"]}]}, "loc"),
    ],
)
def test_the_words_of_a_proxy_are_kept(body, words):
    assert words in error_in_body(body, status_code=404).message


def test_a_choice_with_unknown_fields_is_read():
    choice = {"message": {"content": "hi", "color": 1}, "logprobs": {}, "finish_reason": "stop"}
    assert read_reply(asked(), {"output": {"choices": [choice], "new": 2}, "newer": 3}).text == "hi"


@pytest.mark.parametrize("finish", ["null", None, ""])
def test_a_finish_reason_of_null_is_none(finish):
    assert read_reply(asked(), chat_body("hi", finish)).finish_reason is None
    data = {"output": {"text": "hi", "finish_reason": finish}}
    assert read_reply(asked(), data).finish_reason is None


def test_a_finish_reason_beside_the_choices_is_read():
    data = {"output": {"choices": [{"message": {"content": "hi"}}], "finish_reason": "length"}}
    assert read_reply(asked(), data).finish_reason == "length"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"output": None},
        {"output": {}},
        {"output": {"choices": []}},
        {"output": {"choices": None}},
        {"output": {"choices": ["x"]}},
        {"output": {"text": None}},
        {"output": "text"},
    ],
)
def test_a_body_without_an_answer_is_an_error_and_not_an_empty_answer(data):
    with pytest.raises(ProtocolError, match="neither text nor choices"):
        read_reply(asked(), data)


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (None, None),
        ({}, None),
        ({"input_tokens": 0, "output_tokens": 0}, None),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
        ({"input_tokens": None, "output_tokens": None}, None),
        ({"input_tokens": 4}, Usage(input_tokens=4)),
        ({"output_tokens": 2}, Usage(output_tokens=2)),
        ({"input_tokens": 4, "output_tokens": 0}, Usage(4, 0, 4)),
        ({"input_tokens": 4, "output_tokens": 2, "total_tokens": 7}, Usage(4, 2, 7)),
        ({"input_tokens": "4", "output_tokens": True}, None),
        ("many", None),
        (
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 8},
                "output_tokens_details": {"reasoning_tokens": 3, "text_tokens": 2},
            },
            Usage(9, 5, 14, cached_tokens=8, reasoning_tokens=3),
        ),
        (
            {"input_tokens": 9, "output_tokens": 5, "prompt_tokens_details": None},
            Usage(9, 5, 14),
        ),
    ],
)
def test_usage_is_what_was_said_and_none_where_nothing_was(said, usage):
    assert read_reply(asked(), {**text_body("hi"), "usage": said}).usage == usage
    assert reply_of(asked(), {**text_body("hi", "stop"), "usage": said}).usage == usage


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"code": "InvalidParameter", "message": "m"}, InvalidRequestError),
        ({"code": "Throttling", "message": "m", "output": None}, RateLimitError),
        ({"error": {"code": "internal_error", "message": "m"}}, ServerError),
        ({"status_code": 429, "code": "", "message": "m", "error": {"message": "m"}}, None),
    ],
)
def test_an_error_in_a_body_of_status_200(data, kind):
    with pytest.raises(kind or RateLimitError, match="m"):
        read_reply(asked(), {**data, "request_id": "r-9"})
    _, error = broken(asked(), sse([{**data, "request_id": "r-9"}]))
    assert isinstance(error, kind or RateLimitError)
    assert error.request_id == "r-9"


def test_a_body_that_is_no_json_object_is_an_error():
    for data in (b"<html>", b"[]", b'"x"', b"\xff", b'{"a":1'):
        with pytest.raises(ProtocolError, match="the answer is no"):
            read_json_object(data)


def test_deep_nesting_is_an_error_and_no_crash():
    with pytest.raises(ProtocolError, match="not JSON"):
        read_json_object(b'{"a":' * 100_000)


def test_an_error_body_is_found_bare_and_in_an_event():
    said = {"code": "Arrearage", "message": "m"}
    written = json.dumps(said).encode()
    assert read_error_body(written) == (said, None)
    assert read_error_body(b"event:error\n:HTTP_STATUS/400\ndata:" + written) == (said, 400)
    assert read_error_body(b"<html>") == (None, None)
    assert read_error_body(b"") == (None, None)


# Streams

PIECES = ["ha", "ha", "lo ", "ha", "."]
TEXT = "hahalo ha."
SNAPSHOTS = ["ha", "haha", "hahalo ", "hahalo ha", "hahalo ha."]


def frames(texts: Iterable[str], *, last: str, shape=text_body) -> list[dict[str, object]]:
    return [*(shape(text, "null") for text in texts), shape(last, "stop")]


@pytest.mark.parametrize("shape", [text_body, chat_body])
@pytest.mark.parametrize(
    ("incremental", "texts", "last"),
    [
        ("yes", PIECES, ""),
        ("forced", PIECES, ""),
        ("no", SNAPSHOTS, TEXT),
        ("no", SNAPSHOTS, ""),
        ("unknown", PIECES, ""),
        ("unknown", PIECES[:-1], "."),
        ("unknown", SNAPSHOTS, TEXT),
        ("unknown", SNAPSHOTS[:-1], TEXT),
    ],
)
def test_every_regime_gives_the_same_text(shape, incremental, texts, last):
    request = asked(replace(HOSTED, incremental=incremental))
    deltas = deltas_of(request, *frames(texts, last=last, shape=shape))
    assert "".join(delta.text for delta in deltas) == TEXT
    assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert deltas[-1].finish_reason == "stop"
    assert {delta.finish_reason for delta in deltas[:-1]} <= {None}


@pytest.mark.parametrize("texts", [PIECES, SNAPSHOTS])
def test_a_regime_that_nobody_knows_without_any_finish_reason(texts):
    request = asked(replace(LLAMA, incremental="unknown"))
    assert reply_of(request, *(text_body(text) for text in texts)).text == TEXT


def test_a_stream_of_pieces_is_handed_on_piece_by_piece():
    deltas = deltas_of(asked(), *frames(PIECES, last=""))
    assert [delta.text for delta in deltas] == [*PIECES, ""]


def test_the_first_piece_is_handed_on_at_once_even_if_nobody_knows_the_regime():
    deltas = Assembler(asked(BAICHUAN))
    assert [d.text for d in deltas.feed(sse([text_body("It is a place", "null")]))] == [
        "It is a place"
    ]


def test_snapshots_of_a_long_first_frame_are_handed_on_without_delay():
    deltas = Assembler(asked(BAICHUAN))
    first = "The old palace in the middle of the town"
    said = [text_body(first, "null"), text_body(first + " is large", "null")]
    assert [delta.text for delta in deltas.feed(sse(said))] == [first, " is large"]


def test_incremental_output_turned_off_by_the_caller_gives_the_same_text():
    request = asked(HOSTED, extra={"incremental_output": False})
    assert reply_of(request, *frames(SNAPSHOTS, last=TEXT, shape=chat_body)).text == TEXT


def test_a_snapshot_that_takes_text_back_is_an_error():
    _, error = broken(
        asked(replace(HOSTED, incremental="no")),
        sse([text_body("hello", "null"), text_body("help", "stop")]),
    )
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "hello"


_texts = st.lists(st.text(max_size=6), min_size=1, max_size=8)


@given(_texts)
def test_pieces_of_any_text_add_up(pieces):
    request = asked(replace(HOSTED, incremental="yes"))
    assert reply_of(request, *frames(pieces, last="")).text == "".join(pieces)


@given(_texts)
def test_snapshots_of_any_text_add_up(pieces):
    request = asked(replace(HOSTED, incremental="no"))
    so_far = ["".join(pieces[: n + 1]) for n in range(len(pieces))]
    assert reply_of(request, *frames(so_far, last=so_far[-1])).text == "".join(pieces)


@given(_texts, st.lists(st.integers(0, 600), max_size=10))
def test_a_stream_cut_anywhere_gives_the_same_text(pieces, places):
    data = sse(frames(pieces, last=""))
    ends = [*sorted(place for place in places if place < len(data)), len(data)]
    deltas = Assembler(asked())
    parts: list[Delta] = []
    for start, end in zip([0, *ends], ends, strict=False):
        parts += deltas.feed(data[start:end])
    assert join_deltas([*parts, *deltas.close()]).text == "".join(pieces)


@pytest.mark.parametrize("regime", ["yes", "unknown"])
def test_ziyas_echo_and_end_mark_are_removed_from_a_stream(regime):
    request = completion_request(replace(ZIYA, incremental=regime), "一\n二")
    said = "<s><human> :一 二\n<bot> : 三四</s>"
    texts = [said[n : n + 3] for n in range(0, len(said), 3)]
    assert reply_of(request, *map(text_body, texts)).text == "三四"
    so_far = [said[: n + 3] for n in range(0, len(said), 3)]
    if regime == "unknown":
        assert reply_of(request, *map(text_body, so_far)).text == "三四"


def test_usage_is_the_last_one_said_and_never_a_sum():
    said = [{"input_tokens": 5, "output_tokens": n} for n in (1, 2, 3)]
    bodies = [{**text_body("a", "null"), "usage": usage} for usage in said]
    deltas = deltas_of(asked(), *bodies, text_body("", "stop"))
    assert deltas[-1].usage == Usage(5, 3, 8)
    assert {delta.usage for delta in deltas[:-1]} == {None}


def test_reasoning_and_content_are_kept_apart():
    bodies = [
        chat_body("", "null", reasoning_content="first "),
        chat_body("", "null", reasoning_content="think"),
        chat_body("four", "null", reasoning_content=""),
        chat_body("", "stop", reasoning_content=""),
    ]
    reply = reply_of(asked(), *bodies)
    assert (reply.reasoning, reply.text) == ("first think", "four")


def test_every_delta_carries_request_id_and_the_weights_that_answer():
    deltas = Assembler(asked())
    deltas.served_by = "real-weights"
    data = sse([{**text_body(t, f), "request_id": "r-1"} for t, f in (("a", "null"), ("", "stop"))])
    parts = [*deltas.feed(data), *deltas.close()]
    assert [(part.request_id, part.served_by) for part in parts] == [("r-1", "real-weights")] * 2


def test_frames_behind_the_last_are_ignored():
    reply = reply_of(asked(), text_body("a", "stop"), text_body("b", "null"))
    assert reply.text == "a"


def test_frames_without_choices_are_passed_over():
    bodies = [{"output": {"choices": []}}, chat_body("a", "null"), {"request_id": "1"}]
    assert reply_of(asked(), *bodies, chat_body("", "stop")).text == "a"


@pytest.mark.parametrize("model_info", [HOSTED, BAICHUAN], ids=lambda model_info: model_info.id)
def test_a_stream_without_a_finish_reason_broke_off(model_info):
    handed_on, error = broken(asked(model_info), sse([text_body("some "), text_body("words")]))
    assert isinstance(error, ProtocolError)
    assert "broke off" in str(error)
    assert (handed_on, error.partial_text) == ("some words", "some words")


def test_a_model_that_reports_no_finish_reason_may_just_end():
    reply = reply_of(asked(LLAMA), text_body("some "), text_body("words"))
    assert (reply.text, reply.finish_reason) == ("some words", None)


@pytest.mark.parametrize("word", ["null", None, ""])
def test_once_any_frame_names_a_finish_reason_the_end_must_do_so_too(word):
    first = {"output": {"text": "some ", "finish_reason": word}}
    _, error = broken(asked(LLAMA), sse([first, text_body("words")]))
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "some words"


@pytest.mark.parametrize("model_info", [HOSTED, LLAMA, ZIYA], ids=lambda model_info: model_info.id)
@pytest.mark.parametrize("data", [b"", b": ping\n\n", b"id:1\nevent:result\n\n", b"<html>\n"])
def test_an_empty_stream_is_an_error_and_not_an_empty_answer(model_info, data):
    handed_on, error = broken(asked(model_info), data)
    assert isinstance(error, ProtocolError)
    assert (handed_on, error.partial_text) == ("", "")


def error_event(status: int | None, code: str, event: bytes = b"event:error") -> bytes:
    comment = b"" if status is None else f":HTTP_STATUS/{status}\n".encode()
    said = {"code": code, "message": "the reason", "request_id": "r-7"}
    return b"id:1\n" + event + b"\n" + comment + b"data:" + json.dumps(said).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
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
def test_an_error_event_in_a_good_answer(data, kind, status):
    handed_on, error = broken(asked(), data)
    assert type(error) is kind
    assert (error.status_code, error.request_id) == (status, "r-7")
    assert (handed_on, error.partial_text) == ("", "")
    assert "the reason" in str(error)
    assert error.model == "glm-5"


def test_text_of_earlier_events_in_the_same_packet_is_handed_on_before_the_error():
    data = sse([text_body("some ", "null"), text_body("words", "null")])
    handed_on, error = broken(asked(), data + error_event(400, "DataInspectionFailed"))
    assert handed_on == "some words"
    assert error.partial_text == "some words"


def test_an_event_that_is_no_json_is_an_error_with_the_text_so_far():
    _, error = broken(asked(), sse([text_body("some ", "null")]) + b"data:{broken\n\n")
    assert isinstance(error, ProtocolError)
    assert error.partial_text == "some "


def test_pieces_of_tool_calls_are_merged_by_index():
    def piece(index: int, arguments: str, **more: str) -> dict[str, object]:
        function = {"arguments": arguments, **({"name": more["name"]} if more else {})}
        call = {"index": index, "id": more.get("id", ""), "type": "function", "function": function}
        return chat_body("", "null", tool_calls=[call])

    bodies = [
        piece(0, '{"a":', id="c1", name="add"),
        piece(1, "{", id="c2", name="sub"),
        piece(0, "1}"),
        piece(1, "}"),
        chat_body("", "tool_calls", tool_calls=[{"index": 1, "function": {}}]),
    ]
    reply = reply_of(asked(), *bodies)
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == (
        ToolCall("c1", "add", '{"a":1}', 0),
        ToolCall("c2", "sub", "{}", 1),
    )


def test_tool_calls_without_an_index_are_each_their_own():
    calls = join_tool_calls([ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}")])
    assert [(call.id, call.index) for call in calls] == [("c1", 0), ("c2", 1)]


def test_a_reply_as_its_only_delta_loses_nothing():
    reply = read_reply(
        asked(), {**chat_body("hi", "stop", reasoning_content="hm"), "request_id": "r"}
    )
    assert join_deltas([delta_of(reply)]) == reply


def test_logprobs_of_a_stream_are_joined():
    """Each event holds those of its own pieces."""
    pieces = [{"content": [{"token": token}]} for token in ("a", "b")]
    parts = [Delta(text="x", logprobs=found) for found in pieces]

    assert join_deltas([*parts, Delta(last=True)]).logprobs == {
        "content": [{"token": "a"}, {"token": "b"}]
    }


def test_a_service_that_repeats_itself_where_pieces_were_asked_for_is_an_error():
    """The answer would be doubled; the text before that is in the error."""
    whole = "Hangzhou is the capital of Zhejiang province."
    frames = [text_body(whole[:end], "null") for end in (20, 26, 32, 40)]
    request = asked(replace(HOSTED, incremental="yes"))
    handed_on, error = broken(request, sse(frames))
    assert "repeats the text so far" in str(error)
    assert error.partial_text == handed_on
    assert handed_on.startswith(whole[:20])


def test_short_frames_that_all_repeat_the_one_before_are_an_error():
    """Whatever the record says: nobody's pieces begin like that."""
    frames = [text_body("Hangzhou"[:end], "null") for end in range(1, 7)]
    _, error = broken(asked(replace(HOSTED, incremental="forced")), sse(frames))
    assert "repeats the text so far" in str(error)


@pytest.mark.parametrize("texts", [["a", "aa", "aaa", "aaaa", "aaaaa", "aaaaaa"], ["1", "12", "1"]])
def test_pieces_that_begin_alike_are_pieces(texts):
    """One sign that is drawn longer each time, or numbers."""
    request = asked(replace(HOSTED, incremental="yes"))
    frames = [*(text_body(text, "null") for text in texts), text_body("", "stop")]
    assert reply_of(request, *frames).text == "".join(texts)


def test_an_answer_that_draws_a_table_is_no_service_that_repeats_itself():
    """A line now and then begins as the one before it."""
    texts = ["-" * 16, "-" * 20, "-" * 24, "|", "-" * 16, "-" * 20, "-" * 24]
    request = asked(replace(HOSTED, incremental="yes"))
    frames = [*(text_body(text, "null") for text in texts), text_body("", "stop")]
    assert reply_of(request, *frames).text == "".join(texts)


@pytest.mark.parametrize(("index", "read"), [("1", 1), (2, 2), ("x", 0), (True, 0), (1.5, 0)])
def test_the_place_of_a_tool_call_may_come_as_text(index, read):
    """What is no number is the next place."""
    call = {"index": index, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    body = chat_body("", "tool_calls", tool_calls=[call])
    assert [found.index for found in reply_of(asked(), body).tool_calls] == [read]


@pytest.mark.parametrize("function", [None, "f", ["f"]])
def test_a_tool_call_whose_function_is_none_is_an_error(function):
    """It names no tool, so nobody can run it."""
    body = chat_body("", "tool_calls", tool_calls=[{"id": "c", "function": function}])
    with pytest.raises(ProtocolError, match="without naming it"):
        read_reply(asked(), body)


def test_the_name_of_a_call_may_come_after_its_first_piece():
    """It is handed on once, where it is said."""
    pieces = [
        {"index": 0, "id": "c", "function": {"arguments": ""}},
        {"index": 0, "function": {"name": "f", "arguments": "{"}},
        {"index": 0, "function": {"name": "f", "arguments": "}"}},
    ]
    frames = [chat_body("", "null", tool_calls=[piece]) for piece in pieces]
    (call,) = reply_of(asked(), *frames, chat_body("", "tool_calls")).tool_calls
    assert (call.id, call.name, call.arguments) == ("c", "f", "{}")
