"""The pace that all calls of a run share: an account's limits, and what the server refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from dashscope_oss.batch.calls.adaptive_rate import AdaptiveRate
from dashscope_oss.errors import DashScopeError
from dashscope_oss.tokens.rate_limits import RateLimits


class Pace:
    """Lets calls go out, one after the other, when limits and server allow it.

    One object belongs to one account and one event loop; share it between runs that use the same
    account at the same time.

    Args:
        limits: the account's; without them only refusals slow the calls down.

    Attributes:
        refusals: calls that the server refused so far.
        on_refusal: is told the error of each of them.
        has_answers: whether a call was answered so far.
    """

    def __init__(self, limits: RateLimits | None = None) -> None:
        self._limits = limits
        self.on_refusal: Callable[[Exception], None] = _tell_nobody
        self._adaptive = AdaptiveRate()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self.refusals = 0
        self.has_answers = False

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a limit of tokens."""
        return self._limits is not None and self._limits.tokens_per_minute is not None

    async def begin(self, num_tokens: int = 0) -> int:
        """Wait until a call may go out, first come, first served.

        Args:
            num_tokens: tokens of the call, as far as they are known.

        Returns:
            The call's period, for :meth:`refuse` or :meth:`grant`.
        """
        if not self._turn.locked() and not self._wait(num_tokens):
            return self._adaptive.send(_now())
        async with self._turn:
            while (wait := self._wait(num_tokens)) > 0:
                await self._sleep(wait)
            return self._adaptive.send(_now())

    def grant(self, period: int, num_tokens: int = 0) -> None:
        """Note a call that was not refused.

        Args:
            period: what :meth:`begin` returned.
            num_tokens: tokens of the call beside those that :meth:`begin` knew of.
        """
        if self._adaptive.grant(period, _now()):
            self._changed.set()
        if self._limits is not None and num_tokens:
            self._limits.charge(_now(), num_tokens)

    def refuse(self, period: int, error: DashScopeError, num_tokens: int = 0) -> int:
        """Note a refused call: all others wait too, as long as the server asked or longer.

        Args:
            period: what :meth:`begin` returned.
            error: says why, and how long the server asked to wait.
            num_tokens: tokens that :meth:`begin` counted and that were not used.

        Returns:
            How many pauses in a row this makes; 0 if all calls wait already.
        """
        self.refusals += 1
        pauses = self._adaptive.refuse(period, _now(), error.retry_after)
        if self._limits is not None:
            self._limits.charge(_now(), -num_tokens)
        return pauses

    def _wait(self, num_tokens: int) -> float:
        """Return the seconds until a call may go out; if it may now, its limits are charged."""
        now = _now()
        if (wait := self._adaptive.wait(now)) > 0 or self._limits is None:
            return wait
        return self._limits.reserve(now, num_tokens)

    async def _sleep(self, seconds: float) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


def part_of_limits(
    requests_per_minute: float | None, tokens_per_minute: float | None, actors: int
) -> RateLimits:
    """Return what one of several actors may use of an account's limits."""
    limits = (requests_per_minute, tokens_per_minute)
    return RateLimits(*(limit and limit / actors for limit in limits))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _tell_nobody(error: Exception) -> None:
    pass
