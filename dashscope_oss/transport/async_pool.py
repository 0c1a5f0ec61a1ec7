"""The pool of ``pool`` for the tasks of an asyncio event loop, and the httpx client over it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from dashscope_oss.transport import async_network
from dashscope_oss.transport.pool import (
    BROKEN,
    IDLE_SECONDS,
    Lines,
    all_in_use,
    arrived,
    composed,
    keep_deadlines,
    limit_of,
    was_closed,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


class _AsyncLine(httpcore.AsyncHTTP11Connection):
    """A connection, with a way to end it from outside and without waiting."""

    def __init__(
        self,
        origin: httpcore.Origin,
        stream: async_network.AsyncStream | async_network.AsyncTLSStream,
    ) -> None:
        super().__init__(origin, stream, IDLE_SECONDS)
        self.break_off = stream.break_off
        # Only one task has it at a time, and httpcore's lock costs a turn of the loop each time.
        self._state_lock = nullcontext()  # type: ignore[assignment]

    def is_available(self) -> bool:
        """Whether another call may use it; see ``pool``."""
        return super().is_available() and not self._h11_state.trailing_data[0]

    async def _receive_response_body(self, request: httpcore.Request) -> AsyncIterator[bytes]:
        limit = limit_of(request, "read")
        for piece in arrived(self._h11_state):
            if piece is None:
                data = await self._network_stream.read(self.READ_NUM_BYTES, limit)
                self._h11_state.receive_data(data)
            else:
                yield piece


class AsyncPool:
    """At most ``size`` connections for the tasks of one asyncio event loop, in order of arrival."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        self._tls = tls
        self._size = self._free = size
        self._room = bytearray(async_network.ROOM)
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._lines: Lines[_AsyncLine] = Lines()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; see ``Pool.handle_request``."""
        if self._free:
            self._free -= 1
        else:
            await self._turn(limit_of(request, "pool"))
        try:
            return await self._exchange(request)
        except BaseException:
            self._leave()
            raise

    async def aclose(self) -> None:
        """Close the connections; answers under way break off."""
        idle, busy = self._lines.end()
        for line in busy:
            line.break_off()
        for line in idle:
            line.break_off()
        await asyncio.sleep(0)  # the loop closes their sockets

    def put(self, line: _AsyncLine) -> None:
        """Take back a connection whose answer is closed, and let the next caller in."""
        self._drop(line)
        self._leave()

    async def _exchange(self, request: httpcore.Request) -> httpcore.Response:
        while (line := self._lines.take()) is not None:
            if line.can_handle_request(request.url.origin) and not line.has_expired():
                asked = time.monotonic()
                try:
                    return await self._send(line, request)
                except BROKEN as error:
                    if not was_closed(error, asked):
                        raise
                    break
            line.break_off()
            self._lines.busy.discard(line)
        return await self._send(await self._open(request), request)

    async def _send(self, line: _AsyncLine, request: httpcore.Request) -> httpcore.Response:
        try:
            response = await line.handle_async_request(request)
        except BaseException:
            self._drop(line)
            raise
        response.stream = _AsyncBody(response.stream, line, self)
        return response

    async def _open(self, request: httpcore.Request) -> _AsyncLine:
        origin, limit = request.url.origin, limit_of(request, "connect")
        host = origin.host.decode("ascii")
        plain = await async_network.connect(host, origin.port, limit, self._room)
        over_tls = origin.scheme == b"https"
        line = _AsyncLine(
            origin, await plain.start_tls(self._tls, host, limit) if over_tls else plain
        )
        self._lines.busy.add(line)
        return line

    def _drop(self, line: _AsyncLine) -> None:
        dead = self._lines.put(line)
        if dead is not None:
            dead.break_off()

    async def _turn(self, limit: float | None) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._queue[turn] = None
        timer = None if limit is None else loop.call_later(limit, self._late, turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()  # it was this one's turn, and it was cancelled before it knew
            self._queue.pop(turn, None)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _late(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            turn.set_exception(all_in_use(self._size))

    def _leave(self) -> None:
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class _AsyncBody:
    """An answer's body; the connection goes back to its pool when it is closed."""

    def __init__(self, stream: Any, line: _AsyncLine, pool: AsyncPool) -> None:  # noqa: ANN401 - httpcore's
        self._stream = stream
        self._line = line
        self._pool: AsyncPool | None = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        found: AsyncIterator[bytes] = self._stream.__aiter__()
        return found

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await self._stream.aclose()
            finally:  # cancelled too: then it is not idle, and is closed at once
                pool.put(self._line)


class AsyncPooledClient(httpx.AsyncClient):
    """An httpx client for one address and one asyncio event loop; see ``PooledClient``."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        self._direct = httpx.AsyncHTTPTransport(verify=tls)
        self._direct._pool = AsyncPool(tls, size)  # type: ignore[assignment]  # noqa: SLF001
        super().__init__(verify=tls, limits=limits)
        keep_deadlines(self, async_network.AsyncBackend)

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:  # noqa: ANN401 - httpx's
        """Make a request; see httpx."""
        found = composed(self, method, url, **more)
        return super().build_request(method, url, **more) if found is None else found

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        **more: Any,  # noqa: ANN401 - httpx's
    ) -> httpx.Response:
        """Send a request; see httpx."""
        if self.is_closed or not stream:
            return await super().send(request, stream=stream, **more)
        try:
            response = await self._transport_for_url(request.url).handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        response.request = request
        return response

    def _init_transport(self, *_: Any, **__: Any) -> httpx.AsyncBaseTransport:  # noqa: ANN401 - httpx's
        return self._direct
