"""Blocking sockets as httpcore wants them, with fewer system calls.

httpcore's own stream sets its time limit before every read, and sends head and body apart. Here a
limit is set when it changes, and a request goes out in one piece. Deadlines of calls are kept.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.transport.deadlines import wait_now

_PIECE = 65_536
"""Bytes that are written at once: a limit counts for each part that the system takes."""


class Stream(httpcore.NetworkStream):
    """A connected socket.

    What is written is sent with the next read, or with an empty write, by which httpcore says
    that a request is complete.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._limit = sock.gettimeout()
        self._unsent: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, if its deadline has not passed; empty at the end."""
        if self._unsent:
            with suppress(httpcore.WriteError):  # an early refusal may be there to be read
                self._send(timeout)
        try:
            self._allow(timeout)
            return self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(error) from error
        except OSError as error:
            raise httpcore.ReadError(error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take what is to be sent; an empty one sends it."""
        if buffer:
            self._unsent.append(buffer)
        elif self._unsent:
            self._send(timeout)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def break_off(self) -> None:
        """Fail the read or write that another thread is in, which then closes the connection."""
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # TLS has no say in this

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Return the stream with TLS over it; close it if that fails."""
        try:
            with connecting():
                self._allow(timeout)
                return Stream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> bool:
        """Return whether it ``is_readable``, which an idle one must not be; all that is asked."""
        return info == "is_readable" and (self._sock.fileno() < 0 or _readable(self._sock))

    def _send(self, timeout: float | None) -> None:
        data, self._unsent = b"".join(self._unsent), []
        try:
            for start in range(0, len(data), _PIECE):
                self._allow(timeout)
                self._sock.sendall(data[start : start + _PIECE])
        except TimeoutError as error:
            raise httpcore.WriteTimeout(error) from error
        except OSError as error:
            raise httpcore.WriteError(error) from error

    def _allow(self, timeout: float | None) -> None:
        limit = wait_now(timeout)
        if limit != self._limit:
            self._sock.settimeout(limit)
            self._limit = limit


def connect(host: str, port: int, timeout: float | None) -> Stream:
    """Open a connection, within ``timeout`` seconds for each address of the host.

    Raises:
        httpcore.ConnectTimeout: it took longer.
        httpcore.ConnectError: nobody listens there, or the name is unknown.
    """
    with connecting():
        sock = socket.create_connection((host, port), wait_now(timeout))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Stream(sock)


def trusted() -> ssl.SSLContext:
    """Return what decides whom to trust: httpx's authorities, or those of the environment.

    Raises:
        ConfigurationError: those that the environment names cannot be read.
    """
    return _loaded(*map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))


@lru_cache(maxsize=4)
def _loaded(*_authorities: str | None) -> ssl.SSLContext:
    # Loading the authorities costs tens of milliseconds; once a process is enough.
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigurationError(
            f"the authorities that SSL_CERT_FILE or SSL_CERT_DIR name cannot be read: {error}"
        ) from error


class Backend:
    """A network backend of httpcore, as a route through a proxy has it, that keeps deadlines."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner
        self.sleep = inner.sleep

    def connect_tcp(self, *args: Any, **kwargs: Any) -> _Punctual:  # noqa: ANN401 - as httpcore has it
        """Connect."""
        return _Punctual(self._inner.connect_tcp(*args, **kwargs))


class _Punctual:
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self.close = inner.close
        self.get_extra_info = inner.get_extra_info

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, wait_now(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            piece = buffer[start : start + _PIECE]
            self._inner.write(piece, wait_now(timeout, httpcore.WriteTimeout))

    def start_tls(self, *args: Any, **kwargs: Any) -> _Punctual:  # noqa: ANN401 - as httpcore has it
        return _Punctual(self._inner.start_tls(*args, **kwargs))


@contextmanager
def connecting() -> Iterator[None]:
    """Turn what goes wrong while connecting into httpcore's errors."""
    try:
        yield
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise httpcore.ConnectTimeout(error) from error
    except (OSError, httpcore.NetworkError) as error:
        raise httpcore.ConnectError(error) from error


def _readable(sock: socket.socket) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])  # pragma: no cover - Windows
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
