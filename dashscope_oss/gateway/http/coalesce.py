"""Pieces that are there together, so that they can be sent together. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MOST = 32
"""Pieces of one burst."""


async def coalesce(pieces: AsyncGenerator[T, None]) -> AsyncGenerator[list[T], None]:
    """Yield ``pieces`` in lists: all that came without any waiting in between.

    A write to a socket costs more than a piece does, and engines often give several at once.
    No piece is held back while the engine waits. What it raises comes after the pieces before.
    """
    found: list[T] = []
    while True:
        try:
            waiting = _take(pieces, found)
        except Exception as error:
            if found:
                yield found
            if isinstance(error, StopAsyncIteration):
                return
            raise
        if found:
            try:
                yield found
            except GeneratorExit:
                if waiting is not None:
                    await waiting.cancel()
                raise
            found = []
        if waiting is not None:
            found.append(await waiting)


def _take(pieces: AsyncGenerator[T, None], found: list[T]) -> _Waiting[T] | None:
    """Add the pieces that are there; return the next, if it is waited for."""
    while len(found) < MOST:
        step = anext(pieces)
        try:
            waits_for = step.send(None)
        except StopIteration as done:
            found.append(done.value)
        else:
            return _Waiting(step, waits_for)
    return None


class _Waiting(Generic[T]):
    """A piece that was asked for and that must be waited for: to be awaited."""

    def __init__(self, step: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._step = step
        self._first = [waits_for]

    async def cancel(self) -> None:
        """Stop the engine where it waits; its generator could not be closed before."""
        with suppress(asyncio.CancelledError, StopIteration, StopAsyncIteration):
            self._first = [self._step.throw(asyncio.CancelledError())]
            await self

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # type: ignore[return-value]  # has all of a generator that `await` uses

    def __next__(self) -> object:
        return self.send(None)

    def send(self, value: object) -> object:
        """Hand on first what it waits for already."""
        return self._first.pop() if self._first else self._step.send(value)

    def throw(self, error: BaseException) -> object:
        """Hand on, for instance, a cancellation."""
        return self._step.throw(error)
