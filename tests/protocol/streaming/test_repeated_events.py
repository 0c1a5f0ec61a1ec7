"""Events are counted once each, and none is held back for long."""

from dashscope_oss.protocol.streaming.repeated_events import RepeatedEvents
from dashscope_oss.protocol.streaming.sse import Event


def event(id: bytes, data: bytes) -> Event:
    return Event("result", None, data, id)


def test_pieces_that_are_alike_under_one_id_are_handed_on_before_the_stream_ends():
    repeated = RepeatedEvents()
    copies = [event(b"1", b"ha")] * 6
    assert repeated.without(copies) == copies
    assert repeated.end() == []


def test_a_copy_of_an_event_is_left_out_once_ids_are_seen_to_count():
    first, second = event(b"1", b"a"), event(b"2", b"b")
    repeated = RepeatedEvents()
    assert repeated.without([first, first, second]) == [first, second]
