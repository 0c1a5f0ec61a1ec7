"""Token counts: as the service reports them, once; estimates only where they are asked for."""

import httpx2
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from dashscope_oss import (
    AuthenticationError,
    ServerError,
    Usage,
    find_model,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import BROKEN, CHAT, EXPIRED, MODELS, PROMPT_ONLY, STREAMS
from tests.llama_index.mock_service import model_over

REPORTING = tuple(model for model in MODELS if find_model(model).reports_usage)


SILENT = tuple(model for model in MODELS if not find_model(model).reports_usage)


def counting() -> dict:
    """Settings with a counter that estimates one token a word, unlike reports and estimates."""
    return {"callback_manager": CallbackManager([TokenCountingHandler(tokenizer=str.split)])}


def counter_of(llm: DashScopeOSS) -> TokenCountingHandler:
    (counter,) = llm.callback_manager.handlers
    return counter


def test_reported_tokens_are_counted_exactly_once(make, ask):
    for model in REPORTING:
        llm = make(model, Answer("one two three", usage=Usage(111, 44, 155)), **counting())
        last = ask(llm, "hi").last
        (event,) = counter_of(llm).llm_token_counts
        assert (event.prompt_token_count, event.completion_token_count) == (111, 44)
        usage = {"input_tokens": 111, "output_tokens": 44, "total_tokens": 155}
        assert usage.items() <= last.raw["usage"].items()
        facts = {"prompt_tokens": 111, "completion_tokens": 44, "total_tokens": 155}
        assert facts.items() <= last.additional_kwargs.items()


# It reads all attributes of a model, those that pydantic has deprecated too.
OBSERVED = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def spans():
    """What OpenInference's instrumentor for LlamaIndex records."""
    tracing = pytest.importorskip("openinference.instrumentation.llama_index")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = tracing.LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    if not instrumentor.is_instrumented_by_opentelemetry:
        pytest.skip("it needs llama-index-core 0.14.19")
    yield exporter.get_finished_spans
    instrumentor.uninstrument()


@OBSERVED
def test_an_observer_sees_the_tokens_that_the_service_counts(make, ask, spans):
    """As OpenInference reads them, in one span a call."""
    ask(make(CHAT, Answer("one", usage=Usage(111, 44, 155))), "hi")
    (span,) = spans()
    counts = {"prompt": 111, "completion": 44, "total": 155}
    assert {n: span.attributes[f"llm.token_count.{n}"] for n in counts} == counts
    assert span.attributes["llm.model_name"] == CHAT


@OBSERVED
def test_an_observer_sees_no_nought_where_nobody_counted(make, ask, spans):
    ask(make(PROMPT_ONLY), "hi")
    (span,) = spans()
    assert not [name for name in span.attributes if "token_count" in name]


def test_tokens_that_nobody_reported_are_left_to_llamaindex(make, ask):
    """It estimates them, instead of counting 0."""
    for model in SILENT:
        llm = make(model, Answer("one two three"), **counting())
        last = ask(llm, "hi").last
        (event,) = counter_of(llm).llm_token_counts
        assert event.completion_token_count >= 3
        assert "usage" not in last.raw
        assert not [name for name in last.additional_kwargs if name.endswith("_tokens")]


def test_noughts_that_the_vendor_fills_in_are_no_report():
    """Its samples of prompt-only models show 0 for what nobody counted."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    reply = {"output": {"text": "hello"}, "usage": usage, "request_id": "r"}
    llm = model_over(lambda _: httpx2.Response(200, json=reply), PROMPT_ONLY, **counting())
    assert "usage" not in llm.complete("hi").raw
    assert counter_of(llm).completion_llm_token_count == 1


def test_an_estimate_is_given_where_it_is_asked_for(make, ask):
    """Marked as one, and read by LlamaIndex's counter."""
    answer = Answer("守塔人写道，海面平静。")
    llm = make(PROMPT_ONLY, answer, estimate_usage=True, **counting())
    facts = ask(llm, "守塔人写了什么？").last.additional_kwargs
    assert facts["usage_estimated"] is True
    assert facts["prompt_tokens"] > 11
    assert facts["completion_tokens"] > 11
    (event,) = counter_of(llm).llm_token_counts
    assert event.prompt_token_count == facts["prompt_tokens"]
    assert event.completion_token_count == facts["completion_tokens"]


def test_reported_tokens_are_not_called_estimates(make):
    response = make(CHAT, estimate_usage=True).complete("hi")
    assert "usage_estimated" not in response.additional_kwargs


def test_a_failed_call_counts_no_tokens(make, ask):
    llm = make(CHAT, EXPIRED, **counting())
    with pytest.raises(AuthenticationError):
        ask(llm, "hi")
    assert counter_of(llm).total_llm_token_count == 0


@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_a_broken_stream_counts_nothing_and_is_not_repeated(make, ask):
    """Once text has come there is no second try."""
    llm = make(CHAT, BROKEN, **counting())
    with pytest.raises(ServerError):
        ask(llm, "hi")
    assert counter_of(llm).total_llm_token_count == 0
    assert len(make.requests) == 1
