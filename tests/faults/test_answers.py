"""Good answers, in all eight ways."""

from __future__ import annotations

from .callers import Caller
from .server import RawServer, answer, frame, stream, text_reply


def test_an_answer_is_read(caller: Caller):
    good = (
        stream(frame("hel"), frame("lo", "stop")) if caller.streams else answer(text_reply("hello"))
    )
    with RawServer(good) as server:
        assert caller(server).text == "hello"
    assert len(server.requests) == 1
