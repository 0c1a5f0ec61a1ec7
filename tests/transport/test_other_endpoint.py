"""A model that the service serves at its other endpoint is called there, and from then on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dashscope_oss import (
    AsyncClient,
    Client,
    DashScopeWarning,
    InvalidRequestError,
    Message,
    ModelInfo,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.messages import TextPart
from dashscope_oss.protocol.request import at_other_endpoint
from tests.faults.server import RawServer, answer, error_frame, frame, stream
from tests.transport.calling import GOOD, Caller, endpoint, question

WRONG = answer(
    {"code": "InvalidParameter", "message": "url error, please check url！", "request_id": "r"},
    "400 Bad Request",
)
MOVED = "text-generation is the wrong endpoint.*multimodal-generation from now on"


def places(server: RawServer) -> list[str]:
    """The endpoint of each request that came."""
    return [request.line.split("/aigc/")[1].split("-")[0] for request in server.requests]


def test_the_call_is_made_again_at_the_other_endpoint(call: Caller):
    """Without a wait, and though no retries are wanted: nothing was generated."""
    with RawServer(WRONG, call.good()) as server, pytest.warns(DashScopeWarning, match=MOVED):
        assert call(server, question("glm-5"), max_retries=0).text == "hello"
    assert places(server) == ["text", "multimodal"]
    assert server.requests[1].body["input"] == {
        "messages": [{"role": "user", "content": [{"text": "question"}]}]
    }
    assert "result_format" not in server.requests[1].body["parameters"]
    assert call.waits == [0.0]


def test_an_error_inside_a_stream_moves_the_call_too(streaming: Caller):
    wrong = stream(error_frame(400, "InvalidParameter", "url error, please check url！"))
    with RawServer(wrong, streaming.good()) as server, pytest.warns(DashScopeWarning, match=MOVED):
        assert streaming(server, question("glm-5")).text == "hello"


def test_an_answer_that_has_begun_is_not_asked_for_again(streaming: Caller):
    wrong = stream(frame("hel"), error_frame(400, "InvalidParameter", "url error"))
    with RawServer(wrong) as server, pytest.raises(InvalidRequestError, match="url error"):
        streaming(server, question("glm-5"))
    assert places(server) == ["text"]


def test_a_client_keeps_to_the_endpoint_that_answered():
    with RawServer(WRONG, GOOD) as server, Client(endpoint(server)) as client:
        with pytest.warns(DashScopeWarning, match=MOVED):
            client.send(question("deepseek-v3"))
        client.send(question("deepseek-v3"))
        client.send(question("baichuan2-7b-chat-v1"))
    assert places(server) == ["text", "multimodal", "multimodal", "text"]


def test_an_asyncio_client_keeps_to_the_endpoint_that_answered():
    async def twice(server: RawServer) -> None:
        async with AsyncClient(endpoint(server)) as client:
            with pytest.warns(DashScopeWarning, match=MOVED):
                await client.send(question("deepseek-v3"))
            await client.send(question("deepseek-v3"))

    with RawServer(WRONG, GOOD) as server:
        asyncio.run(twice(server))
    assert places(server) == ["text", "multimodal", "multimodal"]


def test_two_refusals_end_the_call_and_the_next_one_begins_anew():
    with RawServer(WRONG, WRONG, GOOD) as server, Client(endpoint(server)) as client:
        with (
            pytest.warns(DashScopeWarning, match=MOVED),
            pytest.raises(InvalidRequestError, match="at both of its endpoints"),
        ):
            client.send(question("deepseek-v3"))
        client.send(question("deepseek-v3"))
    assert places(server) == ["text", "multimodal", "text"]


MULTIMODAL = replace(find_model("kimi-k2.6"), endpoint="multimodal-generation")


@pytest.mark.parametrize(
    "message",
    [Message("user", "a"), Message.of_parts("user", [TextPart("a", cache_mark=True)])],
    ids=["text", "cache mark"],
)
def test_parts_of_text_become_text_at_the_other_endpoint(message):
    """Whole again: the body is the one that the text endpoint would have got at once."""
    at_text = replace(MULTIMODAL, endpoint="text-generation")
    there, back = (chat_request(m, [message]) for m in (MULTIMODAL, at_text))
    assert at_other_endpoint(there) == back
    assert at_other_endpoint(back) == there


def _with_image(model_info: ModelInfo):
    request = chat_request(model_info, [Message("user", "a")])
    request.body["input"]["messages"][0]["content"].append({"image": "https://host/a.png"})
    return request


@pytest.mark.parametrize(
    "request_",
    [completion_request(find_model("ziya-llama-13b-v1"), "a"), _with_image(MULTIMODAL)],
    ids=["prompt", "image"],
)
def test_what_the_other_endpoint_has_no_place_for_is_not_moved(request_):
    assert at_other_endpoint(request_) is None
    with (
        RawServer(WRONG) as server,
        Client(endpoint(server)) as client,
        pytest.raises(InvalidRequestError, match="set model_info with endpoint"),
    ):
        client.send(request_)
    assert len(server.requests) == 1
