"""Connections to one address, kept between calls: a call costs the same however many there are.

httpcore's own pool looks at every request and every connection whenever a call begins or ends; with
1,000 calls at once that is nine tenths of the work. Here the newest idle connection is taken from
a stack, and who finds all in use waits in line. The pools stand behind httpx's own transports, so
that whatever looks into those (vcrpy) still works; a route through a proxy keeps httpx's pool.

This module has what both pools share, and the one for threads; ``async_pool`` has that for tasks.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import h11
import httpcore
import httpx

from dashscope_oss.transport import network

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

IDLE_SECONDS = 5.0
"""How long an idle connection is kept; httpx's own choice."""
BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError)
"""How a call on a connection fails that the server has closed."""
_ROUND_TRIP = 2.0
"""Seconds in which a kept connection shows that the server had closed it meanwhile."""

L = TypeVar("L", bound=httpcore.ConnectionInterface | httpcore.AsyncConnectionInterface)


class Lines(Generic[L]):
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


def arrived(state: h11.Connection) -> Iterator[bytes | None]:
    """Yield what of an answer's body has come, and ``None`` where more has to be read first.

    httpcore hands on each part as the server cut it, and an event of a stream is a part of its
    own; here all that one read brought comes in one piece.

    Raises:
        httpcore.RemoteProtocolError: the answer is no HTTP, or broke off.
    """
    parts: list[bytes] = []
    while True:
        try:
            event = state.next_event()
        except h11.RemoteProtocolError as error:
            if parts:
                yield b"".join(parts)
            raise httpcore.RemoteProtocolError(error) from error
        if isinstance(event, h11.Data):
            parts.append(event.data)
            continue
        if parts:
            yield b"".join(parts)
            parts.clear()
        if event is not h11.NEED_DATA:
            return
        yield None


class _Line(httpcore.HTTP11Connection):
    """A connection, with a way to end it from outside."""

    def __init__(self, origin: httpcore.Origin, stream: network.Stream) -> None:
        super().__init__(origin, stream, IDLE_SECONDS)
        self.break_off = stream.break_off

    def is_available(self) -> bool:
        """Whether another call may use it: what is left of one answer would begin the next."""
        return super().is_available() and not self._h11_state.trailing_data[0]

    def _receive_response_body(self, request: httpcore.Request) -> Iterator[bytes]:
        limit = limit_of(request, "read")
        for piece in arrived(self._h11_state):
            if piece is None:
                data = self._network_stream.read(self.READ_NUM_BYTES, limit)
                self._h11_state.receive_data(data)
            else:
                yield piece


class Pool:
    """At most ``size`` connections for any number of threads; who came first is served first."""

    def __init__(self, tls: ssl.SSLContext, size: int) -> None:
        self._tls = tls
        self._size = self._free = size
        self._lock = threading.Lock()
        self._queue: OrderedDict[threading.Lock, None] = OrderedDict()
        self._lines: Lines[_Line] = Lines()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; its connection comes back when its answer is closed.

        Raises:
            httpcore.PoolTimeout: no connection became free in the time that the request allows.
        """
        self._enter(limit_of(request, "pool"))
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

    def _exchange(self, request: httpcore.Request) -> httpcore.Response:
        while (line := self._take()) is not None:
            if line.can_handle_request(request.url.origin) and not line.has_expired():
                asked = time.monotonic()
                try:
                    return self._send(line, request)
                except BROKEN as error:
                    if not was_closed(error, asked):
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
        origin, limit = request.url.origin, limit_of(request, "connect")
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
            raise all_in_use(self._size)

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
        self._direct = httpx.HTTPTransport(verify=tls)
        self._direct._pool = Pool(tls, size)  # type: ignore[assignment]  # all that it asks of one  # noqa: SLF001
        super().__init__(verify=tls, limits=limits)
        keep_deadlines(self, network.Backend)

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:  # noqa: ANN401 - httpx's
        """Make a request; see httpx."""
        found = composed(self, method, url, **more)
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


def keep_deadlines(http: httpx.Client | httpx.AsyncClient, backend: type[Any]) -> None:
    """Make connections through proxies keep deadlines; httpx has no argument for it."""
    proxied: Iterable[Any] = http._mounts.values()  # noqa: SLF001
    for pool in (transport._pool for transport in proxied if transport):  # noqa: SLF001
        pool._network_backend = backend(pool._network_backend)  # noqa: SLF001


_parsed = lru_cache(maxsize=32)(httpx.URL)
_STANDING = ("Accept-Encoding", "Connection")
_OF_HTTP = frozenset(("host", "content-length", "transfer-encoding", "connection"))


def composed(
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
    said = {name.lower() for name in headers}
    if not _OF_HTTP.isdisjoint(said):
        return None
    target = _parsed(url)
    return httpx.Request(
        method,
        target,
        headers={
            "Host": target.netloc.decode("ascii"),
            **{name: http.headers[name] for name in _STANDING if name.lower() not in said},
            **headers,
            "Content-Length": str(len(content)),
        },
        stream=httpx.ByteStream(content),
        extensions={"timeout": timeout.as_dict()},
    )


def limit_of(request: httpcore.Request, step: str) -> float | None:
    """Return the seconds that a step (``pool``, ``connect``) of a request may take."""
    found: float | None = request.extensions.get("timeout", {}).get(step)
    return found


def was_closed(error: Exception, asked: float) -> bool:
    """Whether a kept connection broke because the server had closed it before it was used.

    Nobody has read the request then. What has a cause of h11 was an answer, if no good one.
    """
    answered = isinstance(error, httpcore.RemoteProtocolError) and error.__cause__ is not None
    return not answered and time.monotonic() - asked < _ROUND_TRIP


def all_in_use(size: int) -> httpcore.PoolTimeout:
    """Return the error of who has waited too long for one of ``size`` connections."""
    return httpcore.PoolTimeout(f"all {size} connections are in use")
