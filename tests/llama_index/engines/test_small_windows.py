"""Prompts and memories that fit: RAG and chat on windows of 2,048 tokens."""

from functools import cache

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.node_parser import SentenceSplitter

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.tokens import estimates
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index import llama2_tokenizer
from tests.llama_index.examples import CHAT, PROMPT_ONLY, QUESTIONS, TEXTS

OTHER_SMALL = ("baichuan2-7b-chat-v1", CHAT, "llama2-7b-chat-v2")


MODES = ("compact", "refine", "tree_summarize", "accumulate", "simple_summarize")


ROOM = 2048 - 512  # Ziya's window without the quarter that is left for the answer


def input_tokens(request) -> int:
    """What a request counts: by Llama 2's real tokenizer if its model has that, else by estimate.

    The marks of a template and of the beginning are some tokens more; the estimate leaves room.
    """
    sent = request.body["input"]
    turns = sent.get("messages") or [{"content": sent.get("prompt")}]
    text = "\n".join(turn["content"] for turn in turns)
    family = find_model(request.body["model"]).tokenizer
    return llama2_tokenizer.count(text) if family == "llama2" else estimates.estimate(text, family)


def longest(requests) -> int:
    return max(map(input_tokens, requests))


@pytest.mark.parametrize(
    ("model", "mode"),
    [*((PROMPT_ONLY, mode) for mode in MODES), *((model, "compact") for model in OTHER_SMALL)],
)
def test_rag_never_sends_more_than_a_model_takes(make, using_tokenizer, model, mode):
    """Every response mode, English and Chinese, with forty documents.

    Counted by Llama 2's own tokenizer where the model has it.
    """
    for language, text in TEXTS.items():
        llm = make(model, Answer(text * 3))
        using_tokenizer(llm)
        engine = many(language).as_query_engine(llm=llm, similarity_top_k=40, response_mode=mode)
        assert str(engine.query(QUESTIONS[language])).strip()
        assert longest(make.requests) <= find_model(model).input_limit


@pytest.mark.parametrize("mode", MODES)
def test_rag_fits_with_few_documents_too(make, using_tokenizer, mode):
    """Which LlamaIndex packs differently."""
    for top_k in (2, 10):
        llm = make(PROMPT_ONLY, Answer(TEXTS["zh"] * 3))
        using_tokenizer(llm)
        engine = many("zh").as_query_engine(llm=llm, similarity_top_k=top_k, response_mode=mode)
        assert str(engine.query(QUESTIONS["zh"])).strip()
        assert longest(make.requests) <= ROOM


@cache  # asking changes nothing in an index
def many(language: str) -> VectorStoreIndex:
    """More text than any small window holds."""
    texts = [Document(text=TEXTS[language] * 12, id_=str(n)) for n in range(15)]
    splitter = SentenceSplitter(chunk_size=128, chunk_overlap=10)
    return VectorStoreIndex.from_documents(
        texts, embed_model=MockEmbedding(4), transformations=[splitter]
    )


async def answer_of(engine) -> str:
    return str(await engine.aquery(QUESTIONS["zh"]))


async def astreamed(engine) -> str:
    response = await engine.aquery(QUESTIONS["zh"])
    return "".join([token async for token in response.async_response_gen()])


QUERIES = {
    "stream": lambda engine: "".join(engine.query(QUESTIONS["zh"]).response_gen),
    "aquery": answer_of,
    "astream": astreamed,
}


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        *(("compact", method) for method in QUERIES),
        *(("refine", "stream"), ("tree_summarize", "astream"), ("simple_summarize", "aquery")),
        ("accumulate", "aquery"),  # LlamaIndex does not stream it
    ],
)
def test_rag_fits_in_every_way_to_ask(make, run, using_tokenizer, mode, method):
    """Also without blocking, and streamed."""
    llm = make(PROMPT_ONLY, Answer(TEXTS["zh"] * 3))
    using_tokenizer(llm)
    engine = many("zh").as_query_engine(
        llm=llm, similarity_top_k=40, response_mode=mode, streaming="stream" in method
    )
    started = QUERIES[method](engine)
    assert TEXTS["zh"] in (run(llm, started) if method.startswith("a") else started)
    assert longest(make.requests) <= ROOM


