"""The call of every seed model, end to end through both frameworks, against stored traffic.

`make record` makes the cassettes anew: against the service that DASHSCOPE_API_KEY (and, if set,
DASHSCOPE_HTTP_BASE_URL) opens, or, without a key, against this project's gateway scripted with
the answers of the vendor pages.
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


def as_the_service_says_it(model_info):
    """The sample's answer with the echo and the marks that the page shows around it."""
    sample = SAMPLES[model_info.family]

    def ziya(job):
        prompt = job.prompt.replace("<human>:", "<human> :").replace("<bot>:", "<bot> :")
        return replace(sample, text=f"<s>{prompt} {sample.text}</s>")

    def line(job):
        return replace(sample, text=f"{job.prompt}\n{sample.text}")

    return {"spaced": ziya, "line": line if model_info.id == "baichuan-7b-v1" else sample}.get(
        model_info.echo, sample
    )


def names():
    return [f"{model}-{framework}" for model in MODELS for framework in FRAMEWORKS]


def retired_at_the_service(config, model):
    recording = config.getoption("--record-mode") not in (None, "none")
    return bool(recording and KEY and not BASE_URL and find_model(model).status == "retired")


@pytest.fixture
def service(record_mode, gateway, request):
    """Where calls go, with which key, and what that makes of a cassette's provenance."""
    model = request.node.callspec.params["model"]
    if record_mode == "none":
        return {"base_url": f"{HOST}/api/v1", "api_key": "sk-played"}, ""
    if retired_at_the_service(request.config, model):
        pytest.skip("retired at the service: set DASHSCOPE_HTTP_BASE_URL to a gateway of yours")
    if KEY:
        where = BASE_URL or "the hosted service"
        found = {"base_url": BASE_URL, "api_key": KEY}
        return found, f"recorded from {where} on {date.today()}"  # noqa: DTZ011 - a plain day
    engine = gateway(as_the_service_says_it(find_model(model)))
    return (
        {"base_url": engine.base_url, "api_key": "sk-dummy"},
        "recorded from this project's gateway, scripted with the vendor page's sample, shortened"
        if model in SEED_IDS
        else "recorded from this project's gateway, scripted; no vendor sample",
    )


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("model", MODELS)
def test_call(model, framework, service, record_mode):
    """One conversation, whole and streamed: the stored request, the stored answer, its usage."""
    settings, provenance = service
    model_info = record_mode != "none"
    ask = _ask_langchain if framework == "langchain" else _ask_llama_index

    with cassette(f"{model}-{framework}", model_info=model_info, provenance=provenance):
        whole, streamed, usage = ask(model, settings)

    assert whole
    assert streamed
    assert (usage is not None) == find_model(model).reports_usage
    if not KEY:
        sample = SAMPLES[find_model(model).family]
        assert whole == streamed == sample.text
        if usage is not None and sample.usage is not None:
            assert usage == (sample.usage.input_tokens, sample.usage.output_tokens)


def _ask_langchain(model, settings):
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    llm = ChatDashScopeOSS(model=model, max_tokens=100, **settings)
    messages = [kinds[role](text) for role, text in TALK]
    whole = llm.invoke(messages)
    streamed = "".join(chunk.text for chunk in llm.stream(messages))
    counted = whole.usage_metadata
    return (
        whole.text,
        streamed,
        counted and (counted["input_tokens"], counted["output_tokens"]),
    )


def _ask_llama_index(model, settings):
    llm = DashScopeOSS(model=model, max_tokens=100, **settings)
    messages = [ChatMessage(role=role, content=text) for role, text in TALK]
    whole = llm.chat(messages)
    streamed = "".join(chunk.delta for chunk in llm.stream_chat(messages))
    counted = whole.raw.get("usage")
    return (
        whole.message.content,
        streamed,
        counted and (counted["input_tokens"], counted["output_tokens"]),
    )


def test_every_cassette_is_asked_for():
    """No cassette is left over, none is missing."""
    assert sorted(path.stem for path in FOLDER.glob("*")) == sorted(names())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_cassette_says_where_it_is_from_and_holds_no_secret(path):
    """A line of provenance, bodies as JSON, and no header beyond the protocol's."""
    text = path.read_text(encoding="utf-8")
    found = json.loads(text)

    assert found["provenance"].startswith("recorded from ")
    assert len(found["interactions"]) == 2
    assert all(isinstance(i["request"]["body"], dict) for i in found["interactions"])
    assert not any(word in text.lower() for word in ("authorization", "cookie", "sk-", "127.0.0.1"))
