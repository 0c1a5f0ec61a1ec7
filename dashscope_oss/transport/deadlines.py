"""One time limit for a whole call, which holds while bytes pour or trickle in. Does no I/O.

httpx limits each wait by itself, so a server that sends a byte now and then would hold a call for
ever. Here the limit of a wait (:class:`Within`) brings the deadline of its call along: httpx and
httpcore hand it through as the number it is, and this package's connections, which ask
:func:`wait_now` before each read, wait no longer than is left. Others see a number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from httpx import ReadTimeout

from dashscope_oss.errors import APITimeoutError

if TYPE_CHECKING:
    import httpx

_LEAST = 0.001
"""Seconds; a socket takes 0 for something else."""
_NO_LIMIT = 604_800.0
"""Seconds; more than any wait, less than what sockets cannot count."""


class Deadline:
    """When a call must be over, by the monotonic clock.

    Args:
        seconds: from now; ``None`` for never.
        whole: whether all of the answer must be there by then, or only its next piece.
    """

    __slots__ = ("_at", "seconds", "whole")

    def __init__(self, seconds: float | None, *, whole: bool = True) -> None:
        self.seconds = seconds
        self.whole = whole
        self._at = self._from_now()

    def piece_came(self) -> None:
        """Begin anew, if only the next piece must come in time."""
        if not self.whole:
            self._at = self._from_now()

    def shorten(self, seconds: float) -> None:
        """Let no more than these seconds be left from now on."""
        self._at = min(self._at, time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, 0 if none are; infinity without a limit."""
        return max(0.0, self._at - time.monotonic())

    def cap(self, seconds: float | None) -> float:
        """Return ``seconds`` (``None``: no limit), or what is left if that is less; never 0."""
        return max(_LEAST, min(_NO_LIMIT if seconds is None else seconds, self.left()))

    def check(self, response: httpx.Response) -> None:
        """Do nothing while time is left: for connections that know no deadline.

        Raises:
            httpx.ReadTimeout: as from a connection that knows it.
        """
        if not self.left():
            raise ReadTimeout("", request=response.request)

    def error(self) -> APITimeoutError:
        """Return the error that says which limit has passed."""
        what = "the whole answer" if self.whole else "the next piece of the answer"
        return APITimeoutError(
            f"{what} took longer than total_timeout, {self.seconds:g} s",
            hint="Raise total_timeout, or stream." if self.whole else "Raise total_timeout.",
        )

    def _from_now(self) -> float:
        return time.monotonic() + self.seconds if self.seconds is not None else float("inf")


class Within(float):
    """Seconds that one wait may take, or fewer if the deadline of its call is nearer."""

    __slots__ = ("deadline",)
    deadline: Deadline

    def __new__(cls, seconds: float | None, deadline: Deadline) -> Self:
        """Make one; ``None`` is for no limit but the deadline."""
        made = super().__new__(cls, _NO_LIMIT if seconds is None else seconds)
        made.deadline = deadline
        return made


def wait_now(limit: float | None, late: type[Exception] = TimeoutError) -> float | None:
    """Return the seconds that a wait with this limit may take if it begins now; never 0.

    Raises:
        Exception: ``late``, if the deadline has passed: also where nothing has to be waited for,
            as in a flood of bytes that never become an answer.
    """
    if not isinstance(limit, Within):
        return limit
    if not (left := limit.deadline.left()):
        raise late
    return min(limit, left)
