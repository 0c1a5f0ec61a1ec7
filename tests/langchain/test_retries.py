"""Retries, and LangChain's callbacks that are told of them."""

from __future__ import annotations

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate

from dashscope_oss.gateway import Answer, Fault

from .calling import STREAMING_TOO, STREAMS, Seen, call, text_of

pytestmark = [pytest.mark.versions, pytest.mark.usefixtures("quick_retries")]


class AsyncSeen(AsyncCallbackHandler):
    """Keeps the retries that it is told of, without blocking."""

    def __init__(self):
        self.retries = []

    async def on_retry(self, retry_state, *, run_id, **_):
        self.retries.append((run_id, retry_state))


@STREAMING_TOO
async def test_callbacks_are_told_of_each_retry_of_their_run(either, path, streaming):
    """With tenacity's state, on every path, in a chain too."""
    llm, engine = either(Fault(), Fault(), Answer("ok"), streaming=streaming)
    other = AsyncSeen() if path.startswith("a") else Seen()
    seen = Seen()
    chain = ChatPromptTemplate.from_messages(["{word}"]) | llm
    answer = await call(chain, path, {"word": "Hi"}, config={"callbacks": [seen, other]})
    assert text_of(answer) == "ok"
    assert len(engine.requests) == 3
    assert [state.attempt_number for _, state in seen.retries] == [1, 2]
    assert {run for run, _ in seen.retries} <= set(seen.runs)
    assert len(other.retries) == 2
    state = seen.retries[0][1]
    assert isinstance(state.outcome.exception(), ModelRateLimitError)
    assert state.next_action.sleep == state.upcoming_sleep >= 0


@STREAMS
async def test_the_models_own_callbacks_are_told_too(either, path):
    seen = Seen()
    llm, _ = either(Fault(), Answer("ok"), callbacks=[seen])
    await call(llm, path)
    assert [run for run, _ in seen.retries] == seen.runs[:1]


@STREAMS
async def test_a_handler_of_both_model_and_call_is_told_once(either, path):
    seen = Seen()
    llm, _ = either(Fault(), Answer("ok"), callbacks=[seen])
    await call(llm, path, config={"callbacks": [seen]})
    assert len(seen.retries) == 1


async def test_callbacks_of_langchains_event_streams_are_told(either):
    llm, _ = either(Fault(), Answer("ok"))
    seen = Seen()
    async for _ in llm.astream_events("Hi", version="v2", config={"callbacks": [seen]}):
        pass
    assert len(seen.retries) == 1


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_run_that_is_over_is_told_of_no_other_calls_retries(chat, streaming):
    """A wrapper of the model may call below LangChain's runs."""
    llm, _ = chat(
        Answer("Hi"),
        Answer("Hi"),
        Fault(),
        Answer("Hi"),
        Fault(),
        Answer("Hi"),
        streaming=streaming,
    )
    seen = Seen()
    llm.invoke("Hi", {"callbacks": [seen]})
    await llm.ainvoke("Hi", {"callbacks": [seen]})
    assert [chunk.text for chunk in llm._stream([HumanMessage("Hi")])]
    assert [chunk.text async for chunk in llm._astream([HumanMessage("Hi")])]
    assert seen.retries == []
