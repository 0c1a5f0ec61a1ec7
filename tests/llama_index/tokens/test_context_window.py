"""What the metadata says of a model, and how a window is shared by input and answer."""

from dataclasses import replace
from itertools import count

import pytest
from llama_index.core import (
    Document,
    MockEmbedding,
    PromptHelper,
    VectorStoreIndex,
)
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    DashScopeWarning,
    ModelInfo,
    UnknownModelWarning,
    Usage,
    all_models,
    find_model,
    register_model,
)
from dashscope_oss.gateway import Answer
from dashscope_oss.tokens import estimates
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import CHAT, LOCAL, PROMPT_ONLY, WITH_TOOLS
from tests.llama_index.mock_service import model_over, whole


@pytest.mark.parametrize(
    ("model", "window", "output", "chat", "tools"),
    [
        (CHAT, 8000, 1500, True, False),
        ("llama2-7b-chat-v2", 2048 + 1024, 1024, True, False),
        ("baichuan2-7b-chat-v1", 4096, 1024, True, False),
        (PROMPT_ONLY, 2048, 512, False, False),
        ("belle-llama-13b-2m-v1", 2048, 512, False, False),
        (WITH_TOOLS, 1_000_000, 250_000, True, True),
    ],
)
def test_metadata_comes_from_the_record(model, window, output, chat, tools):
    metadata = DashScopeOSS(model=model, base_url=LOCAL).metadata
    assert metadata.model_name == model
    assert (metadata.context_window, metadata.num_output) == (window, output)
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (chat, tools)


def test_max_tokens_decides_num_output():
    metadata = DashScopeOSS(model=CHAT, base_url=LOCAL, max_tokens=256).metadata
    assert (metadata.num_output, metadata.context_window) == (256, 6500 + 256)


def test_metadata_can_be_overridden():
    llm = DashScopeOSS(
        model=CHAT,
        base_url=LOCAL,
        context_window=2000,
        is_chat_model=False,
        is_function_calling_model=True,
    )
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (2000, 500)
    assert not metadata.is_chat_model
    assert metadata.is_function_calling_model
    wider = DashScopeOSS(model=CHAT, base_url=LOCAL, context_window=20_000)
    assert wider.metadata.context_window == 20_000


def test_a_record_of_ones_own_goes_under_the_name_asked():
    llama = find_model(PROMPT_ONLY)
    llm = DashScopeOSS(model="my-ziya", model_info=replace(llama, max_input=700), base_url=LOCAL)
    assert llm.metadata.model_name == "my-ziya"
    assert llm.metadata.context_window == 700 + 512
    assert not llm.metadata.is_chat_model


def test_an_unknown_model_warns_once_and_has_small_limits():
    """Once for every look-up, call and object; its limits can be set."""
    name = "no-such-llama-of-llamaindex"
    with pytest.warns(UnknownModelWarning, match=name) as warned:
        llm = model_over(whole({"text": "hello"}), name)
    assert len(warned) == 1
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (3900, 975)
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (True, True)
    assert llm.complete("hi").text == "hello"
    assert llm.model_copy(update={"context_window": 8000}).metadata.context_window == 8000


@pytest.mark.parametrize("max_tokens", [None, 1, 1024, 5000, 10**7])
def test_no_answer_takes_half_the_window_of_any_model(max_tokens):
    """Whatever is asked for; RAG fails otherwise."""
    for model_info in all_models():
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
    info = ModelInfo(id="mine", family="mine", maker="me", **limits)
    metadata = DashScopeOSS(model="mine", base_url=LOCAL, model_info=info).metadata
    assert (metadata.context_window, metadata.num_output) == (window, output)


def test_a_window_of_nothing_is_not_one_of_3900():
    """In a record of the user's, where nothing is checked."""
    record = replace(find_model(PROMPT_ONLY), context_window=0, max_input=None)
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, model_info=record)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (0, 0)


@pytest.mark.parametrize("max_tokens", [1024, 1500, 2048, 4000])
def test_rag_works_however_long_the_answers_may_be(make, max_tokens):
    """What the caller set is sent; the prompts leave it less."""
    llm = make(PROMPT_ONLY, Answer("Calm."), max_tokens=max_tokens)
    index = VectorStoreIndex.from_documents(
        [Document(text="The sea was calm. " * 300)], embed_model=MockEmbedding(4)
    )
    assert str(index.as_query_engine(llm=llm).query("How was the sea?")) == "Calm."
    assert {request.body["parameters"]["max_tokens"] for request in make.requests} == {max_tokens}


LONG = Answer("word " * 900, usage=Usage(20, 1030, 1050))
_numbers = count(1)


def new_model(like: str) -> str:
    """A model of a name that nobody was warned of yet."""
    info = replace(find_model(like), id=f"like-{like}-{next(_numbers)}")
    register_model(info)
    return info.id


REPORTS = "baichuan2-7b-chat-v1"


def test_an_answer_longer_than_what_was_left_for_it_warns(make, ask):
    """Nothing is sent that the caller did not set, so RAG must be told."""
    reason = r"took 1030 tokens, LlamaIndex leaves 1024 of the model's 4096.*max_tokens=1024"
    with pytest.warns(DashScopeWarning, match=reason) as warned:
        ask(make(new_model(REPORTS), LONG), "hi")
    assert len(warned) == 1


def test_it_warns_once_for_a_model(make):
    """Of any number of calls and objects."""
    model = new_model(REPORTS)
    with pytest.warns(DashScopeWarning):
        make(model, LONG).complete("hi")
    make(model, LONG).complete("hi")
    list(make(model, LONG).stream_chat([ChatMessage("hi")]))


@pytest.mark.parametrize("estimate_usage", [True, False])
def test_an_answer_that_nobody_counted_is_estimated(make, estimate_usage):
    """By as little as it may be."""
    text = "word " * 800
    least = estimates.low_estimate(text, "llama2")
    llm = make(new_model(PROMPT_ONLY), Answer(text, usage=None), estimate_usage=estimate_usage)
    with pytest.warns(DashScopeWarning, match=f"took {least} tokens"):
        llm.complete("hi")


@pytest.mark.parametrize(
    ("model", "answer", "settings"),
    [
        (REPORTS, LONG, {"max_tokens": 512}),
        (REPORTS, Answer("word " * 1500, usage=Usage(20, 1024, 1044)), {}),
        (PROMPT_ONLY, Answer("word " * 550, usage=None), {}),
        ("qwen3-8b", LONG, {}),
        ("qwen3-8b", Answer("word", usage=Usage(20, 3000, 3020)), {"context_window": 8193}),
        (CHAT, LONG, {}),
        ("qwen3-8b", LONG, {"model_info": ModelInfo(id="x", family="x", maker="x")}),
    ],
)
def test_answers_that_fit_do_not_warn(make, model, answer, settings):
    """Nor those of a large window, nor what max_tokens holds."""
    make(new_model(model), answer, **settings).complete("hi")


def test_a_changed_record_changes_the_room():
    info = replace(find_model(PROMPT_ONLY), context_window=4096)
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, model_info=info)
    assert llm.metadata.num_output == 1024
