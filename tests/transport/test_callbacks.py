"""Whoever listens is told of each retry, and of each answer that is complete, once."""

import pytest

from dashscope_oss import DashScopeError, RateLimitError, UsageTable, chat_request, find_model
from dashscope_oss.messages import Message
from tests.faults.server import RawServer, answer, frame, stream, text_reply
from tests.transport.calling import GOOD_STREAM, REFUSED, THROTTLED, question

USAGE = {"input_tokens": 3, "output_tokens": 2}


@pytest.fixture
def told():
    return []


def counting(told):
    return lambda request, usage, text: told.append((request.model_info.id, usage, text))


def test_a_complete_answer_is_told_once(call, told):
    """Also after a try that failed."""
    with RawServer(THROTTLED, call.good()) as server:
        call(server, on_answer=counting(told))
    assert told == [("baichuan2-7b-chat-v1", None, "hello")]


def test_an_answer_that_is_streamed_inside_is_told_once(whole, told):
    """Of a model that only streams."""
    thinks = chat_request(find_model("glm-5"), [Message("user", "q")])
    with RawServer(GOOD_STREAM) as server:
        whole(server, thinks, on_answer=counting(told))
    assert told == [("glm-5", None, "hello")]


@pytest.mark.parametrize("bad", [[REFUSED], [stream(frame("hel"))]])
def test_an_answer_that_is_not_complete_is_not_told(streaming, told, bad):
    with RawServer(*bad) as server, pytest.raises(DashScopeError):
        streaming(server, on_answer=counting(told), max_retries=0)
    assert told == []


def test_a_usage_table_counts_answers(call):
    table = UsageTable()
    whole = answer(text_reply("hi", "stop", usage=USAGE))
    good = stream(frame("hi"), frame("", "stop", usage=USAGE)) if call.streams else whole
    with RawServer(good) as server:
        call(server, question(), usage_table=table)
    [row] = table.rows
    assert (row.framework, row.model, row.calls) == ("client", "baichuan2-7b-chat-v1", 1)
    assert (row.input_tokens, row.output_tokens) == (3, 2)


def test_every_retry_is_reported(call):
    told = []
    with RawServer(THROTTLED, THROTTLED, call.good()) as server:
        call(server, on_retry=lambda *what: told.append(what))
    assert [(attempt, type(error)) for attempt, error, _ in told] == [
        (1, RateLimitError),
        (2, RateLimitError),
    ]
    assert [wait for *_, wait in told] == call.waits
