"""Where asyncio calls wait until a connection may be used.

A call that waits here has not made its HTTP request yet. One that waits inside a pool has, with all
that surrounds it: Python's garbage collector looks through that again and again while a thousand
others wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import httpx2

_Http = TypeVar("_Http")


class ConnectionQueue:
    """Lets in as many calls as there may be connections; the others wait in the order they came.

    Args:
        max_connections: calls that are let in at once; ``None`` for any number.
    """

    def __init__(self, max_connections: int | None) -> None:
        self._free = None if max_connections is None else asyncio.Semaphore(max_connections)

    async def turn(self, http: _Http, seconds: Callable[[], float]) -> Turn[_Http]:
        """Wait until a connection of ``http`` may be used; the turn lasts until its context ends.

        Args:
            http: what the call is made with.
            seconds: how long it may wait; only asked if it must.

        Raises:
            httpx2.PoolTimeout: if it would wait longer.
            RuntimeError: if calls of another event loop wait here.
        """
        free = self._free
        if free is not None:
            await (_acquire_in_time(free, seconds()) if free.locked() else free.acquire())
        return Turn(http, free)


class Turn(Generic[_Http]):
    """The right to use a connection of ``http``."""

    __slots__ = ("_free", "_http")

    def __init__(self, http: _Http, free: asyncio.Semaphore | None = None) -> None:
        self._http = http
        self._free = free

    def __enter__(self) -> _Http:
        return self._http

    def __exit__(self, *_: object) -> None:
        if self._free is not None:
            self._free.release()


async def _acquire_in_time(free: asyncio.Semaphore, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await free.acquire()
    except TimeoutError:
        raise httpx2.PoolTimeout("") from None
