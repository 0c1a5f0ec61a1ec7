"""How a window is shared by input and answer, and how text is counted for it."""

from dataclasses import replace

import pytest
from llama_index.core import Document, MockEmbedding, PromptHelper, VectorStoreIndex
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    ContextLengthError,
    DashScopeWarning,
    ModelInfo,
    Usage,
    all_models,
    find_model,
)
from dashscope_oss.gateway import Answer
from dashscope_oss.tokens import estimates
from llama_index_dashscope_oss import DashScopeOSS, TokenEstimator
from llama_index_dashscope_oss._tokens import context_window

LOCAL = "http://127.0.0.1:9/api/v1"
SMALL = "ziya-llama-13b-v1"
REPORTS = "baichuan2-7b-chat-v1"


@pytest.fixture(autouse=True)
def _nobody_warned(monkeypatch):
    monkeypatch.setattr(context_window, "_warned", set())


@pytest.mark.parametrize("model_info", all_models(), ids=lambda model_info: model_info.id)
@pytest.mark.parametrize("max_tokens", [None, 1, 1024, 5000, 10**7])
def test_no_answer_takes_half_the_window(model_info, max_tokens):
    """Row 21 of LlamaIndex: whatever is asked for; RAG fails otherwise."""
    metadata = DashScopeOSS(
        model=model_info.id, base_url=LOCAL, model_info=model_info, max_tokens=max_tokens
    ).metadata
    room = metadata.context_window - metadata.num_output
    assert 1 <= metadata.num_output < metadata.context_window / 2
    assert room <= (model_info.input_limit or room)
    assert metadata.num_output <= (max_tokens or metadata.num_output)
    PromptHelper.from_llm_metadata(metadata)


@pytest.mark.parametrize(
    ("limits", "window", "output"),
    [
        ({"max_input": 1000, "max_output": 1500, "context_window": 8000}, 1999, 999),
        ({"max_input": 1000, "max_output": 1500, "context_window": None}, 1250, 250),
        ({"max_input": 6500, "max_output": 1500, "context_window": 8000}, 8000, 1500),
        ({"max_input": None, "max_output": None, "context_window": 9}, 9, 2),
        ({"max_input": None, "max_output": None, "context_window": None}, 3900, 975),
    ],
)
def test_a_record_of_yours_keeps_the_rule(limits, window, output):
    """Row 21 of LlamaIndex."""
    info = ModelInfo(id="mine", family="mine", maker="me", **limits)
    metadata = DashScopeOSS(model="mine", base_url=LOCAL, model_info=info).metadata
    assert (metadata.context_window, metadata.num_output) == (window, output)


def test_a_window_of_nothing_is_not_one_of_3900():
    """Row 21 of LlamaIndex: set on the object, where nothing is checked."""
    llm = DashScopeOSS(model=SMALL, base_url=LOCAL).model_copy(update={"context_window": 0})
    assert (llm.metadata.context_window, llm.metadata.num_output) == (0, 0)


@pytest.mark.parametrize("max_tokens", [1024, 1500, 2048, 4000])
def test_rag_works_however_long_the_answers_may_be(make, max_tokens):
    """Row 21 of LlamaIndex: what the caller set is sent; the prompts leave it less."""
    llm = make(SMALL, Answer("Calm."), max_tokens=max_tokens)
    index = VectorStoreIndex.from_documents(
        [Document(text="The sea was calm. " * 300)], embed_model=MockEmbedding(4)
    )
    assert str(index.as_query_engine(llm=llm).query("How was the sea?")) == "Calm."
    assert {request.body["parameters"]["max_tokens"] for request in make.requests} == {max_tokens}


LONG = Answer("word " * 900, usage=Usage(20, 1030, 1050))


def test_an_answer_longer_than_what_was_left_for_it_warns(make, ask):
    """Row 23 of LlamaIndex: nothing is sent that the caller did not set, so RAG must be told."""
    reason = r"took 1030 tokens, LlamaIndex leaves 1024 of the model's 4096.*max_tokens=1024"
    with pytest.warns(DashScopeWarning, match=reason) as warned:
        ask(make(REPORTS, LONG), "hi")
    assert len(warned) == 1


def test_it_warns_once_for_a_model(make):
    """Row 23 of LlamaIndex: of any number of calls and objects."""
    with pytest.warns(DashScopeWarning):
        make(REPORTS, LONG).complete("hi")
    make(REPORTS, LONG).complete("hi")
    list(make(REPORTS, LONG).stream_chat([ChatMessage("hi")]))


@pytest.mark.parametrize("count", [700, 800])
def test_an_answer_that_nobody_counted_is_estimated(make, count):
    """Row 23 of LlamaIndex: by as little as it may be."""
    answer = Answer("word " * count, usage=None)
    made = estimates.low_estimate("word " * count, "llama2")
    with pytest.warns(DashScopeWarning, match=f"took {made} tokens"):
        make(SMALL, answer, estimate_usage=count == 800).complete("hi")


