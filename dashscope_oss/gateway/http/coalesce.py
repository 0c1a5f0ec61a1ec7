"""Joins pieces that are ready at the same time, so that they are sent in one write. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MAX_BURST = 32
"""How many pieces one burst holds at most."""


async def coalesce(pieces: AsyncGenerator[T, None]) -> AsyncGenerator[list[T], None]:
    """Yield ``pieces`` in bursts: all that came without any waiting in between.

    A write to a socket costs more than a piece does, and engines often give several at once. No
    piece is held back while the engine waits. An error of the engine comes after the pieces that
    came before it.
    """
    burst: list[T] = []
    while True:
        try:
            pending = _take_ready(pieces, burst)
        except Exception as error:
            if burst:
                yield burst
            if isinstance(error, StopAsyncIteration):
                return
            raise
        if burst:
            try:
                yield burst
            except GeneratorExit:
                if pending is not None:
                    await pending.cancel()
                raise
            burst = []
        if pending is not None:
            burst.append(await pending)


def _take_ready(pieces: AsyncGenerator[T, None], burst: list[T]) -> _PendingPiece[T] | None:
    """Add the pieces that are ready; return the next one if the engine waits before it."""
    while len(burst) < MAX_BURST:
        step = anext(pieces)
        try:
            awaited = step.send(None)
        except StopIteration as done:
            burst.append(done.value)
        else:
            return _PendingPiece(step, awaited)
    return None


class _PendingPiece(Generic[T]):
    """A piece that was asked for and is not ready yet; it can be awaited.

    Args:
        step: the engine's coroutine, which was started already.
        awaited: what that coroutine waits for.
    """

    def __init__(self, step: Coroutine[Any, Any, T], awaited: object) -> None:
        self._step = step
        self._first_awaited = [awaited]

    async def cancel(self) -> None:
        """Stop the engine where it waits; its generator cannot be closed before."""
        with suppress(asyncio.CancelledError, StopIteration, StopAsyncIteration):
            self._first_awaited = [self._step.throw(asyncio.CancelledError())]
            await self

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # type: ignore[return-value]  # has all of a generator that `await` uses

    def __next__(self) -> object:
        return self.send(None)

    def send(self, value: object) -> object:
        """Go on; first hand out what the coroutine waits for already."""
        return self._first_awaited.pop() if self._first_awaited else self._step.send(value)

    def throw(self, error: BaseException) -> object:
        """Hand on an exception, for instance a cancellation."""
        return self._step.throw(error)
