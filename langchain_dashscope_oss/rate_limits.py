"""The account's limit of requests a minute, as LangChain's ``rate_limiter``."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from langchain_core.rate_limiters import BaseRateLimiter

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.tokens import rate_limits
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors


class RateLimits(BaseRateLimiter):
    """A ``rate_limiter`` that spreads calls evenly, so that no second gets more than its share.

    ::

        llm = ChatDashScopeOSS(model="kimi-k2.5", rate_limiter=RateLimits.of("kimi-k2.5"))

    LangChain's own limiter looks ten times a second whether a call may go out; this one waits as
    long as needed. A limit is an account's: share one object between all models of the same id.
    Works in threads and in any number of event loops. Tokens are not counted, for LangChain does
    not tell a limiter how many a call has.

    Args:
        requests_per_minute: above 0.

    Raises:
        ConfigurationError: for a limit under which no call could ever be sent.
    """

    def __init__(self, requests_per_minute: float) -> None:
        with raising_langchain_errors():
            self._limits = rate_limits.RateLimits(requests_per_minute)

    @classmethod
    def of(cls, model: str) -> Self:
        """Return the limit that the vendor's page of 2026-02-24 states for ``model``.

        Yours may differ: the console shows it. A gateway has none.

        Raises:
            ConfigurationError: if the page states none.
        """
        with raising_langchain_errors():
            stated = rate_limits.RateLimits.of(model).requests_per_minute
            if stated is None:
                raise ConfigurationError(
                    f"the vendor's page states no limit of requests for {model}; give that of "
                    "your account, which the console shows: RateLimits(requests_per_minute=...)"
                )
        return cls(stated)

    @property
    def requests_per_minute(self) -> float | None:
        """Most calls a minute."""
        return self._limits.requests_per_minute

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait until a call may go out; without ``blocking`` return at once whether it may."""
        while (wait := self._limits.reserve(time.monotonic())) > 0:
            if not blocking:
                return False
            time.sleep(wait)
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait without blocking the event loop; see :meth:`acquire`."""
        while (wait := self._limits.reserve(time.monotonic())) > 0:
            if not blocking:
                return False
            await asyncio.sleep(wait)
        return True
