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
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    closing,
    contextmanager,
)
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, NotRequired, Self, TypeAlias, TypedDict
from weakref import WeakKeyDictionary, finalize, ref

import httpx

from dashscope_oss import reply as replies
from dashscope_oss import retry
from dashscope_oss._version import __version__
from dashscope_oss.deltas import Deltas
from dashscope_oss.endpoint import Endpoint
from dashscope_oss.errors import NO_REASON, DashScopeError, ProtocolError
from dashscope_oss.failures import announce, finished, network_error, plain_headers, unreadable
from dashscope_oss.messages import Delta, Reply
from dashscope_oss.request import Request, headers

if TYPE_CHECKING:
    import asyncio

MAX_REPLY_BYTES = 100_000_000
DEFAULT_TIMEOUT = 300.0
"""Seconds between two pieces of an answer; the service itself gives up after 300."""
CONNECT_TIMEOUT = 10.0
DEFAULT_RETRIES = 2
DEFAULT_CONNECTIONS = 100

OnRetry = Callable[[int, DashScopeError, float], None]
"""Called with the number of the failed try, its error and the seconds until the next."""

_log = logging.getLogger("dashscope_oss")
_AGENT = f"dashscope-oss/{__version__}"
_UNSHARED = ("_http", "_lock", "_by_loop", "_at_end")


_Opened: TypeAlias = tuple[httpx.AsyncClient, AsyncGenerator[None, None]]
_ByLoop: TypeAlias = "WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened]"


class _Call(TypedDict):
    method: str
    url: str
    content: bytes
    headers: dict[str, str]
    timeout: NotRequired[httpx.Timeout]


