"""One way to call any of the eight methods, so that a test says what holds for all of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import llama_index.core
import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_dashscope_oss import DashScopeOSS, use_tokenizer


@dataclass
class Called:
    """What one of the eight methods gave: the last response, and all those of a stream."""

    last: object
    pieces: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return _text(self.last)

    @property
    def deltas(self) -> list[str]:
        return [piece.delta for piece in self.pieces]

    @property
    def texts(self) -> list[str]:
        """The whole text of each response of a stream."""
        return list(map(_text, self.pieces))


def _text(response) -> str:
    return response.message.content if hasattr(response, "message") else response.text


def gathered(responses: list) -> Called:
    return Called(responses[-1], responses)


async def _astream(start) -> Called:
    return gathered([response async for response in await start])


def run(llm: DashScopeOSS, call):
    """Run ``call`` in an event loop of its own, and close the connections it opened there."""

    async def closing():
        try:
            return await call
        finally:
            await llm.aclose()

    return asyncio.run(closing())


def _async(name):
    def call(llm, question, **kwargs):
        started = getattr(llm, name)(question, **kwargs)
        if "stream" in name:
            return run(llm, _astream(started))
        return Called(run(llm, started))

    return call


def _sync(name):
    def call(llm, question, **kwargs):
        response = getattr(llm, name)(question, **kwargs)
        return gathered(list(response)) if "stream" in name else Called(response)

    return call


METHODS = {
    name: (_async if name.startswith("a") else _sync)(name)
    for name in (
        "chat",
        "stream_chat",
        "achat",
        "astream_chat",
        "complete",
        "stream_complete",
        "acomplete",
        "astream_complete",
    )
}


@pytest.fixture(params=["chat", "stream_complete", "astream_chat", "acomplete"])
def ask(request) -> Callable[..., Called]:
    """``ask(llm, text)`` by four methods that together take every step; ``ask.name`` is the name.

    A method is a request, a client and a converter. What each of the eight does by itself, events
    and refusals, is tested with ``@ALL_METHODS``.
    """
    method = METHODS[request.param]

    def call(llm: DashScopeOSS, text: str, **kwargs) -> Called:
        question = [ChatMessage(text)] if "chat" in request.param else text
        return method(llm, question, **kwargs)

    call.name = request.param
    return call


@pytest.fixture(name="run")
def _run():
    return run


class Maker:
    """Builds models over gateways that answer from a script: ``make(model, *script)``.

    ``requests`` is what the newest gateway received.
    """

    def __init__(self, gateway) -> None:
        self._gateway = gateway
        self.made: list[DashScopeOSS] = []

    def __call__(self, model: str, *script, **settings) -> DashScopeOSS:
        self._engine = self._gateway(*script)
        self.made.append(DashScopeOSS(model=model, base_url=self._engine.base_url, **settings))
        return self.made[-1]

    @property
    def requests(self) -> list:
        return self._engine.requests

    @property
    def body(self) -> dict:
        """The body of the only request."""
        (request,) = self.requests
        return dict(request.body)


@pytest.fixture
def make(gateway) -> Iterator[Maker]:
    maker = Maker(gateway)
    yield maker
    for llm in maker.made:
        llm.close()


@pytest.fixture(autouse=True)
def shipped_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex finds the tokenizer that it ships, unless this variable points elsewhere."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)


@pytest.fixture(autouse=True)
def closed_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """LlamaIndex's blocking methods make an event loop if there is none, and never close it."""
    if inspect.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def memory() -> ChatMemoryBuffer:
    """What chat engines and agents remember in; the default one leaves SQLite connections open."""
    return ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=str.split)


class Recorder(BaseEventHandler):
    events: list

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event, **kwargs) -> None:
        self.events.append(event)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list:
    """Every event of LlamaIndex's instrumentation, in order."""
    recorder = Recorder(events=[])
    monkeypatch.setattr(get_dispatcher(), "event_handlers", [recorder])
    return recorder.events


@pytest.fixture
def using_tokenizer(monkeypatch: pytest.MonkeyPatch) -> Callable[[LLM], None]:
    """``use_tokenizer``; LlamaIndex's own tokenizer is put back after the test."""
    monkeypatch.setattr(llama_index.core, "global_tokenizer", None)
    return use_tokenizer


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> TokenCountingHandler:
    """LlamaIndex's counter, set for everything; it estimates one token a word."""
    handler = TokenCountingHandler(tokenizer=str.split)
    monkeypatch.setattr(Settings, "callback_manager", CallbackManager([handler]))
    return handler
