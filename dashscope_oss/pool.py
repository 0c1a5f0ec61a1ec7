"""Connections to one address, kept between calls: a call costs the same however many there are.

httpcore's own pool looks at every request and every connection whenever a call begins or ends; with
1,000 calls at once that is nine tenths of the work. Here the newest idle connection is taken from
a stack, and who finds all in use waits in line. The pools stand behind httpx's own transports, so
that whatever looks into those (vcrpy) still works; a route through a proxy keeps httpx's pool.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import httpcore
import httpx

from dashscope_oss import network

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Iterable, Iterator

    from dashscope_oss import async_network

IDLE_SECONDS = 5.0
"""How long an idle connection is kept; httpx's own choice."""
_ROUND_TRIP = 2.0
"""Seconds in which a kept connection shows that the server had closed it meanwhile."""
_BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError)


class _Line(httpcore.HTTP11Connection):
    """A connection, with a way to end it from outside."""

    def __init__(self, origin: httpcore.Origin, stream: network.Stream) -> None:
        super().__init__(origin, stream, IDLE_SECONDS)
        self.break_off = stream.break_off

    def is_available(self) -> bool:
        """Whether another call may use it: what is left of one answer would begin the next."""
        return super().is_available() and not self._h11_state.trailing_data[0]


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
        """Whether another call may use it; see :class:`_Line`."""
        return super().is_available() and not self._h11_state.trailing_data[0]


L = TypeVar("L", _Line, _AsyncLine)


class _Lines(Generic[L]):
    """Which connections are idle, newest last, and which are in use. Decides; does no I/O."""

    def __init__(self) -> None:
        self.idle: deque[L] = deque()
        self.busy: set[L] = set()
        self.closed = False

    def take(self) -> L | None:
        """Return the newest idle connection; it is in use from now on."""
        if not self.idle:
            return None
        line = self.idle.pop()
        self.busy.add(line)
        return line

    def put(self, line: L) -> L | None:
        """Take a connection back; return one to close: it, or the oldest."""
        self.busy.discard(line)
        if self.closed or not line.is_available():
            return line
        self.idle.append(line)
        # Each one that comes back checks one, so that those at the bottom do not lie there dead.
        return self.idle.popleft() if self.idle[0].has_expired() else None

    def end(self) -> tuple[list[L], list[L]]:
        """Keep nothing from now on; return those that are idle and those in use."""
        self.closed = True
        idle = list(self.idle)
        self.idle.clear()
        return idle, list(self.busy)


class Pool:
    """At most ``size`` connections for any number of threads; who came first is served first."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        self._tls = tls
        self._size = self._free = size
        self._lock = threading.Lock()
        self._queue: OrderedDict[threading.Lock, None] = OrderedDict()
        self._lines: _Lines[_Line] = _Lines()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; its connection comes back when its answer is closed.

        Raises:
            httpcore.PoolTimeout: no connection became free in the time that the request allows.
        """
        self._enter(_limit(request, "pool"))
        try:
            return self._exchange(request)
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Close the connections; answers under way break off."""
        with self._lock:
            idle, busy = self._lines.end()
        for line in idle:
            line.close()
        for line in busy:
            line.break_off()

    def put(self, line: _Line) -> None:
        """Take back a connection whose answer is closed, and let the next caller in."""
        try:
            self._drop(line)
        finally:
            self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: httpcore.Request) -> httpcore.Response:
        while (line := self._take()) is not None:
            if line.can_handle_request(request.url.origin) and not line.has_expired():
                asked = time.monotonic()
                try:
                    return self._send(line, request)
                except _BROKEN as error:
                    if not _was_closed(error, asked):
                        raise
                    break
            line.close()
            self._drop(line)
        return self._send(self._open(request), request)

    def _send(self, line: _Line, request: httpcore.Request) -> httpcore.Response:
        try:
            response = line.handle_request(request)
        except BaseException:
            self._drop(line)
            raise
        response.stream = _Body(response.stream, line, self)
        return response

    def _open(self, request: httpcore.Request) -> _Line:
        origin, limit = request.url.origin, _limit(request, "connect")
        host = origin.host.decode("ascii")
        stream = network.connect(host, origin.port, limit)
        if origin.scheme == b"https":
            stream = stream.start_tls(self._tls, host, limit)
        line = _Line(origin, stream)
        with self._lock:
            self._lines.busy.add(line)
        return line

    def _take(self) -> _Line | None:
        with self._lock:
            return self._lines.take()

    def _drop(self, line: _Line) -> None:
        with self._lock:
            dead = self._lines.put(line)
        if dead is not None:
            dead.close()

    def _enter(self, limit: float | None) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._queue[turn] = None
        try:
            if turn.acquire(timeout=-1 if limit is None else limit):
                return
        except BaseException:  # a KeyboardInterrupt
            if not self._gave_up(turn):
                self._leave()
            raise
        if self._gave_up(turn):
            raise _full(self._size)

    def _gave_up(self, turn: threading.Lock) -> bool:
        """Leave the queue; false if it was this one's turn already."""
        with self._lock:
            return self._queue.pop(turn, turn) is None

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popitem(last=False)[0].release()
            else:
                self._free += 1


class _Body:
    """An answer's body; the connection goes back to its pool when it is closed."""

    def __init__(self, stream: Any, line: _Line, pool: Pool) -> None:  # noqa: ANN401 - httpcore's
        self._stream = stream
        self._line = line
        self._pool: Pool | None = pool

    def __iter__(self) -> Iterator[bytes]:
        found: Iterator[bytes] = iter(self._stream)
        return found

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                self._stream.close()
            finally:
                pool.put(self._line)


