"""A conversation with each seed model, end to end through both frameworks, against stored traffic.

`make record` makes the cassettes anew: from the service that DASHSCOPE_API_KEY (and, if set,
DASHSCOPE_HTTP_BASE_URL) opens, or, without a key, from this project's gateway, scripted with the
answers of the vendor pages.
"""

import json
import os
from dataclasses import replace
from datetime import date

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.messages import Usage
from dashscope_oss.registry.catalog import SEED_IDS
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS

from .cassette import FOLDER, HOST, cassette

KEY, BASE_URL = os.environ.get("DASHSCOPE_API_KEY"), os.environ.get("DASHSCOPE_HTTP_BASE_URL")
MODELS = (*SEED_IDS, "deepseek-v4-flash")
FRAMEWORKS = ("langchain", "llama_index")
TALK = (
    ("system", "You are a helpful assistant."),
    ("user", "Where is the capital of Zhejiang?"),
    ("assistant", "Thank you for asking! The capital of Zhejiang is Hangzhou."),
    ("user", "What are the interesting places there?"),
)

MESSAGE_CLASSES = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
LANGCHAIN_TALK = [MESSAGE_CLASSES[role](text) for role, text in TALK]
LLAMA_INDEX_TALK = [ChatMessage(role=role, content=text) for role, text in TALK]
PLAYED = {"base_url": f"{HOST}/api/v1", "api_key": "sk-played"}
"""The settings of a model whose calls are played from a cassette."""

# The answers and counts of the vendor pages' own samples, shortened.
SAMPLES = {
    "llama2": Answer(
        "Hangzhou, the capital of Zhejiang Province, is a city with a rich history and culture.",
        usage=Usage(input_tokens=35, output_tokens=632, total_tokens=667),
    ),
    "llama3": Answer(
        "Hangzhou, the capital of Zhejiang Province, is a city with a rich history and culture.",
        usage=Usage(input_tokens=35, output_tokens=632, total_tokens=667),
    ),
    "ziya": Answer("好的,以下是一份去西安旅游的详细计划:\nDay 1:到达西安\n- 前往酒店入住"),
    "belle": Answer("你好,欢迎来到我们的国家/城市。有什么我可以帮你的吗"),
    "billa": Answer("```python\ndef is_even(num):\n return num % 2 == 0\n```"),
    "baichuan1-base": Answer("故宫又称紫禁城,位于北京中轴线的中心,占地72万平方米。"),
    "baichuan2": Answer(
        "故宫,位于中国北京市中心,是中国明清两代的皇家宫殿。",
        usage=Usage(input_tokens=11, output_tokens=180, total_tokens=191),
    ),
    "deepseek-v4": Answer("Hangzhou is known for West Lake.", reasoning="The user asks of it."),
}


def as_the_service_answers(model_info):
    """Return the sample's answer with the echo and the marks that its page shows around it."""
    sample = SAMPLES[model_info.family]

    def echo_in_spaced_marks(request):
        prompt = request.prompt.replace("<human>:", "<human> :").replace("<bot>:", "<bot> :")
        return replace(sample, text=f"<s>{prompt} {sample.text}</s>")

    def echo_in_a_line(request):
        return replace(sample, text=f"{request.prompt}\n{sample.text}")

    if model_info.echo == "spaced":
        return echo_in_spaced_marks
    return echo_in_a_line if model_info.id == "baichuan-7b-v1" else sample


def cassette_names():
    return [f"{model}-{framework}" for model in MODELS for framework in FRAMEWORKS]


def is_retired_at_the_service(config, model):
    recording = config.getoption("--record-mode") not in (None, "none")
    return bool(recording and KEY and not BASE_URL and find_model(model).status == "retired")


