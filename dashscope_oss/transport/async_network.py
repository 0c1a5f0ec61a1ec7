"""asyncio's transports as httpcore wants them, without a layer between.

httpcore reads through anyio, which costs a token of a slow stream twice what the wake-up itself
does; asyncio's own TLS keeps a quarter of a megabyte for each connection. Here what arrives is
kept as it comes, and a read that finds something never waits.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, cast

import httpcore

from dashscope_oss.transport.deadlines import wait_now
from dashscope_oss.transport.network import connecting

ROOM = 65_536
"""Bytes that one arrival can have."""
_ENOUGH = 4 * ROOM
"""Bytes that may wait for their reader before the sender is held back."""

_PATIENCE = 1.0
"""Seconds after which an address that does not answer gives way to the next of its host."""
_Address = tuple[Any, ...]


class AsyncStream(httpcore.AsyncNetworkStream, asyncio.BufferedProtocol):
    """A connection of an asyncio event loop.

    What is written is sent with the next read, or with an empty write, by which httpcore says
    that a request is complete.

    Args:
        room: takes each arrival; all connections of a loop may share one.
    """

    _transport: asyncio.Transport  # before all else, asyncio says that there is one

    def __init__(self, room: bytearray) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._arrived: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._full = False
        self._unsent: list[bytes] = []

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as httpcore has it
        """Return what has arrived, if its deadline has not passed; empty at the end."""
        if self._unsent:
            await self._send(timeout)
        seconds = wait_now(timeout, httpcore.ReadTimeout)
        while not self._arrived and not self._ended:
            await self._news(seconds, httpcore.ReadTimeout)
        if self._arrived:
            return self._take()
        if self._error is not None:
            raise httpcore.ReadError(self._error) from self._error
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as httpcore has it
        """Take what is to be sent; an empty one sends it."""
        if buffer:
            self._unsent.append(buffer)
        elif self._unsent:
            await self._send(timeout)

    async def aclose(self) -> None:
        """Close the connection; its loop closes the socket.

        It never waits: a loop that ends closes nested generators at once, and one that waits here
        would be found running by the other.
        """
        self.break_off()

    def break_off(self) -> None:
        """Close the connection without waiting; whoever reads or writes gets an error."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
    ) -> AsyncTLSStream:
        """Return the stream with TLS over it; close it if that fails."""
        stream = AsyncTLSStream(self, ssl_context, server_hostname)
        try:
            with connecting():
                async with asyncio.timeout(wait_now(timeout)):
                    await stream.handshake()
        except BaseException:
            await self.aclose()
            raise
        return stream

    def get_extra_info(self, info: str) -> bool:
        """Return whether it ``is_readable``, which an idle one must not be; all that is asked."""
        return info == "is_readable" and (bool(self._arrived) or self._ended)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to put what has come; it is copied before anything else runs."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Keep what has come, wake whoever waits for it, and hold the sender back if need be."""
        self._arrived.append(bytes(memoryview(self._room)[:nbytes]))
        self._unread += nbytes
        self._wake()
        if self._unread > _ENOUGH:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Note that nothing more comes; asyncio then closes the connection."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, and tell whoever waits."""
        self._ended = True
        self._error = exc
        self._full = False
        self._wake()

    def pause_writing(self) -> None:
        """Hold writes back: the other side does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Let writes go on."""
        self._full = False
        self._wake()

    # How it is done.

    def _take(self) -> bytes:
        found = self._arrived.popleft()  # never longer than what is asked for, ROOM
        held = self._unread > _ENOUGH
        self._unread -= len(found)
        if held and self._unread <= _ENOUGH and not self._ended:
            self._transport.resume_reading()
        return found

    async def _send(self, limit: float | None) -> None:
        data, self._unsent = b"".join(self._unsent), []
        self._transport.write(data)  # if nobody listens, an early refusal may be there to be read
        while self._full:
            await self._news(limit, httpcore.WriteTimeout)

    async def _news(self, limit: float | None, late: type[Exception]) -> None:
        """Wait until something arrives, can be written again, or ends."""
        news = self._waiting = self._loop.create_future()
        seconds = wait_now(limit, late)
        timer = None if seconds is None else self._loop.call_later(seconds, _expire, news, late)
        try:
            await news
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class AsyncTLSStream(httpcore.AsyncNetworkStream):
    """TLS over a connection."""

    def __init__(self, inner: AsyncStream, tls: ssl.SSLContext, host: str | None) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.aclose = inner.aclose  # type: ignore[method-assign]  # nothing to add
        self.break_off = inner.break_off

    async def handshake(self) -> None:
        """Agree with the other side on certificate and keys."""
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                await self._more(None)
            finally:  # a server is told what is wrong with its certificate, too
                await self._flush(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as httpcore has it
        """Return what has arrived; wait for it if nothing has. Empty at the end."""
        while True:
            try:
                return self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                await self._more(timeout)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""  # many servers end without saying so; HTTP knows if something lacks
            except ssl.SSLError as error:
                raise httpcore.ReadError(error) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as httpcore has it
        """Take what is to be sent; an empty one sends it."""
        if buffer:
            self._tls.write(buffer)
        else:
            await self._flush(timeout)

    def get_extra_info(self, info: str) -> bool:
        """Return whether it ``is_readable``, which an idle one must not be; all that is asked."""
        waiting = info == "is_readable" and self._incoming.pending > 0
        return waiting or self._inner.get_extra_info(info)

    async def _more(self, limit: float | None) -> None:
        await self._flush(limit)
        data = await self._inner.read(ROOM, limit)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self, limit: float | None) -> None:
        if self._outgoing.pending:
            await self._inner.write(self._outgoing.read(), limit)
            await self._inner.write(b"", limit)


