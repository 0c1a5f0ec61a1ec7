"""What LangChain's standard tests ask of a chat model, asked of the text model.

langchain-tests has no suite for text models: this one has the names of the chat suite's tests, for
a model of every kind. What both classes promise beyond it is in the other files.
"""

from __future__ import annotations

import pytest
from langchain_core.language_models import BaseLLM
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from dashscope_oss import find_model
from langchain_dashscope_oss import DashScopeOSSLLM

from .calling import PATHS, STREAMS, Seen, call, offline, pieces
from .standard_gateway import GREETING, USAGE, reply

pytestmark = pytest.mark.versions

STANDARD = {
    "temperature": 0,
    "max_tokens": 100,
    "timeout": 60,
    "stop": [],
    "max_retries": 2,
    "api_key": "test",
}
COUNTS = {
    "input_tokens": USAGE.input_tokens,
    "output_tokens": USAGE.output_tokens,
    "total_tokens": USAGE.total_tokens,
    "cached_tokens": USAGE.cached_tokens,
    "cache_creation_tokens": USAGE.cache_creation_tokens,
    "reasoning_tokens": USAGE.reasoning_tokens,
}

# model, another for the override: messages; prompts and no usage.
KINDS = {
    "llama3-8b-instruct": "llama3-70b-instruct",
    "ziya-llama-13b-v1": "baichuan2-7b-chat-v1",
}


@pytest.fixture(params=KINDS)
def model(request):
    return request.param


@pytest.fixture
def llm(text, model):
    """A model of each kind in front of the gateway that answers by rule."""
    return text(reply, model=model)[0]


def expected_counts(model):
    """What is counted; ``None`` where the service counts nothing."""
    return COUNTS if find_model(model).reports_usage else None


def test_init(model):
    llm = offline(DashScopeOSSLLM, model, **STANDARD)
    assert isinstance(llm, BaseLLM)
    assert (llm.temperature, llm.max_tokens, llm.stop) == (0, 100, [])
    assert (llm.timeout, llm.max_retries) == (60, 2)


@pytest.mark.benchmark
def test_init_time(benchmark):
    """Making an object opens nothing and reads nothing."""
    benchmark(lambda: [offline(DashScopeOSSLLM) for _ in range(10)])


@PATHS
async def test_invoke_and_stream(llm, path):
    assert await call(llm, path) == GREETING


@STREAMS
async def test_stream_is_in_pieces(llm, path):
    assert len([piece for piece in await pieces(llm, path) if piece]) > 1


async def test_batch(llm):
    assert llm.batch(["Hello", "Hey"]) == [GREETING] * 2
    assert await llm.abatch(["Hello", "Hey"]) == [GREETING] * 2


def test_model_override(text, model):
    """The other model gets the call, in its own form, and the facts name it."""
    llm, engine = text(reply, model=model)
    seen = Seen()
    llm.invoke("Hello", {"callbacks": [seen]}, model=KINDS[model])
    body = engine.requests[-1].body
    assert body["model"] == KINDS[model]
    assert ("prompt" in body["input"]) is find_model(KINDS[model]).takes_prompt
    assert seen.model_name == KINDS[model]


async def test_usage_metadata(llm, model):
    expected = {"token_usage": expected_counts(model), "model_name": model}
    for result in (llm.generate(["Hello"]), await llm.agenerate(["Hello"])):
        assert result.llm_output == expected


@STREAMS
async def test_usage_metadata_streaming(llm, model, path):
    seen = Seen()
    await call(llm, path, config={"callbacks": [seen]})
    assert seen.info["token_usage"] == expected_counts(model)
    assert seen.result.generations[0][0].text == GREETING


def test_chain(llm):
    chain = PromptTemplate.from_template("Say {word}") | llm | StrOutputParser()
    assert chain.invoke({"word": "hello"}) == GREETING
    assert len([piece for piece in chain.stream({"word": "hello"}) if piece]) > 1
