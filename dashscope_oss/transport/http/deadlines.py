"""One time limit for a whole call, however fast or slowly its bytes arrive. Does no I/O.

httpx2 limits each wait by itself, so a server that sends a byte now and then would hold a call
forever. :class:`WaitLimit` carries the deadline to the connections of both transports. What an
async client of the user's does ends in time by ``asyncio.timeout``.
"""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from typing import Self

from dashscope_oss.errors import APITimeoutError

SHORTEST_WAIT = 0.001
"""Seconds; sockets take 0 for "do not block"."""
_NO_LIMIT = 604_800.0
"""Seconds; longer than any wait, and short enough for every socket."""


class Deadline:
    """When a call must be over, by the monotonic clock.

    Args:
        seconds: from now; ``None`` for never.
        whole: whether the whole answer must be there by then, or only its next piece.
    """

    __slots__ = ("at", "seconds", "whole")

    def __init__(self, seconds: float | None, *, whole: bool = True) -> None:
        self.seconds = seconds
        self.whole = whole
        self.at = self._from_now()

    def restart(self) -> None:
        """Begin anew after a piece has arrived, if only the next piece must come in time."""
        if not self.whole:
            self.at = self._from_now()

    def shorten(self, seconds: float) -> None:
        """Let no more than these seconds be left from now on."""
        self.at = min(self.at, time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, 0 if none are; infinity without a limit."""
        return max(0.0, self.at - time.monotonic())

    def cap(self, seconds: float | None) -> float:
        """Return ``seconds`` (``None``: no limit), or what is left if that is less; never 0."""
        return max(SHORTEST_WAIT, min(_NO_LIMIT if seconds is None else seconds, self.left()))

    def asyncio_timeout(self) -> AbstractAsyncContextManager[object]:
        """Return the context that ends what asyncio does inside by then."""
        import asyncio  # noqa: PLC0415 - whoever only makes blocking calls never needs it

        return asyncio.timeout(None if self.at == float("inf") else self.left())

    def check(self) -> None:
        """Raise ``TimeoutError`` if no time is left."""
        if not self.left():
            raise TimeoutError

    def error(self) -> APITimeoutError:
        """Return the error that says which limit has passed."""
        awaited = "the whole answer" if self.whole else "the next piece of the answer"
        return APITimeoutError(
            f"{awaited} took longer than total_timeout, {self.seconds:g} s",
            hint="Raise total_timeout, or stream." if self.whole else "Raise total_timeout.",
        )

    def _from_now(self) -> float:
        return time.monotonic() + self.seconds if self.seconds is not None else float("inf")


class WaitLimit(float):
    """Seconds that connecting, one read or one write may take, with the deadline of the whole call.

    httpx2 and httpcore2 hand it through as the number that it is.
    """

    __slots__ = ("deadline",)
    deadline: Deadline

    def __new__(cls, seconds: float | None, deadline: Deadline) -> Self:
        """Make one; ``None`` for no limit but the deadline."""
        limit = super().__new__(cls, _NO_LIMIT if seconds is None else seconds)
        limit.deadline = deadline
        return limit


def seconds_left(limit: float | None, error: type[Exception]) -> float | None:
    """Return the seconds that a wait with this limit may take if it begins now.

    Raises:
        Exception: of the type ``error``, if the deadline has passed.
    """
    if not isinstance(limit, WaitLimit):
        return limit
    left = limit.deadline.left()
    if not left:
        raise error
    return min(float(limit), left)
