"""The account's limits of requests and tokens a minute, as LlamaIndex's ``rate_limiter``.

LlamaIndex's own limiters are not told how many tokens a call has, and allow a whole minute's
requests at once; the service counts both, each second too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Self

from dashscope_oss import ConfigurationError, Delta, Reply, Usage, find_model
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import estimates

_MINUTE = 60.0


@dataclass
class RateLimits:
    """A ``rate_limiter`` that spreads calls evenly, so that no second gets more than its share.

    ::

        llm = DashScopeOSS(model="kimi-k2.5", rate_limiter=RateLimits.of("kimi-k2.5"))

    Limits are an account's: share one object between all models of the same id. A call waits
    until its predecessor's share of the minute has passed, in requests and in tokens. Tokens of a
    question are counted by estimate when it is sent, and by the service's own number when the
    answer is complete. Works in threads and in any number of event loops.

    Attributes:
        requests_per_minute: ``None`` is no limit.
        tokens_per_minute: input and output together; ``None`` is no limit.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    _request_at: float = field(default=0.0, init=False, repr=False)
    _token_at: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could ever be sent."""
        for name in ("requests_per_minute", "tokens_per_minute"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ConfigurationError(
                    f"{name} is {limit}, so no call could ever be sent; give a number above 0, or "
                    "None for no limit"
                )

    @classmethod
    def of(cls, model: str) -> Self:
        """Return the limits that the vendor's page of 2026-02-24 states for ``model``.

        Those of your account may differ: the console shows them. A gateway has none.

        Raises:
            ConfigurationError: if the page states none.
        """
        model_info = find_model(model)
        if model_info.requests_per_minute is None and model_info.tokens_per_minute is None:
            raise ConfigurationError(
                f"the vendor's page states no limits for {model}; give yours: "
                "RateLimits(requests_per_minute=..., tokens_per_minute=...)"
            )
        return cls(model_info.requests_per_minute, model_info.tokens_per_minute)

    def acquire(self, num_tokens: int = 0) -> None:
        """Wait until a request may go out. ``num_tokens``, if known, are charged with it."""
        while True:
            wait = self._take(time.monotonic(), num_tokens)
            if wait <= 0:
                return
            time.sleep(wait)

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Wait until a request may go out, without blocking; see :meth:`acquire`."""
        while True:
            wait = self._take(time.monotonic(), num_tokens)
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def charge(self, num_tokens: int) -> None:
        """Count tokens of a request that went out; below 0 gives back what was too much."""
        with self._lock:
            self._charge(time.monotonic(), num_tokens)

    def _take(self, now: float, num_tokens: int) -> float:
        """Return 0.0 and count the request if it may go out now, else the seconds to wait."""
        with self._lock:
            wait = max(self._request_at, self._token_at) - now
            if wait > 0:
                return wait
            if self.requests_per_minute is not None:
                self._request_at = now + _MINUTE / self.requests_per_minute
            self._charge(now, num_tokens)
            return 0.0

    def _charge(self, now: float, num_tokens: int) -> None:
        if self.tokens_per_minute is not None:
            free_at = self._token_at if num_tokens < 0 else max(self._token_at, now)
            self._token_at = free_at + num_tokens * _MINUTE / self.tokens_per_minute


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
