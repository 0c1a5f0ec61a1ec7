"""The transport of asyncio calls: see :mod:`.deadline_transport`, whose twin it is.

Each wait for bytes has a limit of its own in httpcore2 anyhow, so that to keep the deadline there
costs nothing; a second limit around each piece of an answer would.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from functools import partial
from typing import Any, Protocol, cast

import httpcore2
import httpx2

from dashscope_oss.transport.http.connection_queue import ConnectionQueue
from dashscope_oss.transport.http.deadlines import seconds_left
from dashscope_oss.transport.http.httpcore_form import (
    ERRORS,
    KEEPALIVE_SECONDS,
    Packets,
    as_httpx2,
    core_request,
    httpx2_response,
    pool_settings,
)

_EXPIRED = float("-inf")


class AsyncDeadlineTransport(httpx2.MockTransport):
    """Sends requests over connections of httpcore2 and ends them by their deadline.

    Callers wait for their turn in :attr:`connection_queue`. Each connection is in a pool of its
    own: a pool of a hundred looks at all of them when a call begins and when it ends, which costs
    more than the rest of the call.

    Args:
        tls: what decides whom to trust.
        max_connections: connections open at once.
        proxy: the proxy that leads to the service, if there is one.
    """

    def __init__(
        self, tls: ssl.SSLContext, max_connections: int, proxy: httpx2.Proxy | None = None
    ) -> None:
        super().__init__(self._send)
        self.connection_queue = ConnectionQueue(max_connections)
        self._backend = _DeadlineBackend()
        self._pool_settings = pool_settings(tls, 1, proxy)
        self._busy: set[httpcore2.AsyncConnectionPool] = set()
        self._idle: deque[tuple[httpcore2.AsyncConnectionPool, float]] = deque()

    async def aclose(self) -> None:
        """Close all connections; whatever is sent later raises ``RuntimeError``."""
        self._backend.is_closed = True
        while self._idle:
            await self._idle.pop()[0].aclose()
        while self._busy:
            await self._busy.pop().aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        await self._close_expired()
        if self._backend.is_closed:
            raise _closed()
        pool = self._take_pool()
        try:
            response = await pool.handle_async_request(core_request(request))
        except BaseException as error:
            # Never used again: httpcore2 counts a connection whose TLS greeting failed inside the
            # tunnel of a proxy as busy for ever.
            self._busy.discard(pool)
            await pool.aclose()
            if isinstance(error, ERRORS):
                raise as_httpx2(error) from error
            raise
        return httpx2_response(response, _ResponseBody(response, partial(self._put_back, pool)))

    async def _close_expired(self) -> None:
        oldest = time.monotonic() - KEEPALIVE_SECONDS
        while self._idle and self._idle[0][1] < oldest:
            await self._idle.popleft()[0].aclose()

    def _take_pool(self) -> httpcore2.AsyncConnectionPool:
        # The one that was used last, so that those that are not needed expire.
        if self._idle:
            pool, _ = self._idle.pop()
        else:
            pool = httpcore2.AsyncConnectionPool(
                network_backend=self._backend, **self._pool_settings
            )
        self._busy.add(pool)
        return pool

    def _put_back(self, pool: httpcore2.AsyncConnectionPool, *, is_usable: bool) -> None:
        if pool in self._busy:  # else it was closed
            self._busy.remove(pool)
            if is_usable:
                self._idle.append((pool, time.monotonic()))
            else:
                self._idle.appendleft((pool, _EXPIRED))


def _closed() -> RuntimeError:
    return RuntimeError("its connections are closed")


class _PutBack(Protocol):
    def __call__(self, *, is_usable: bool) -> None: ...


class _ResponseBody(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response, put_back: _PutBack) -> None:
        self._response = response
        self._put_back = put_back
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in cast("AsyncIterable[bytes]", self._response.stream):
                yield chunk
        except ERRORS as error:
            raise as_httpx2(error) from error

    async def aclose(self) -> None:
        if self._is_closed:  # its pool may serve another call by now
            return
        self._is_closed = True
        is_usable = False
        try:
            await self._response.aclose()
            is_usable = True
        finally:
            self._put_back(is_usable=is_usable)  # its pool still counts a call that was cancelled


class _DeadlineBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections whose reads and writes keep the deadline of their call.

    After it is closed, nothing is sent any more by calls that were waiting for a connection.
    """

    def __init__(self) -> None:
        self._sockets = httpcore2.AnyIOBackend()
        self.is_closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        left = seconds_left(timeout, httpcore2.ConnectTimeout)
        return _DeadlineStream(
            await self._sockets.connect_tcp(host, port, left, local_address, socket_options),
            self,
        )


class _DeadlineStream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream, backend: _DeadlineBackend) -> None:
        self._stream = stream
        self._backend = backend
        self._packets = Packets()
        self.aclose = stream.aclose  # type: ignore[method-assign]  # the same, one call less
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> Coroutine[Any, Any, bytes]:
        return self._stream.read(max_bytes, seconds_left(timeout, httpcore2.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore2's
        if self._backend.is_closed:
            raise _closed()
        for packet in self._packets.of(buffer):
            await self._stream.write(packet, seconds_left(timeout, httpcore2.WriteTimeout))

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's
    ) -> httpcore2.AsyncNetworkStream:
        try:
            left = seconds_left(timeout, httpcore2.ConnectTimeout)
            return _DeadlineStream(
                await self._stream.start_tls(ssl_context, server_hostname, left), self._backend
            )
        except BaseException:  # nobody else closes it if the call was cancelled
            await self.aclose()
            raise
