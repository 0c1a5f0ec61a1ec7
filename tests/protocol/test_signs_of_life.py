"""What of a stream is its answer, and what only says that the server is there."""

import pytest

from dashscope_oss.protocol.assembler import Assembler
from tests.protocol.bodies import chat_body, events, request_to


@pytest.mark.parametrize(
    ("chunk", "grew"),
    [
        (b": comment\n\n", False),
        (b"event: ping\ndata: 1\n\n", False),
        (b"data: null\n\n", False),
        (events([chat_body("", "null")]), False),
        (events([{"output": {"choices": []}}]), False),
        (events([chat_body("x", "null")]), True),
        (events([chat_body("", "null", reasoning_content="x")]), True),
        (b"data: {", True),
    ],
)
def test_it_tells_whether_the_newest_bytes_held_some_of_the_answer(chunk, grew):
    assembler = Assembler(request_to())
    list(assembler.feed(events([chat_body("a", "null")])))
    list(assembler.feed(chunk))
    assert assembler.grew is grew
