"""The clients that are compared. Each is made inside its own worker, which imports no other."""

from __future__ import annotations

import asyncio
import json
import ssl
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
    """httpx with nothing above it: what a client on httpx costs at least."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        httpx = import_module("httpx")
        self.url = f"{address}/api/v1/services/aigc/text-generation/generation"
        self.tls: ssl.SSLContext = tls or httpx.create_ssl_context()
        self.session: Any = httpx.Client(verify=self.tls, timeout=60)
        self.async_session: Any = httpx.AsyncClient(verify=self.tls, timeout=60)

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


class _Pooled(Client):
    """Raw httpx without the cost of its pool: a stack of clients with one connection each.

    httpx's own pool looks at every call under way whenever one begins or ends, so a call costs
    the more, the more there are. This is what is left without that.
    """

    def __init__(self, address: str) -> None:
        tls = _Raw(address).tls
        self.idle = [_Raw(address, tls) for _ in range(CONNECTIONS)]
        self.free = asyncio.Semaphore(CONNECTIONS)

    async def ainvoke(self) -> str:
        async with self.free:
            raw = self.idle.pop()
            try:
                return await raw.ainvoke()
            finally:
                self.idle.append(raw)


def text(data: bytes) -> str:
    """Return the text of an answer or event of DashScope."""
    return str(json.loads(data)["output"]["choices"][0]["message"]["content"])


def native(address: str) -> dict[str, Any]:
    """Return what this package's two classes are made with."""
    address = f"{address}/api/v1"
    return {"model": MODEL, "api_key": KEY, "base_url": address, "enable_thinking": False}


def tongyi(address: str) -> Client:
    """Make a ChatTongyi; it streams only when told so, and then in ``invoke`` too."""
    import_module("dashscope").base_http_api_url = f"{address}/api/v1"
    made = import_module("langchain_community.chat_models.tongyi").ChatTongyi
    model, streaming = (made(model=MODEL, api_key=KEY, streaming=on) for on in (False, True))
    return _LangChain(model, streaming)


def openai(address: str) -> Client:
    """Make a ChatOpenAI."""
    made = import_module("langchain_openai").ChatOpenAI
    return _LangChain(made(model=MODEL, api_key=KEY, base_url=f"{address}/compatible-mode/v1"))


def index_dashscope(address: str) -> Client:
    """Make LlamaIndex's DashScope."""
    import_module("dashscope").base_http_api_url = f"{address}/api/v1"
    made = import_module("llama_index.llms.dashscope").DashScope
    return _LlamaIndex(made(model_name=MODEL, api_key=KEY))


def openai_like(address: str) -> Client:
    """Make an OpenAILike."""
    made = import_module("llama_index.llms.openai_like").OpenAILike
    base = f"{address}/compatible-mode/v1"
    return _LlamaIndex(made(model=MODEL, api_key=KEY, api_base=base, is_chat_model=True))


@dataclass(frozen=True)
class Kind:
    """A client: the package to install for it, how to make it, and its floor, if it has one."""

    package: str
    make: Callable[[str], Client]
    floor: str = ""


ON_LANGCHAIN, ON_LLAMA_INDEX = "langchain-alone", "llama-index-alone"
CLIENTS = {
    "httpx": Kind("httpx", _Raw),
    "httpx-stack": Kind("httpx", _Pooled),
    ON_LANGCHAIN: Kind(
        "langchain-core", lambda _: _LangChain(import_module("floor_langchain").Floor())
    ),
    ON_LLAMA_INDEX: Kind(
        "llama-index-core", lambda _: _LlamaIndex(import_module("floor_llama_index").Floor())
    ),
    "ChatDashScopeOSS": Kind(
        "dashscope-oss",
        lambda to: _LangChain(
            import_module("langchain_dashscope_oss").ChatDashScopeOSS(**native(to))
        ),
        ON_LANGCHAIN,
    ),
    "ChatTongyi": Kind("langchain-community", tongyi, ON_LANGCHAIN),
    "ChatOpenAI": Kind("langchain-openai", openai, ON_LANGCHAIN),
    "DashScopeOSS": Kind(
        "dashscope-oss",
        lambda to: _LlamaIndex(
            import_module("llama_index_dashscope_oss").DashScopeOSS(**native(to))
        ),
        ON_LLAMA_INDEX,
    ),
    "llama-index-llms-dashscope": Kind(
        "llama-index-llms-dashscope", index_dashscope, ON_LLAMA_INDEX
    ),
    "OpenAILike": Kind("llama-index-llms-openai-like", openai_like, ON_LLAMA_INDEX),
}
"""The clients by name, this package's own before those of the same framework."""
