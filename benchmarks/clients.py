"""The clients that are compared. Each is made inside its own worker, which imports no other."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

MODEL = "deepseek-v4-flash"
KEY = "sk-benchmark"
PROMPT = "What is the capital of Zhejiang?"
CONNECTIONS = 100


class Client:
    """What is asked of a client."""

    def expect(self, pieces: int) -> None:
        """Tell how many pieces a stream will have; the floors need to know."""

    def invoke(self) -> str:
        """Return an answer."""
        raise NotImplementedError

    async def ainvoke(self) -> str:
        """Return an answer."""
        raise NotImplementedError

    def stream(self) -> Iterator[str]:
        """Return the pieces of an answer as they come."""
        raise NotImplementedError

    def astream(self) -> AsyncIterator[str]:
        """Return the pieces of an answer as they come."""
        raise NotImplementedError

    async def many(self, count: int) -> list[str]:
        """Return the answers to so many calls made at once."""
        return await asyncio.gather(*(self.ainvoke() for _ in range(count)))


class _Framework(Client):
    """A model object of a framework; ``streaming`` is the one to stream with, if it is another."""

    def __init__(self, model: object, streaming: object = None) -> None:
        self.model: Any = model
        self.streaming: Any = streaming or model

    def expect(self, pieces: int) -> None:
        """Tell a floor."""
        if hasattr(self.model, "pieces"):
            self.model.pieces = pieces


class _LangChain(_Framework):
    """Any chat model of LangChain."""

    def invoke(self) -> str:
        return str(self.model.invoke(PROMPT).content)

    async def ainvoke(self) -> str:
        return str((await self.model.ainvoke(PROMPT)).content)

    def stream(self) -> Iterator[str]:
        return (chunk.content for chunk in self.streaming.stream(PROMPT))

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.streaming.astream(PROMPT):
            yield chunk.content

    async def many(self, count: int) -> list[str]:
        """Return the answers to so many calls, by LangChain's own ``abatch``."""
        return [answer.content for answer in await self.model.abatch([PROMPT] * count)]


class _LlamaIndex(_Framework):
    """Any chat model of LlamaIndex."""

    @cached_property
    def messages(self) -> list[Any]:
        """The question as LlamaIndex wants it."""
        message = import_module("llama_index.core.base.llms.types").ChatMessage
        return [message(role="user", content=PROMPT)]

    def invoke(self) -> str:
        return str(self.model.chat(self.messages).message.content)

    async def ainvoke(self) -> str:
        return str((await self.model.achat(self.messages)).message.content)

    def stream(self) -> Iterator[str]:
        return (response.delta for response in self.streaming.stream_chat(self.messages))

    async def astream(self) -> AsyncIterator[str]:
        async for response in await self.streaming.astream_chat(self.messages):
            yield response.delta


class _Raw(Client):
    """Stock httpx2 with nothing above it: what a client on httpx2 costs at least."""

    def __init__(self, address: str) -> None:
        httpx2 = import_module("httpx2")
        self.url = f"{address}/api/v1/services/aigc/text-generation/generation"
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self.settings = {"verify": httpx2.create_ssl_context(), "timeout": 60, "limits": limits}
        self.session: Any = httpx2.Client(**self.settings)
        self.async_session: Any = self.async_client()

    def async_client(self) -> object:
        """Return the client for async calls."""
        return import_module("httpx2").AsyncClient(**self.settings)

    def call(self, *, stream: bool) -> dict[str, Any]:
        """Return what to send."""
        parameters = {"result_format": "message"} | ({"incremental_output": True} if stream else {})
        messages = [{"role": "user", "content": PROMPT}]
        body = {"model": MODEL, "input": {"messages": messages}, "parameters": parameters}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        if stream:
            headers |= {"Accept": "text/event-stream", "X-DashScope-SSE": "enable"}
        return {"content": json.dumps(body).encode(), "headers": headers}

    def invoke(self) -> str:
        return text(self.session.post(self.url, **self.call(stream=False)).content)

    async def ainvoke(self) -> str:
        return text((await self.async_session.post(self.url, **self.call(stream=False))).content)

    def stream(self) -> Iterator[str]:
        rest = b""
        with self.session.stream("POST", self.url, **self.call(stream=True)) as response:
            for data in response.iter_bytes():
                *events, rest = (rest + data).split(b"\n\n")
                yield from (text(event.partition(b"\ndata:")[2]) for event in events)

    async def astream(self) -> AsyncIterator[str]:
        sent = self.async_session.stream("POST", self.url, **self.call(stream=True))
        rest = b""
        async with sent as response:
            async for data in response.aiter_bytes():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    yield text(event.partition(b"\ndata:")[2])


class _RawAiohttp(_Raw):
    """The same client over aiohttp, by httpx-aiohttp."""

    def async_client(self) -> object:
        return import_module("httpx_aiohttp.httpx2").Httpx2AiohttpClient(**self.settings)


class _InTurn(Client):
    """Stock httpx2, then a framework whose model answers at once: what both cost in one process.

    Measured apart, each would keep the processor's caches for itself.
    """

    def __init__(self, http: Client, framework: str) -> None:
        self.http = http
        self.framework = CLIENTS[framework].make("")

    def expect(self, pieces: int) -> None:
        """Tell the framework's model."""
        self.framework.expect(pieces)

    def invoke(self) -> str:
        self.http.invoke()
        return self.framework.invoke()

    async def ainvoke(self) -> str:
        await self.http.ainvoke()
        return await self.framework.ainvoke()

    def stream(self) -> Iterator[str]:
        """Take a piece of each in turn."""
        received = self.http.stream()
        for piece in self.framework.stream():
            next(received, "")
            yield piece
        deque(received, maxlen=0)

    async def astream(self) -> AsyncIterator[str]:
        """Take a piece of each in turn."""
        received = self.http.astream()
        async for piece in self.framework.astream():
            await anext(received, "")
            yield piece
        async for _ in received:
            pass

    async def many(self, count: int) -> list[str]:
        """Do all calls of the one, then of the other."""
        await self.http.many(count)
        return await self.framework.many(count)


