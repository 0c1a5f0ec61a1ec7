"""Limits a minute's requests and tokens, by token buckets that fill evenly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dashscope_oss.gateway.interface.api_error import TOO_MANY_REQUESTS, APIError
from dashscope_oss.gateway.security.config import RateLimits

Clock: TypeAlias = Callable[[], float]

_TOO_MANY_TOKENS = (
    429,
    "Throttling.AllocationQuota",
    "Allocated quota exceeded, please increase your quota limit.",
)


class RateLimiter:
    """Counts the requests and tokens of one key, or of one model.

    Args:
        limits: what may be used in a minute.
        clock: returns seconds.
    """

    def __init__(self, limits: RateLimits, clock: Clock) -> None:
        self._requests = _bucket(limits.requests_per_minute, clock)
        self._tokens = _bucket(limits.tokens_per_minute, clock)

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a limit of tokens."""
        return self._tokens is not None

    def check(self) -> None:
        """Check that a call may begin.

        Raises:
            APIError: 429, if a limit is reached; it says how long to wait.
        """
        if self._requests is not None and (wait := self._requests.seconds_until(1)):
            raise APIError(*TOO_MANY_REQUESTS, retry_after=wait)
        if self._tokens is not None and self._tokens.level() <= 0:
            raise APIError(*_TOO_MANY_TOKENS, retry_after=self._tokens.seconds_until(1))

    def count_request(self) -> None:
        """Count a call that begins."""
        if self._requests is not None:
            self._requests.take(1)

    def count_tokens(self, tokens: int) -> None:
        """Count the tokens that a call has used; this may exceed the limit."""
        if self._tokens is not None:
            self._tokens.take(tokens)


class _TokenBucket:
    """Holds what may be used now, at most a minute's worth; it may fall below zero."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._capacity = float(per_minute)
        self._level = self._capacity
        self._clock = clock
        self._filled_at = clock()

    def level(self) -> float:
        """Return what may be used now."""
        now = self._clock()
        gained = (now - self._filled_at) * self._capacity / 60
        self._level = min(self._capacity, self._level + gained)
        self._filled_at = now
        return self._level

    def seconds_until(self, level: float) -> float:
        """Return how long it takes until so much may be used; 0 if it may be used now."""
        return max(0.0, level - self.level()) * 60 / self._capacity

    def take(self, amount: int) -> None:
        """Take out ``amount``, whether it is there or not."""
        self._level = self.level() - amount


def _bucket(per_minute: int | None, clock: Clock) -> _TokenBucket | None:
    return None if per_minute is None else _TokenBucket(per_minute, clock)
