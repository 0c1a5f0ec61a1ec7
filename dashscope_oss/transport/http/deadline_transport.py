"""The transport of blocking calls: httpcore2's pool, whose reads and writes keep a deadline.

It stands on httpcore2's documented ``NetworkBackend``. Import it late: httpcore2 loads slowly.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import cast

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


class DeadlineTransport(httpx2.MockTransport):
    """Sends requests through a pool of httpcore2 and ends them by their deadline.

    A ``MockTransport`` hands requests to a function. Being one keeps it visible to tools that
    replace httpx2's transports, such as vcrpy.

    Args:
        tls: what decides whom to trust.
        max_connections: connections open at once.
        proxy: the proxy that leads to the service, if there is one.
    """

    def __init__(
        self, tls: ssl.SSLContext, max_connections: int, proxy: httpx2.Proxy | None = None
    ) -> None:
        super().__init__(self._send)
        pool = httpcore2.ConnectionPool if proxy is None else _ProxiedPool
        self._backend = _DeadlineBackend()
        self._pool = pool(
            network_backend=self._backend, **pool_settings(tls, max_connections, proxy)
        )

    def close(self) -> None:
        """Close all connections; whatever is sent later raises ``RuntimeError``."""
        self._backend.is_closed = True
        self._pool.close()

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = self._pool.handle_request(core_request(request))
        except ERRORS as error:
            raise as_httpx2(error) from error
        return httpx2_response(response, _ResponseBody(response))


class _ResponseBody(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from cast("Iterable[bytes]", self._response.stream)
        except ERRORS as error:
            raise as_httpx2(error) from error

    def close(self) -> None:
        self._response.close()


class _ProxiedPool(httpcore2.ConnectionPool):
    """Closes a connection to a proxy when the first call through it fails.

    httpcore2 would count one whose TLS greeting failed inside the tunnel as busy for ever.
    """

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.ConnectionInterface:
        connection = super().create_connection(origin)
        send = connection.handle_request

        def send_first(request: httpcore2.Request) -> httpcore2.Response:
            try:
                response = send(request)
            except BaseException:
                connection.close()
                raise
            connection.handle_request = send  # type: ignore[method-assign]  # as it was
            return response

        connection.handle_request = send_first  # type: ignore[method-assign]  # until then
        return connection


class _DeadlineBackend(httpcore2.NetworkBackend):
    """Opens connections whose reads and writes keep the deadline of their call.

    After it is closed, nothing is sent any more by calls that were waiting for a connection.
    """

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()
        self.is_closed = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception | None = None
        for address in _addresses(host, port):
            left = seconds_left(timeout, httpcore2.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(
                    address, port, left, local_address, socket_options
                )
                return _DeadlineStream(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")


def _addresses(host: str, port: int) -> Iterable[str]:
    # Given a name, a socket would grant each of its addresses the whole limit.
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore2.ConnectError(error) from error
    return dict.fromkeys(str(place[0]) for *_, place in entries)


class _DeadlineStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, backend: _DeadlineBackend) -> None:
        self._stream = stream
        self._backend = backend
        self._packets = Packets()
        self.close = stream.close  # type: ignore[method-assign]  # the same, one call less
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, seconds_left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._backend.is_closed:
            raise RuntimeError("its connections are closed")
        for packet in self._packets.of(buffer):
            self._stream.write(packet, seconds_left(timeout, httpcore2.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            left = seconds_left(timeout, httpcore2.ConnectTimeout)
            return _DeadlineStream(
                self._stream.start_tls(ssl_context, server_hostname, left), self._backend
            )
        except BaseException:  # nobody else closes it if the deadline has passed
            self.close()
            raise
