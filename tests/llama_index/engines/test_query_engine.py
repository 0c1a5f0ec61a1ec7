"""LlamaIndex's own query and chat engines over small and large models."""

import json

import pytest
from llama_index.core import (
    Document,
    MockEmbedding,
    SummaryIndex,
    VectorStoreIndex,
)
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool

from dashscope_oss import (
    Usage,
    find_model,
)
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, MODELS, PROMPT_ONLY

pytestmark = pytest.mark.versions

FACTS = (
    "The lighthouse of Alnmouth was built in 1837.",
    "Its lamp is lit by the keeper, Ada Finch.",
    "灯塔高三十二米。",
)


def documents() -> list[Document]:
    return [Document(text=fact) for fact in FACTS]


def vector_engine(llm, **kwargs):
    index = VectorStoreIndex.from_documents(documents(), embed_model=MockEmbedding(8))
    return index.as_query_engine(llm=llm, similarity_top_k=3, **kwargs)


def summary_engine(llm, **kwargs):
    return SummaryIndex.from_documents(documents()).as_query_engine(llm=llm, **kwargs)


async def astreamed(engine, question):
    response = await engine.aquery(question)
    return "".join([token async for token in response.async_response_gen()])


async def answer_of(engine, question):
    return str(await engine.aquery(question))


METHODS = {
    "query": lambda engine, _, question: str(engine.query(question)),
    "aquery": lambda engine, _, question: answer_of(engine, question),
    "stream": lambda _, engine, question: "".join(engine.query(question).response_gen),
    "astream": lambda _, engine, question: astreamed(engine, question),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("build", [vector_engine, summary_engine])
def test_a_query_engine_answers(make, run, counter, build, method):
    """In one call, documents in the prompt, tokens counted once."""
    for model in MODELS:
        counter.reset_counts()
        llm = make(model, Answer("Ada Finch lights it.", usage=Usage(321, 7, 328)))
        started = METHODS[method](build(llm), build(llm, streaming=True), "Who lights the lamp?")
        answer = run(llm, started) if method.startswith("a") else started
        assert answer == "Ada Finch lights it."
        assert "Ada Finch" in str(make.body["input"])
        assert "Who lights the lamp?" in str(make.body["input"])
        if find_model(model).reports_usage:
            assert counter.prompt_llm_token_count == 321
        assert len(counter.llm_token_counts) == 1


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        *(("refine", "query"), ("refine", "astream"), ("compact", "aquery"), ("compact", "stream")),
        *(("tree_summarize", "stream"), ("tree_summarize", "aquery")),
        ("accumulate", "aquery"),  # LlamaIndex does not stream it
    ],
)
def test_every_response_mode_answers(make, run, mode, method):
    llm = make(PROMPT_ONLY, Answer("Calm."))
    engine = summary_engine(llm, response_mode=mode, streaming="stream" in method)
    started = METHODS[method](engine, engine, "How was the sea?")
    assert "Calm." in (run(llm, started) if method.startswith("a") else started)


@pytest.mark.parametrize("method", ["query", "aquery"])
def test_a_question_is_asked_in_parts(make, run, method):
    """SubQuestionQueryEngine, on a window of 2,048 tokens."""
    parts = [
        {"sub_question": "How was the sea?", "tool_name": "sea"},
        {"sub_question": "Who lit the lamp?", "tool_name": "lamp"},
    ]
    answers = {"in json markdown": json.dumps({"items": parts}), "Sub question": "Calm, and Ada."}

    def answer(request):
        matches = (text for mark, text in answers.items() if mark in str(request))
        return Answer(next(matches, "Part."))

    llm = make(PROMPT_ONLY, answer)
    tools = [
        QueryEngineTool.from_defaults(summary_engine(llm), name=name, description=name)
        for name in ("sea", "lamp")
    ]
    engine = SubQuestionQueryEngine.from_defaults(
        tools,
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        use_async=method == "aquery",
        verbose=False,
    )
    started = METHODS[method](engine, engine, "How were sea and lamp?")
    assert (run(llm, started) if method == "aquery" else started) == "Calm, and Ada."
    prompts = [request.body["input"]["prompt"] for request in make.requests]
    assert len(prompts) == 4
    assert "Response: Part." in prompts[-1]


@pytest.mark.parametrize("mode", ["refine", "compact", "tree_summarize", "accumulate"])
def test_response_modes_work_on_small_windows(make, mode):
    """With far more text than one prompt of 2,048 tokens holds."""
    text = "The keeper wrote in his book that the sea was calm. " * 60
    many = [Document(text=f"Day {day}. {text}") for day in range(3)]
    index = SummaryIndex.from_documents(many)
    llm = make(PROMPT_ONLY, Answer("Calm."))
    engine = index.as_query_engine(llm=llm, response_mode=mode)
    assert "Calm." in str(engine.query("How was the sea?"))
    assert len(make.requests) > 1


def test_a_system_prompt_reaches_a_prompt_only_model_inside_its_template(make):
    llm = make(PROMPT_ONLY, Answer("Ada."), system_prompt="Answer briefly.")
    summary_engine(llm).query("Who?")
    prompt = make.body["input"]["prompt"]
    assert prompt.startswith("<human>:Answer briefly.\n\n")
    assert prompt.endswith("\n<bot>:")
    assert prompt.count("<human>:") == 1


@pytest.mark.parametrize(
    "mode", ["context", "condense_plus_context", "condense_question", "simple"]
)
@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_chat_engines_hold_a_conversation(make, memory, model, mode):
    index = VectorStoreIndex.from_documents(documents(), embed_model=MockEmbedding(8))
    engine = index.as_chat_engine(chat_mode=mode, llm=make(model), memory=memory)
    assert "lamp" in str(engine.chat("Who lights the lamp?"))
    assert "tall" in "".join(engine.stream_chat("How tall is it?").response_gen)


def test_a_router_chooses_between_engines(make):
    """On a window of 2,048 tokens."""
    llm = make(PROMPT_ONLY, Answer('[{"choice": 2, "reason": "sea"}]'), Answer("Calm."))
    engines = [
        QueryEngineTool.from_defaults(
            SummaryIndex.from_documents(
                [Document(text=text)], embed_model=MockEmbedding(4)
            ).as_query_engine(llm=llm),
            description=text,
        )
        for text in ("the lamp", "the sea")
    ]
    router = RouterQueryEngine.from_defaults(
        engines, llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm)
    )
    assert str(router.query("How was the sea?")) == "Calm."
    assert "the sea" in make.requests[1].body["input"]["prompt"]
