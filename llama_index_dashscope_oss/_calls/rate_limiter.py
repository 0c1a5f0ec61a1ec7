"""The account's limits of requests and tokens a minute, as LlamaIndex's ``rate_limiter``.

LlamaIndex's own limiters are not told how many tokens a call has, and allow a whole minute's
requests at once; the service counts both, each second too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Self

from dashscope_oss import Delta, Reply, Usage
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import estimates, rate_limits


class RateLimits:
    """A ``rate_limiter`` that spreads calls evenly, so that no second gets more than its share.

    ::

        llm = DashScopeOSS(model="kimi-k2.5", rate_limiter=RateLimits.of("kimi-k2.5"))

    Limits are an account's: share one object between all models of the same id. A call waits
    until its predecessor's share of the minute has passed, in requests and in tokens. Tokens of a
    question are counted by estimate when it is sent, and by the service's own number when the
    answer is complete. Works in threads and in any number of event loops.

    Args:
        requests_per_minute: above 0; ``None`` is no limit.
        tokens_per_minute: input and output together, above 0; ``None`` is no limit.

    Raises:
        ConfigurationError: for limits under which no call could ever be sent.
    """

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self._limits = rate_limits.RateLimits(requests_per_minute, tokens_per_minute)

    def __repr__(self) -> str:
        return (
            f"RateLimits(requests_per_minute={self.requests_per_minute}, "
            f"tokens_per_minute={self.tokens_per_minute})"
        )

    @classmethod
    def of(cls, model: str) -> Self:
        """Return the limits that the vendor's page of 2026-02-24 states for ``model``.

        Those of your account may differ: the console shows them. A gateway has none.

        Raises:
            ConfigurationError: if the page states none.
        """
        stated = rate_limits.RateLimits.of(model)
        return cls(stated.requests_per_minute, stated.tokens_per_minute)

    @property
    def requests_per_minute(self) -> float | None:
        """Most calls a minute."""
        return self._limits.requests_per_minute

    @property
    def tokens_per_minute(self) -> float | None:
        """Most tokens a minute, input and output together."""
        return self._limits.tokens_per_minute

    def acquire(self, num_tokens: int = 0) -> None:
        """Wait until a request may go out. ``num_tokens``, if known, are charged with it."""
        while (wait := self._limits.reserve(time.monotonic(), num_tokens)) > 0:
            time.sleep(wait)

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Wait until a request may go out, without blocking; see :meth:`acquire`."""
        while True:
            wait = self._limits.reserve(time.monotonic(), num_tokens)
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def charge(self, num_tokens: int) -> None:
        """Count tokens of a request that went out; below 0 gives back what was too much."""
        self._limits.charge(time.monotonic(), num_tokens)


def charge_input(limits: RateLimits | None, request: Request) -> None:
    """Count the tokens of a request, by estimate, when it is sent."""
    if limits:
        limits.charge(_input_estimate(request))


def charge_answer(limits: RateLimits | None, request: Request, reply: Reply) -> None:
    """Count what a whole answer took, by the service's own number in place of the estimate."""
    if limits:
        _charge_total(limits, request, reply.usage, reply.text)


def charge_stream(
    limits: RateLimits | None, request: Request, deltas: Generator[Delta, None, None]
) -> Generator[Delta, None, None]:
    """Return ``deltas``; when the last one comes, what the answer took is counted."""
    return _charged(limits, request, deltas) if limits else deltas


def acharge_stream(
    limits: RateLimits | None, request: Request, deltas: AsyncGenerator[Delta, None]
) -> AsyncGenerator[Delta, None]:
    """Return ``deltas``; see :func:`charge_stream`."""
    return _acharged(limits, request, deltas) if limits else deltas


def _charged(
    limits: RateLimits, request: Request, deltas: Generator[Delta, None, None]
) -> Generator[Delta, None, None]:
    texts: list[str] = []
    with closing(deltas):
        for delta in deltas:
            texts.append(delta.text)
            if delta.last:
                _charge_total(limits, request, delta.usage, "".join(texts))
            yield delta


async def _acharged(
    limits: RateLimits, request: Request, deltas: AsyncGenerator[Delta, None]
) -> AsyncGenerator[Delta, None]:
    texts: list[str] = []
    async with aclosing(deltas):
        async for delta in deltas:
            texts.append(delta.text)
            if delta.last:
                _charge_total(limits, request, delta.usage, "".join(texts))
            yield delta


def _charge_total(limits: RateLimits, request: Request, usage: Usage | None, answer: str) -> None:
    estimate = _input_estimate(request)
    total = usage.total_tokens if usage else None
    if total is None:
        total = estimate + estimates.estimate(answer, request.model_info.tokenizer)
    limits.charge(total - estimate)


def _input_estimate(request: Request) -> int:
    return estimates.estimate(request.text, request.model_info.tokenizer)