CHATS = ("context", "condense_plus_context", "condense_question", "simple", "best")


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        *((PROMPT_ONLY, mode) for mode in CHATS),
        *(("llama2-7b-chat-v2", mode) for mode in ("context", "condense_question", "simple")),
    ],
)
def test_ten_chinese_turns_fit(make, using_tokenizer, model, mode):
    """With ``llm.chat_memory()`` no turn is too many."""
    llm = make(model, Answer(TEXTS["zh"] * 2))
    using_tokenizer(llm)
    engine = chat_engine(llm, mode, 3)
    for turn in range(10):
        assert str(engine.chat(question_on(turn)))
    assert longest(make.requests) <= find_model(model).input_limit


def chat_engine(llm: DashScopeOSS, mode: str, top_k: int, memory=None):
    memory = memory or llm.chat_memory()
    return diary().as_chat_engine(mode, llm=llm, memory=memory, similarity_top_k=top_k)


@cache
def diary() -> VectorStoreIndex:
    # Every chunk is different: llama-index-core 0.14.0 and before retrieves equal ones once.
    text = "".join(f"第{day}天，{TEXTS['zh']}" for day in range(100))
    return VectorStoreIndex.from_documents(
        [Document(text=text)],
        embed_model=MockEmbedding(4),
        transformations=[SentenceSplitter(chunk_size=256, chunk_overlap=20)],
    )


def question_on(turn: int) -> str:
    return f"第{turn}天，{QUESTIONS['zh']}{TEXTS['zh']}"


async def achat(engine, text: str) -> str:
    return str(await engine.achat(text))


async def astream_chat(engine, text: str) -> str:
    response = await engine.astream_chat(text)
    return "".join([token async for token in response.async_response_gen()])


TALKS = {
    "chat": lambda engine, text: str(engine.chat(text)),
    "stream_chat": lambda engine, text: "".join(engine.stream_chat(text).response_gen),
    "achat": achat,
    "astream_chat": astream_chat,
}


def full_memory(llm: DashScopeOSS):
    """A memory of twenty turns, which are more than it holds."""
    memory = llm.chat_memory()
    for turn in range(20):
        memory.put(ChatMessage(question_on(turn)))
        memory.put(ChatMessage(TEXTS["zh"] * 2, role="assistant"))
    return memory


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        *(("context", method) for method in TALKS if method != "chat"),
        *(("condense_plus_context", "achat"), ("condense_question", "stream_chat")),
        *(("simple", "astream_chat"), ("best", "achat")),
    ],
)
def test_turns_beside_a_full_memory_fit_in_every_way_to_talk(
    make, run, using_tokenizer, mode, method
):
    """Also streamed, and without blocking."""
    llm = make(PROMPT_ONLY, Answer(TEXTS["zh"] * 2))
    using_tokenizer(llm)
    engine = chat_engine(llm, mode, 2, full_memory(llm))

    async def talk():
        return [await TALKS[method](engine, question_on(turn)) for turn in (20, 21)]

    if method.startswith("a"):
        answers = run(llm, talk())
    else:
        answers = [TALKS[method](engine, question_on(turn)) for turn in (20, 21)]
    assert answers == [TEXTS["zh"] * 2] * 2
    assert longest(make.requests) <= ROOM


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        *(("context", method) for method in TALKS),
        *(("condense_plus_context", "chat"), ("condense_plus_context", "astream_chat")),
        *(("condense_question", "stream_chat"), ("condense_question", "achat")),
    ],
)
def test_a_turn_with_forty_documents_fits_beside_a_full_memory(
    make, run, using_tokenizer, mode, method
):
    """What does not fit into one prompt goes into several."""
    llm = make(PROMPT_ONLY, Answer(TEXTS["zh"] * 2))
    using_tokenizer(llm)
    started = TALKS[method](chat_engine(llm, mode, 40, full_memory(llm)), question_on(20))
    assert (run(llm, started) if method.startswith("a") else started) == TEXTS["zh"] * 2
    assert len(make.requests) > 5
    assert longest(make.requests) <= ROOM


def test_summaries_of_long_documents_fit(make, using_tokenizer):
    """Also whole documents that were never split for this model."""
    llm = make(PROMPT_ONLY, Answer(TEXTS["zh"]))
    using_tokenizer(llm)
    index = SummaryIndex.from_documents([Document(text=TEXTS["zh"] * 100)])
    index.as_query_engine(llm=llm, response_mode="tree_summarize").query(QUESTIONS["zh"])
    assert longest(make.requests) <= ROOM
