"""``run``: any number of calls, of which a bounded number is under way at any time."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Generic, NamedTuple, TypeAlias, TypeVar, overload

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.calls.tries import MisuseError, Tries
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Reply
from dashscope_oss.protocol.request import Request
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.options import DEFAULT_MAX_RETRIES

DEFAULT_CONCURRENCY = 16

Key = TypeVar("Key")
Question = TypeVar("Question")
Answer = TypeVar("Answer")
Requests: TypeAlias = "Iterable[tuple[Key, Question]] | AsyncIterable[tuple[Key, Question]]"


@overload
def run(
    requests: Requests[Key, Request],
    client: AsyncClient,
    concurrency: int = ...,
    *,
    pace: Pace | None = ...,
    max_retries: int | None = ...,
    stop: asyncio.Event | None = ...,
) -> AsyncGenerator[tuple[Key, Reply | Exception], None]: ...
@overload
def run(
    requests: Requests[Key, Question],
    client: Callable[[Question], Awaitable[Answer]],
    concurrency: int = ...,
    *,
    pace: Pace | None = ...,
    max_retries: int | None = ...,
    stop: asyncio.Event | None = ...,
) -> AsyncGenerator[tuple[Key, Answer | Exception], None]: ...
async def run(
    requests: Requests[Key, Question],
    client: AsyncClient | Callable[[Question], Awaitable[object]],
    concurrency: int = DEFAULT_CONCURRENCY,
    *,
    pace: Pace | None = None,
    max_retries: int | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[tuple[Key, object], None]:
    """Make a call for each of ``requests``; yield its key and its answer, or error, as they come.

    ::

        async for number, reply in run(enumerate(requests), client, 32):
            if isinstance(reply, Exception): ...

    It holds ``concurrency`` calls and answers, however many requests there are: they may be
    endless. A further request is taken once the loop's body is done with an answer, so a body
    that records them loses no more than ``concurrency`` calls when the process is killed. An
    error is its own row's: the run goes on. What ``requests`` itself raises ends the run, after
    the calls under way. Leaving the loop early cancels these; wrap the run in
    ``contextlib.aclosing`` where that must happen at once.

    After a 429, a 503, or if no connection can be made, all calls wait together, as long as the
    server asks or longer; then they go on at the rate that it granted, and slowly faster. Such a
    call is made again up to ten times; if none was ever answered and there is no connection, for
    half a minute.

    Args:
        requests: pairs of a key of yours and what to call with; ``enumerate(...)`` makes keys. An
            iterable or an async iterable; what it raises ends the run.
        client: an :class:`AsyncClient`, for requests; or any async function of one argument, such
            as ``chain.ainvoke`` or ``llm.acomplete``. Give LangChain's and LlamaIndex's models
            ``max_retries=0``: else each of them tries by itself again, while all others wait.
        concurrency: most calls under way at a time.
        pace: limits that the calls keep; share one between runs on the same account.
        max_retries: further tries of a call after errors that are not refusals; ``None`` is the
            client's own figure, 2 for a function.
        stop: once it is set no call begins; those under way are finished and yielded.

    Raises:
        ConfigurationError: if ``concurrency`` is below 1, ``client`` cannot be called so, or what
            ``requests`` gives is no pair, or no request for an :class:`AsyncClient`.
    """
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; give a number of at least 1")
    async with _single_try(client, max_retries) as (call, further_tries):
        tries = Tries(call, pace or Pace(), further_tries)
        window = _Window(requests, tries, concurrency, stop or asyncio.Event())
        async with aclosing(window.results()) as results:
            async for result in results:
                yield result


@asynccontextmanager
async def _single_try(
    client: AsyncClient | Callable[[Question], Awaitable[object]], max_retries: int | None
) -> AsyncGenerator[tuple[Callable[..., Awaitable[object]], int], None]:
    """Give a function that makes one try, and how many further ones the run may make."""
    if not isinstance(client, AsyncClient):
        if not callable(client):
            raise MisuseError(
                f"client is {type(client).__name__}; give an AsyncClient, or an async function, "
                "such as chain.ainvoke"
            )
        yield client, DEFAULT_MAX_RETRIES if max_retries is None else max_retries
        return
    options = client.options
    async with AsyncClient(client.endpoint, replace(options, max_retries=0)) as single:
        yield partial(_send, single), options.max_retries if max_retries is None else max_retries


async def _send(client: AsyncClient, question: object) -> Reply:
    if not isinstance(question, Request):
        raise MisuseError(
            f"a client sends requests, not {type(question).__name__}: make them with chat_request"
        )
    return await client.send(question)


class _Result(NamedTuple, Generic[Key]):
    """An outcome on its way to the body of the caller's loop, which is then done with it."""

    key: Key
    outcome: object
    dealt_with: asyncio.Future[None]


