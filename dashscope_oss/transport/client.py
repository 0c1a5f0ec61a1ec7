"""Calls that block: the client for threads, over one httpx2 transport a process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Self
from weakref import finalize

import httpx2

from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Delta, Reply
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.transport.attempt import Attempt
from dashscope_oss.transport.base_client import BaseClient
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http_errors import error_of_response
from dashscope_oss.transport.options import ClientOptions, OnRetry


class Client(BaseClient):
    """Calls that block.

    Connections are opened at the first call, kept between calls, never shared between processes,
    and closed by :meth:`close`.

    Args:
        endpoint: where to call and with which key.
        options: limits, retries, connections.
        sleep: waits between tries.
    """

    _unshared = ("_opened", "_locks", "_finalizer")

    def __init__(
        self,
        endpoint: Endpoint,
        options: ClientOptions | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(endpoint, options)
        self._sleep = sleep
        self.__setstate__({})

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._locks: dict[int, threading.Lock] = {}
        self._opened: tuple[int, httpx2.BaseTransport] | None = None

    def send(self, request: Request, *, on_retry: OnRetry | None = None) -> Reply:
        """Send a call and return the whole answer.

        Args:
            request: made by ``chat_request`` or ``completion_request``.
            on_retry: called before each retry of this call.

        Raises:
            DashScopeError: one of its tree, for everything that can go wrong.
        """
        if request.must_stream:
            pieces: list[Delta] = []
            for piece in self._pieces(request, on_retry, pieces):
                pieces.append(piece)  # noqa: PERF402 - another try empties it
            return join_deltas(pieces)
        deadline, number = self._deadline(), 1
        while True:
            attempt = self._attempt(request, number, deadline)
            try:
                return self._answered(attempt, self._send_once(attempt))
            except DashScopeError as error:
                wait = self._wait_before_retry(attempt, error, on_retry)
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

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock():
            opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            self._finalizer.detach()
            opened[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(
        self, request: Request, on_retry: OnRetry | None, unseen: list[Delta] | None = None
    ) -> Generator[Delta, None, None]:
        """Yield the pieces; ``unseen`` is where a caller who shows none of them keeps them.

        Then a try that broke off is forgotten, and another may follow.
        """
        deadline, number = self._deadline(whole=unseen is not None), 1
        while True:
            attempt = self._attempt(request, number, deadline, stream=True)
            assembler = Assembler(attempt.request)
            try:
                with attempt.errors(assembler), closing(self._open(attempt)) as response:
                    yield from self._pieces_of(response, attempt, assembler)
                return
            except DashScopeError as error:
                wait = self._wait_before_retry(attempt, error, on_retry, assembler, unseen)
            self._sleep(wait)
            number += 1

    def _pieces_of(
        self, response: httpx2.Response, attempt: Attempt, assembler: Assembler
    ) -> Iterator[Delta]:
        attempt.begin_stream(assembler)
        if not attempt.is_success:
            body = self._body(response, attempt).read()
            raise error_of_response(response, body, attempt.model)
        for chunk in self._body(response, attempt).chunks():
            for delta in assembler.feed(chunk):
                yield self._piece(attempt, assembler, delta)
                attempt.deadline.restart()
            if attempt.is_over(assembler):
                return
        for delta in assembler.close():
            yield self._piece(attempt, assembler, delta)

    def _send_once(self, attempt: Attempt) -> Reply:
        with attempt.errors():
            with closing(self._open(attempt)) as response:
                body = self._body(response, attempt).read()
            return attempt.reply(response, body)

    def _open(self, attempt: Attempt) -> httpx2.Response:
        """Send a try; return its answer, of which the head has arrived."""
        own = self._own_http
        try:
            if own is not None:
                request = self._request_by(own, attempt)
                response = own.send(request, stream=True, follow_redirects=False)
            else:
                request = attempt.http_request()
                response = self._transport().handle_request(request)
        except RuntimeError as error:
            raise self._unusable(error) from error
        attempt.note_head(response, is_raw=own is None)
        return response

    @property
    def _own_http(self) -> httpx2.Client | None:
        return self.options.http_client

    def _transport(self) -> httpx2.BaseTransport:
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            opened = self._open_transport()
        return opened[1]

    def _open_transport(self) -> tuple[int, httpx2.BaseTransport]:
        process = os.getpid()
        with self._lock():
            if self._opened is None or self._opened[0] != process:
                # urllib and httpcore2 take long to import.
                from dashscope_oss.transport.http.connections import open_transport  # noqa: PLC0415

                transport = open_transport(self.endpoint.base_url, self.options.max_connections)
                self._opened = (process, transport)
                self._finalizer = finalize(self, _close, transport, process)
            return self._opened

    def _lock(self) -> threading.Lock:
        # One a process: a lock that another thread held during a fork is never released there.
        return self._locks.setdefault(os.getpid(), threading.Lock())


def _close(transport: httpx2.BaseTransport, process: int) -> None:
    if process == os.getpid():
        transport.close()
