"""A failure of the model is one of the engine or agent: never an empty answer, never swallowed."""

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.tools import FunctionTool

from dashscope_oss import AuthenticationError, ServerError
from tests.llama_index.examples import (
    AGENT_WARNINGS,
    BROKEN,
    EXPIRED,
    PROMPT_ONLY,
    WITH_TOOLS,
)

pytestmark = AGENT_WARNINGS


def vector_index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text="fact")], embed_model=MockEmbedding(8))


async def tokens_of(engine):
    response = await engine.aquery("?")
    return [token async for token in response.async_response_gen()]


ENGINES = {
    "query": lambda llm: vector_index().as_query_engine(llm=llm).query("?"),
    "aquery": lambda llm: vector_index().as_query_engine(llm=llm).aquery("?"),
    "stream": lambda llm: list(
        vector_index().as_query_engine(llm=llm, streaming=True).query("?").response_gen
    ),
    "astream": lambda llm: tokens_of(vector_index().as_query_engine(llm=llm, streaming=True)),
    "summary": lambda llm: (
        SummaryIndex.from_documents([Document(text="fact")]).as_query_engine(llm=llm).query("?")
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_expired_key_is_no_empty_response(make, run, engine):
    llm = make(PROMPT_ONLY, EXPIRED)
    with pytest.raises(AuthenticationError):
        run(llm, ENGINES[engine](llm)) if engine.startswith("a") else ENGINES[engine](llm)
    assert len(make.requests) == 1


def test_an_expired_key_ends_a_chat(make, memory):
    engine = vector_index().as_chat_engine("context", llm=make(PROMPT_ONLY, EXPIRED), memory=memory)
    with pytest.raises(AuthenticationError):
        engine.chat("?")
    assert len(make.requests) == 1


def test_a_streaming_query_engine_raises_when_the_stream_breaks(make):
    llm = make(PROMPT_ONLY, BROKEN)
    response = vector_index().as_query_engine(llm=llm, streaming=True).query("?")
    with pytest.raises(ServerError) as broken:
        list(response.response_gen)
    assert broken.value.partial_text == "piece 1 piece 2 "


TOOL = FunctionTool.from_defaults(fn=lambda: "noon", name="now", description="The time.")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("kind", "model"), [(FunctionAgent, WITH_TOOLS), (ReActAgent, PROMPT_ONLY)]
)
def test_an_agent_ends_with_the_cause_on_the_first_call(make, run, memory, kind, model, streaming):
    llm = make(model, EXPIRED)

    async def answer():
        return await kind(tools=[TOOL], llm=llm, streaming=streaming).run("?", memory=memory)

    # llama-index-core 0.13.0 wraps what a step raises.
    with pytest.raises(Exception, match="Invalid API-key") as ended:
        run(llm, answer())
    assert AuthenticationError in map(type, (ended.value, ended.value.__cause__))
    assert len(make.requests) == 1
