"""What a client gives of whole answers and of streams that are one."""

from __future__ import annotations

import json

from dashscope_oss import (
    Endpoint,
    Message,
    Options,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.request import Request
from tests.faults.server import (
    SSE_END,
    SSE_HEAD,
    Cut,
    RawServer,
    answer,
    chunk,
    chunked_head,
    frame,
    message_frame,
    message_reply,
    stream,
    text_reply,
)
from tests.transport.calling import (
    GOOD_STREAM,
    KEY,
    Caller,
    question,
)


def test_a_call(call: Caller):
    with RawServer(call.good()) as server:
        reply = call(server)
    assert (reply.text, reply.request_id) == ("hello", "r-1")
    (request,) = server.requests
    assert request.line == "POST /api/v1/services/aigc/text-generation/generation HTTP/1.1"
    assert request.headers["user-agent"].startswith("dashscope-oss/")
    assert "authorization" not in request.headers
    assert ("x-dashscope-sse" in request.headers) is call.streams
    assert request.body["model"] == "baichuan2-7b-chat-v1"


def test_key_workspace_and_own_headers_are_sent(call: Caller):
    with RawServer(call.good()) as server:
        call(
            Endpoint.resolve(base_url=server.base_url, api_key=KEY, workspace="ws_1"),
            default_headers={"X-Own": "mine"},
        )
    sent = server.requests[0].headers
    assert sent["authorization"] == f"Bearer {KEY}"
    assert (sent["x-dashscope-workspace"], sent["x-own"]) == ("ws_1", "mine")


def test_the_weights_that_answered_are_named(call: Caller):
    served = ("X-DashScope-OSS-Served-By", "small-model")
    whole = answer(text_reply("hello"), headers=[served])
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\nX-DashScope-OSS-Served-By: small-model\r\n\r\n")
    script = [head, *GOOD_STREAM[1:]] if call.streams else whole
    with RawServer(script) as server:
        assert call(server).served_by == "small-model"


def test_json_for_a_stream_is_handed_on_whole(streaming: Caller):
    with RawServer(answer(text_reply("hello", input_tokens=3, output_tokens=1))) as server:
        reply = streaming(server)
    assert streaming.handed_on == ["hello"]
    assert reply.usage
    assert reply.usage.total_tokens == 4


def test_json_in_pieces_for_a_stream_is_handed_on_whole(streaming: Caller):
    data = json.dumps(text_reply("hello")).encode()
    steps = [chunked_head(), *(chunk(data[at : at + 9]) for at in range(0, len(data), 9)), SSE_END]
    with RawServer(steps) as server:
        assert streaming(server).text == "hello"
    assert streaming.handed_on == ["hello"]


def asked_for_the_whole_so_far() -> Request:
    return chat_request(
        find_model("qwen3.6-27b"),
        [Message("user", "question")],
        Options(extra={"incremental_output": False}),
        stream=True,
    )


def test_calls_that_each_event_repeats_are_handed_on_once(streaming: Caller):
    """Where incremental_output is off, arguments grow from event to event as text does."""
    whole = '{"city": "Hangzhou"}'
    calls = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": said}}
        for said in (whole[:9], whole[:14], whole)
    ]
    script = stream(
        *(message_frame("", "null", tool_calls=[call]) for call in calls),
        message_frame("", "tool_calls", tool_calls=calls[-1:]),
    )
    with RawServer(script) as server:
        (call,) = streaming(server, asked_for_the_whole_so_far()).tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "f", whole)


def piece_of_call(number: int, arguments: str) -> dict[str, object]:
    function = {"name": f"f{number}", "arguments": arguments}
    return {"index": 0, "id": f"c{number}", "type": "function", "function": function}


def test_two_calls_under_one_index_are_two_calls(call: Caller):
    """Some engines count none; joined, their arguments would be nonsense."""
    calls = [piece_of_call(1, '{"a": 1}'), piece_of_call(2, '{"b"')]
    rest = {"index": 0, "function": {"arguments": ": 2}"}}
    if call.streams:
        script = stream(
            message_frame("", "null", tool_calls=calls[:1]),
            message_frame("", "null", tool_calls=calls[1:]),
            message_frame("", "tool_calls", tool_calls=[rest]),
        )
    else:
        calls[1] = piece_of_call(2, '{"b": 2}')
        script = answer(message_reply("", "tool_calls", tool_calls=calls))
    with RawServer(script) as server:
        found = call(server).tool_calls
    assert [(c.id, c.name, c.arguments) for c in found] == [
        ("c1", "f1", '{"a": 1}'),
        ("c2", "f2", '{"b": 2}'),
    ]


def test_two_calls_under_one_index_that_each_event_repeats_stay_two(streaming: Caller):
    events = [
        message_frame("", end, tool_calls=[piece_of_call(1, '{"a": 1}'), piece_of_call(2, text)])
        for text, end in (('{"b"', "null"), ('{"b": 2}', "tool_calls"))
    ]
    with RawServer(stream(*events)) as server:
        found = streaming(server, asked_for_the_whole_so_far()).tool_calls
    assert [(c.id, c.arguments) for c in found] == [("c1", '{"a": 1}'), ("c2", '{"b": 2}')]


def test_an_id_that_changes_from_piece_to_piece_begins_no_call(streaming: Caller):
    rest = {"index": 0, "id": "c9", "function": {"arguments": ": 1}"}}
    events = [
        message_frame("", "null", tool_calls=[piece_of_call(1, '{"a"')]),
        message_frame("", "tool_calls", tool_calls=[rest]),
    ]
    with RawServer(stream(*events)) as server:
        (found,) = streaming(server).tool_calls
    assert (found.id, found.arguments) == ("c1", '{"a": 1}')


def test_json_for_a_stream_may_have_two_calls_under_one_index(streaming: Caller):
    calls = [piece_of_call(1, "{}"), piece_of_call(2, "{}")]
    with RawServer(answer(message_reply("", "tool_calls", tool_calls=calls))) as server:
        assert [call.id for call in streaming(server).tool_calls] == ["c1", "c2"]


def test_a_stream_for_a_call_that_asked_for_none_is_joined(call: Caller):
    with RawServer(GOOD_STREAM) as server:
        assert call(server).text == "hello"


def test_a_call_that_must_stream_streams_and_is_joined(call: Caller):
    with RawServer(GOOD_STREAM) as server:
        assert call(server, question("qwq-32b")).text == "hello"
    assert server.requests[0].headers["accept"] == "text/event-stream"
    assert server.requests[0].body["parameters"]["incremental_output"] is True


def test_a_call_that_must_stream_and_breaks_off_is_tried_again_from_its_beginning(whole: Caller):
    """Nobody has seen what came of it."""
    broken = [SSE_HEAD, chunk(frame("hel")), Cut()]
    with RawServer(broken, GOOD_STREAM) as server:
        assert whole(server, question("qwq-32b")).text == "hello"
    assert len(whole.waits) == 1
