"""The only place that talks to the network: one sync and one async client over httpx.

Both share every step but the waiting itself. Connections are opened at the first call, kept
between calls, never shared between processes or event loops, and closed by ``close``/``aclose``.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, NotRequired, Self, TypeAlias, TypedDict
from weakref import WeakKeyDictionary, finalize, ref

import httpx

from dashscope_oss._version import __version__
from dashscope_oss.errors import (
    APIConnectionError,
    ConfigurationError,
    DashScopeError,
    ProtocolError,
)
from dashscope_oss.messages import Delta, Reply
from dashscope_oss.protocol import response as replies
from dashscope_oss.protocol.assembler import Assembler, reply_in
from dashscope_oss.protocol.request import Request, headers
from dashscope_oss.protocol.streaming import sse
from dashscope_oss.transport import retry
from dashscope_oss.transport.deadlines import Deadline, Within
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.failures import announce, finished, network_error, refused

if TYPE_CHECKING:
    import asyncio

MAX_REFUSAL_BYTES = 20_000_000
"""What is read of an answer that is none; a longer one costs its connection."""
DEFAULT_TIMEOUT = 300.0
"""Seconds between two pieces of an answer; the service itself gives up after 300."""
CONNECT_TIMEOUT = 10.0
DEFAULT_TOTAL = 4
"""Times ``timeout``: the time for a whole answer."""
END_OF_BODY = 0.2
"""Seconds that the end of a stream's body may take after its last event; then the connection is
closed. Almost always both come at once, and the connection serves the next call."""
DEFAULT_RETRIES = 2
DEFAULT_CONNECTIONS = 100
"""Connections at once of one object; calls beyond them wait for a free one."""

Timeout = float | tuple[float | None, ...] | httpx.Timeout
"""Seconds between two pieces; or the limits of connecting, reading, sending and waiting for a
connection one by one, ``None`` for no limit, as httpx has them."""

OnRetry = Callable[[int, DashScopeError, float], None]
"""Called with the number of the failed try, its error and the seconds until the next."""

_log = logging.getLogger("dashscope_oss")
_LONGEST_ID = 200
_PACKED_TIGHT = ("br", "zstd")
_AGENT = f"dashscope-oss/{__version__}"
_UNSHARED = ("_http", "_locks", "_by_loop", "_at_end")


_Opened: TypeAlias = tuple[int, httpx.AsyncClient, AsyncGenerator[None, None]]
_ByLoop: TypeAlias = "WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened]"


class _Call(TypedDict):
    method: str
    url: str
    content: bytes
    headers: dict[str, str]
    timeout: NotRequired[httpx.Timeout]


@dataclass(repr=False, eq=False)
class _Attempt:
    """One try of a call: what is sent, how long it may take, and what the log says of it."""

    request: Request
    number: int
    deadline: Deadline
    call: _Call
    status: int | None = None
    request_id: str | None = None
    said: Mapping[str, str] | None = None
    began: float = field(default_factory=time.monotonic)

    def note(self, response: httpx.Response) -> None:
        """Take from the head of an answer what the vendor's support asks for."""
        self.status = response.status_code
        self.request_id = response.headers.get("x-request-id")
        self.said = response.headers

    def complete(self, error: DashScopeError) -> None:
        """Add to an error what is known of the call."""
        error.model = error.model or self.request.model_info.id
        error.status_code = error.status_code or self.status
        of_service = error.retryable and not isinstance(error, APIConnectionError)
        if error.retry_after is None and of_service and self.said is not None:
            # An error inside an answer of status 200.
            error.retry_after = retry.retry_after(self.said, time.time())
        self.request_id = error.request_id = error.request_id or self.request_id

    def log(self, came_to: str) -> None:
        """Say how it went; never what was asked or answered."""
        if not _log.isEnabledFor(logging.DEBUG):
            return
        _log.debug(
            "model %s: attempt %d, status %s, request id %s, %.3f s%s",
            self.request.model_info.id,
            self.number,
            self.status,
            self._shown_id(),
            time.monotonic() - self.began,
            came_to and f", {came_to}",
        )

    def _shown_id(self) -> str:
        # From outside: it may repeat the key.
        key = self.call["headers"].get("Authorization", "").removeprefix("Bearer ")
        said = str(self.request_id)
        return ascii((said.replace(key, "[key]") if key else said)[:_LONGEST_ID])[1:-1]


