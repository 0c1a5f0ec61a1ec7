"""Twelve ways to make a call: core or framework, whole or streamed, blocking or not."""

from __future__ import annotations

import asyncio
import copy
import inspect
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import add
from typing import Any, TypeVar

import httpx2
import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    AsyncClient,
    Client,
    ClientOptions,
    DefaultAioHttpClient,
    Endpoint,
    Message,
    chat_request,
    find_model,
)
from dashscope_oss.errors import DashScopeError
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS

from .server import RawServer, Step, answer, message_frame, message_reply, stream

_Error = TypeVar("_Error", bound=DashScopeError)

KEY = "sk-sentinel-0123456789abcdef"
MODEL = "deepseek-v4-flash"
NOWHERE = "http://127.0.0.1:1/api/v1"
"""An address at which nobody listens."""
FRAMEWORKS = ("langchain", "llama_index")
MODES = ("chat", "stream", "achat", "astream")
MAX_ERROR_LENGTH = 4000
"""Most characters of an error's text, whatever the server sent."""
HANG_TIMEOUT = 20.0
"""Seconds after which an async call counts as hanging."""
ASYNC_HTTP = os.environ.get("DASHSCOPE_OSS_TEST_ASYNC", "httpx2")
"""What async calls go through: ``httpx2``, or ``aiohttp`` for the extra of that name."""

_METHODS = {
    "core": {mode: mode for mode in MODES},
    "langchain": dict(zip(MODES, ("invoke", "stream", "ainvoke", "astream"), strict=True)),
    "llama_index": dict(zip(MODES, ("chat", "stream_chat", "achat", "astream_chat"), strict=True)),
}


@dataclass
class Answer:
    """What a call returned: the whole text, its pieces, and the library's own last object."""

    text: str = ""
    pieces: list[str] = field(default_factory=list)
    last: Any = None
    waits: list[float] = field(default_factory=list)


class CoreModel:
    """The core's two clients as one object, like the model classes of the frameworks."""

    def __init__(self, *, model: str, api_key: Any, base_url: str, **options: Any) -> None:
        self.model = model
        endpoint = Endpoint.resolve(base_url=base_url, api_key=api_key)
        self._client = Client(endpoint, ClientOptions(**options))
        self._async_client = AsyncClient(endpoint, ClientOptions(**options))
        self.chat, self.stream = self._client.send, self._client.stream
        self.achat, self.astream = self._async_client.send, self._async_client.stream
        self.close, self.aclose = self._client.close, self._async_client.aclose

    def request(self, question: str) -> Request:
        return chat_request(find_model(self.model), [Message("user", question)])


_CLASSES = {"core": CoreModel, "langchain": ChatDashScopeOSS, "llama_index": DashScopeOSS}


