"""Deltas and replies: what pieces are together, and a whole answer as one piece."""

from dashscope_oss import Delta, Reply, ToolCall, Usage
from dashscope_oss.protocol.streaming.deltas import (
    delta_of,
    extend_reply,
    join_deltas,
    join_tool_calls,
)

WHOLE = Reply(
    text="hi",
    reasoning="hm",
    tool_calls=(ToolCall("c1", "f", "{}", 0),),
    finish_reason="stop",
    usage=Usage(1, 2, 3),
    request_id="r",
    served_by="real-weights",
    logprobs={"content": [1]},
    raw={"output": {}},
)


def test_a_reply_as_its_only_delta_loses_nothing():
    assert join_deltas([delta_of(WHOLE)]) == WHOLE
    assert delta_of(WHOLE).last


def test_whole_calls_that_state_one_index_stay_apart():
    calls = (ToolCall("c1", "f", "{}", 0), ToolCall("c2", "g", "{}", 0))
    joined = join_deltas([delta_of(Reply(text="", tool_calls=calls))])
    assert [(call.id, call.index) for call in joined.tool_calls] == [("c1", 0), ("c2", 1)]


def test_text_is_joined_and_the_last_delta_has_the_facts():
    usage = Usage(1, 2, 3)
    deltas = [
        Delta(text="h", reasoning="a", request_id="r"),
        Delta(text="i", reasoning="b", finish_reason="stop", usage=usage, last=True),
    ]
    reply = join_deltas(deltas)
    assert (reply.text, reply.reasoning) == ("hi", "ab")
    assert (reply.finish_reason, reply.usage, reply.request_id) == ("stop", usage, None)


def test_a_reply_grows_delta_by_delta():
    reply = Reply(text="")
    for delta in (
        Delta(text="h", tool_calls=(ToolCall("c", "f", "{", 0),)),
        Delta(text="i", reasoning="hm", tool_calls=(ToolCall("", "", "}", 0),)),
    ):
        reply = extend_reply(reply, delta)
    assert (reply.text, reply.reasoning) == ("hi", "hm")
    assert reply.tool_calls == (ToolCall("c", "f", "{}", 0),)


def test_pieces_of_one_index_are_one_call_and_those_without_are_each_their_own():
    assert join_tool_calls([ToolCall("c", "f", "{", 1), ToolCall("", "", "}", 1)]) == (
        ToolCall("c", "f", "{}", 1),
    )
    calls = join_tool_calls([ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}")])
    assert [(call.id, call.index) for call in calls] == [("c1", 0), ("c2", 1)]


def test_log_probabilities_of_a_stream_are_joined():
    """Each event holds those of its own piece."""
    pieces = [{"content": [{"token": token}], "n": token} for token in ("a", "b")]
    deltas = [Delta(text="x", logprobs=piece) for piece in pieces]
    assert join_deltas([*deltas, Delta(last=True)]).logprobs == {
        "content": [{"token": "a"}, {"token": "b"}],
        "n": "b",
    }
