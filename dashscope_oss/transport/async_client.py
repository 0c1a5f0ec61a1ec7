"""Calls that do not block: the client for asyncio, over one httpx2 transport an event loop.

asyncio is imported by the functions that need it: it takes long to import, and whoever only makes
blocking calls never needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, nullcontext
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
from dashscope_oss.transport.http_errors import error_of_response
from dashscope_oss.transport.options import ClientOptions, OnRetry

if TYPE_CHECKING:
    import asyncio

    from dashscope_oss.transport.http.async_deadline_transport import AsyncDeadlineTransport
    from dashscope_oss.transport.http.connection_queue import ConnectionQueue

_Http: TypeAlias = httpx2.AsyncClient | httpx2.AsyncBaseTransport
_Opened: TypeAlias = "tuple[int, AsyncDeadlineTransport, AsyncGenerator[None, None]]"
_NO_LIMIT: AbstractAsyncContextManager[None] = nullcontext()
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

    async def __aexit__(self, *_: object) -> None:
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
                with attempt.errors(assembler), await self._turn(attempt) as http:
                    async with aclosing(await self._open_in_time(attempt, http)) as response:
                        attempt.begin_stream(assembler)
                        if not attempt.is_success:
                            async with self._limit(attempt):
                                body = await self._body(response, attempt).aread()
                            raise error_of_response(response, body, attempt.model)
                        async for chunk in self._body(response, attempt).achunks_in_time():
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
            with await self._turn(attempt) as http:
                async with (
                    self._limit(attempt),
                    aclosing(await self._open(attempt, http)) as answer,
                ):
                    body = await self._body(answer, attempt).aread()
            return attempt.reply(answer, body)

    async def _turn(self, attempt: Attempt) -> AbstractContextManager[_Http]:
        """Wait until a connection may be used; the context is what to make the call with."""
        own = self._own_http
        direct: httpx2.AsyncBaseTransport | None = getattr(own, "direct_transport", None)
        http = direct or own or self._opened() or await self._open_transport()
        queue: ConnectionQueue | None = getattr(http, "connection_queue", None)
        if queue is None:
            return nullcontext(http)
        try:
            return await queue.turn(http, lambda: attempt.deadline.cap(attempt.limits.pool))
        except RuntimeError as error:
            raise self._unusable(error) from error

    async def _open_in_time(self, attempt: Attempt, http: _Http) -> httpx2.Response:
        async with self._limit(attempt):
            return await self._open(attempt, http)

    async def _open(self, attempt: Attempt, http: _Http) -> httpx2.Response:
        """Send a try; return its answer, of which the head has arrived."""
        try:
            if isinstance(http, httpx2.AsyncClient):
                request = self._request_by(http, attempt)
                response = await http.send(request, stream=True, follow_redirects=False)
            else:
                request = attempt.http_request()
                response = await http.handle_async_request(request)
        except RuntimeError as error:
            raise self._unusable(error) from error
        attempt.note_head(response, is_raw=not isinstance(http, httpx2.AsyncClient))
        return response

    def _limit(self, attempt: Attempt) -> AbstractAsyncContextManager[object]:
        """Limit a call of a client of the user's; our transport's reads and writes have a limit."""
        return _NO_LIMIT if self._own_http is None else attempt.deadline.asyncio_timeout()

    @property
    def _own_http(self) -> httpx2.AsyncClient | None:
        return self.options.http_async_client

    def _opened(self) -> AsyncDeadlineTransport | None:
        opened = self._by_loop.get(_running_loop())
        return opened[1] if opened is not None and opened[0] == os.getpid() else None

    async def _open_transport(self) -> AsyncDeadlineTransport:
        # urllib and httpcore2 take long to import.
        from dashscope_oss.transport.http.connections import open_async_transport  # noqa: PLC0415

        self._forget_closed_loops()
        loop = _running_loop()
        transport = open_async_transport(self.endpoint.base_url, self.options.max_connections)
        keeper = _until_loop_ends(transport, ref(self._by_loop), ref(loop))
        self._by_loop[loop] = (os.getpid(), transport, keeper)
        # A loop that nest_asyncio runs ends no generator in order: Python would show an error of
        # one that has begun.
        if sys.get_asyncgen_hooks().finalizer is not None:
            await anext(keeper)
        return transport

    def _forget_closed_loops(self) -> None:
        # A loop that was closed without shutting its generators down left its transport here.
        # Other threads add and remove loops meanwhile: a list of keys is made in one step.
        for key in self._by_loop.keyrefs():
            loop = key()
            if loop is not None and loop.is_closed():
                self._by_loop.pop(loop, None)


async def _until_loop_ends(
    transport: httpx2.AsyncBaseTransport,
    by_loop: ref[_ByLoop],
    of: ref[asyncio.AbstractEventLoop],
) -> AsyncGenerator[None, None]:
    """Close ``transport`` when its loop shuts down its generators, or nobody holds this one."""
    try:
        yield
    finally:
        transports, loop = by_loop(), of()
        if transports is not None and loop is not None:
            _, current, _ = transports.get(loop, (0, None, None))
            if current is transport:  # after an aclose, another may be open by now
                transports.pop(loop, None)
        await transport.aclose()


def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop()


async def _sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415

    await asyncio.sleep(seconds)