class Caller:
    """Makes calls in one of the twelve ways.

    ``caller(server)`` must be answered, ``caller.fails(server, kind)`` must fail. No call sleeps
    between tries; ``waits`` holds the seconds that the newest call would have slept. ``pieces``
    holds what a stream handed on before it ended or failed; ``on_piece`` is called at each.
    ``before_next`` is called before each question of :meth:`ask_each` but the first.

    Args:
        library: ``core``, ``langchain`` or ``llama_index``.
        mode: one of ``MODES``.
        http: what async calls go through: ``httpx2``, or ``aiohttp`` for the extra of that name.
    """

    def __init__(self, library: str, mode: str, http: str = ASYNC_HTTP) -> None:
        self.library = library
        self.mode = mode
        self.http = http
        self.waits: list[float] = []
        self.pieces: list[str] = []
        self.on_piece: Callable[[str], object] = lambda _: None
        self.before_next: Callable[[], object] = lambda: None
        self._parts: list[Any] = []
        self._opened: DefaultAioHttpClient | None = None

    @property
    def streams(self) -> bool:
        return self.mode.endswith("stream")

    @property
    def is_async(self) -> bool:
        return self.mode.startswith("a")

    @property
    def over_aiohttp(self) -> bool:
        return self.is_async and self.http == "aiohttp"

    @property
    def hello(self) -> bytes | list[Step]:
        """What a server answers to say "hello", streamed if this caller streams."""
        if self.streams:
            return stream(message_frame("hel"), message_frame("lo", "stop"))
        return answer(message_reply("hello"))

    def twin(self) -> Caller:
        """Return another caller of this kind, for another thread or task."""
        return Caller(self.library, self.mode, self.http)

    def model(self, server: RawServer | str, **settings: Any) -> Any:
        """Return a model object that does not sleep between tries; the test closes it."""
        base_url = server if isinstance(server, str) else server.base_url
        settings = {"model": MODEL, "api_key": KEY, "base_url": base_url, "timeout": 5, **settings}
        if self.over_aiohttp and "http_async_client" not in settings:
            settings["http_async_client"] = self._aiohttp_client(settings)
        model = _CLASSES[self.library](**settings)
        self.waits = []
        model._client._sleep = self.waits.append
        model._async_client._sleep = self._note_wait
        return model

    def own_http_client(self, **options: Any) -> dict[str, Any]:
        """Return the setting that passes an HTTP client of the user's own, which keeps nothing."""
        options = {"limits": httpx2.Limits(max_keepalive_connections=0), **options}
        if self.is_async:
            return {"http_async_client": httpx2.AsyncClient(**options)}
        return {"http_client": httpx2.Client(**options)}

    def __call__(self, server: RawServer | str, question: Any = "question", **settings) -> Answer:
        """Make one call with a new model object and close its connections."""
        model = self.model(server, **settings)
        if self.is_async:
            return asyncio.run(asyncio.wait_for(self._ask_and_close(model, question), HANG_TIMEOUT))
        try:
            return self.ask(model, question)
        finally:
            model.close()

    def fails(
        self,
        server: RawServer | str,
        kind: type[_Error] = DashScopeError,  # type: ignore[assignment]  # a default of a generic
        match: str = "",
        **settings: Any,
    ) -> _Error:
        """Make one call, assert that it fails with a clear error of this kind, return the error."""
        with pytest.raises(kind) as caught:
            pytest.fail(f"no {kind.__name__}, but {self(server, **settings)}")
        assert re.search(match, str(caught.value)), f"{match!r} is not in {str(caught.value)!r}"
        check_clear(caught.value)
        return caught.value

    def start(self, model: Any, question: Any = "question") -> Any:
        """Return the library's own iterator over the pieces of an answer."""
        return self._start(model, question, {})

    async def astart(self, model: Any, question: Any = "question") -> Any:
        """Return the library's own async iterator over the pieces of an answer."""
        result = self._start(model, question, {})
        return await result if inspect.isawaitable(result) else result

    def ask(self, model: Any, question: Any = "question", **options: Any) -> Answer:
        """Call a model object in a blocking mode."""
        result = self._start(model, question, options)
        if not self.streams:
            return self._whole(result)
        for part in result:
            self._take(part)
        return self._joined()

    async def aask(self, model: Any, question: Any = "question", **options: Any) -> Answer:
        """Call a model object in an async mode."""
        result = self._start(model, question, options)
        result = await result if inspect.isawaitable(result) else result
        if not self.streams:
            return self._whole(result)
        async for part in result:
            self._take(part)
        return self._joined()

    def text(self, model: Any, question: str) -> str:
        """Ask from any thread, an async caller in an event loop of its own; return the text."""
        if self.is_async:
            return asyncio.run(self.atext(model, question))
        return self.twin().ask(model, question).text

    async def atext(self, model: Any, question: str) -> str:
        """Ask in the running event loop, from any of its tasks; return the text."""
        return (await self.twin().aask(model, question)).text

    def ask_each(self, model: Any, *questions: Any) -> list[str]:
        """Ask one after the other, in one event loop; close the model and return the texts."""
        if self.is_async:
            return asyncio.run(self._ask_each(model, questions))
        texts = []
        for question in questions:
            if texts:
                self.before_next()
            texts.append(self.ask(model, question).text)
        model.close()
        return texts

    def _aiohttp_client(self, settings: dict[str, Any]) -> DefaultAioHttpClient:
        names = {"max_connections"} & settings.keys()
        self._opened = DefaultAioHttpClient(**{name: settings[name] for name in names})
        return self._opened

    async def aclose(self, model: Any) -> None:
        """Close the connections of an async call: the model's, and the client opened for it."""
        await model.aclose()
        if self._opened is not None:
            await self._opened.aclose()

    async def _ask_each(self, model: Any, questions: Sequence[Any]) -> list[str]:
        texts = []
        for question in questions:
            if texts:
                await asyncio.to_thread(self.before_next)
            texts.append((await self.aask(model, question)).text)
        await self.aclose(model)
        return texts

    async def _ask_and_close(self, model: Any, question: Any) -> Answer:
        try:
            return await self.aask(model, question)
        finally:
            await self.aclose(model)

    async def _note_wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _start(self, model: Any, question: Any, options: dict[str, Any]) -> Any:
        self.pieces, self._parts = [], []
        method = getattr(model, _METHODS[self.library][self.mode])
        return method(self._input(model, question), **options)

    def _input(self, model: Any, question: Any) -> Any:
        if not isinstance(question, str):
            return question
        if self.library == "core":
            return model.request(question)
        return [HumanMessage(question) if self.library == "langchain" else ChatMessage(question)]

    def _take(self, part: Any) -> None:
        self._parts.append(part)
        piece = part.delta if self.library == "llama_index" else part.text
        self.pieces.append(piece)
        self.on_piece(piece)

    def _whole(self, result: Any) -> Answer:
        text = result.message.content if self.library == "llama_index" else result.text
        return Answer(str(text or ""), [], result, self.waits)

    def _joined(self) -> Answer:
        join = {"core": join_deltas, "langchain": lambda parts: reduce(add, parts)}
        last = join.get(self.library, lambda parts: parts[-1])(self._parts)
        return Answer("".join(self.pieces), self.pieces, last, self.waits)


def return_key() -> str:
    """Stand for a user's function that fetches the key."""
    return KEY


def usage_of(answer: Answer) -> dict[str, int] | None:
    """Return the token counts of an answer as its library reports them."""
    if hasattr(answer.last, "usage_metadata"):
        return answer.last.usage_metadata
    if hasattr(answer.last, "usage"):
        return answer.last.usage and asdict(answer.last.usage)
    return (answer.last.raw or {}).get("usage")


def tool_calls_of(answer: Answer) -> list[Any]:
    """Return the tool calls of an answer as its library reports them."""
    message = getattr(answer.last, "message", answer.last)
    return getattr(message, "tool_calls", None) or message.additional_kwargs["tool_calls"]


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and all its causes and contexts."""
    links: list[BaseException] = []
    ahead = [error]
    while ahead:
        link = ahead.pop()
        if link is not None and link not in links:
            links.append(link)
            ahead += [link.__cause__, link.__context__]
    return links


def check_clear(error: DashScopeError, key: str = KEY) -> None:
    """Assert that an error has a short text, names its model, hides the key and can be copied."""
    assert len(str(error)) < MAX_ERROR_LENGTH, len(str(error))
    assert len(repr(error)) < MAX_ERROR_LENGTH, len(repr(error))
    assert error.message.strip()
    assert error.model
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert copied.request_id == error.request_id
        assert copied.partial_text == error.partial_text
    for link in chain(error):
        assert key not in f"{link!r} {link} {vars(link)}"
