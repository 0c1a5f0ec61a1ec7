"""The decoder of event streams: every framing, cut anywhere, gives the same events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import ProtocolError
from dashscope_oss.protocol.streaming.sse import Decoder, Event

ONE, TWO = b'{"text":"a"}', b'{"text":"b"}'


def decoded(data: bytes, places: list[int] | None = None) -> list[Event]:
    decoder = Decoder()
    ends = [*sorted(p for p in places or () if p < len(data)), len(data)]
    events: list[Event] = []
    start = 0
    for end in ends:
        events += decoder.feed(data[start:end])
        start = end
    return [*events, *decoder.flush()]


def contents(data: bytes) -> list[bytes]:
    return [event.data for event in decoded(data)]


FRAMINGS = {
    "service": b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n"
    b"id:2\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n",
    "standard": b"id: 1\nevent: result\ndata: %b\n\nid: 2\nevent: result\ndata: %b\n\n",
    "no-blank-lines": b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:%b\n"
    b"id:2\nevent:result\n:HTTP_STATUS/200\ndata:%b\n",
    "no-blank-lines-status-first": b":HTTP_STATUS/200\ndata:%b\n:HTTP_STATUS/200\ndata:%b\n",
    "no-blank-lines-event-first": b"event:result\ndata:%b\nevent:result\ndata:%b\n",
    "bare-data-lines": b"data:%b\ndata:%b\n",
    "crlf": b"id: 1\r\ndata: %b\r\n\r\nid: 2\r\ndata: %b\r\n\r\n",
    "lone-cr": b"id:1\rdata:%b\r\rid:2\rdata:%b\r\r",
    "mixed-line-ends": b"id:1\r\ndata:%b\n\r\nid:2\rdata:%b\r\n\n",
    "bom": b"\xef\xbb\xbfdata:%b\n\ndata:%b\n\n",
    "ping": b": ping\n\n: ping\ndata:%b\n\n: ping\n\n:\ndata:%b\n\n",
    "ping-inside": b"id:1\n: ping\ndata:%b\n: ping\n\nid:2\ndata:%b\n: ping\n",
    "no-final-line-end": b"data:%b\n\ndata:%b",
    "many-blank-lines": b"\n\n\ndata:%b\n\n\n\ndata:%b\n\n\n",
    "unknown-fields": b"retry:10\nfoo:bar\ndata:%b\nretry: 3\n\nnothing\ndata:%b\n\n",
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_every_framing_at_once_and_byte_by_byte(framing):
    data = framing % (ONE, TWO)
    assert contents(data) == [ONE, TWO]
    assert decoded(data, list(range(len(data)))) == decoded(data)


def test_an_event_is_complete_at_its_blank_line_and_not_later():
    decoder = Decoder()
    assert decoder.feed(b"id:1\ndata:" + ONE + b"\n") == []
    assert [event.data for event in decoder.feed(b"\n")] == [ONE]


def test_an_event_is_complete_at_a_lone_cr_and_a_following_lf_adds_nothing():
    decoder = Decoder()
    assert [event.data for event in decoder.feed(b"data:" + ONE + b"\r\r")] == [ONE]
    assert decoder.feed(b"\n") == []
    assert [event.data for event in decoder.feed(b"data:" + TWO + b"\n\n")] == [TWO]
    assert decoder.flush() == []


def test_an_empty_piece_between_cr_and_lf_changes_nothing():
    decoder = Decoder()
    events = [
        e for piece in (b"event:error\r", b"", b"\ndata:{}\r\n\r\n") for e in decoder.feed(piece)
    ]
    assert events == [Event("error", None, b"{}")]


def test_the_comment_names_the_status_of_its_own_event_only():
    data = b":HTTP_STATUS/429\nevent:error\ndata:{}\n\nevent:result\ndata:{}\n\n"
    assert decoded(data) == [Event("error", 429, b"{}"), Event("result", None, b"{}")]


def test_a_bad_status_that_stands_alone_belongs_to_the_event_that_follows():
    data = b":HTTP_STATUS/400\n\nevent:error\ndata:{}\n\n"
    assert decoded(data) == [Event("error", 400, b"{}")]


def test_a_bad_status_without_an_event_is_an_error_at_the_end():
    assert decoded(b":HTTP_STATUS/500\n\n") == [Event("", 500, b"")]


@pytest.mark.parametrize("end", [b"\n\n", b"\n", b""])
def test_status_and_kind_without_blank_lines(end):
    data = (
        b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:{}\n"
        b"id:2\nevent:error\n:HTTP_STATUS/400\ndata:{}" + end
    )
    assert decoded(data) == [
        Event("result", 200, b"{}", b"1"),
        Event("error", 400, b"{}", b"2"),
    ]


@pytest.mark.parametrize("line", [b"event:error", b"event: error"])
@pytest.mark.parametrize("comment", [b":HTTP_STATUS/400", b": HTTP_STATUS/400"])
def test_one_space_behind_the_colon_counts_for_nothing(line, comment):
    assert decoded(line + b"\n" + comment + b"\ndata:{}\n\n") == [Event("error", 400, b"{}")]


def test_only_one_space_is_taken_off():
    assert contents(b"data:  x\n\n") == [b" x"]


def test_a_status_without_blank_lines_belongs_to_the_data_behind_it():
    data = b":HTTP_STATUS/200\ndata:{}\n:HTTP_STATUS/429\ndata:{}\n"
    assert [event.status for event in decoded(data)] == [200, 429]


def test_several_data_lines_are_one_event():
    assert contents(b'data:{"a":\ndata:"b"}\n\n') == [b'{"a":\n"b"}']


def test_several_data_lines_of_which_one_ends_in_a_brace_are_one_event():
    assert contents(b'data:{"a":{}\ndata:,"b":{}\ndata:}\n\n') == [b'{"a":{}\n,"b":{}\n}']


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_characters_that_other_parsers_take_for_line_ends_stay_inside_a_string(char):
    data = json.dumps({"text": f"a{char}b"}, ensure_ascii=False).encode()
    assert contents(b"data:" + data + b"\n\n") == [data]


def test_a_character_cut_in_the_middle_is_whole_in_the_event():
    data = b"data:" + '{"text":"故宫🏯"}'.encode() + b"\n\n"
    for place in range(len(data)):
        assert decoded(data, [place]) == decoded(data)


def test_a_byte_order_mark_counts_at_the_beginning_only():
    data = b"\xef\xbb\xbfdata:\xef\xbb\xbfx\n\n\xef\xbb\xbfdata:y\n\n"
    assert contents(data) == [b"\xef\xbb\xbfx"]
    assert decoded(data, [1, 2]) == decoded(data)


def test_nothing_but_comments_is_no_event():
    assert decoded(b": ping\n\n:HTTP_STATUS/200\n\nid:1\nevent:result\n\n") == []
    assert decoded(b"") == []


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data:" + b"x" * 101],
        [b"x" * 60, b"x" * 60],
        [b"data:" + b"x" * 60 + b"\ndata:" + b"x" * 60 + b"\n"],
        [b"data:" + b"x" * 101 + b"\n\n"],
        [b"data:x\n"] * 101,
        [b"error:" + b"x" * 101 + b"\n"],
    ],
    ids=["line", "line-in-pieces", "data-lines", "whole-event", "many-data-lines", "error-field"],
)
def test_an_endless_event_or_line_raises(chunks):
    decoder = Decoder(max_event_bytes=100)
    with pytest.raises(ProtocolError, match="longer than 100 bytes"):
        list(map(decoder.feed, chunks))


def test_the_limit_is_one_events_and_not_the_streams():
    decoder = Decoder(max_event_bytes=100)
    for _ in range(50):
        assert len(decoder.feed(b"data:" + b"x" * 60 + b"\n\n")) == 1


def _wire(*parts: object, blank: bool, kind: str = "result", status: int = 200) -> bytes:
    """Return a body of the shape that published traffic shows."""
    lines = []
    for number, part in enumerate(parts, 1):
        data = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
        lines += [f"id:{number}", f"event:{kind}", f":HTTP_STATUS/{status}", f"data:{data}"]
        lines += [""] if blank else []
    return "\n".join(lines).encode() + b"\n"


def _message(content: str, finish: str, **more: object) -> dict[str, object]:
    message = {"content": content, "role": "assistant", **more}
    return {
        "output": {"choices": [{"message": message, "finish_reason": finish}]},
        "usage": {"total_tokens": 9, "input_tokens": 6, "output_tokens": 3},
        "request_id": "00000000-0000-4000-8000-000000000001",
    }


def _text(text: str, finish: str) -> dict[str, object]:
    return {
        "output": {"finish_reason": finish, "text": text},
        "usage": {"total_tokens": 7, "input_tokens": 5, "output_tokens": 2},
        "request_id": "00000000-0000-4000-8000-000000000002",
    }


def _call(**call: object) -> list[dict[str, object]]:
    return [{"index": 0, "type": "function", **call}]


TRAFFIC = {
    "text": [_text("二", "null"), _text("加二", "null"), _text("", "stop")],
    "message": [_message("二", "null"), _message("等于四", "null"), _message("", "stop")],
    "tools": [
        _message(
            "",
            "null",
            tool_calls=_call(id="call_1", function={"name": "add", "arguments": '{"a":'}),
        ),
        _message("", "null", tool_calls=_call(id="", function={"arguments": '1,"b":2}'})),
        _message("", "tool_calls", tool_calls=_call(id="", function={})),
    ],
    "reasoning": [
        _message("", "null", reasoning_content="先想"),
        _message("", "null", reasoning_content="一想"),
        _message("四", "null", reasoning_content=""),
        _message("", "stop", reasoning_content=""),
    ],
}


@pytest.mark.parametrize("parts", TRAFFIC.values(), ids=TRAFFIC)
@pytest.mark.parametrize("blank", [True, False], ids=["blank-lines", "no-blank-lines"])
def test_the_shapes_of_real_traffic(parts, blank):
    data = _wire(*parts, blank=blank)
    for size in (1, 2, 7, 1000):
        events = decoded(data, list(range(0, len(data), size)))
        assert [json.loads(event.data) for event in events] == parts
        assert {(event.kind, event.status) for event in events} == {("result", 200)}


def test_the_shape_of_a_real_error():
    said = {"code": "InvalidParameter", "message": "Role must be user", "request_id": "1"}
    (event,) = decoded(_wire(said, blank=False, kind="error", status=400))
    assert (event.kind, event.status, json.loads(event.data)) == ("error", 400, said)


_bodies = st.dictionaries(
    st.text(max_size=3), st.text(max_size=6) | st.sampled_from(["}", "\u2028", "data:", "\n"])
).map(lambda d: json.dumps(d, ensure_ascii=False).encode())


@st.composite
def _streams(draw) -> tuple[bytes, list[bytes]]:
    bodies = draw(st.lists(_bodies, max_size=5))
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    space = draw(st.sampled_from([b"", b" "]))
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    for body in bodies:
        lines = [
            *draw(st.permutations([b"id:" + space + b"1", b"event:" + space + b"result"])),
            *draw(st.sampled_from([[], [b": ping"], [b":HTTP_STATUS/200"]])),
            b"data:" + space + body,
            *draw(st.sampled_from([[], [b""], [b"", b""], [b": ping", b""]])),
        ]
        data += b"".join(line + end for line in lines)
    return data, bodies


@given(_streams(), st.lists(st.integers(0, 300), max_size=12))
def test_any_framing_cut_anywhere_gives_the_same_events(stream, places):
    """Line ends, comments, several data lines and characters, cut at every place."""
    data, bodies = stream
    events = decoded(data, places)
    assert [event.data for event in events] == bodies
    assert events == decoded(data)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_bytes_cut_anywhere_give_the_same_events(data, places):
    assert decoded(data, places) == decoded(data)


@pytest.mark.parametrize(
    "odd",
    [
        b"id:2\nevent:result\n:HTTP_STATUS/200\n\n",
        b"data:{}\nevent:result\n:HTTP_STATUS/200\ndata:{}\n\n",
        b"id:2\nevent:result\n:HTTP_STATUS/200\ndata:a\ndata:b\n\n",
        b"id:2\nid:3\nevent:result\n:HTTP_STATUS/200\ndata:{}\n\n",
        b"id:2\nevent:error\n:HTTP_STATUS/400\ndata:{}\n\n",
        b"\nid:2\nevent:result\n:HTTP_STATUS/200\ndata: {}\n\n",
    ],
)
def test_an_event_of_another_form_is_read_alike_however_it_is_cut(odd):
    """The usual form is taken apart at once; what only looks like it is not."""
    usual = b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"a": 1}\n\n'
    body = usual * 2 + odd + usual
    whole, cut = Decoder(), Decoder()
    at_once = [*whole.feed(b":\n\n"), *whole.feed(body), *whole.flush()]
    byte_by_byte = [event for at in range(len(body)) for event in cut.feed(body[at : at + 1])]
    assert at_once == [*byte_by_byte, *cut.flush()]


# event, whether it is an error, whether it is only a sign that the server is there
EVENTS = [
    (Event("result", 200, b"{}"), False, False),
    (Event("", None, b" {}"), False, False),
    (Event("ping", None, b"{}"), False, True),
    (Event("heartbeat", None, b'{"type": "ping"}'), False, True),
    (Event("result", 200, b"null"), False, True),
    (Event("result", 200, b"[]"), False, True),
    (Event("", None, b'""'), False, True),
    (Event("", None, b"ping"), False, True),
    (Event("", None, b" [DONE] "), False, True),
    (Event("", None, b'"PING"'), False, True),
    (Event("", None, b"pong"), False, True),
    (Event("", None, b"keep-alive"), False, True),
    (Event("", None, b" " * 99), False, False),
    (Event("ping", None, b"now"), False, True),
    (Event("", None, b"[DONE]"), False, True),
    (Event("result", None, b""), False, True),
    (Event("result", None, b"now"), False, False),
    (Event("error", None, b""), True, False),
    (Event("result", 400, b""), True, False),
]


def test_what_an_event_is():
    assert [(event, event.failed, event.is_sign_of_life) for event, _, _ in EVENTS] == EVENTS


@pytest.mark.parametrize(
    ("data", "is_end"), [(b"[DONE]", True), (b"  [DONE] ", True), (b"DONE", False), (b"", False)]
)
def test_the_end_of_a_stream_may_have_blanks_around_it(data, is_end):
    assert Event("", None, data).is_end is is_end


@pytest.mark.parametrize("end", [b"\n\n", b"\n", b""])
def test_an_error_in_a_field_of_its_own_is_an_error(end):
    """As llama.cpp's servers of 2025 send it."""
    data = b'data: {"a": 1}\nerror: {"message": "no"}' + end
    assert decoded(data) == [
        Event("", None, b'{"a": 1}'),
        Event("error", None, b'{"message": "no"}'),
    ]
    assert decoded(b"error:\n\n") == []