def text(data: bytes) -> str:
    """Return the text of an answer or event of DashScope."""
    return str(json.loads(data)["output"]["choices"][0]["message"]["content"])


def langchain_dashscope_oss(address: str, **settings: object) -> Client:
    """Make this package's class for LangChain."""
    cls = import_module("langchain_dashscope_oss").ChatDashScopeOSS
    return _LangChain(cls(**native(address), **settings))


def llama_index_dashscope_oss(address: str, **settings: object) -> Client:
    """Make this package's class for LlamaIndex."""
    cls = import_module("llama_index_dashscope_oss").DashScopeOSS
    return _LlamaIndex(cls(**native(address), **settings))


def over_aiohttp(make: Callable[..., Client]) -> Callable[[str], Client]:
    """Return what makes the same client with the extra ``aiohttp``."""

    def make_over_aiohttp(address: str) -> Client:
        client = import_module("dashscope_oss").DefaultAioHttpClient()
        return make(address, http_async_client=client)

    return make_over_aiohttp


def native(address: str) -> dict[str, Any]:
    """Return the settings of this package's two classes."""
    address = f"{address}/api/v1"
    return {"model": MODEL, "api_key": KEY, "base_url": address, "enable_thinking": False}


def tongyi(address: str) -> Client:
    """Make a ChatTongyi; it streams only if ``streaming`` is set, and then in ``invoke`` too."""
    import_module("dashscope").base_http_api_url = f"{address}/api/v1"
    cls = import_module("langchain_community.chat_models.tongyi").ChatTongyi
    model, streaming = (cls(model=MODEL, api_key=KEY, streaming=on) for on in (False, True))
    return _LangChain(model, streaming)


def openai(address: str) -> Client:
    """Make a ChatOpenAI."""
    cls = import_module("langchain_openai").ChatOpenAI
    return _LangChain(cls(model=MODEL, api_key=KEY, base_url=f"{address}/compatible-mode/v1"))


def index_dashscope(address: str) -> Client:
    """Make LlamaIndex's DashScope."""
    import_module("dashscope").base_http_api_url = f"{address}/api/v1"
    cls = import_module("llama_index.llms.dashscope").DashScope
    return _LlamaIndex(cls(model_name=MODEL, api_key=KEY))


def openai_like(address: str) -> Client:
    """Make an OpenAILike."""
    cls = import_module("llama_index.llms.openai_like").OpenAILike
    base = f"{address}/compatible-mode/v1"
    return _LlamaIndex(cls(model=MODEL, api_key=KEY, api_base=base, is_chat_model=True))


@dataclass(frozen=True)
class Kind:
    """A client.

    Attributes:
        package: what to install for it.
        make: makes it, given the address of the service.
        limit: the client that is its framework and stock httpx2 in turn, if it has a framework.
        only_async: whether it is for the async scenarios alone.
        folder: where its packages are if they cannot stand beside the others', in the environment.
    """

    package: str
    make: Callable[[str], Client]
    limit: str = ""
    only_async: bool = False
    folder: str = ""


HTTP = "httpx2"
ON_LANGCHAIN, ON_LLAMA_INDEX = "langchain-alone", "llama-index-alone"
LANGCHAIN_LIMIT, LLAMA_INDEX_LIMIT = "langchain-and-httpx2", "llama-index-and-httpx2"
CLIENTS = {
    HTTP: Kind("httpx2", _Raw),
    "httpx2-aiohttp": Kind("httpx-aiohttp", _RawAiohttp, only_async=True),
    ON_LANGCHAIN: Kind(
        "langchain-core", lambda _: _LangChain(import_module("floor_langchain").Floor())
    ),
    ON_LLAMA_INDEX: Kind(
        "llama-index-core", lambda _: _LlamaIndex(import_module("floor_llama_index").Floor())
    ),
    LANGCHAIN_LIMIT: Kind("langchain-core", lambda address: _InTurn(_Raw(address), ON_LANGCHAIN)),
    LLAMA_INDEX_LIMIT: Kind(
        "llama-index-core", lambda address: _InTurn(_Raw(address), ON_LLAMA_INDEX)
    ),
    "ChatDashScopeOSS": Kind("dashscope-oss", langchain_dashscope_oss, LANGCHAIN_LIMIT),
    "ChatDashScopeOSS-aiohttp": Kind(
        "httpx-aiohttp", over_aiohttp(langchain_dashscope_oss), LANGCHAIN_LIMIT, only_async=True
    ),
    "ChatTongyi": Kind("langchain-community", tongyi, LANGCHAIN_LIMIT),
    "ChatOpenAI": Kind("langchain-openai", openai, LANGCHAIN_LIMIT),
    "DashScopeOSS": Kind("dashscope-oss", llama_index_dashscope_oss, LLAMA_INDEX_LIMIT),
    "DashScopeOSS-aiohttp": Kind(
        "httpx-aiohttp", over_aiohttp(llama_index_dashscope_oss), LLAMA_INDEX_LIMIT, only_async=True
    ),
    "llama-index-llms-dashscope": Kind(
        "llama-index-llms-dashscope", index_dashscope, LLAMA_INDEX_LIMIT
    ),
    "OpenAILike": Kind(
        "llama-index-llms-openai-like", openai_like, LLAMA_INDEX_LIMIT, folder="openai2"
    ),
}
"""The clients by name, the limits' first, this package's own before those of the same framework."""
