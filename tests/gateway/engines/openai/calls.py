"""Requests for an engine, and the calls that an engine makes of a fake upstream."""

from contextlib import asynccontextmanager

import pytest

from dashscope_oss import Message, find_model
from dashscope_oss.gateway import APIError, EngineRequest, OpenAIEngine, Upstream
from dashscope_oss.messages import Delta
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

CHAT_MODEL = "llama3-8b-instruct"
PROMPT_MODEL = "ziya-llama-13b-v1"


def engine_request(model=CHAT_MODEL, **parameters):
    """A short question in the form that the model takes."""
    model_info = find_model(model)
    if model_info.takes_messages:
        messages = (Message("user", "hi"),)
        return EngineRequest(model_info=model_info, messages=messages, parameters=parameters)
    return EngineRequest(model_info=model_info, prompt="<human>:hi\n<bot>:", parameters=parameters)


@asynccontextmanager
async def started_engine(url, **upstream):
    """An engine in front of the server at ``url``."""
    engine = OpenAIEngine(Upstream(url=url, **{"default": "w", "timeout": 5.0, **upstream}))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


async def deltas_of(engine, request=None) -> list[Delta]:
    """The whole answer of an engine."""
    return [delta async for delta in engine.generate(request or engine_request())]


async def generate(server, request=None, **upstream) -> list[Delta]:
    """The answer of an engine in front of ``server``."""
    async with started_engine(server.url, **upstream) as engine:
        return await deltas_of(engine, request)


async def generate_error(server, request=None, **upstream) -> APIError:
    """The error of an engine in front of ``server``."""
    with pytest.raises(APIError) as caught:
        await generate(server, request, **upstream)
    return caught.value


async def sent_body(request=None, **upstream) -> dict:
    """The body that an upstream gets for ``request``."""
    server = FakeUpstream(streamed(*short_answer("x")))
    await generate(server, request, **upstream)
    return server.calls[0][1]
