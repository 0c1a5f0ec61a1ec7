"""What LangChain's standard tests ask of a chat model, asked of the text model.

langchain-tests has no suite for text models. Rows 7 and 36: this one mirrors the names of the
chat suite, for one model of every kind; what only this package promises is in test_llm.py.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.exceptions import ModelError, ModelRateLimitError
from langchain_core.language_models import BaseLLM
from langchain_core.load import dumpd, load
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableBinding
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from pydantic import SecretStr

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss import DashScopeOSSLLM

from .standard_gateway import GREETING, USAGE, reply

pytestmark = pytest.mark.versions

NOWHERE = "http://127.0.0.1:1/api/v1"
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
    "reasoning_tokens": USAGE.reasoning_tokens,
}

# model, another for the override: messages and prompts; messages; prompts, no usage; prompts,
# neither usage nor finish reason; messages and thoughts.
KINDS = {
    "baichuan2-7b-chat-v1": "baichuan2-13b-chat-v1",
    "llama3-8b-instruct": "llama3-70b-instruct",
    "ziya-llama-13b-v1": "baichuan2-7b-chat-v1",
    "belle-llama-13b-2m-v1": "billa-7b-sft-v1",
    "deepseek-v4-pro": "deepseek-v4-flash",
}
PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


@pytest.fixture(params=KINDS)
def model(request):
    return request.param


@pytest.fixture
def llm(text, model):
    """A model of each kind in front of the gateway that answers by rule."""
    return text(reply, model=model)[0]


def bare(model, **settings):
    """A model that calls nobody."""
    return DashScopeOSSLLM(**{"model": model, "base_url": NOWHERE, **settings})


async def answered(llm, path, prompt="Hello", **given):
    """The text by one of the four paths."""
    if path == "invoke":
        return llm.invoke(prompt, **given)
    if path == "ainvoke":
        return await llm.ainvoke(prompt, **given)
    if path == "stream":
        return "".join(llm.stream(prompt, **given))
    return "".join([piece async for piece in llm.astream(prompt, **given)])


class Seen(BaseCallbackHandler):
    """What callbacks are told."""

    def __init__(self):
        self.starts, self.tokens, self.chunks = [], [], []
        self.result = self.error = None

    def on_llm_start(self, serialized, prompts, **known):
        self.starts.append((prompts, known))

    def on_llm_new_token(self, token, *, chunk=None, **_):
        self.tokens.append(token)
        self.chunks.append(chunk)

    def on_llm_end(self, response, **_):
        self.result = response

    def on_llm_error(self, error, **_):
        self.error = error


# Without a call.


def test_init(model):
    """The standard settings are taken, whatever the model."""
    found = bare(model, **STANDARD)
    assert isinstance(found, BaseLLM)
    assert (found.temperature, found.max_tokens, found.stop) == (0, 100, [])
    assert (found.timeout, found.max_retries) == (60, 2)


@pytest.mark.parametrize(
    ("names", "other_names"),
    [
        ({"model": "llama3-8b-instruct"}, {"model_name": "llama3-8b-instruct"}),
        ({"api_key": "sk-1"}, {"dashscope_api_key": "sk-1"}),
        ({"api_key": SecretStr("sk-1")}, {"api_key": "sk-1"}),
        ({"base_url": NOWHERE}, {"api_base": NOWHERE}),
        ({"stop": ["x"]}, {"stop_sequences": ["x"]}),
    ],
)
def test_init_by_other_names(names, other_names):
    """The field's other words mean the same."""
    common = {"model": "llama3-8b-instruct", "base_url": NOWHERE}
    made = []
    for given in (names, other_names):
        rest = {
            word: value
            for word, value in common.items()
            if not {"model": {"model_name"}, "base_url": {"api_base"}}[word] & given.keys()
        }
        made.append(DashScopeOSSLLM(**{**rest, **given}))
    assert made[0] == made[1]


