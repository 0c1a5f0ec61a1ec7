"""What both transports need of httpcore2: its forms of requests and errors, packets, settings.

Import it late: httpcore2 loads slowly.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from importlib import import_module
from typing import TypedDict

import httpcore2
import httpx2

KEEPALIVE_SECONDS = 5.0
"""How long an idle connection is kept; httpx2's own choice."""
_PACKET_SIZE = 65_536
"""Bytes written at once; the time that is left is looked at before each write."""
_HEAD = b"POST "
"""How the head of a call begins when it is written; its body always follows."""

ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)
"""All that httpcore2 raises for what happens on a connection."""


class PoolSettings(TypedDict):
    """Settings that pools of both kinds, blocking and async, share."""

    ssl_context: ssl.SSLContext
    proxy: httpcore2.Proxy | None
    max_connections: int
    max_keepalive_connections: int
    keepalive_expiry: float


def pool_settings(
    tls: ssl.SSLContext, max_connections: int, proxy: httpx2.Proxy | None
) -> PoolSettings:
    """Return the settings of a pool that keeps as many connections as it opens.

    Raises:
        ImportError: if the proxy needs a package that is not installed.
    """
    return PoolSettings(
        ssl_context=tls,
        proxy=None if proxy is None else _core_proxy(proxy),
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


class Packets:
    """Cuts what is written to one connection into packets; a call's head waits for its body."""

    def __init__(self) -> None:
        self._head = b""

    def of(self, buffer: bytes) -> Iterator[bytes]:
        """Return what to write now."""
        if not self._head and buffer.startswith(_HEAD):
            self._head = buffer
            return
        buffer, self._head = self._head + buffer, b""
        for start in range(0, len(buffer), _PACKET_SIZE):
            yield buffer[start : start + _PACKET_SIZE]


def core_request(request: httpx2.Request) -> httpcore2.Request:
    """Return httpcore2's form of a request."""
    return httpcore2.Request(
        method=request.method,
        url=_core_url(request.url),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def httpx2_response(
    response: httpcore2.Response, body: httpx2.SyncByteStream | httpx2.AsyncByteStream
) -> httpx2.Response:
    """Return httpx2's form of an answer with this body."""
    return httpx2.Response(
        status_code=response.status,
        headers=response.headers,
        stream=body,
        extensions=response.extensions,
    )


def as_httpx2(error: Exception) -> httpx2.RequestError:
    """Return the error of httpx2 that has the name of httpcore2's."""
    kind: type[httpx2.RequestError] = getattr(httpx2, type(error).__name__)
    return kind(str(error))


def _core_proxy(proxy: httpx2.Proxy) -> httpcore2.Proxy:
    if proxy.url.scheme.startswith("socks"):
        import_module("socksio")  # httpcore2 would miss it only in the first call
    return httpcore2.Proxy(
        url=_core_url(proxy.url),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
        ssl_context=proxy.ssl_context,
    )


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