class _Base:
    """What the two clients share: settings, and every step that is not I/O."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.max_retries = max_retries
        self._says_timeout = timeout is not None
        self._timeout = timeout if timeout is not None else DEFAULT_TIMEOUT
        self._connections = max_connections
        self._on_retry = on_retry

    def _call(self, request: Request, *, stream: bool) -> _Call:
        announce(request.record, self.endpoint)
        call: _Call = {
            "method": "POST",
            "url": self.endpoint.url(request.path),
            "content": request.content,
            "headers": headers(
                stream=stream,
                key=self.endpoint.key(),
                workspace=self.endpoint.workspace,
                extra=self.endpoint.headers,
                agent=_AGENT,
            ),
        }
        if self._says_timeout:
            call["timeout"] = self._timeouts()  # over that of a client which was handed in
        return call

    def _limits(self) -> httpx.Limits:
        # As many kept as allowed: httpx closes every idle connection once there are more.
        return httpx.Limits(
            max_connections=self._connections, max_keepalive_connections=self._connections
        )

    def _timeouts(self) -> httpx.Timeout:
        return httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_TIMEOUT))

    def _wait(
        self,
        attempt: int,
        error: DashScopeError,
        on_retry: OnRetry | None,
        deltas: Deltas | None = None,
    ) -> float:
        """Return the seconds to wait before another try, or raise ``error``."""
        if deltas and deltas.handed_on:
            raise error
        wait = retry.delay(attempt, error, max_retries=self.max_retries)
        if wait is None:
            raise error
        for told in (self._on_retry, on_retry):
            if told is not None:
                told(attempt, error, wait)
        return wait

    def _reply(self, request: Request, response: httpx.Response, body: bytes) -> Reply:
        _note(request, response)
        if not response.is_success:
            raise self._refusal(request, response, body)
        if "event-stream" in response.headers.get("content-type", ""):
            deltas = Deltas(request)
            self._begins(deltas, response)
            return replies.joined([*deltas.feed(body), *deltas.close()])
        data = replies.decode(body, request.record.id)
        return replies.parse(request, data, _served_by(response))

    def _refusal(self, request: Request, response: httpx.Response, body: bytes) -> DashScopeError:
        data = replies.error_body(body)
        wait = retry.retry_after(response.headers, time.time())
        said = {"message": unreadable(response, body)} if data is None else data
        error = replies.error_in(said, status_code=response.status_code, model=request.record.id)
        if data is not None and error.message == NO_REASON:
            error.message += f": {replies.shown(body)}"
        error.retry_after = wait
        error.request_id = error.request_id or response.headers.get("x-request-id")
        # Without its request, whose headers hold the key.
        error.response = httpx.Response(
            response.status_code, headers=plain_headers(response), content=body
        )
        return error

    def _whole(self, request: Request, response: httpx.Response, body: bytes) -> Delta:
        return replies.whole(self._reply(request, response, body))

    @staticmethod
    def _begins(deltas: Deltas, response: httpx.Response) -> bool:
        """Whether the answer is a stream; take from its head what ``deltas`` must know."""
        _note(deltas.request, response)
        deltas.begin(_served_by(response), response.headers.get(replies.INCREMENTAL_HEADER))
        kind = response.headers.get("content-type", "")
        return response.is_success and "json" not in kind and "html" not in kind

    @contextmanager
    def _translated(
        self, request: Request, call: _Call, deltas: Deltas | None = None
    ) -> Iterator[None]:
        """Turn httpx's errors into this package's, and finish its own: hints in, secrets out."""
        try:
            yield
        except httpx.HTTPError as error:
            if deltas and deltas.finished:
                return  # the answer was whole; that its connection then broke harms nobody
            said = deltas.so_far() if deltas else ""
            ours = network_error(error, request.record.id, self._timeout, said)
            ours.__cause__ = error
            raise finished(ours, request.record, call["url"], call["headers"]) from error
        except DashScopeError as error:
            finished(error, request.record, call["url"], call["headers"])
            raise

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k not in _UNSHARED}


class Client(_Base):
    """Calls that block.

    Args:
        endpoint: where and with which key.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Connecting has
            10 of them at most. A stream that keeps flowing is never cut.
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
        timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
        http_client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(
            endpoint,
            timeout=timeout,
            max_retries=max_retries,
            max_connections=max_connections,
            on_retry=on_retry,
        )
        self._given = http_client
        self._sleep = sleep
        self.__setstate__({})

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
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
            return replies.joined(list(self.stream(request, on_retry=on_retry)))
        attempt = 1
        while True:
            try:
                return self._send_once(request)
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry)
            self._sleep(wait)
            attempt += 1

    def stream(
        self, request: Request, *, on_retry: OnRetry | None = None
    ) -> Generator[Delta, None, None]:
        """Send a call and hand on each piece of the answer as it arrives.

        A failure before the first piece is retried; one after it raises, with the text so far in
        ``partial_text``. Closing the iterator closes the connection.
        """
        attempt = 1
        while True:
            deltas = Deltas(request)
            try:
                call = self._call(request, stream=True)
                with self._translated(request, call, deltas), self._open(call) as response:
                    if not self._begins(deltas, response):
                        yield self._whole(request, response, _bounded(response.iter_bytes()))
                        return
                    for chunk in response.iter_bytes():
                        yield from deltas.feed(chunk)
                        if deltas.cut:
                            return
                    yield from deltas.close()
                return
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry, deltas)
            self._sleep(wait)
            attempt += 1

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            opened, self._http = self._http, None
        if opened is not None:
            self._at_end.detach()
            _close(opened[1], opened[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send_once(self, request: Request) -> Reply:
        call = self._call(request, stream=False)
        with self._translated(request, call):
            with self._open(call) as response:
                body = _bounded(response.iter_bytes())
            return self._reply(request, response, body)

    @contextmanager
    def _open(self, call: _Call) -> Iterator[httpx.Response]:
        http = self._client()
        response = http.send(http.build_request(**call), stream=True, follow_redirects=False)
        with closing(response):
            yield response

    def _client(self) -> httpx.Client:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._http is None or self._http[0] != os.getpid():
                self._http = (os.getpid(), self._new())
                self._at_end = finalize(self, _close, self._http[1], os.getpid())
            return self._http[1]

    def _new(self) -> httpx.Client:
        return httpx.Client(verify=_tls(), timeout=self._timeouts(), limits=self._limits())


class AsyncClient(_Base):
    """Calls that do not block: :class:`Client` for event loops, one set of connections a loop.

    The arguments are those of :class:`Client`; ``http_async_client`` is an httpx client of yours.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float | None = None,
        max_retries: int = DEFAULT_RETRIES,
        max_connections: int = DEFAULT_CONNECTIONS,
        on_retry: OnRetry | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            timeout=timeout,
            max_retries=max_retries,
            max_connections=max_connections,
            on_retry=on_retry,
        )
        self._given = http_async_client
        self._sleep = sleep or _sleep
        self.__setstate__({})

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._by_loop: _ByLoop = WeakKeyDictionary()

    async def send(self, request: Request, *, on_retry: OnRetry | None = None) -> Reply:
        """Send a call and return the whole answer; see :meth:`Client.send`."""
        if request.must_stream:
            return replies.joined(
                [delta async for delta in self.stream(request, on_retry=on_retry)]
            )
        attempt = 1
        while True:
            try:
                return await self._send_once(request)
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry)
            await self._sleep(wait)
            attempt += 1

    async def stream(
        self, request: Request, *, on_retry: OnRetry | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Send a call and hand on each piece as it arrives; see :meth:`Client.stream`."""
        # One generator and no context manager made of one: a loop that ends while a stream is
        # abandoned closes every generator at once, and nested ones get in each other's way.
        attempt = 1
        while True:
            deltas = Deltas(request)
            try:
                call = self._call(request, stream=True)
                with self._translated(request, call, deltas):
                    response = await self._open(call)
                    try:
                        if not self._begins(deltas, response):
                            body = await _abounded(response.aiter_bytes())
                            yield self._whole(request, response, body)
                            return
                        async for chunk in response.aiter_bytes():
                            for delta in deltas.feed(chunk):
                                yield delta
                            if deltas.cut:
                                return
                        for delta in deltas.close():
                            yield delta
                    finally:
                        await response.aclose()
                return
            except DashScopeError as error:
                wait = self._wait(attempt, error, on_retry, deltas)
            await self._sleep(wait)
            attempt += 1

    async def aclose(self) -> None:
        """Close the connections of the running loop; the next call opens new ones."""
        opened = self._by_loop.pop(_running_loop(), None)
        if opened is not None:
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

    async def _send_once(self, request: Request) -> Reply:
        call = self._call(request, stream=False)
        with self._translated(request, call):
            response = await self._open(call)
            try:
                body = await _abounded(response.aiter_bytes())
            finally:
                await response.aclose()
            return self._reply(request, response, body)

    async def _open(self, call: _Call) -> httpx.Response:
        http = await self._client()
        return await http.send(http.build_request(**call), stream=True, follow_redirects=False)

    async def _client(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        loop = _running_loop()
        opened = self._by_loop.get(loop)
        if opened is None:
            self._forget_closed_loops()
            http = self._new()
            keeper = _until_loop_ends(http, ref(self._by_loop), ref(loop))
            opened = self._by_loop[loop] = (http, keeper)
            await anext(keeper)
        return opened[0]

    def _forget_closed_loops(self) -> None:
        # A loop that was closed without shutting its generators down left its clients here.
        for loop in self._by_loop.copy():
            if loop.is_closed():
                self._by_loop.pop(loop, None)

    def _new(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=_tls(), timeout=self._timeouts(), limits=self._limits())


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


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    # Loading the authorities costs tens of milliseconds; once a process is enough.
    return httpx.create_ssl_context()


def _note(request: Request, response: httpx.Response) -> None:
    """Log what the vendor's support asks for; never what was asked or answered."""
    found = (request.record.id, response.status_code, response.headers.get("x-request-id"))
    _log.debug("model %s: status %s, request id %s", *found)


def _served_by(response: httpx.Response) -> str | None:
    named: str | None = response.headers.get(replies.SERVED_BY_HEADER)
    return named


def _bounded(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        _append(body, chunk)
    return bytes(body)


async def _abounded(chunks: AsyncIterable[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        _append(body, chunk)
    return bytes(body)


def _append(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > MAX_REPLY_BYTES:
        raise ProtocolError(f"the answer is longer than {MAX_REPLY_BYTES} bytes")
