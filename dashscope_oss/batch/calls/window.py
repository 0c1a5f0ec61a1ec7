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
from contextlib import asynccontextmanager
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
HandOver: TypeAlias = Callable[[Key, object], Awaitable[None]]
"""What is done with an outcome before its worker makes the next call."""
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
    error belongs to its own row, and the run goes on. What ``requests`` itself raises ends the
    run, after the calls under way. Leaving the loop early cancels these; wrap the run in
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
        ConfigurationError: if ``concurrency`` is below 1, ``client`` cannot be called like that,
            or what ``requests`` gives is no pair, or no request for an :class:`AsyncClient`.
    """
    queue: asyncio.Queue[_Result[Key] | None] = asyncio.Queue()

    async def hand_over(key: Key, outcome: object) -> None:
        """Wait until the body of the caller's loop is done with an outcome."""
        dealt_with = asyncio.get_running_loop().create_future()
        queue.put_nowait(_Result(key, outcome, dealt_with))
        await dealt_with

    async with _open_window(
        requests, client, concurrency, hand_over, pace, max_retries, stop
    ) as window:
        calls = asyncio.create_task(window.work())
        calls.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (result := await queue.get()) is not None:
                yield result.key, result.outcome
                result.dealt_with.set_result(None)
            await calls  # raises what ends the run
        finally:
            calls.cancel()
            await asyncio.gather(calls, return_exceptions=True)


async def run_each(
    requests: Requests[Key, Request],
    client: AsyncClient,
    concurrency: int,
    handle: Callable[[Key, Reply | Exception], None],
    *,
    pace: Pace | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Do as :func:`run`, but call ``handle`` with each key and outcome, before the next call.

    No outcome waits for its turn meanwhile, so fewer connections are idle, which costs less. What
    ``handle`` raises ends the run at once, and the calls under way are cancelled.
    """

    async def hand_over(key: Key, outcome: object) -> None:
        try:
            handle(key, outcome)  # type: ignore[arg-type]  # a client answers with replies
        except BaseException:
            window.cancel()
            raise

    async with _open_window(requests, client, concurrency, hand_over, pace, None, stop) as window:
        await window.work()


@asynccontextmanager
async def _open_window(
    requests: Requests[Key, Question],
    client: AsyncClient | Callable[[Question], Awaitable[object]],
    concurrency: int,
    hand_over: HandOver[Key],
    pace: Pace | None,
    max_retries: int | None,
    stop: asyncio.Event | None,
) -> AsyncGenerator[_Window[Key, Question], None]:
    if concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; give a number of at least 1")
    async with _single_try(client, max_retries) as (call, further_tries):
        tries = Tries(call, pace or Pace(), further_tries)
        yield _Window(requests, tries, concurrency, hand_over, stop or asyncio.Event())


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
        hand_over: HandOver[Key],
        stop: asyncio.Event,
    ) -> None:
        self._take = _taker(requests)
        self._tries = tries
        self._concurrency = concurrency
        self._hand_over = hand_over
        self._stop = stop
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: set[int] = set()
        self._has_failed = False

    async def work(self) -> None:
        """Make all calls, and hand over each outcome; raise what ends the run."""
        self._workers = [asyncio.create_task(self._work(n)) for n in range(self._concurrency)]
        heed = asyncio.create_task(self._heed())
        try:
            await asyncio.wait(self._workers)
            for worker in self._workers:
                if not worker.cancelled():
                    worker.result()
        finally:
            for task in (*self._workers, heed):
                task.cancel()
            await asyncio.gather(*self._workers, heed, return_exceptions=True)

    def cancel(self) -> None:
        """Cancel the calls of all workers but the one that asks for it."""
        for worker in self._workers:
            if worker is not asyncio.current_task():
                worker.cancel()

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
        await self._hand_over(key, await self._tries.answer(question, set_under_way))
        set_under_way(False)

    def _set_under_way(self, number: int, is_under_way: bool) -> None:
        if is_under_way:
            self._under_way.add(number)
        else:
            self._under_way.discard(number)

    async def _heed(self) -> None:
        """Once the run is stopped, end the workers that wait for a request or for the pace."""
        await self._stop.wait()
        for number, worker in enumerate(self._workers):
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