class AsyncBackend:
    """A network backend of httpcore, as a route through a proxy has it, that keeps deadlines."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner
        self.sleep = inner.sleep

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> _AsyncPunctual:  # noqa: ANN401 - as httpcore has it
        """Connect."""
        return _AsyncPunctual(await self._inner.connect_tcp(*args, **kwargs))


class _AsyncPunctual:
    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self.aclose = inner.aclose
        self.get_extra_info = inner.get_extra_info

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as httpcore has it
        return await self._inner.read(max_bytes, wait_now(timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as httpcore has it
        await self._inner.write(buffer, wait_now(timeout, httpcore.WriteTimeout))

    async def start_tls(self, *args: Any, **kwargs: Any) -> _AsyncPunctual:  # noqa: ANN401 - as httpcore has it
        return _AsyncPunctual(await self._inner.start_tls(*args, **kwargs))


async def connect(
    host: str,
    port: int,
    timeout: float | None,  # noqa: ASYNC109 - as httpcore has it
    room: bytearray,
) -> AsyncStream:
    """Open a connection within ``timeout`` seconds; ``room`` may be shared by those of a loop.

    Raises:
        httpcore.ConnectTimeout: it took longer.
        httpcore.ConnectError: nobody listens there, or the name is unknown.
    """
    loop = asyncio.get_running_loop()
    with connecting():
        async with asyncio.timeout(wait_now(timeout)):
            sock = await _connected(await _addresses(host, port))
            _, stream = await loop.create_connection(lambda: AsyncStream(room), sock=sock)
    return stream


async def _addresses(host: str, port: int) -> Sequence[_Address]:
    if (known := _numeric(host, port)) is not None:
        return [known]  # nobody needs to be asked
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _numeric(host: str, port: int) -> _Address | None:
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    # Without the protocol asyncio would leave Nagle's delay on.
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


async def _connected(addresses: Sequence[_Address]) -> socket.socket:
    """Try each in turn. asyncio's own race between them loses a socket when it is cancelled."""
    for address in addresses[:-1]:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await _to(address)
        except OSError:
            continue
    return await _to(addresses[-1])


async def _to(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _expire(waiting: asyncio.Future[None], late: type[Exception]) -> None:
    if not waiting.done():
        waiting.set_exception(late())
