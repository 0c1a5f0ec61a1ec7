"""The vendor's own SDK, pointed at the gateway, works unchanged."""

from itertools import pairwise

import dashscope
import pytest
from dashscope import AioGeneration, Generation
from dashscope.api_entities.aio_session import get_shared_aio_session

from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.messages import Usage

# The SDK leaves its blocking sessions to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

ANSWER = Answer("杭州是浙江的省会。", usage=Usage(input_tokens=7, output_tokens=9, total_tokens=16))
MESSAGES = [{"role": "user", "content": "Where is the capital of Zhejiang?"}]


@pytest.fixture
def engine(gateway, monkeypatch):
    engine = gateway(ANSWER)
    monkeypatch.setattr(dashscope, "base_http_api_url", engine.base_url)
    monkeypatch.setattr(dashscope, "api_key", "sk-dummy")
    return engine


def test_prompt(engine):
    """A prompt gets text in the model's own form: its echo, and no usage on the wire."""
    reply = Generation.call(model="ziya-llama-13b-v1", prompt="<human>:你好\n<bot>:")

    assert reply.status_code == 200
    assert reply.output.text == f"<s><human> :你好\n<bot> : {ANSWER.text}</s>"
    assert reply.output.finish_reason == "stop"
    assert engine.requests[0].body["input"] == {"prompt": "<human>:你好\n<bot>:"}


def test_messages_in_both_formats(engine):
    """Messages get text or a message, as asked, with the engine's usage."""
    text = Generation.call(model="llama2-7b-chat-v2", messages=MESSAGES)
    message = Generation.call(
        model="baichuan2-7b-chat-v1", messages=MESSAGES, result_format="message"
    )

    assert text.output.text == ANSWER.text
    assert message.output.choices[0].message.content == ANSWER.text
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 9)


def test_stream_repeats_the_text_so_far(engine):
    """Without incremental_output each event holds all the text so far."""
    replies = Generation.call(model="llama2-7b-chat-v2", messages=MESSAGES, stream=True)

    texts = [reply.output.text for reply in replies]
    assert len(texts) > 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[-1] == ANSWER.text


def test_incremental_stream(engine):
    """With incremental_output the events' texts make up the answer."""
    replies = list(
        Generation.call(
            model="llama3-8b-instruct",
            messages=MESSAGES,
            result_format="message",
            stream=True,
            incremental_output=True,
        )
    )

    pieces = [reply.output.choices[0].message.content for reply in replies]
    assert len(pieces) > 2
    assert "".join(pieces) == ANSWER.text
    assert replies[-1].output.choices[0].finish_reason == "stop"
    assert replies[-1].usage.total_tokens == 16


async def test_async_and_async_stream(engine):
    """The SDK's async client too."""
    session = await get_shared_aio_session()
    reply = await AioGeneration.call(model="llama2-13b-chat-v2", messages=MESSAGES)
    stream = await AioGeneration.call(
        model="llama2-13b-chat-v2", messages=MESSAGES, stream=True, incremental_output=True
    )

    assert reply.output.text == ANSWER.text
    assert "".join([part.output.text async for part in stream]) == ANSWER.text
    await session.close()  # the SDK itself never does


def test_workspace(engine):
    """The workspace arrives as the header that the pages name."""
    Generation.call(model="llama2-7b-chat-v2", messages=MESSAGES, workspace="ws_123")

    assert engine.requests[0].headers["x-dashscope-workspace"] == "ws_123"


def test_history(engine):
    """The older history is put before the prompt, in the family's own form."""
    Generation.call(
        model="ziya-llama-13b-v1", prompt="再见", history=[{"user": "你好", "bot": "你好!"}]
    )

    assert "history" in engine.requests[0].body["input"]


def test_refusals_and_faults(gateway, monkeypatch):
    """The SDK reads status, code and text of a refusal, before and in the middle of a stream."""
    engine = gateway(Fault(), Fault(status=500, code="InternalError", message="broken", after=1))
    monkeypatch.setattr(dashscope, "base_http_api_url", engine.base_url)
    monkeypatch.setattr(dashscope, "api_key", "sk-dummy")

    refused = Generation.call(model="ziya-llama-13b-v1", messages=MESSAGES)
    throttled = Generation.call(model="llama3-8b-instruct", messages=MESSAGES)
    broken = list(Generation.call(model="llama3-8b-instruct", messages=MESSAGES, stream=True))

    assert (refused.status_code, refused.code) == (400, "InvalidParameter")
    assert "only supports prompt input" in refused.message
    assert (throttled.status_code, throttled.code) == (429, "Throttling.RateQuota")
    assert broken[0].status_code == 200
    assert (broken[-1].code, broken[-1].message) == ("InternalError", "broken")