class AsyncPool:
    """At most ``size`` connections for the tasks of one asyncio event loop, in order of arrival."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        from dashscope_oss import async_network  # noqa: PLC0415 - asyncio takes long to import

        self._network = async_network
        self._tls = tls
        self._size = self._free = size
        self._room = bytearray(async_network.ROOM)
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._lines: _Lines[_AsyncLine] = _Lines()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; see :meth:`Pool.handle_request`."""
        if self._free:
            self._free -= 1
        else:
            await self._turn(_limit(request, "pool"))
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
        await self._network.loop_turn()

    def put(self, line: _AsyncLine) -> None:
        """Take back a connection whose answer is closed, and let the next caller in."""
        self._drop(line)
        self._leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _exchange(self, request: httpcore.Request) -> httpcore.Response:
        while (line := self._lines.take()) is not None:
            if line.can_handle_request(request.url.origin) and not line.has_expired():
                asked = time.monotonic()
                try:
                    return await self._send(line, request)
                except _BROKEN as error:
                    if not _was_closed(error, asked):
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
        origin, limit = request.url.origin, _limit(request, "connect")
        host = origin.host.decode("ascii")
        plain = await self._network.connect(host, origin.port, limit, self._room)
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
        turn = self._network.future()
        self._queue[turn] = None
        timer = None if limit is None else turn.get_loop().call_later(limit, self._late, turn)
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
            turn.set_exception(_full(self._size))

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


class _Transport(httpx.HTTPTransport):
    def __init__(self, pool: Pool, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls)
        self._pool = pool  # type: ignore[assignment]  # has all that the transport asks of it


class _AsyncTransport(httpx.AsyncHTTPTransport):
    def __init__(self, pool: AsyncPool, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls)
        self._pool = pool  # type: ignore[assignment]  # has all that the transport asks of it


class PooledClient(httpx.Client):
    """An httpx client for calls to one address.

    What is sent with ``stream=True`` goes to the transport at once: without cookies, redirects,
    authentication and hooks, which the service has no use for and which cost a third of a call.

    Args:
        tls: what to trust.
        size: most connections at once.
    """

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        # As many kept as allowed: httpx closes every idle connection once there are more.
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        self._direct = _Transport(Pool(tls, size), tls)
        super().__init__(verify=tls, limits=limits)
        _keep_deadlines(self, network.Backend)

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:  # noqa: ANN401 - httpx's
        """Make a request; see httpx."""
        found = _composed(self, method, url, **more)
        return super().build_request(method, url, **more) if found is None else found

    def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Send a request; see httpx."""
        if self.is_closed or not stream:
            return super().send(request, stream=stream, **more)
        try:
            response = self._transport_for_url(request.url).handle_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        response.request = request
        return response

    # Not given as `transport`, with which httpx no longer looks for proxies.
    def _init_transport(self, *_: Any, **__: Any) -> httpx.BaseTransport:  # noqa: ANN401 - httpx's
        return self._direct


class AsyncPooledClient(httpx.AsyncClient):
    """An httpx client for one address and one asyncio event loop; see :class:`PooledClient`."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size)
        from dashscope_oss.async_network import AsyncBackend  # noqa: PLC0415 - as above

        self._direct = _AsyncTransport(AsyncPool(tls, size), tls)
        super().__init__(verify=tls, limits=limits)
        _keep_deadlines(self, AsyncBackend)

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:  # noqa: ANN401 - httpx's
        """Make a request; see httpx."""
        found = _composed(self, method, url, **more)
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


def _keep_deadlines(http: httpx.Client | httpx.AsyncClient, backend: type[Any]) -> None:
    """Make connections through proxies keep deadlines; httpx has no argument for it."""
    proxied: Iterable[Any] = http._mounts.values()  # noqa: SLF001
    for pool in (transport._pool for transport in proxied if transport):  # noqa: SLF001
        pool._network_backend = backend(pool._network_backend)  # noqa: SLF001


_parsed = lru_cache(maxsize=32)(httpx.URL)
_STANDING = ("Accept-Encoding", "Connection")
_OF_HTTP = frozenset(("host", "content-length", "transfer-encoding", *map(str.lower, _STANDING)))


def _composed(
    http: httpx.Client | httpx.AsyncClient,
    method: str,
    url: httpx.URL | str,
    *,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
    **more: object,
) -> httpx.Request | None:
    """Return the request that httpx would make, in a third of the time; ``None`` if it must."""
    if more or content is None or headers is None or timeout is None:
        return None
    if not _OF_HTTP.isdisjoint(map(str.lower, headers)):
        return None
    target = _parsed(url)
    return httpx.Request(
        method,
        target,
        headers={
            "Host": target.netloc.decode("ascii"),
            **{name: http.headers[name] for name in _STANDING},
            **headers,
            "Content-Length": str(len(content)),
        },
        stream=httpx.ByteStream(content),
        extensions={"timeout": timeout.as_dict()},
    )


def _limit(request: httpcore.Request, step: str) -> float | None:
    found: float | None = request.extensions.get("timeout", {}).get(step)
    return found


def _was_closed(error: Exception, asked: float) -> bool:
    """Whether a kept connection broke because the server had closed it before it was used.

    Nobody has read the request then. What has a cause of h11 was an answer, if no good one.
    """
    answered = isinstance(error, httpcore.RemoteProtocolError) and error.__cause__ is not None
    return not answered and time.monotonic() - asked < _ROUND_TRIP


def _full(size: int) -> httpcore.PoolTimeout:
    return httpcore.PoolTimeout(f"all {size} connections are in use")
