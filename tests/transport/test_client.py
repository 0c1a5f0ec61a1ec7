"""The clients over real sockets: what arrives when, what is tried again, and what is let go."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import json
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx2
import pytest

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    Client,
    ClientOptions,
    ContentBlockedError,
    DashScopeError,
    Delta,
    Endpoint,
    InvalidRequestError,
    Message,
    ModelNotFoundError,
    Options,
    ProtocolError,
    QuotaExhaustedError,
    RateLimitError,
    Reply,
    RetiredModelWarning,
    ServerError,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.transport import client, retirement
from dashscope_oss.transport.http import connections
from tests.faults.server import (
    SSE_END,
    SSE_HEAD,
    WAIT,
    Close,
    Cut,
    RawServer,
    UntilGone,
    answer,
    chunk,
    chunked_head,
    error_frame,
    frame,
    message_frame,
    message_reply,
    stream,
    text_reply,
)

KEY = "sk-secret-0123456789"
GOOD = answer(text_reply("hello"))
GOOD_STREAM = stream(frame("hel"), frame("lo"), frame("", "stop"))
THROTTLED = answer(
    {"code": "Throttling.RateQuota", "message": "slow down", "request_id": "r-1"}, "429 Too Many"
)
REFUSED = answer({"code": "InvalidParameter", "message": "no", "request_id": "r-1"}, "400 Bad")


def asked(id: str = "baichuan2-7b-chat-v1") -> Request:
    return chat_request(find_model(id), [Message("user", "question")])


def endpoint(server: RawServer, **settings: str) -> Endpoint:
    return Endpoint.resolve(base_url=server.base_url, **settings)


class Waits(list):
    """Stands in for sleeping, for both clients: it only notes how long."""

    def sync(self, seconds: float) -> None:
        self.append(seconds)

    async def later(self, seconds: float) -> None:
        self.append(seconds)


class Caller:
    """One way to call: sync or async, whole or streamed. A test that takes it runs in all four."""

    def __init__(self, *, is_async: bool, streams: bool) -> None:
        self.is_async = is_async
        self.streams = streams
        self.waits = Waits()
        self.handed_on: list[str] = []

    def __call__(
        self, server: RawServer | Endpoint, request: Request | None = None, **more
    ) -> Reply:
        place = endpoint(server) if isinstance(server, RawServer) else server
        request = request or asked()
        if self.is_async:
            return asyncio.run(self._later(place, request, more))
        with Client(place, ClientOptions(**more), sleep=self.waits.sync) as caller:
            if not self.streams:
                return caller.send(request)
            return self._joined([self._noted(delta) for delta in caller.stream(request)])

    async def _later(self, place: Endpoint, request: Request, more: dict) -> Reply:
        async with AsyncClient(place, ClientOptions(**more), sleep=self.waits.later) as caller:
            if not self.streams:
                return await caller.send(request)
            return self._joined([self._noted(delta) async for delta in caller.stream(request)])

    def _noted(self, delta: Delta) -> Delta:
        self.handed_on.append(delta.text)
        return delta

    @staticmethod
    def _joined(parts: list[Delta]) -> Reply:
        return join_deltas(parts)

    def good(self) -> bytes | list:
        return GOOD_STREAM if self.streams else GOOD


@pytest.fixture(params=["send", "stream", "async-send", "async-stream"])
def call(request) -> Caller:
    return Caller(is_async="async" in request.param, streams="stream" in request.param)


@pytest.fixture(params=["stream", "async-stream"])
def streaming(request) -> Caller:
    return Caller(is_async="async" in request.param, streams=True)


@pytest.fixture(params=["send", "async-send"])
def whole(request) -> Caller:
    return Caller(is_async="async" in request.param, streams=False)


# Good answers


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


def test_a_compressed_answer_is_read(call: Caller):
    data = gzip.compress(json.dumps(text_reply("hello")).encode())
    with RawServer(answer(data, headers=[("Content-Encoding", "gzip")])) as server:
        assert call(server).text == "hello"


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
        assert call(server, asked("qwq-32b")).text == "hello"
    assert server.requests[0].headers["accept"] == "text/event-stream"
    assert server.requests[0].body["parameters"]["incremental_output"] is True


def test_a_call_that_must_stream_and_breaks_off_is_tried_again_from_its_beginning(whole: Caller):
    """Nobody has seen what came of it."""
    broken = [SSE_HEAD, chunk(frame("hel")), Cut()]
    with RawServer(broken, GOOD_STREAM) as server:
        assert whole(server, asked("qwq-32b")).text == "hello"
    assert len(whole.waits) == 1


# Streams


def test_the_first_delta_arrives_before_the_last_is_sent():
    more = threading.Event()
    script = [SSE_HEAD, chunk(frame("first")), more, chunk(frame("last", "stop")), SSE_END]
    with RawServer(script) as server, Client(endpoint(server)) as caller:
        deltas = caller.stream(asked())
        assert next(deltas).text == "first"
        assert not more.is_set()
        more.set()
        assert [delta.text for delta in deltas] == ["last"]


async def test_the_first_delta_arrives_before_the_last_is_sent_async():
    more = threading.Event()
    script = [SSE_HEAD, chunk(frame("first")), more, chunk(frame("last", "stop")), SSE_END]
    with RawServer(script) as server:
        async with AsyncClient(endpoint(server)) as caller:
            deltas = caller.stream(asked())
            assert (await anext(deltas)).text == "first"
            assert not more.is_set()
            more.set()
            assert [delta.text async for delta in deltas] == ["last"]


def test_a_stream_cut_inside_a_character_and_a_line_end_is_read(streaming: Caller):
    data = (frame("故宫") + frame("🏯", "stop")).replace(b"\n", b"\r\n")
    script = [SSE_HEAD, *(chunk(bytes([byte])) for byte in data), SSE_END]
    with RawServer(script) as server:
        assert streaming(server).text == "故宫🏯"


def test_an_error_in_the_middle_keeps_the_text_so_far_and_is_not_tried_again(streaming: Caller):
    script = stream(
        frame("hel"), frame("lo"), error_frame(400, "DataInspectionFailed", "not allowed")
    )
    with RawServer(script) as server, pytest.raises(ContentBlockedError) as caught:
        streaming(server)
    assert streaming.handed_on == ["hel", "lo"]
    assert (caught.value.partial_text, caught.value.status_code) == ("hello", 400)
    assert len(server.requests) == 1


def test_an_error_that_waiting_could_cure_is_not_tried_again_in_the_middle(streaming: Caller):
    script = stream(frame("hel"), error_frame(429, "Throttling", "slow down"))
    with RawServer(script) as server, pytest.raises(RateLimitError) as caught:
        streaming(server)
    assert (caught.value.partial_text, streaming.waits) == ("hel", [])
    assert len(server.requests) == 1


@pytest.mark.parametrize("end", [Cut, Close])
def test_a_cut_stream_is_an_error_with_the_text_so_far(streaming: Caller, end):
    """Row 10: a stream that breaks off is never a short answer."""
    seen = threading.Event()
    script = [SSE_HEAD, chunk(frame("hel")), seen, end()]
    _noting(streaming, seen)
    with RawServer(script) as server, pytest.raises(APIConnectionError) as caught:
        streaming(server)
    assert (streaming.handed_on, caught.value.partial_text) == (["hel"], "hel")
    assert len(server.requests) == 1


def _noting(streaming: Caller, seen: threading.Event) -> None:
    note = streaming._noted

    def noted(delta: Delta) -> Delta:
        seen.set()
        return note(delta)

    streaming._noted = noted


def test_a_cut_stream_of_a_model_without_finish_reasons_is_an_error_too(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hel", None)), Close()]
    with RawServer(script) as server, pytest.raises(APIConnectionError) as caught:
        streaming(server, asked("llama2-7b-chat-v2"))
    assert caught.value.partial_text == "hel"


def test_a_stream_that_ends_in_order_without_a_finish_reason_is_an_error(streaming: Caller):
    with RawServer(stream(frame("hel"))) as server:
        with pytest.raises(ProtocolError, match="broke off") as caught:
            streaming(server)
        assert caught.value.partial_text == "hel"


def test_a_connection_that_breaks_behind_the_last_delta_harms_nobody(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hello")), chunk(frame("", "stop")), Close()]
    with RawServer(script) as server:
        assert streaming(server).text == "hello"


def test_a_failed_stream_lets_go_of_its_connection_while_its_error_is_kept():
    script = [SSE_HEAD, chunk(frame("hel") + b"data:{broken\n\n"), UntilGone()]
    with RawServer(script) as server:
        caller = Client(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            list(caller.stream(asked()))
        assert server.gone.wait(WAIT)
        assert caught.value.partial_text == "hel"
        caller.close()


async def test_a_failed_async_stream_lets_go_of_its_connection_while_its_error_is_kept():
    script = [SSE_HEAD, chunk(frame("hel") + b"data:{broken\n\n"), UntilGone()]
    with RawServer(script) as server:
        caller = AsyncClient(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            [delta async for delta in caller.stream(asked())]
        assert await _gone(server)
        assert caught.value.partial_text == "hel"
        await caller.aclose()


async def test_an_answer_beyond_the_limit_is_let_go_while_its_error_is_kept(monkeypatch):
    monkeypatch.setattr(sse, "MAX_REPLY_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    with RawServer([head + b"x" * 2000, UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        with pytest.raises(ProtocolError) as caught:
            await caller.send(asked())
        assert await _gone(server)
        assert "1000 bytes" in caught.value.message
        await caller.aclose()


@pytest.mark.parametrize("script", [stream(), answer(b"", kind="text/event-stream")])
def test_an_empty_stream_is_an_error(streaming: Caller, script):
    with RawServer(script) as server, pytest.raises(ProtocolError, match="without an answer"):
        streaming(server)


def test_closing_the_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = Client(endpoint(server))
        deltas = caller.stream(asked())
        next(deltas)
        deltas.close()
        assert server.gone.wait(WAIT)
        caller.close()


def test_dropping_the_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = Client(endpoint(server))
        deltas = caller.stream(asked())
        next(deltas)
        del deltas
        gc.collect()
        assert server.gone.wait(WAIT)
        caller.close()


async def _gone(server: RawServer) -> bool:
    return await asyncio.to_thread(server.gone.wait, WAIT)


async def test_closing_the_async_iterator_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        deltas = caller.stream(asked())
        await anext(deltas)
        await deltas.aclose()
        assert await _gone(server)
        await caller.aclose()


async def test_leaving_an_async_loop_early_closes_the_connection():
    with RawServer([SSE_HEAD, chunk(frame("hel")), UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))
        async for _ in caller.stream(asked()):
            break
        gc.collect()
        assert await _gone(server)
        await caller.aclose()


@pytest.mark.parametrize("streams", [True, False])
async def test_cancelling_a_call_closes_its_connection(streams):
    script = [SSE_HEAD, chunk(frame("hel")), UntilGone()]
    with RawServer(script if streams else [UntilGone()]) as server:
        caller = AsyncClient(endpoint(server))

        async def run() -> None:
            if streams:
                async for _ in caller.stream(asked()):
                    pass
            else:
                await caller.send(asked())

        task = asyncio.create_task(run())
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await _gone(server)
        await caller.aclose()


def test_a_stop_text_of_ones_own_ends_a_stream_and_its_connection(streaming: Caller):
    request = chat_request(
        find_model("llama2-7b-chat-v2"), [Message("user", "q")], Options(stop="END")
    )
    assert request.own_stops
    script = [SSE_HEAD, chunk(frame("one END two", None)), UntilGone()]
    with RawServer(script) as server:
        assert streaming(server, request).text.strip() == "one"
        assert server.gone.wait(WAIT)


# Trying again


def test_a_failure_is_tried_again_before_the_first_piece(call: Caller):
    down = answer(b"", "503 Service Unavailable")
    with RawServer(THROTTLED, down, call.good()) as server:
        assert call(server).text == "hello"
    assert len(server.requests) == 3
    assert len(call.waits) == 2
    assert 0 <= call.waits[0] < 0.5
    assert 0 <= call.waits[1] < 1.0
    assert server.requests[0].body == server.requests[2].body


def test_an_error_event_before_the_first_piece_is_tried_again(streaming: Caller):
    with RawServer(stream(error_frame(429, "Throttling", "slow down")), GOOD_STREAM) as server:
        assert streaming(server).text == "hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("end", [Cut, Close])
def test_a_connection_lost_before_the_first_piece_is_tried_again(call: Caller, end):
    with RawServer([end()], call.good()) as server:
        assert call(server).text == "hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "wait"), [(("Retry-After", "7"), 7), (("retry-after-ms", "1500"), 1.5)]
)
def test_a_wait_that_the_service_asks_for_is_kept(call: Caller, header, wait):
    busy = answer({"code": "Throttling", "message": "m"}, "429 Too Many", headers=[header])
    with RawServer(busy, call.good()) as server:
        assert call(server).text == "hello"
    assert call.waits == [wait]


def test_a_wait_of_more_than_a_minute_is_reported_at_once(call: Caller):
    busy = answer({"code": "Throttling", "message": "m"}, "429 No", headers=[("Retry-After", "90")])
    with RawServer(busy) as server, pytest.raises(RateLimitError, match="retry_after 90") as caught:
        call(server)
    assert (caught.value.retry_after, call.waits, len(server.requests)) == (90, [], 1)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_tries_after_the_first(call: Caller, retries):
    with RawServer(THROTTLED) as server, pytest.raises(RateLimitError) as caught:
        call(server, max_retries=retries)
    assert len(server.requests) == retries + 1
    assert (caught.value.status_code, caught.value.request_id) == (429, "r-1")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"code": "InvalidParameter", "message": "m"}, "400 Bad", InvalidRequestError),
        ({"code": "DataInspectionFailed", "message": "m"}, "400 Bad", ContentBlockedError),
        ({"code": "Arrearage", "message": "m"}, "400 Bad", QuotaExhaustedError),
        ({"code": "InvalidApiKey", "message": "m"}, "401 No", AuthenticationError),
        (
            {"code": "Throttling.AllocationQuota", "message": "Free allocated quota exceeded."},
            "429 No",
            QuotaExhaustedError,
        ),
        ({"code": "ServiceUnavailableError", "message": "m"}, "503 No", InvalidRequestError),
    ],
)
def test_what_waiting_cannot_cure_is_not_tried_again(call: Caller, body, status, kind):
    with RawServer(answer(body, status)) as server, pytest.raises(kind):
        call(server)
    assert (len(server.requests), call.waits) == (1, [])


def test_every_retry_is_reported(call: Caller):
    told = []
    with RawServer(THROTTLED, THROTTLED, call.good()) as server:
        call(server, on_retry=lambda *what: told.append(what))
    assert [(attempt, type(error)) for attempt, error, _ in told] == [
        (1, RateLimitError),
        (2, RateLimitError),
    ]
    assert [wait for *_, wait in told] == call.waits


# Wrong answers


def test_a_proxys_page_is_an_error_that_shows_it(call: Caller):
    page = answer(b"<html>Bad Gateway</html>", "502 Bad Gateway", "text/html")
    with RawServer(page) as server, pytest.raises(ServerError, match="Bad Gateway") as caught:
        call(server)
    assert (caught.value.status_code, len(server.requests)) == (502, 3)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_with_a_good_status_is_an_error(call: Caller, kind):
    with (
        RawServer(answer(b"<html>log in</html>", kind=kind)) as server,
        pytest.raises(ProtocolError, match="log in"),
    ):
        call(server)


def test_an_error_with_a_good_status_is_an_error_and_is_tried_again(call: Caller):
    said = answer({"code": "Throttling", "message": "slow down", "request_id": "r-1"})
    with RawServer(said) as server, pytest.raises(RateLimitError, match="slow down") as caught:
        call(server)
    assert (caught.value.request_id, len(server.requests)) == ("r-1", 3)


def test_an_empty_answer_with_a_good_status_is_an_error(call: Caller):
    with RawServer(answer(b"")) as server, pytest.raises(ProtocolError):
        call(server)


def test_an_error_without_a_body_keeps_its_status_and_request_id(call: Caller):
    empty = answer(b"", "403 Forbidden", headers=[("X-Request-ID", "r-5")])
    with (
        RawServer(empty) as server,
        pytest.raises(DashScopeError, match="the answer has no body") as caught,
    ):
        call(server)
    assert (caught.value.status_code, caught.value.request_id) == (403, "r-5")


def test_an_error_that_stands_in_an_event_of_a_bad_status_is_read(call: Caller):
    body = b'event:error\ndata:{"code":"Arrearage","message":"in debt","request_id":"r"}\n\n'
    bad = answer(body, "400 Bad Request", "text/event-stream")
    with RawServer(bad) as server, pytest.raises(QuotaExhaustedError, match="in debt"):
        call(server)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(call: Caller, status):
    with RawServer(call.good()) as other:
        away = answer(b"", status, headers=[("Location", f"{other.base_url}/elsewhere")])
        with (
            RawServer(away) as server,
            pytest.raises(ProtocolError, match=r"elsewhere.*not follow"),
        ):
            call(server)
    assert (other.requests, len(server.requests)) == ([], 1)


def test_a_redirect_is_not_followed_by_a_client_that_would():
    with RawServer(GOOD) as other:
        away = answer(b"", "307 Temporary", headers=[("Location", f"{other.base_url}/elsewhere")])
        with (
            RawServer(away) as server,
            httpx2.Client(follow_redirects=True) as http,
            pytest.raises(ProtocolError, match="not followed"),
        ):
            Client(endpoint(server), ClientOptions(http_client=http)).send(asked())
    assert other.requests == []


def test_garbage_instead_of_http_is_an_error(call: Caller):
    with (
        RawServer([b"\x00\x01 garbage\r\n\r\n", Close()]) as server,
        pytest.raises(APIConnectionError, match=r"127\.0\.0\.1"),
    ):
        call(server)


def test_an_answer_that_cannot_be_decompressed_is_an_error(call: Caller):
    bad = answer(b"no gzip", headers=[("Content-Encoding", "gzip")])
    with RawServer(bad) as server, pytest.raises(ProtocolError, match="decompressed"):
        call(server)


def test_an_answer_beyond_the_limit_is_an_error(call: Caller, monkeypatch):
    monkeypatch.setattr(sse, "MAX_REPLY_BYTES", 1000)
    with (
        RawServer(answer(text_reply("x" * 2000))) as server,
        pytest.raises(ProtocolError, match="longer than 1000 bytes"),
    ):
        call(server)


@pytest.mark.parametrize(
    ("key", "shown"),
    [("any", "company, [key]. 密钥[key]!"), ("anything-long", "company, any. 密钥any!")],
)
def test_a_placeholder_for_a_key_is_cut_out_of_no_word(call: Caller, key, shown):
    script = answer({"code": "InvalidApiKey", "message": "company, any. 密钥any!"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError) as caught:
        call(Endpoint.resolve(base_url=server.base_url, api_key=key))
    assert caught.value.message == shown


def test_a_refused_key_is_no_matter_of_the_vendors_regions_at_another_server(call: Caller):
    script = answer({"code": "InvalidApiKey", "message": "no"}, "401 No")
    with RawServer(script) as server, pytest.raises(AuthenticationError, match="keys of its own"):
        call(server)


def test_what_a_server_says_cannot_steer_a_terminal(call: Caller):
    """The message keeps it as it came."""
    script = answer({"code": "X", "message": "a\x1b[2J\x00b\nc"}, "400 No")
    with RawServer(script) as server, pytest.raises(InvalidRequestError) as caught:
        call(server)
    assert caught.value.message == "a\x1b[2J\x00b\nc"
    assert "a\ufffd[2J\ufffdb\nc" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        ("500 X", {"code": "InternalError", "message": "no"}, "raise max_retries"),
        ("429 X", {"code": "Throttling", "message": "no"}, "fewer calls at once"),
        ("400 X", {"code": "InvalidParameter", "message": "no"}, "Change the request"),
        ("400 X", {"code": "DataInspectionFailed", "message": "no"}, "wording of the input"),
        ("404 X", b"<html>nothing here</html>", "check base_url"),
        ("503 X", b"<html>busy</html>", "Try again later"),
    ],
)
def test_a_refusal_says_what_to_do(call: Caller, status, body, advice):
    with RawServer(answer(body, status)) as server, pytest.raises(DashScopeError, match=advice):
        call(server, max_retries=0)


def test_nobody_listening_is_an_error_that_names_the_host_and_what_to_check(call: Caller):
    with RawServer(GOOD) as server:
        place = endpoint(server)
    with pytest.raises(APIConnectionError, match=r"no answer from 127\.0\.0\.1.*gateway runs"):
        call(place)
    assert len(call.waits) == 2


def test_a_server_that_says_nothing_is_a_timeout_that_names_its_limit(call: Caller):
    with (
        RawServer([UntilGone()]) as server,
        pytest.raises(APITimeoutError, match=r"waiting for the next piece.*0\.1 s"),
    ):
        call(server, timeout=0.1, max_retries=0)


def test_a_stall_in_the_middle_is_a_timeout_with_the_text_so_far(streaming: Caller):
    script = [SSE_HEAD, chunk(frame("hel")), UntilGone()]
    with RawServer(script) as server, pytest.raises(APITimeoutError) as caught:
        streaming(server, timeout=0.2)
    assert caught.value.partial_text == "hel"


def test_what_cannot_be_sent_raises_before_any_request(call: Caller):
    with RawServer(call.good()) as server, pytest.raises(UnsupportedInputError):
        call(server, chat_request(find_model("glm-5"), [Message("user", "")]))
    assert server.requests == []


# Secrets


def _texts(error: BaseException | None) -> str:
    said = ""
    while error is not None:
        said += f"{error!r} {error} {error.__dict__}"
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return said


@pytest.mark.parametrize(
    "script",
    [
        answer({"code": "InvalidApiKey", "message": f"key {KEY} is wrong"}, "401 No"),
        answer({"code": KEY, "message": "m", "request_id": KEY}, "401 No"),
        answer(f"<html>{KEY}</html>".encode(), "502 Bad", "text/html"),
        answer(KEY.encode()),
        answer(b"", "302 Found", headers=[("Location", f"http://127.0.0.1:1/?{KEY}")]),
        answer(b"", "403 No", headers=[("X-Request-ID", KEY)]),
        stream(error_frame(401, "InvalidApiKey", f"key {KEY} is wrong")),
        [f"HTTP/1.1 {KEY}\r\n\r\n".encode(), Close()],
    ],
    ids=["message", "code", "page", "garbage", "redirect", "request-id", "event", "status-line"],
)
def test_a_key_that_the_server_repeats_is_in_no_error(call: Caller, script):
    with RawServer(script) as server, pytest.raises(DashScopeError) as caught:
        call(endpoint(server, api_key=KEY), max_retries=0)
    assert KEY not in _texts(caught.value)


def test_the_key_is_in_no_text_form_of_a_client():
    for made in (Client, AsyncClient):
        caller = made(Endpoint.resolve(base_url="http://127.0.0.1:1/api/v1", api_key=KEY))
        assert KEY not in f"{caller!r} {caller} {vars(caller)}"


# Retired models


def _vendor(status: int = 200, body: dict | None = None) -> Callable[[Request], Reply]:
    body = body or text_reply("hello")
    http = httpx2.Client(
        transport=httpx2.MockTransport(lambda request: httpx2.Response(status, json=body))
    )
    return Client(Endpoint.resolve(api_key=KEY), ClientOptions(http_client=http)).send


@pytest.fixture
def _nothing_announced(monkeypatch):
    monkeypatch.setattr(retirement, "_warned", set())


@pytest.mark.usefixtures("_nothing_announced")
def test_a_retired_model_at_the_vendors_host_warns_once_and_is_sent_all_the_same():
    send = _vendor()
    expected = r"ziya-llama-13b-v1.*2025-07-02.*qwen-max.*dashscope-oss serve"
    with pytest.warns(RetiredModelWarning, match=expected):
        assert send(asked("ziya-llama-13b-v1")).text == "hello"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert send(asked("ziya-llama-13b-v1")).text == "hello"
    with pytest.warns(RetiredModelWarning, match="billa-7b-sft-v1"):
        send(asked("billa-7b-sft-v1"))


@pytest.mark.usefixtures("_nothing_announced")
def test_a_retired_model_at_another_host_does_not_warn():
    with warnings.catch_warnings(), RawServer(GOOD) as server, Client(endpoint(server)) as caller:
        warnings.simplefilter("error")
        assert caller.send(asked("ziya-llama-13b-v1")).text == "hello"


@pytest.mark.usefixtures("_nothing_announced")
def test_a_hosted_model_at_the_vendors_host_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _vendor()(asked("deepseek-v4-pro")).text == "hello"


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
@pytest.mark.parametrize(
    ("status", "code"), [(404, "ModelNotFound"), (403, "Endpoint.AccessDenied")]
)
def test_a_refusal_of_a_retired_model_says_when_and_what_instead(status, code):
    send = _vendor(status, {"code": code, "message": "m"})
    with pytest.raises(DashScopeError, match=r"2025-07-02.*qwen-max.*dashscope-oss serve"):
        send(asked("belle-llama-13b-2m-v1"))


def test_a_refusal_of_an_unknown_model_names_the_list():
    send = _vendor(404, {"code": "ModelNotFound", "message": "m"})
    with pytest.raises(ModelNotFoundError, match="dashscope-oss models") as caught:
        send(asked("deepseek-v4-pro"))
    assert "retired" not in str(caught.value)


# Connections


def test_twenty_calls_use_one_connection():
    with RawServer(GOOD) as server, Client(endpoint(server)) as caller:
        for _ in range(20):
            caller.send(asked())
    assert (len(server.requests), server.connections) == (20, 1)


def test_streams_give_their_connection_back():
    with RawServer(GOOD_STREAM) as server, Client(endpoint(server)) as caller:
        for _ in range(5):
            assert "".join(delta.text for delta in caller.stream(asked())) == "hello"
    assert (len(server.requests), server.connections) == (5, 1)


def test_failed_calls_give_their_connection_back():
    with RawServer(REFUSED) as server, Client(endpoint(server)) as caller:
        for _ in range(5):
            with pytest.raises(InvalidRequestError):
                caller.send(asked())
            with pytest.raises(InvalidRequestError):
                list(caller.stream(asked()))
    assert (len(server.requests), server.connections) == (10, 1)


async def test_twenty_async_calls_use_one_connection():
    with RawServer(GOOD) as server:
        async with AsyncClient(endpoint(server)) as caller:
            for _ in range(20):
                await caller.send(asked())
    assert (len(server.requests), server.connections) == (20, 1)


async def test_calls_at_once_do_not_wait_for_each_other():
    together = threading.Barrier(8)

    class All(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            together.wait(timeout)
            return True

    with RawServer([All(), GOOD]) as server:
        async with AsyncClient(endpoint(server)) as caller:
            replies = await asyncio.gather(*(caller.send(asked()) for _ in range(8)))
    assert [reply.text for reply in replies] == ["hello"] * 8


def test_one_client_over_several_event_loops():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))

        async def run() -> str:
            async with caller:
                first, second = await caller.send(asked()), await caller.send(asked())
                return first.text + second.text

        assert [asyncio.run(run()) for _ in range(3)] == ["hellohello"] * 3
    assert server.connections == 3


def test_one_client_over_several_event_loops_that_nobody_closed():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        for _ in range(3):
            assert asyncio.run(caller.send(asked())).text == "hello"
            assert server.gone.wait(WAIT)
            server.gone.clear()


def test_event_loops_that_have_ended_are_not_kept_for_ever():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        for _ in range(5):
            asyncio.run(caller.send(asked()))
        gc.collect()
        assert len(caller._by_loop) <= 1  # none, or the last until the next call


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_event_loop_that_was_closed_without_ceremony_is_forgotten_at_the_next_call():
    with RawServer(GOOD) as server:
        caller = AsyncClient(endpoint(server))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(caller.send(asked()))
        loop.close()
        assert list(caller._by_loop) == [loop]

        async def run() -> None:
            await caller.send(asked())
            assert loop not in caller._by_loop
            await caller.aclose()

        asyncio.run(run())
        gc.collect()


def test_one_client_in_event_loops_of_several_threads():
    with RawServer(GOOD) as server, ThreadPoolExecutor(4) as pool:
        caller = AsyncClient(endpoint(server))

        async def run() -> str:
            async with caller:
                return (await caller.send(asked())).text

        assert list(pool.map(lambda _: asyncio.run(run()), range(8))) == ["hello"] * 8


def test_one_client_in_several_threads():
    with (
        RawServer(GOOD) as server,
        Client(endpoint(server)) as caller,
        ThreadPoolExecutor(8) as pool,
    ):
        texts = list(pool.map(lambda _: caller.send(asked()).text, range(40)))
    assert texts == ["hello"] * 40
    assert server.connections <= 8


def test_threads_whose_first_calls_come_at_once_open_one_set_of_connections(monkeypatch):
    """Both find none open; who comes second to the lock takes those of the first."""
    both, lock = threading.Barrier(2, timeout=WAIT), threading.Lock()
    open_client, made = connections.open_client, []

    def meet(caller: Client) -> threading.Lock:
        both.wait()
        return lock

    monkeypatch.setattr(Client, "_lock", meet)
    monkeypatch.setattr(
        connections, "open_client", lambda *args: made.append(open_client(*args)) or made[-1]
    )
    with RawServer(GOOD) as server, ThreadPoolExecutor(2) as pool:
        caller = Client(endpoint(server))
        texts = list(pool.map(lambda _: caller.send(asked()).text, range(2)))
        for http in made:
            http.close()
    assert (texts, len(made)) == (["hello"] * 2, 1)


FORKING = """
import os, sys
from dashscope_oss import Client, Endpoint, Message, chat_request, find_model
caller = Client(Endpoint.resolve(base_url=sys.argv[1]))
request = chat_request(find_model("glm-5"), [Message("user", "q")])
assert "".join(d.text for d in caller.stream(request)) == "hello"
child = os.fork()
for _ in range(2):
    assert caller.send(request).text == "hello"
