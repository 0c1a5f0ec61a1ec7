"""Whether a body is a stream of events: its first bytes decide, else its content type."""

import pytest

from dashscope_oss import ProtocolError
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.protocol.streaming.body import EVENT_STREAM, EventReader, is_stream

JSON = "application/json"


# first bytes, content type, whether it is a stream; None: it cannot be told yet
STARTS = [
    (b"data:{}", JSON, True),
    (b"\xef\xbb\xbfdata:{}", JSON, True),
    (b"\n\nid:1\n", JSON, True),
    (b": ping\n", "", True),
    (b"event\n", JSON, True),
    (b'error: {"a": 1}', JSON, True),
    (b"error: no", JSON, False),
    (b'{"a": 1}', EVENT_STREAM, False),
    (b" [1]", EVENT_STREAM, False),
    (b"<html>", EVENT_STREAM, False),
    (b"foo: bar\n", EVENT_STREAM, True),
    (b"foo: bar\n", "Text/Event-Stream; charset=utf-8", True),
    (b"foo: bar\n", JSON, False),
    (b"", EVENT_STREAM, None),
    (b"\xef\xbb", EVENT_STREAM, None),
    (b"da", JSON, None),
    (b"\n" * 63, EVENT_STREAM, None),
    (b"\n" * 64, EVENT_STREAM, True),
    (b"\n" * 64, JSON, False),
]


def test_the_first_bytes_tell():
    told = [(start, kind, is_stream(start, kind)) for start, kind, _ in STARTS]
    assert told == STARTS


def test_events_are_read_as_they_come():
    reader = EventReader()
    assert reader.feed(b"da") == []
    assert [event.data for event in reader.feed(b"ta:1\n\ndata:2\n")] == [b"1"]
    assert reader.ends_as_stream()
    assert [event.data for event in reader.flush()] == [b"2"]


def test_a_body_without_events_is_kept_whole():
    reader = EventReader()
    assert [*reader.feed(b'{"a"'), *reader.feed(b": 1}")] == []
    assert not reader.ends_as_stream()
    assert reader.body == b'{"a": 1}'


def test_a_short_body_is_judged_at_its_end():
    reader = EventReader(JSON)
    assert reader.feed(b"data") == []
    assert reader.ends_as_stream()
    assert EventReader().ends_as_stream() is False


def test_a_body_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(sse, "MAX_REPLY_BYTES", 10)
    reader = EventReader(JSON)
    reader.feed(b"{" * 10)
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        reader.feed(b"{")


@pytest.mark.parametrize("body", [b"{" * 11, b"data:" + b"x" * 11])
def test_a_reader_may_have_a_limit_of_its_own(body):
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        EventReader(JSON, 10).feed(body)


@pytest.mark.parametrize(
    ("chunks", "is_within"),
    [
        ([b'{"a": '], True),
        ([b'{"a": ', b"\n\n"], False),
        ([b"\n"], False),
        ([b"data: x\n\n"], False),
        ([b"data: x\n\n", b": comment\n\n"], False),
        ([b"data: x\n\n", b"event: ping\ndata: 1\n\n"], False),
        ([b"data: x\n\n", b"data: half"], True),
        ([b"data: x\n\n", b"data: line\n"], True),
    ],
)
def test_a_piece_of_an_event_or_of_a_whole_body_is_told_from_signs_of_life(chunks, is_within):
    reader = EventReader()
    for piece in chunks:
        reader.feed(piece)
    assert reader.is_within_answer is is_within
