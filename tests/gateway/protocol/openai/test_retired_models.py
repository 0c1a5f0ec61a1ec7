"""Retired models behind an OpenAI-compatible server, asked by a client of OpenAI's."""

import pytest

from dashscope_oss.gateway import Answer, Gateway, OpenAIEngine, Upstream, serve_in_thread
from tests.files import PNG, data_url
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed
from tests.gateway.protocol.openai.calls import COUNTS, USAGE, ask, choice, deltas

QUESTION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is West Lake?"},
]
WRITTEN = "<human>:Be brief.\n\nWhere is West Lake?\n<bot>:"
IMAGE = {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}


@pytest.fixture
def server():
    upstream = FakeUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def url(server):
    engine = OpenAIEngine(Upstream(url=server.url, default="w", kind="vllm"))
    with serve_in_thread(Gateway(engine)) as address:
        yield address


@pytest.mark.parametrize("stream", [False, True])
def test_ziya_answers_messages(server, url, stream):
    """Its server gets the prompt that the model learned."""
    pieces = [{"choices": [{"text": "In Hangzhou.", "finish_reason": "stop"}]}]
    server.answers = [streamed(*pieces)]

    response = ask(url, model="ziya-llama-13b-v1", messages=QUESTION, stream=stream)

    text = (
        "".join(piece["content"] for piece in deltas(response))
        if stream
        else choice(response)["message"]["content"]
    )
    [(path, body, _)] = server.calls
    assert (text, path, body["prompt"]) == ("In Hangzhou.", "/v1/completions", WRITTEN)


def test_it_repeats_no_prompt_and_reports_its_usage(gateway):
    """Its habits are those of the native protocol: no client of OpenAI's knows them."""
    engine = gateway(Answer("In Hangzhou.", usage=USAGE))

    response = ask(engine.base_url, model="ziya-llama-13b-v1", messages=QUESTION)

    assert choice(response)["message"]["content"] == "In Hangzhou."
    assert response.json()["usage"] == COUNTS


def test_an_image_reaches_the_server(server, url):
    server.answers = [streamed(*short_answer("a cat"))]

    messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, IMAGE]}]
    ask(url, model="qwen3.6-27b", messages=messages)

    assert server.calls[0][1]["messages"] == messages