@pytest.mark.parametrize(
    ("model", "answer", "settings"),
    [
        (REPORTS, LONG, {"max_tokens": 512}),
        (REPORTS, Answer("word " * 1500, usage=Usage(20, 1024, 1044)), {}),
        (SMALL, Answer("word " * 550, usage=None), {}),
        ("qwen3-8b", LONG, {}),
        ("qwen3-8b", Answer("word", usage=Usage(20, 3000, 3020)), {"context_window": 8193}),
        ("llama3-8b-instruct", LONG, {}),
        ("qwen3-8b", LONG, {"model_info": ModelInfo(id="x", family="x", maker="x")}),
    ],
)
def test_answers_that_fit_do_not_warn(make, model, answer, settings):
    """Row 23 of LlamaIndex: nor those of a large window, nor what max_tokens holds."""
    make(model, answer, **settings).complete("hi")


@pytest.mark.parametrize("model", ["billa-7b-sft-v1", "baichuan-7b-v1", "baichuan2-7b-chat-v1"])
@pytest.mark.parametrize("text", ["守塔人擦灯", "Implementation "])
def test_a_prompt_far_too_long_is_refused_without_a_measured_rate_too(make, ask, model, text):
    """Row 25 of LlamaIndex: with the estimate and the limit."""
    limit = find_model(model).input_limit
    llm = make(model)
    with pytest.raises(ContextLengthError, match=rf"some \d+ tokens.*takes {limit}"):
        ask(llm, text * (limit * 4 // 5))
    assert not make.requests


def test_what_is_counted_exactly_is_not_forgiven(make):
    """Row 25 of LlamaIndex: Chinese to Llama 2, 1 per cent over the limit."""
    text = ("守塔人擦灯在本子里写道海面平静" * 100)[:1477]
    assert 2048 < estimates.estimate(text, "llama2") < 2048 * 1.02
    with pytest.raises(ContextLengthError, match="takes 2048"):
        make(SMALL).complete(text)
    make(SMALL, Answer("ok")).complete(text[:1440])


@pytest.mark.parametrize(("family", "error"), [("llama3", 1.2), ("baichuan", 2.0), ("llama2", 1.0)])
def test_a_low_estimate_is_the_estimate_less_its_error(family, error):
    text = "守塔人擦灯在本子里写道海面平静" * 100
    low, about = estimates.low_estimate(text, family), estimates.estimate(text, family)
    assert low == pytest.approx(about / error, abs=1)
    assert estimates.at_least(text, family) <= low


# Five times each; the figures are those of Llama 2's own tokenizer, taken once.
SCRIPTS = {
    "Западное озеро находится в городе Ханчжоу.": 80,
    "تقع البحيرة الغربية في مدينة هانغتشو.": 166,
    "ทะเลสาบตะวันตกตั้งอยู่ในเมืองหางโจว": 186,
    "पश्चिमी झील हांग्जो शहर में स्थित है।": 196,
    "Η Δυτική Λίμνη βρίσκεται στην πόλη Χανγκτσόου.": 231,
    "Hồ Tây nằm ở thành phố Hàng Châu.": 130,
    "Der Westsee ist berühmt für seine Schönheit.": 60,
    "🎈🚀😀🎈🎈": 101,
}


@pytest.mark.parametrize("text", SCRIPTS)
def test_other_scripts_are_not_counted_short(text):
    """Row 24 of LlamaIndex: nor as more than twice what they are."""
    counted = len(TokenEstimator("llama2")(text * 5))
    assert SCRIPTS[text] <= counted <= SCRIPTS[text] * 2


@pytest.mark.parametrize("family", ["qwen", "llama3", "baichuan", "other"])
def test_chinese_is_estimated_where_no_vocabulary_is_known(family):
    """Row 24 of LlamaIndex: by a fifth too much."""
    counted = len(TokenEstimator(family)("守塔人擦灯" * 40 + " keeps the lamp 🎈"))
    assert counted == pytest.approx(estimates.estimate("守塔人擦灯" * 40, family) * 1.2 + 9, abs=2)


def test_nothing_has_no_tokens():
    assert TokenEstimator("llama2")("") == []
    assert len(TokenEstimator("llama2")("守塔人")) == 1 + estimates.estimate("守塔人", "llama2")


def test_a_changed_record_changes_the_room():
    """Row 21 of LlamaIndex."""
    info = replace(find_model(SMALL), context_window=4096)
    llm = DashScopeOSS(model=SMALL, base_url=LOCAL, model_info=info)
    assert llm.metadata.num_output == 1024
