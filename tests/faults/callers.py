"""The eight ways to call: chat, stream, async chat and async stream, in both frameworks."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from dashscope_oss.errors import DashScopeError
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS

from .server import RawServer

_E = TypeVar("_E", bound=DashScopeError)
KEY = "sk-sentinel-0123456789abcdef"
MODEL = "deepseek-v4-flash"
FRAMEWORKS = ("langchain", "llama_index")
MODES = ("chat", "stream", "achat", "astream")
LONGEST = 4000
"""Most characters of an error's text, whatever the server said."""
PATIENCE = 20.0
"""Seconds after which an async call counts as hanging."""


@dataclass
class Answer:
    """What came of a call: the whole text, its pieces, and the framework's last object."""

    text: str = ""
    pieces: list[str] = field(default_factory=list)
    last: Any = None
    waits: list[float] = field(default_factory=list)


class Caller:
    """One of the eight ways: ``caller(server)`` answers, ``caller.fails(server, kind)`` must fail.

    No call really sleeps between tries: ``waits`` has the seconds of the newest call. ``pieces``
    are those that it handed on before it ended or failed; ``on_piece`` is called at each.
    """

    def __init__(self, framework: str, mode: str) -> None:
        self.framework = framework
        self.mode = mode
        self.waits: list[float] = []
        self.pieces: list[str] = []
        self.on_piece: Callable[[str], object] = lambda _: None

    @property
    def streams(self) -> bool:
        return self.mode.endswith("stream")

    @property
    def is_async(self) -> bool:
        return self.mode.startswith("a")

    def model(self, server: RawServer | str, **settings: object):
        """Return a model object of this framework that does not sleep; its owner closes it."""
        base_url = server if isinstance(server, str) else server.base_url
        given = {"model": MODEL, "api_key": KEY, "base_url": base_url, "timeout": 5, **settings}
        made = (ChatDashScopeOSS if self.framework == "langchain" else DashScopeOSS)(**given)
        self.waits = []
        made._client._sleep = self.waits.append
        made._async_client._sleep = self._later
        return made

    def __call__(self, server: RawServer | str, asked: object = "question", **settings) -> Answer:
        """Make one call with a new object and let go of its connections."""
        model = self.model(server, **settings)
        if self.is_async:
            return asyncio.run(asyncio.wait_for(self._alone(model, asked), PATIENCE))
        try:
            return self.ask(model, asked)
        finally:
            model.close()

    def fails(
        self, server: RawServer | str, kind: type[_E] = DashScopeError, match: str = "", **settings
    ) -> _E:
        """Make one call that must fail in this way, and clearly; return the error."""
        with pytest.raises(kind) as caught:
            self(server, **settings)
        assert re.search(match, str(caught.value)), f"{match!r} is not in {str(caught.value)!r}"
        check_clear(caught.value)
        return caught.value

    def ask(self, model, asked: object = "question", **options) -> Answer:
        """Ask a sync way's model."""
        self.pieces = []
        if self.framework == "langchain":
            return self._ask_langchain(model, asked, options)
        return self._ask_llama_index(model, asked, options)

    async def aask(self, model, asked: object = "question", **options) -> Answer:
        """Ask an async way's model."""
        self.pieces = []
        if self.framework == "langchain":
            return await self._aask_langchain(model, asked, options)
        return await self._aask_llama_index(model, asked, options)

    async def _later(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def _alone(self, model, asked: object) -> Answer:
        try:
            return await self.aask(model, asked)
        finally:
            await model.aclose()

    def _ask_langchain(self, model, asked, options) -> Answer:
        said = [HumanMessage(asked)] if isinstance(asked, str) else asked
        if not self.streams:
            return self._whole(model.invoke(said, **options))
        whole = None
        for chunk in model.stream(said, **options):
            whole = chunk if whole is None else whole + chunk
            self._note(chunk.text)
        return self._joined(whole)

    async def _aask_langchain(self, model, asked, options) -> Answer:
        said = [HumanMessage(asked)] if isinstance(asked, str) else asked
        if not self.streams:
            return self._whole(await model.ainvoke(said, **options))
        whole = None
        async for chunk in model.astream(said, **options):
            whole = chunk if whole is None else whole + chunk
            self._note(chunk.text)
        return self._joined(whole)

    def _ask_llama_index(self, model, asked, options) -> Answer:
        said = [ChatMessage(asked)] if isinstance(asked, str) else asked
        if not self.streams:
            return self._whole(model.chat(said, **options))
        last = None
        for last in model.stream_chat(said, **options):
            self._note(last.delta)
        return self._joined(last)

    async def _aask_llama_index(self, model, asked, options) -> Answer:
        said = [ChatMessage(asked)] if isinstance(asked, str) else asked
        if not self.streams:
            return self._whole(await model.achat(said, **options))
        last = None
        async for last in await model.astream_chat(said, **options):
            self._note(last.delta)
        return self._joined(last)

    def _note(self, piece: str) -> None:
        self.pieces.append(piece)
        self.on_piece(piece)

    def _whole(self, found) -> Answer:
        text = found.text if self.framework == "langchain" else found.message.content or ""
        return Answer(str(text), [], found, self.waits)

    def _joined(self, last) -> Answer:
        return Answer("".join(self.pieces), self.pieces, last, self.waits)


def usage_of(answer: Answer) -> dict[str, int] | None:
    """Return the token counts of an answer as its framework reports them."""
    if hasattr(answer.last, "usage_metadata"):
        return answer.last.usage_metadata
    return (answer.last.raw or {}).get("usage")


def chain(error: BaseException | None) -> Sequence[BaseException]:
    """Return an error and all its causes and contexts."""
    seen: list[BaseException] = []
    ahead = [error]
    while ahead:
        link = ahead.pop()
        if link is not None and link not in seen:
            seen.append(link)
            ahead += [link.__cause__, link.__context__]
    return seen


def check_clear(error: DashScopeError, key: str = KEY) -> None:
    """Assert that an error says enough, not too much, and goes through pickle and copy."""
    assert len(str(error)) < LONGEST, len(str(error))
    assert len(repr(error)) < LONGEST, len(repr(error))
    assert error.message.strip()
    assert error.model
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.request_id == error.request_id
        assert again.partial_text == error.partial_text
    for link in chain(error):
        assert key not in f"{link!r} {link} {vars(link)}"
