"""Calls that do not block: the client for asyncio, over one httpx2 client an event loop.

asyncio is imported by the functions that need it: it takes long to import, and whoever only makes
blocking calls never needs it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias
from weakref import WeakKeyDictionary, ref

import httpx2

from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Delta, Reply
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.transport.attempt import Attempt
from dashscope_oss.transport.base_client import BaseClient
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http.deadlines import Deadline
from dashscope_oss.transport.http.response_body import ResponseBody, refuse_explosive_encoding
from dashscope_oss.transport.http_errors import error_of_response
from dashscope_oss.transport.options import ClientOptions, OnRetry

if TYPE_CHECKING:
    import asyncio

_Opened: TypeAlias = tuple[int, httpx2.AsyncClient, AsyncGenerator[None, None]]
_ByLoop: TypeAlias = "WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened]"


class AsyncClient(BaseClient):
    """Calls that do not block: :class:`Client` for asyncio, one set of connections an event loop.

    Args:
        endpoint: where to call and with which key.
        options: limits, retries, connections.
        sleep: waits between tries.
    """

    _unshared = ("_by_loop",)

    def __init__(
        self,
        endpoint: Endpoint,
        options: ClientOptions | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(endpoint, options)
        self._sleep = sleep or _sleep
        self.__setstate__({})

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._by_loop: _ByLoop = WeakKeyDictionary()

    async def send(self, request: Request, *, on_retry: OnRetry | None = None) -> Reply:
        """Send a call and return the whole answer; see :meth:`Client.send`."""
        if request.must_stream:
            pieces: list[Delta] = []
            async for piece in self._pieces(request, on_retry, pieces):
                pieces.append(piece)  # noqa: PERF401 - another try empties it
            return join_deltas(pieces)
        deadline, number = self._deadline(), 1
        while True:
            attempt = self._attempt(request, number, deadline)
            try:
                return self._answered(attempt, await self._send_once(attempt))
            except DashScopeError as error:
                wait = self._wait_before_retry(attempt, error, on_retry)
            await self._sleep(wait)
            number += 1

    def stream(
        self, request: Request, *, on_retry: OnRetry | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Send a call and hand on each piece as it arrives; see :meth:`Client.stream`."""
        return self._pieces(request, on_retry)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        opened = self._by_loop.pop(_running_loop(), None)
        if opened is not None and opened[0] == os.getpid():
            await opened[1].aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _pieces(
        self, request: Request, on_retry: OnRetry | None, unseen: list[Delta] | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Yield the pieces; see ``Client``."""
        # One generator and no context manager made of one: a loop that ends while a stream is
        # abandoned closes every generator at once, and nested ones get in each other's way.
        deadline, number = self._deadline(whole=unseen is not None), 1
        while True:
            attempt = self._attempt(request, number, deadline, stream=True)
            assembler = Assembler(attempt.request)
            try:
                with attempt.errors(assembler):
                    async with aclosing(await self._open_in_time(attempt)) as response:
                        if not attempt.begin_stream(assembler, response):
                            body = await _body(response, attempt)
                            raise error_of_response(response, body, attempt.model)
                        refuse_explosive_encoding(response)
                        chunks = response.aiter_bytes()
                        while (chunk := await _next_chunk(chunks, deadline)) is not None:
                            for delta in assembler.feed(chunk):
                                yield self._piece(attempt, assembler, delta)
                                deadline.restart()
                            if attempt.is_over(assembler):
                                return
                        for delta in assembler.close():
                            yield self._piece(attempt, assembler, delta)
                return
            except DashScopeError as error:
                wait = self._wait_before_retry(attempt, error, on_retry, assembler, unseen)
            await self._sleep(wait)
            number += 1

    async def _send_once(self, attempt: Attempt) -> Reply:
        with attempt.errors():
            async with _timeout(attempt.deadline), aclosing(await self._open(attempt)) as response:
                attempt.note_head(response)
                body = await _body(response, attempt)
            return attempt.reply(response, body)

    async def _open_in_time(self, attempt: Attempt) -> httpx2.Response:
        async with _timeout(attempt.deadline):
            return await self._open(attempt)

    async def _open(self, attempt: Attempt) -> httpx2.Response:
        http = await self._client()
        try:
            request = self._http_request(attempt, http)
            return await http.send(request, stream=True, follow_redirects=False)
        except RuntimeError as error:
            raise self._unusable(error) from error

    @property
    def _own_http(self) -> httpx2.AsyncClient | None:
        return self.options.http_async_client

    async def _client(self) -> httpx2.AsyncClient:
        if self._own_http is not None:
            return self._own_http
        loop, process = _running_loop(), os.getpid()
        opened = self._by_loop.get(loop)
        if opened is None or opened[0] != process:
            self._forget_closed_loops()
            # urllib and httpcore2 take long to import.
            from dashscope_oss.transport.http.connections import open_async_client  # noqa: PLC0415

            http = open_async_client(self.endpoint.base_url, self.options.max_connections)
            keeper = _until_loop_ends(http, ref(self._by_loop), ref(loop))
            opened = self._by_loop[loop] = (process, http, keeper)
            await anext(keeper)
        return opened[1]

    def _forget_closed_loops(self) -> None:
        # A loop that was closed without shutting its generators down left its clients here.
        # Other threads add and remove loops meanwhile: a list of keys is made in one step.
        for key in self._by_loop.keyrefs():
            loop = key()
            if loop is not None and loop.is_closed():
                self._by_loop.pop(loop, None)


async def _until_loop_ends(
    http: httpx2.AsyncClient, by_loop: ref[_ByLoop], of: ref[asyncio.AbstractEventLoop]
) -> AsyncGenerator[None, None]:
    """Close ``http`` when its loop shuts down its generators, or when nobody holds this one."""
    try:
        yield
    finally:
        clients, loop = by_loop(), of()
        if clients is not None and loop is not None:
            _, current, _ = clients.get(loop, (0, None, None))
            if current is http:  # after an aclose, another may be open by now
                clients.pop(loop, None)
        await http.aclose()


async def _body(response: httpx2.Response, attempt: Attempt) -> bytes:
    reader = ResponseBody(response, attempt.deadline)
    with reader.failures():
        refuse_explosive_encoding(response)
        async for chunk in response.aiter_bytes():
            if not reader.add(chunk):
                break
    return reader.body


async def _next_chunk(chunks: AsyncIterator[bytes], deadline: Deadline) -> bytes | None:
    async with _timeout(deadline):
        return await anext(chunks, None)


def _timeout(deadline: Deadline) -> AbstractAsyncContextManager[object]:
    import asyncio  # noqa: PLC0415

    left = deadline.left()
    return asyncio.timeout(None if left == float("inf") else left)


def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop()


async def _sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415

    await asyncio.sleep(seconds)