@pytest.fixture
def service(record_mode, gateway, request):
    """Where calls go, with which key, and what that makes of a cassette's provenance."""
    model = request.node.callspec.params["model"]
    if record_mode == "none":
        return PLAYED, ""
    if is_retired_at_the_service(request.config, model):
        pytest.skip("retired at the service: set DASHSCOPE_HTTP_BASE_URL to a gateway of yours")
    if KEY:
        place = BASE_URL or "the hosted service"
        today = date.today()  # noqa: DTZ011 - a plain day
        return {"base_url": BASE_URL, "api_key": KEY}, f"recorded from {place} on {today}"
    engine = gateway(as_the_service_answers(find_model(model)))
    return (
        {"base_url": engine.base_url, "api_key": "sk-dummy"},
        "recorded from this project's gateway, scripted with the vendor page's sample, shortened"
        if model in SEED_IDS
        else "recorded from this project's gateway, scripted; no vendor sample",
    )


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_gives_the_stored_request_answer_and_usage(
    model, framework, service, record_mode
):
    """Whole and streamed."""
    settings, provenance = service
    ask = ask_langchain if framework == "langchain" else ask_llama_index

    record = record_mode != "none"
    with cassette(f"{model}-{framework}", record=record, provenance=provenance):
        whole, streamed, usage = ask(model, settings)

    assert whole
    assert streamed
    assert (usage is not None) == find_model(model).reports_usage
    if not KEY:
        sample = SAMPLES[find_model(model).family]
        assert whole == streamed == sample.text
        if usage is not None and sample.usage is not None:
            assert usage == (sample.usage.input_tokens, sample.usage.output_tokens)


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_async_calls_play_the_cassettes_of_blocking_ones(framework):
    """vcrpy sees the connections of both."""
    model, expected = "deepseek-v4-flash", SAMPLES["deepseek-v4"].text
    ask = aask_langchain if framework == "langchain" else aask_llama_index
    with cassette(f"{model}-{framework}"):
        assert await ask(model, PLAYED) == (expected, expected)


def ask_langchain(model, settings):
    llm = ChatDashScopeOSS(model=model, max_tokens=100, **settings)
    whole = llm.invoke(LANGCHAIN_TALK)
    streamed = "".join(chunk.text for chunk in llm.stream(LANGCHAIN_TALK))
    counts = whole.usage_metadata
    return whole.text, streamed, counts and (counts["input_tokens"], counts["output_tokens"])


async def aask_langchain(model, settings):
    llm = ChatDashScopeOSS(model=model, max_tokens=100, **settings)
    whole = await llm.ainvoke(LANGCHAIN_TALK)
    streamed = "".join([chunk.text async for chunk in llm.astream(LANGCHAIN_TALK)])
    await llm.aclose()
    return whole.text, streamed


def ask_llama_index(model, settings):
    llm = DashScopeOSS(model=model, max_tokens=100, **settings)
    whole = llm.chat(LLAMA_INDEX_TALK)
    streamed = "".join(chunk.delta for chunk in llm.stream_chat(LLAMA_INDEX_TALK))
    counts = whole.raw.get("usage")
    text = whole.message.content
    return text, streamed, counts and (counts["input_tokens"], counts["output_tokens"])


async def aask_llama_index(model, settings):
    llm = DashScopeOSS(model=model, max_tokens=100, **settings)
    whole = await llm.achat(LLAMA_INDEX_TALK)
    pieces = await llm.astream_chat(LLAMA_INDEX_TALK)
    streamed = "".join([chunk.delta async for chunk in pieces])
    await llm.aclose()
    return whole.message.content, streamed


def test_every_cassette_belongs_to_a_call():
    """None is left over, none is missing."""
    assert sorted(path.stem for path in FOLDER.glob("*")) == sorted(cassette_names())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_cassette_says_where_it_is_from_and_holds_no_secret(path):
    """A line of provenance, bodies as JSON, and no header beyond the protocol's."""
    text = path.read_text(encoding="utf-8")
    contents = json.loads(text)

    assert contents["provenance"].startswith("recorded from ")
    assert len(contents["interactions"]) == 2
    assert all(isinstance(i["request"]["body"], dict) for i in contents["interactions"])
    assert not any(word in text.lower() for word in ("authorization", "cookie", "sk-", "127.0.0.1"))