class _Window(Generic[Key, Question]):
    """The calls under way. Workers take requests; each has one call at a time."""

    def __init__(
        self,
        requests: Requests[Key, Question],
        tries: Tries[Question, object],
        concurrency: int,
        stop: asyncio.Event,
    ) -> None:
        self._take = _taker(requests)
        self._tries = tries
        self._concurrency = concurrency
        self._stop = stop
        self._results: asyncio.Queue[_Result[Key] | None] = asyncio.Queue()
        self._under_way: set[int] = set()
        self._has_failed = False

    async def results(self) -> AsyncGenerator[tuple[Key, object], None]:
        """Yield each key with its outcome."""
        workers = [asyncio.create_task(self._work(n)) for n in range(self._concurrency)]
        others = [asyncio.create_task(each) for each in (self._end(workers), self._heed(workers))]
        try:
            while (result := await self._results.get()) is not None:
                yield result.key, result.outcome
                result.dealt_with.set_result(None)
            for worker in workers:
                if not worker.cancelled():
                    worker.result()  # raises what ends the run
        finally:
            for task in (*workers, *others):
                task.cancel()
            await asyncio.gather(*workers, *others, return_exceptions=True)

    async def _work(self, number: int) -> None:
        try:
            while not (self._stop.is_set() or self._has_failed):
                request = await self._take()
                if request is None:
                    return
                await self._deal_with(*_pair(request), partial(self._set_under_way, number))
        except Exception:
            self._has_failed = True
            raise

    async def _deal_with(
        self, key: Key, question: Question, set_under_way: Callable[[bool], None]
    ) -> None:
        """Ask, and wait until the caller is done with the outcome."""
        outcome = await self._tries.answer(question, set_under_way)
        dealt_with = asyncio.get_running_loop().create_future()
        self._results.put_nowait(_Result(key, outcome, dealt_with))
        await dealt_with
        set_under_way(False)

    def _set_under_way(self, number: int, is_under_way: bool) -> None:
        if is_under_way:
            self._under_way.add(number)
        else:
            self._under_way.discard(number)

    async def _end(self, workers: list[asyncio.Task[None]]) -> None:
        """Say that there are no more results."""
        await asyncio.wait(workers)
        self._results.put_nowait(None)

    async def _heed(self, workers: list[asyncio.Task[None]]) -> None:
        """Once the run is stopped, end the workers that wait for a request or for the pace."""
        await self._stop.wait()
        for number, worker in enumerate(workers):
            if number not in self._under_way:
                worker.cancel()


def _pair(request: tuple[Key, Question]) -> tuple[Key, Question]:
    if isinstance(request, tuple | list) and len(request) == 2:
        key, question = request
        return key, question
    raise MisuseError(
        "requests are pairs of a key and what to ask, such as enumerate(...) makes; got "
        f"{request!r:.80}"
    )


def _taker(
    requests: Requests[Key, Question],
) -> Callable[[], Awaitable[tuple[Key, Question] | None]]:
    """Return a function that takes the next request; ``None`` after the last one."""
    if isinstance(requests, AsyncIterable):
        iterator, turn = aiter(requests), asyncio.Lock()

        async def take() -> tuple[Key, Question] | None:
            async with turn:  # an async generator serves one at a time
                return await anext(iterator, None)
    else:
        blocking = iter(requests)

        async def take() -> tuple[Key, Question] | None:
            return next(blocking, None)

    return take
