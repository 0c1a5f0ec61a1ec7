"""What LangChain builds on a model: chains with retrieval, agents and their middleware."""

from __future__ import annotations

import json
from dataclasses import replace

import langchain_core
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from packaging.version import Version
from pydantic import BaseModel

from dashscope_oss import DashScopeError, ToolCall, Usage, find_model
from dashscope_oss.gateway import Answer, Fault

from .calling import PROMPT_ONLY, THINKER, call, weather

pytestmark = pytest.mark.versions

CALL = ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0)


async def test_a_question_about_documents_is_answered_from_them(either):
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document("The capital of Zhejiang is Hangzhou.")])
    prompt = ChatPromptTemplate.from_template("Context: {context}\nQuestion: {question}")
    llm, engine = either(Answer("Hangzhou."), model=PROMPT_ONLY)
    inputs = {"context": store.as_retriever(), "question": RunnablePassthrough()}
    chain = inputs | prompt | llm | StrOutputParser()
    assert chain.invoke("What is its capital?") == "Hangzhou."
    assert "The capital of Zhejiang is" in engine.requests[-1].body["input"]["prompt"]


@pytest.fixture
def agents():
    """The package langchain, which needs a newer core than this package does."""
    if Version(langchain_core.__version__) < Version("1.6.13"):
        pytest.skip("langchain needs langchain-core 1.6.13")
    return pytest.importorskip("langchain.agents")


def one_call(request):
    """Calls the first tool, and then tells its result."""
    last = request.messages[-1]
    if last.role == "tool":
        return Answer(f"It says: {last.content}", usage=Usage(7, 5, 12))
    return Answer(tool_calls=(CALL,), usage=Usage(7, 5, 12))


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
async def test_an_agent_calls_its_tool_and_answers_from_the_result(agents, chat, path):
    llm, engine = chat(one_call, model=THINKER)
    agent = agents.create_agent(llm, tools=[weather])
    state = await call(agent, path, {"messages": [HumanMessage("Weather?")]})
    assert state["messages"][-1].text == "It says: rain in Hangzhou"
    assert len(engine.requests) == 2


async def test_an_agent_streams_the_pieces_of_its_model(agents, chat):
    llm, _ = chat(one_call, model=THINKER)
    agent = agents.create_agent(llm, tools=[weather])
    question = {"messages": [HumanMessage("Weather?")]}
    texts = [
        piece.text
        async for piece, _ in agent.astream(question, stream_mode="messages")
        if isinstance(piece, AIMessageChunk) and piece.text
    ]
    assert len(texts) > 1
    assert "".join(texts) == "It says: rain in Hangzhou"


@pytest.mark.parametrize(
    ("fault", "tries"), [(Fault(status=401, code="InvalidApiKey"), 1), (Fault(), 3)]
)
def test_an_agent_retries_what_is_retryable_and_a_wrong_key_not(agents, chat, fault, tries):
    from langchain.agents.middleware import ModelRetryMiddleware

    llm, engine = chat(fault, model=THINKER, max_retries=0)
    retries = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    agent = agents.create_agent(llm, tools=[weather], middleware=[retries])
    with pytest.raises(DashScopeError):
        agent.invoke({"messages": [HumanMessage("Weather?")]})
    assert len(engine.requests) == tries


def test_a_long_conversation_is_summarised_at_the_profiles_limit(agents, chat):
    from langchain.agents.middleware import SummarizationMiddleware

    small = replace(find_model(THINKER), max_input=2000)
    llm, engine = chat(Answer("A summary."), Answer("ok"), model=THINKER, model_info=small)
    summary = SummarizationMiddleware(llm, trigger=("fraction", 0.5), keep=("messages", 1))
    agent = agents.create_agent(llm, tools=[weather], middleware=[summary])
    turns = [(HumanMessage, AIMessage)[n % 2](f"turn {n} " + "word " * 200) for n in range(6)]
    agent.invoke({"messages": [*turns, HumanMessage("And now?")]})
    assert len(engine.requests) == 2
    sent = json.dumps(engine.requests[-1].body["input"])
    assert "A summary." in sent
    assert "turn 0" not in sent
    engine.requests.clear()
    agent.invoke({"messages": [HumanMessage("And now?")]})
    assert len(engine.requests) == 1


def test_a_conversation_is_summarised_when_the_service_reports_many_tokens(agents, chat):
    """However short LangChain's own estimate takes it to be, as it does Chinese text."""
    from langchain.agents.middleware import SummarizationMiddleware

    llm, engine = chat(Answer("西湖。", usage=Usage(900, 100, 1000)), Answer("ok"), model=THINKER)
    summary = SummarizationMiddleware(llm, trigger=("tokens", 1000), keep=("messages", 1))
    agent = agents.create_agent(llm, middleware=[summary])
    first = agent.invoke({"messages": [HumanMessage("哪里?")]})
    agent.invoke({"messages": [*first["messages"], HumanMessage("And now?")]})
    assert len(engine.requests) == 3


class Place(BaseModel):
    """A place."""

    city: str


@pytest.mark.parametrize("able", [False, True])
def test_an_agent_asks_for_structure_as_the_profile_says(agents, chat, able):
    """By JSON schema where the model has it, else by a tool."""
    model_info = replace(find_model(THINKER), structured="json_schema" if able else "json_object")
    place = '{"city": "Hangzhou"}'
    answer = Answer(place) if able else Answer(tool_calls=(ToolCall("c1", "Place", place, 0),))
    llm, engine = chat(answer, model=THINKER, model_info=model_info)
    agent = agents.create_agent(llm, response_format=Place)
    state = agent.invoke({"messages": [HumanMessage("Where?")]})
    assert state["structured_response"] == Place(city="Hangzhou")
    assert ("response_format" in engine.requests[-1].body["parameters"]) is able
