"""The transport of asyncio calls: see :mod:`.deadline_transport`, whose twin it is.

Each wait for bytes has a limit of its own in httpcore2 anyhow, so that to keep the deadline there
costs nothing; a second limit around each piece of an answer would.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from typing import Any, cast

import httpcore2
import httpx2

from dashscope_oss.transport.http.deadlines import seconds_left
from dashscope_oss.transport.http.httpcore_form import (
    ERRORS,
    Packets,
    as_httpx2,
    core_request,
    httpx2_response,
    pool_settings,
)


class AsyncDeadlineTransport(httpx2.MockTransport):
    """Sends requests through a pool of httpcore2 and ends them by their deadline.

    Args:
        tls: what decides whom to trust.
        max_connections: connections open at once.
        proxy: the proxy that leads to the service, if there is one.
    """

    def __init__(
        self, tls: ssl.SSLContext, max_connections: int, proxy: httpx2.Proxy | None = None
    ) -> None:
        super().__init__(self._send)
        pool = httpcore2.AsyncConnectionPool if proxy is None else _ProxiedPool
        self._backend = _DeadlineBackend()
        self._pool = pool(
            network_backend=self._backend, **pool_settings(tls, max_connections, proxy)
        )

    async def aclose(self) -> None:
        """Close all connections; whatever is sent later raises ``RuntimeError``."""
        self._backend.is_closed = True
        await self._pool.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._pool.handle_async_request(core_request(request))
        except ERRORS as error:
            raise as_httpx2(error, request) from error
        return httpx2_response(response, _ResponseBody(response, request))


class _ResponseBody(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response, request: httpx2.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in cast("AsyncIterable[bytes]", self._response.stream):
                yield chunk
        except ERRORS as error:
            raise as_httpx2(error, self._request) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class _ProxiedPool(httpcore2.AsyncConnectionPool):
    """Closes a connection to a proxy when the first call through it fails.

    httpcore2 would count one whose TLS greeting failed inside the tunnel as busy for ever.
    """

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        connection = super().create_connection(origin)
        send = connection.handle_async_request

        async def send_first(request: httpcore2.Request) -> httpcore2.Response:
            try:
                response = await send(request)
            except BaseException:
                await connection.aclose()
                raise
            connection.handle_async_request = send  # type: ignore[method-assign]  # as it was
            return response

        connection.handle_async_request = send_first  # type: ignore[method-assign]  # until then
        return connection


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
            raise RuntimeError("its connections are closed")
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