class _Base:
    """What the two clients share: settings, and every step that is not I/O."""

    _is_given: bool
    """Whether the connections are the caller's own."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: Timeout | None = None,
        total_timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.max_retries = max_retries
        self._says_timeout = timeout is not None
        self._timeout = limits_of(timeout)
        self._total = _positive("total_timeout", total_timeout) or (
            self._timeout.read and DEFAULT_TOTAL * self._timeout.read
        )
        self._connections = max_connections
        self._on_retry = on_retry

    def _attempt(
        self, request: Request, number: int, deadline: Deadline, *, stream: bool = False
    ) -> _Attempt:
        announce(request.model_info, self.endpoint)
        call: _Call = {
            "method": "POST",
            "url": self.endpoint.url(request.path),
            "content": request.content,
            "headers": self._headers(request, stream=stream),
        }
        if self._says_timeout or not self._is_given:
            call["timeout"] = self._timeouts(deadline)  # over that of a client which was handed in
        return _Attempt(request, number, deadline, call)

    def _headers(self, request: Request, *, stream: bool) -> dict[str, str]:
        try:
            key = self.endpoint.key()
        except ConfigurationError as error:
            error.model = request.model_info.id
            raise
        return headers(
            stream=stream,
            key=key,
            workspace=self.endpoint.workspace,
            extra=self.endpoint.headers,
            agent=_AGENT,
        )

    def _unusable(self, error: RuntimeError) -> DashScopeError:
        """Return the error for what httpx and asyncio say of a closed client or event loop."""
        if not self._is_given:
            return APIConnectionError(f"the model was closed while it was called: {error}")
        return ConfigurationError(
            f"the HTTP client that was passed cannot be used: {error}",
            hint="Pass one that is open; an async one serves one event loop only.",
        )

    def _timeouts(self, deadline: Deadline) -> httpx.Timeout:
        limits = self._timeout
        return httpx.Timeout(
            connect=deadline.cap(limits.connect),
            read=Within(limits.read, deadline),
            write=Within(limits.write, deadline),
            pool=deadline.cap(limits.pool),
        )

    def _wait(
        self,
        attempt: _Attempt,
        error: DashScopeError,
        on_retry: OnRetry | None,
        deltas: Assembler | None = None,
        unseen: list[Delta] | None = None,
    ) -> float:
        """Return the seconds to wait before another try, or raise ``error``.

        It is raised at once if the caller has seen some of the answer; ``unseen`` is forgotten.
        """
        if deltas and deltas.handed_on and unseen is None:
            raise error
        wait = retry.delay(attempt.number, error, max_retries=self.max_retries)
        if wait is None or wait >= attempt.deadline.left():
            raise retry.given_up(error, attempt.number, wait)
        reason = (type(error).__name__, error.status_code, ascii(error.code or "")[1:-1])
        model = attempt.request.model_info.id
        _log.debug("model %s: again in %.3f s after %s, status %s, code %s", model, wait, *reason)
        for told in (self._on_retry, on_retry):
            if told is not None:
                told(attempt.number, error, wait)
        if unseen:
            unseen.clear()
        return wait

    def _reply(self, attempt: _Attempt, response: httpx.Response, body: bytes) -> Reply:
        request = attempt.request
        if not response.is_success:
            raise refused(response, body, request.model_info.id)
        reply = reply_in(request, body, *_stated(response))
        attempt.request_id = reply.request_id or attempt.request_id
        return reply

    @staticmethod
    def _begins(attempt: _Attempt, deltas: Assembler, response: httpx.Response) -> bool:
        """Whether there is an answer; take from its head what ``deltas`` must know."""
        attempt.note(response)
        deltas.begin(*_stated(response))
        return response.is_success

    @contextmanager
    def _translated(self, attempt: _Attempt, deltas: Assembler | None = None) -> Iterator[None]:
        """Turn httpx's errors into this package's, and finish its own: hints in, secrets out."""
        model_info, call = attempt.request.model_info, attempt.call
        came_to = "stopped"
        try:
            yield
            came_to = ""
        except httpx.HTTPError as error:
            if deltas and deltas.finished:
                came_to = ""
                return  # the answer was whole; that its connection then broke harms nobody
            ours = self._network_error(attempt, error, deltas.so_far() if deltas else "")
            came_to = type(ours).__name__
            raise finished(ours, model_info, call["url"], call["headers"]) from error
        except DashScopeError as error:
            came_to = type(error).__name__
            attempt.complete(error)
            finished(error, model_info, call["url"], call["headers"])
            raise
        finally:
            attempt.log(came_to)

    def _network_error(
        self, attempt: _Attempt, error: httpx.HTTPError, text: str
    ) -> DashScopeError:
        ours = network_error(
            error,
            attempt.request.model_info.id,
            self._timeout.read or 0.0,
            text,
            began=attempt.status is not None,
        )
        attempt.complete(ours)
        if isinstance(error, httpx.PoolTimeout):
            ours.retryable = False
            ours.hint = f"All {self._connections} are busy: raise max_connections or timeout."
        elif isinstance(error, httpx.TimeoutException) and not attempt.deadline.left():
            total = attempt.deadline.error()
            ours.message, ours.hint = total.message, total.hint
        elif _is_distrust(error):
            ours.retryable = False
            ours.hint = _DISTRUST
        # Without the headers, which hold the key.
        error.request = httpx.Request(error.request.method, error.request.url)
        ours.__cause__ = error
        return ours

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in _UNSHARED}


class Client(_Base):
    """Calls that block.

    Args:
        endpoint: where and with which key.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Connecting has
            10 of them at most. Or all four limits of httpx, as its ``Timeout`` or a tuple.
        total_timeout: seconds for a whole answer, tries and waits included, and for each piece of
            a stream, however its bytes trickle in; four times ``timeout`` if ``None``. A stream
            that keeps flowing is never cut. A client of yours is looked at between its reads only.
        max_retries: tries after the first, for errors that waiting can cure.
        max_connections: most connections at once.
        on_retry: told of every retry.
        http_client: an httpx client of yours; it is used as it is and never closed here.
        sleep: waits between tries.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: Timeout | None = None,
        total_timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
        http_client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(
            endpoint,
            timeout=timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            max_connections=max_connections,
            on_retry=on_retry,
        )
        self._given = http_client
        self._is_given = http_client is not None
        self._sleep = sleep
        self.__setstate__({})

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._locks: dict[int, threading.Lock] = {}
        self._http: tuple[int, httpx.Client] | None = None

    def send(self, request: Request, *, on_retry: OnRetry | None = None) -> Reply:
        """Send a call and return the whole answer.

        Args:
            request: made by ``chat`` or ``complete``.
            on_retry: told of the retries of this call.

        Raises:
            DashScopeError: one of its tree, for everything that can go wrong.
        """
        if request.must_stream:
            pieces: list[Delta] = []
            for piece in self._pieces(request, on_retry, pieces):
                pieces.append(piece)  # noqa: PERF402 - another try empties it
            return replies.joined(pieces)
        deadline, number = Deadline(self._total), 1
        while True:
            attempt = self._attempt(request, number, deadline)
            try:
                return self._send_once(attempt)
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry)
            self._sleep(wait)
            number += 1

    def stream(
        self, request: Request, *, on_retry: OnRetry | None = None
    ) -> Generator[Delta, None, None]:
        """Send a call and hand on each piece of the answer as it arrives.

        A failure before the first piece is retried; one after it raises, with the text so far in
        ``partial_text``. Closing the iterator closes the connection.
        """
        return self._pieces(request, on_retry)

    def _pieces(
        self, request: Request, on_retry: OnRetry | None, unseen: list[Delta] | None = None
    ) -> Generator[Delta, None, None]:
        """Yield the pieces; ``unseen`` is where a caller who shows none of them keeps them.

        Then a try that broke off is forgotten, and another may follow.
        """
        deadline, number = Deadline(self._total, whole=unseen is not None), 1
        while True:
            deltas = Assembler(request)
            attempt = self._attempt(request, number, deadline, stream=True)
            try:
                with self._translated(attempt, deltas), self._open(attempt.call) as response:
                    if not self._begins(attempt, deltas, response):
                        body = _bounded(response, deadline)
                        raise refused(response, body, request.model_info.id)
                    _refuse_coding(response)
                    for chunk in response.iter_bytes():
                        for delta in deltas.feed(chunk):
                            attempt.request_id = delta.request_id or attempt.request_id
                            yield delta
                            deadline.piece_came()
                        if _is_cut(deltas, deadline, response):
                            return
                    yield from deltas.close()
                return
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry, deltas, unseen)
            self._sleep(wait)
            number += 1

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock():
            opened, self._http = self._http, None
        if opened is not None and opened[0] == os.getpid():
            self._at_end.detach()
            opened[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send_once(self, attempt: _Attempt) -> Reply:
        with self._translated(attempt):
            with self._open(attempt.call) as response:
                attempt.note(response)
                body = _bounded(response, attempt.deadline)
            return self._reply(attempt, response, body)

    @contextmanager
    def _open(self, call: _Call) -> Iterator[httpx.Response]:
        http = self._client()
        try:
            response = http.send(http.build_request(**call), stream=True, follow_redirects=False)
        except RuntimeError as error:
            raise self._unusable(error) from error
        with closing(response):
            yield response

    def _client(self) -> httpx.Client:
        if self._given is not None:
            return self._given
        opened = self._http
        if opened is None or opened[0] != os.getpid():
            opened = self._opened()
        return opened[1]

    def _opened(self) -> tuple[int, httpx.Client]:
        here = os.getpid()
        with self._lock():
            if self._http is None or self._http[0] != here:
                self._http = (here, self._new())
                self._at_end = finalize(self, _close, self._http[1], here)
            return self._http

    def _lock(self) -> threading.Lock:
        # One a process: a lock that another thread held during a fork is never released there.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _new(self) -> httpx.Client:
        # httpcore takes long to import.
        from dashscope_oss.transport.network import trusted  # noqa: PLC0415
        from dashscope_oss.transport.pool import PooledClient  # noqa: PLC0415

        tls = trusted()
        with _usable_proxies():
            return PooledClient(tls, self._connections)


class AsyncClient(_Base):
    """Calls that do not block: :class:`Client` for event loops, one set of connections a loop.

    The arguments are those of :class:`Client`; ``http_async_client`` is an httpx client of yours.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: Timeout | None = None,
        total_timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            timeout=timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            max_connections=max_connections,
            on_retry=on_retry,
        )
        self._given = http_async_client
        self._is_given = http_async_client is not None
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
            return replies.joined(pieces)
        deadline, number = Deadline(self._total), 1
        while True:
            attempt = self._attempt(request, number, deadline)
            try:
                return await self._send_once(attempt)
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry)
            await self._sleep(wait)
            number += 1

    def stream(
        self, request: Request, *, on_retry: OnRetry | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Send a call and hand on each piece as it arrives; see :meth:`Client.stream`."""
        return self._pieces(request, on_retry)

    async def _pieces(
        self, request: Request, on_retry: OnRetry | None, unseen: list[Delta] | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Yield the pieces; see ``Client``."""
        # One generator and no context manager made of one: a loop that ends while a stream is
        # abandoned closes every generator at once, and nested ones get in each other's way.
        deadline, number = Deadline(self._total, whole=unseen is not None), 1
        while True:
            deltas = Assembler(request)
            attempt = self._attempt(request, number, deadline, stream=True)
            try:
                with self._translated(attempt, deltas):
                    async with aclosing(await self._open(attempt.call)) as response:
                        if not self._begins(attempt, deltas, response):
                            body = await _abounded(response, deadline)
                            raise refused(response, body, request.model_info.id)
                        _refuse_coding(response)
                        async for chunk in response.aiter_bytes():
                            for delta in deltas.feed(chunk):
                                attempt.request_id = delta.request_id or attempt.request_id
                                yield delta
                                deadline.piece_came()
                            if _is_cut(deltas, deadline, response):
                                return
                        for delta in deltas.close():
                            yield delta
                return
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry, deltas, unseen)
            await self._sleep(wait)
            number += 1

    async def aclose(self) -> None:
        """Close the connections of the running loop; the next call opens new ones."""
        opened = self._by_loop.pop(_running_loop(), None)
        if opened is not None and opened[0] == os.getpid():
            await opened[1].aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _send_once(self, attempt: _Attempt) -> Reply:
        with self._translated(attempt):
            async with aclosing(await self._open(attempt.call)) as response:
                attempt.note(response)
                body = await _abounded(response, attempt.deadline)
            return self._reply(attempt, response, body)

    async def _open(self, call: _Call) -> httpx.Response:
        http = await self._client()
        try:
            return await http.send(http.build_request(**call), stream=True, follow_redirects=False)
        except RuntimeError as error:
            raise self._unusable(error) from error

    async def _client(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        loop, here = _running_loop(), os.getpid()
        opened = self._by_loop.get(loop)
        if opened is None or opened[0] != here:
            self._forget_closed_loops()
            http = self._new()
            keeper = _until_loop_ends(http, ref(self._by_loop), ref(loop))
            opened = self._by_loop[loop] = (here, http, keeper)
            await anext(keeper)
        return opened[1]

    def _forget_closed_loops(self) -> None:
        # A loop that was closed without shutting its generators down left its clients here.
        # Other threads add and remove loops meanwhile: a list of keys is made in one step.
        for key in self._by_loop.keyrefs():
            loop = key()
            if loop is not None and loop.is_closed():
                self._by_loop.pop(loop, None)

    def _new(self) -> httpx.AsyncClient:
        # httpcore takes long to import.
        from dashscope_oss.transport.async_pool import AsyncPooledClient  # noqa: PLC0415
        from dashscope_oss.transport.network import trusted  # noqa: PLC0415

        tls = trusted()
        with _usable_proxies():
            return AsyncPooledClient(tls, self._connections)


async def _until_loop_ends(
    http: httpx.AsyncClient, by_loop: ref[_ByLoop], of: ref[asyncio.AbstractEventLoop]
) -> AsyncGenerator[None, None]:
    """Close ``http`` when its loop shuts down its generators, or when nobody holds this one."""
    try:
        yield
    finally:
        found, loop = by_loop(), of()
        if found is not None and loop is not None:
            found.pop(loop, None)
        await http.aclose()


# asyncio takes long to import, and whoever only makes blocking calls never needs it.
def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop()


async def _sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415

    await asyncio.sleep(seconds)


def _close(http: httpx.Client, process: int) -> None:
    if process == os.getpid():
        http.close()


def plain_timeout(timeout: object) -> object:
    """Return httpx's ``Timeout`` as the tuple of its limits, which can be stored; else as it is."""
    return tuple(timeout.as_dict().values()) if isinstance(timeout, httpx.Timeout) else timeout


def limits_of(timeout: Timeout | None) -> httpx.Timeout:
    """Return all four limits that ``timeout`` stands for.

    Raises:
        ConfigurationError: if one of them is no number above 0.
    """
    if timeout is None:
        timeout = DEFAULT_TIMEOUT
    if isinstance(timeout, int | float):
        found = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    elif isinstance(timeout, httpx.Timeout) or 2 <= len(timeout) <= 4:
        found = httpx.Timeout(timeout)  # type: ignore[arg-type]  # two and three are taken too
    else:
        raise ConfigurationError(f"bad timeout {timeout}: a tuple has two to four limits")
    for name, seconds in found.as_dict().items():
        _positive(f"timeout for {name}", seconds)
    return found


def _positive(name: str, seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ConfigurationError(f"bad {name} {seconds}: a number of seconds above 0, or None")
    return seconds


@contextmanager
def _usable_proxies() -> Iterator[None]:
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"the proxy that the environment names cannot be used: {error} Correct HTTP_PROXY, "
            "HTTPS_PROXY or ALL_PROXY, or pass a client of your own."
        ) from error


_DISTRUST = (
    "The server's certificate is not trusted. If it is your own, set the environment variable "
    "SSL_CERT_FILE to the file of its authority, or pass a client of your own."
)


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _stated(response: httpx.Response) -> tuple[str | None, str | None, str]:
    """What the head of an answer says: who answers, what events hold, the content type."""
    said = response.headers
    served_by = said.get(replies.SERVED_BY_HEADER)
    return served_by, said.get(replies.INCREMENTAL_HEADER), said.get("content-type", "")


def _is_cut(deltas: Assembler, deadline: Deadline, response: httpx.Response) -> bool:
    """Whether a stop text made the rest of no use; else look at the clock before the next read."""
    if deltas.finished:
        deadline.shorten(END_OF_BODY)  # only the end of the body is still to come
    deadline.check(response)
    return deltas.cut


def _refuse_coding(response: httpx.Response) -> None:
    """Raise for a body that a few bytes could blow up before anybody can count it.

    Coded once by gzip or deflate, one read gives some 70 MB at most; httpx reads others and codings
    of codings too, where a kilobyte may hold gigabytes. What it does not know, it leaves alone.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    if "," in coding or coding in _PACKED_TIGHT:
        raise httpx.DecodingError(
            "its Content-Encoding is not one of those asked for", request=response.request
        )


def _bounded(response: httpx.Response, deadline: Deadline) -> bytes:
    body = bytearray()
    try:
        _refuse_coding(response)
        for chunk in response.iter_bytes():
            if _is_enough(response, body, chunk):
                break
            deadline.check(response)
    except httpx.HTTPError:
        if response.is_success:
            raise  # what a refusal says matters less than that it is one
    return bytes(body)


async def _abounded(response: httpx.Response, deadline: Deadline) -> bytes:
    body = bytearray()
    try:
        _refuse_coding(response)
        async for chunk in response.aiter_bytes():
            if _is_enough(response, body, chunk):
                break
            deadline.check(response)
    except httpx.HTTPError:
        if response.is_success:
            raise
    return bytes(body)


def _is_enough(response: httpx.Response, body: bytearray, chunk: bytes) -> bool:
    """Add ``chunk`` to ``body``; whether no more of it is needed, as of a long refusal."""
    body += chunk
    if not response.is_success:
        return len(body) > MAX_REFUSAL_BYTES
    if len(body) > sse.MAX_REPLY_BYTES:
        raise ProtocolError(f"the answer is longer than {sse.MAX_REPLY_BYTES} bytes")
    return False
