"""Many calls: batches in order and with their failures, async calls at once, calls given up."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.exceptions import ModelInvalidRequestError

from dashscope_oss import AuthenticationError
from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread

from .calling import CLASSES, call, text_of


def echo(request):
    """Answers a question with itself, but for one that it refuses."""
    question = request.messages[-1].content
    if question == "bad":
        return Fault(status=400, code="InvalidParameter")
    return Answer(question * 2)


@pytest.mark.parametrize("path", ["batch", "abatch"])
async def test_a_batch_keeps_its_order_and_its_failures_in_their_place(either, path):
    llm, _ = either(echo)
    questions, config = ["a", "bad", "c", "d"], {"max_concurrency": 2}
    if path == "batch":
        answers = llm.batch(questions, config, return_exceptions=True)
    else:
        answers = await llm.abatch(questions, config, return_exceptions=True)
    assert isinstance(answers[1], ModelInvalidRequestError)
    texts = [text_of(answer) for n, answer in enumerate(answers) if n != 1]
    assert texts == ["aa", "cc", "dd"]


@pytest.mark.parametrize("path", ["batch", "abatch"])
async def test_a_batch_fails_with_the_error_itself(either, path):
    """Not with a group of errors."""
    llm, _ = either(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(AuthenticationError):
        llm.batch(["a", "b"]) if path == "batch" else await llm.abatch(["a", "b"])


async def test_several_prompts_of_one_async_call_fail_with_the_error_itself(text):
    llm, _ = text(Fault(status=401, code="InvalidApiKey"))
    with pytest.raises(AuthenticationError):
        await llm.agenerate(["a", "b"])


async def test_a_batch_of_nothing_is_nothing(either):
    llm, engine = either()
    assert llm.batch([]) == await llm.abatch([]) == []
    assert engine.requests == []


class Crowd(ScriptedEngine):
    """Answers nobody before everybody is there."""

    def __init__(self, size):
        super().__init__([Answer("ok")])
        self.size, self.open = size, 0
        self.full = asyncio.Event()

    async def generate(self, request):
        self.open += 1
        if self.open == self.size:
            self.full.set()
        await asyncio.wait_for(self.full.wait(), 20)
        async for delta in super().generate(request):
            yield delta


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
@CLASSES
async def test_forty_async_calls_are_open_at_once_without_threads(cls, path):
    engine = Crowd(40)
    with serve_in_thread(Gateway(engine)) as url:
        llm = cls(model="llama3-8b-instruct", base_url=url, max_retries=0)
        answers = await asyncio.gather(*(call(llm, path) for _ in range(40)))
        await llm.aclose()
    assert {text_of(answer) for answer in answers} == {"ok"}
    assert not [t for t in threading.enumerate() if t.name.startswith("asyncio_")]


class Endless(ScriptedEngine):
    """Never answers, and notices that a caller has left."""

    def __init__(self):
        super().__init__()
        self.asked, self.left = threading.Event(), threading.Event()

    async def generate(self, request):
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield
        finally:
            self.left.set()


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
@CLASSES
async def test_a_cancelled_call_closes_its_connection_so_the_engine_stops(cls, path):
    engine = Endless()
    with serve_in_thread(Gateway(engine)) as url:
        llm = cls(model="llama3-8b-instruct", base_url=url)
        task = asyncio.create_task(call(llm, path))
        assert await asyncio.to_thread(engine.asked.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(engine.left.wait, 20)
        await llm.aclose()