if child == 0:
    caller.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert caller.send(request).text == "hello"
caller.close()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_parent_and_child_of_a_fork_share_no_connection():
    with RawServer(GOOD_STREAM) as server:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", FORKING, server.base_url], check=True, timeout=60
        )
    assert (len(server.requests), server.connections) == (6, 2)


def test_the_child_of_a_fork_closes_no_connection_of_its_parent(monkeypatch):
    """Neither when it closes its copy of a client nor when it lets go of it."""
    with RawServer(GOOD) as server:
        caller = Client(endpoint(server))
        caller.send(asked())
        _, http = caller._http
        with monkeypatch.context() as child:
            child.setattr(client, "os", SimpleNamespace(getpid=lambda: -1))
            caller.close()
            del caller
            gc.collect()
        assert not http.is_closed
        http.close()


@pytest.mark.parametrize("copied", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
def test_a_used_client_can_be_pickled_and_used_again(copied):
    with (
        RawServer(GOOD) as server,
        Client(endpoint(server), ClientOptions(max_retries=7)) as caller,
    ):
        caller.send(asked())
        with copied(caller) as again:
            assert again.send(asked()).text == "hello"
            assert again.options.max_retries == 7
    assert server.connections == 2


@pytest.mark.parametrize("copied", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
async def test_a_used_async_client_can_be_pickled_and_used_again(copied):
    with RawServer(GOOD) as server:
        async with AsyncClient(endpoint(server)) as caller:
            await caller.send(asked())
            async with copied(caller) as again:
                assert (await again.send(asked())).text == "hello"


def test_a_key_of_the_environment_is_not_in_the_pickle_of_a_client(monkeypatch):
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    assert KEY.encode() not in pickle.dumps(Client(Endpoint.resolve()))


def test_a_closed_client_opens_new_connections():
    with RawServer(GOOD) as server:
        caller = Client(endpoint(server))
        for _ in range(2):
            caller.send(asked())
            caller.close()
    assert server.connections == 2


def test_a_client_that_nobody_holds_closes_its_connections():
    with RawServer(GOOD) as server:
        Client(endpoint(server)).send(asked())
        gc.collect()
        assert server.gone.wait(WAIT)


async def test_an_async_client_that_nobody_holds_closes_its_connections():
    with RawServer(GOOD) as server:
        await AsyncClient(endpoint(server)).send(asked())
        gc.collect()
        assert await _gone(server)


def test_a_given_httpx_client_is_used_as_it_is_and_not_closed():
    with RawServer(GOOD) as server, httpx2.Client(headers={"X-Own": "mine"}) as http:
        with Client(endpoint(server), ClientOptions(http_client=http)) as caller:
            caller.send(asked())
        assert not http.is_closed
    assert server.requests[0].headers["x-own"] == "mine"


async def test_a_given_async_httpx_client_is_used_as_it_is_and_not_closed():
    with RawServer(GOOD) as server:
        async with httpx2.AsyncClient(headers={"X-Own": "mine"}) as http:
            async with AsyncClient(
                endpoint(server), ClientOptions(http_async_client=http)
            ) as caller:
                await caller.send(asked())
            assert not http.is_closed
    assert server.requests[0].headers["x-own"] == "mine"


def test_two_clients_of_two_addresses_never_mix():
    with (
        RawServer(answer(text_reply("one"))) as one,
        RawServer(answer(text_reply("two"))) as two,
        Client(endpoint(one)) as first,
        Client(endpoint(two)) as second,
    ):
        texts = [caller.send(asked()).text for caller in (first, second, first)]
    assert texts == ["one", "two", "one"]


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
def test_a_timeout_that_was_asked_for_counts_with_a_client_of_ones_own_too():
    """The given client's limit applies only where none was asked for."""
    seen = []

    def note(request):
        seen.append(request.extensions["timeout"]["read"])
        return httpx2.Response(200, json={"output": {"text": "hi"}})

    with httpx2.Client(transport=httpx2.MockTransport(note), timeout=5) as http:
        for timeout in (7, None):
            found = Client(
                Endpoint.resolve(api_key="k"), ClientOptions(http_client=http, timeout=timeout)
            )
            found.send(chat_request(find_model("llama3.1-8b-instruct"), [Message("user", "hi")]))

    assert seen == [7, 5]


def test_the_log_names_the_call_and_never_its_words(caplog):
    """Row 48 of LlamaIndex: attempt, status and request id at level debug; no prompt, no key."""
    body = {"output": {"text": "an answer"}}
    reply = httpx2.Response(200, json=body, headers={"x-request-id": "id-1"})
    transport = httpx2.MockTransport(lambda _: reply)
    caplog.set_level("DEBUG")

    with httpx2.Client(transport=transport) as http:
        base_url = "http://127.0.0.1:9/api/v1"
        caller = Client(
            Endpoint.resolve(base_url=base_url, api_key=KEY), ClientOptions(http_client=http)
        )
        caller.send(
            chat_request(find_model("llama3-8b-instruct"), [Message("user", "a secret question")])
        )

    ours = [record.getMessage() for record in caplog.records if record.name == "dashscope_oss"]
    assert len(ours) == 1
    assert ours[0].startswith(
        "model llama3-8b-instruct: attempt 1, status 200, request id id-1, 0."
    )
    assert not any(word in caplog.text for word in ("secret question", "an answer", KEY))