def test_init_from_env(model, monkeypatch):
    """Key, address and workspace come from the environment, as the vendor's SDK has them."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", NOWHERE)
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws")
    endpoint = DashScopeOSSLLM(model=model)._endpoint
    assert (endpoint.base_url, endpoint.workspace) == (NOWHERE, "ws")
    assert "sk-of-the-environment" not in repr(DashScopeOSSLLM(model=model))


def test_init_streaming(model):
    """The switch exists."""
    assert bare(model, **STANDARD, streaming=True).streaming is True


def test_standard_params(model):
    """Traces get provider, model, kind and sampling."""
    params = bare(model, temperature=0.5, max_tokens=10, stop=["test"])._get_ls_params()
    assert params == {
        "ls_provider": "dashscope",
        "ls_model_name": model,
        "ls_model_type": "llm",
        "ls_temperature": 0.5,
        "ls_max_tokens": 10,
        "ls_stop": ["test"],
    }


def test_standard_params_model_override(model):
    """A call's own words win in traces."""
    params = bare(model)._get_ls_params(model="another", temperature=0.2, stop=["now"])
    assert (params["ls_model_name"], params["ls_temperature"]) == ("another", 0.2)
    assert params["ls_stop"] == ["now"]


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_serdes(model, monkeypatch):
    """Written and loaded, an equal model; the key is fetched from the environment."""
    llm = bare(model, **STANDARD)
    written = dumpd(llm)
    assert "test" not in repr(written["kwargs"]["api_key"])
    monkeypatch.setenv("DASHSCOPE_API_KEY", "test")
    again = load(
        written,
        valid_namespaces=llm.get_lc_namespace()[:1],
        allowed_objects=[DashScopeOSSLLM],
        secrets_from_env=True,
    )
    assert again == llm


@pytest.mark.benchmark
def test_init_time(model, benchmark):
    """Making an object opens nothing and reads nothing."""
    benchmark(lambda: [bare(model) for _ in range(10)])


# Calls.


@PATHS
async def test_invoke_and_stream(llm, path):
    """test_invoke, test_ainvoke, test_stream, test_astream: text, whole or in pieces."""
    assert await answered(llm, path) == GREETING


async def test_stream_is_in_pieces(llm):
    """More than one, sync and async; none of them is lost."""
    pieces = [piece for piece in llm.stream("Hello") if piece]
    assert len(pieces) > 1
    assert [piece async for piece in llm.astream("Hello") if piece] == pieces


@PATHS
async def test_model_override(text, model, path):
    """The other model gets the call, in its own form, and the facts name it."""
    llm, engine = text(reply, model=model)
    seen = Seen()
    await answered(llm, path, model=KINDS[model], config={"callbacks": [seen]})
    body = engine.requests[-1].body
    assert body["model"] == KINDS[model]
    assert ("prompt" in body["input"]) is find_model(KINDS[model]).takes_prompt
    assert seen.result.generations[0][0].generation_info["model_name"] == KINDS[model]


async def test_batch(llm):
    """test_batch, test_abatch: as many answers as questions."""
    assert llm.batch(["Hello", "Hey"]) == [GREETING] * 2
    assert await llm.abatch(["Hello", "Hey"]) == [GREETING] * 2


async def test_batch_keeps_its_order_and_its_failures(text, model):
    """Row 32: one failure does not take the others along, if the caller says so."""
    llm, _ = text(
        lambda job: (
            Fault(status=400, code="InvalidParameter", message="No.")
            if "bad" in str(job.prompt or job.messages)
            else Answer("ok")
        ),
        model=model,
    )
    one = {"max_concurrency": 1}
    for found in (
        llm.batch(["a", "bad", "c"], return_exceptions=True, config=one),
        await llm.abatch(["a", "bad", "c"], return_exceptions=True, config=one),
    ):
        assert [type(answer) is str for answer in found] == [True, False, True]
        assert isinstance(found[1], ModelError)


async def test_usage_metadata(llm, model):
    """Row 7: llm_output holds the counts, or None where the service counts nothing."""
    counted = find_model(model).reports_usage
    for result in (llm.generate(["Hello"]), await llm.agenerate(["Hello"])):
        expected = COUNTS if counted else None
        assert result.llm_output == {"token_usage": expected, "model_name": model}
        assert result.generations[0][0].generation_info["token_usage"] == expected


async def test_usage_metadata_is_summed(llm, model):
    """Row 7: over the prompts of one call; what was not counted is not taken for nought."""
    twice = {name: 2 * count for name, count in COUNTS.items()}
    for result in (llm.generate(["a", "b"]), await llm.agenerate(["a", "b"])):
        expected = twice if find_model(model).reports_usage else None
        assert result.llm_output["token_usage"] == expected


@pytest.mark.parametrize("path", ["stream", "astream"])
async def test_usage_metadata_streaming(llm, model, path):
    """Row 7: with the last piece only, for pieces are added up."""
    seen = Seen()
    await answered(llm, path, config={"callbacks": [seen]})
    *before, last = seen.chunks
    expected = COUNTS if find_model(model).reports_usage else None
    assert last.generation_info["token_usage"] == expected
    assert not any("token_usage" in (chunk.generation_info or {}) for chunk in before)
    whole = reduce(add, seen.chunks)
    assert whole.generation_info["token_usage"] == expected
    assert seen.result.generations[0][0].text == GREETING


@PATHS
async def test_stop_sequence(text, model, path):
    """A stop of the call or of the object is sent, and wins in that order."""
    llm, engine = text(reply, model=model, stop=["today"])
    await answered(llm, path)
    assert engine.requests[-1].body["parameters"]["stop"] == ["today"]
    await answered(llm, path, stop=["you"])
    assert engine.requests[-1].body["parameters"]["stop"] == ["you"]


@PATHS
async def test_stop_sequence_is_enforced(text, path):
    """Row 21: where the model's page promises no stop, the answer is cut here."""
    llm, _ = text(reply, model="ziya-llama-13b-v1")
    assert await answered(llm, path, stop=["you today"]) == GREETING.partition("you today")[0]


@PATHS
async def test_callbacks(llm, path):
    """They see the start with its parameters, each token of a stream, and the end."""
    seen = Seen()
    await answered(llm, path, config={"callbacks": [seen], "tags": ["t"]}, temperature=0.5)
    prompts, known = seen.starts[0]
    assert prompts == ["Hello"]
    assert known["metadata"]["ls_temperature"] == 0.5
    assert known["tags"] == ["t"]
    assert seen.result.generations[0][0].text == GREETING
    if "stream" in path:
        assert "".join(seen.tokens) == GREETING


async def test_async_callbacks(llm):
    """An async handler is awaited."""
    tokens = []

    class Tokens(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **_):
            tokens.append(token)

    assert await answered(llm, "astream", config={"callbacks": [Tokens()]}) == GREETING
    assert "".join(tokens) == GREETING


@PATHS
async def test_errors(text, model, path):
    """They are LangChain's, callbacks see them, and a failed run is no empty answer."""
    llm, _ = text(Fault(), model=model, max_retries=0)
    seen, runs = Seen(), RunCollectorCallbackHandler()
    with pytest.raises(ModelRateLimitError) as caught:
        await answered(llm, path, config={"callbacks": [seen, runs]})
    assert seen.error is caught.value
    assert seen.result is None
    assert "429" in runs.traced_runs[0].error


async def test_cache(text, model):
    """The second question costs nothing, and the object's settings are part of it."""
    llm, engine = text(reply, model=model, cache=InMemoryCache())
    assert [llm.invoke("Hello"), await llm.ainvoke("Hello")] == [GREETING] * 2
    assert len(engine.requests) == 1
    llm.temperature = 0.5
    llm.invoke("Hello")
    assert len(engine.requests) == 2


@pytest.mark.parametrize("given", [{"temperature": 0.5}, {"model": "llama3-70b-instruct"}])
async def test_cache_model_override(text, given):
    """Row 17: what one call says is part of the question too, which BaseLLM forgets."""
    llm, engine = text(lambda job: Answer(job.model_info.id), cache=InMemoryCache())
    first, other = llm.invoke("Hello"), llm.invoke("Hello", **given)
    await llm.ainvoke("Hello", **given)
    assert len(engine.requests) == 2
    assert first == "llama3-8b-instruct"
    assert other == given.get("model", first)


class Turnstile(BaseRateLimiter):
    """Counts who passes."""

    def __init__(self):
        self.passed = 0

    def acquire(self, *, blocking=True):
        self.passed += 1
        return True

    async def aacquire(self, *, blocking=True):
        self.passed += 1
        return True


@PATHS
async def test_rate_limiter(text, model, path):
    """Row 32: BaseLLM has none, this class has: one pass a request."""
    gate = Turnstile()
    llm, engine = text(reply, model=model, rate_limiter=gate)
    await answered(llm, path)
    assert gate.passed == len(engine.requests) == 1


async def test_rate_limiter_counts_prompts(text):
    """Row 32: two prompts are two requests; an answer of the cache is none."""
    gate = Turnstile()
    llm, engine = text(reply, rate_limiter=gate, cache=InMemoryCache())
    llm.generate(["a", "b"])
    await llm.agenerate(["c", "d", "a"])
    assert gate.passed == len(engine.requests) == 4


async def test_chain(llm):
    """prompt | llm | parser streams through."""
    chain = PromptTemplate.from_template("Say {word}") | llm | StrOutputParser()
    assert chain.invoke({"word": "hello"}) == GREETING
    assert len([piece for piece in chain.stream({"word": "hello"}) if piece]) > 1


async def test_bind(text, model):
    """What is bound is sent."""
    llm, engine = text(reply, model=model)
    bound = llm.bind(temperature=0.5)
    assert isinstance(bound, RunnableBinding)
    bound.invoke("Hello")
    assert engine.requests[-1].body["parameters"]["temperature"] == 0.5


async def test_astream_events(llm):
    """start, stream…, end; the end has the whole."""
    events = [event async for event in llm.astream_events("Hello", version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "on_llm_start"
    assert set(kinds[1:-1]) == {"on_llm_stream"}
    assert kinds[-1] == "on_llm_end"
