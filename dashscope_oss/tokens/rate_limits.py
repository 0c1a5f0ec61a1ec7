"""An account's limits of requests and tokens a minute: when the next call may go out."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Usage
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates

_MINUTE = 60.0


class Call(Protocol):
    """What is counted of a call."""

    @property
    def model_info(self) -> ModelInfo:
        """The model asked."""

    @property
    def text(self) -> str:
        """All text of the input."""


_Call = TypeVar("_Call", bound=Call)


@dataclass(eq=False)
class RateLimits:
    """A ``rate_limiter`` of both frameworks that spreads calls evenly.

    ::

        limits = RateLimits.of("kimi-k2.5")
        chat = ChatDashScopeOSS(model="kimi-k2.5", rate_limiter=limits)
        llm = DashScopeOSS(model="kimi-k2.5", rate_limiter=limits)

    The service counts each second of a minute too. After a call the next one has to wait until the
    call's share of a minute has passed, in requests and in tokens. Tokens of a question are counted
    by estimate when it is sent, and by the service's own number when the answer is complete. Limits
    are an account's: share one object between all that ask the same model, in both frameworks and
    in batches. Works in threads and in any number of event loops; a copy is the same object.

    Attributes:
        requests_per_minute: above 0; ``None`` is no limit.
        tokens_per_minute: input and output together, above 0; ``None`` is no limit.

    Raises:
        ConfigurationError: for limits under which no call could ever be sent.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    _next_request_at: float = field(default=0.0, init=False, repr=False)
    _tokens_free_at: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ConfigurationError(
                    f"{name} is {limit}, so no call could ever be sent; give a number above 0, or "
                    "None for no limit"
                )

    @classmethod
    def of(cls, model: str) -> Self:
        """Return the limits that the vendor's page of 2026-02-24 states for ``model``.

        They are an account's, and yours may differ: the console shows them. A gateway has none.

        Raises:
            ConfigurationError: if the page states none.
        """
        model_info = find_model(model)
        if model_info.requests_per_minute is None and model_info.tokens_per_minute is None:
            raise ConfigurationError(
                f"the vendor's page states no limits for {model}; give those of your account, "
                "which the console shows: RateLimits(requests_per_minute=...)"
            )
        return cls(model_info.requests_per_minute, model_info.tokens_per_minute)

    def acquire(self, num_tokens: int = 0, *, blocking: bool = True) -> bool:
        """Wait until a call may go out; without ``blocking`` return at once whether it may.

        Args:
            num_tokens: tokens of the call, as far as they are known; they are counted with it.
            blocking: wait.
        """
        while (wait := self.reserve(time.monotonic(), num_tokens)) > 0:
            if not blocking:
                return False
            time.sleep(wait)
        return True

    async def async_acquire(self, num_tokens: int = 0, *, blocking: bool = True) -> bool:
        """Wait without blocking the event loop; see :meth:`acquire`. The name is LlamaIndex's."""
        while (wait := self.reserve(time.monotonic(), num_tokens)) > 0:
            if not blocking:
                return False
            await _sleep(wait)
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait without blocking the event loop; see :meth:`acquire`. The name is LangChain's."""
        return await self.async_acquire(blocking=blocking)

    def count_question(self, call: Call) -> None:
        """Count the tokens of a call that goes out now, by estimate."""
        self.charge(time.monotonic(), _input_estimate(call))

    def count_answer(self, call: Call, usage: Usage | None, answer: str) -> None:
        """Count what a call took: the service's own number in place of the estimate.

        Args:
            call: as it was given to :meth:`count_question`.
            usage: what the service reported; without it, the answer is estimated too.
            answer: its text.
        """
        estimate = _input_estimate(call)
        total = usage.total_tokens if usage else None
        if total is None:
            total = estimate + estimates.estimate(answer, call.model_info.tokenizer)
        self.charge(time.monotonic(), total - estimate)

    def reserve(self, now: float, num_tokens: int = 0) -> float:
        """Count a call that goes out now and return 0, or return the seconds until one may.

        Args:
            now: the time, in seconds of ``time.monotonic``.
            num_tokens: tokens of the call, as far as they are known.
        """
        with self._lock:
            wait = max(self._next_request_at, self._tokens_free_at) - now
            if wait > 0:
                return wait
            if self.requests_per_minute is not None:
                self._next_request_at = now + _MINUTE / self.requests_per_minute
            self._charge(now, num_tokens)
            return 0.0

    def charge(self, now: float, num_tokens: int) -> None:
        """Count tokens of a call that went out; below 0 gives back what was too much."""
        with self._lock:
            self._charge(now, num_tokens)

    def _charge(self, now: float, num_tokens: int) -> None:
        if self.tokens_per_minute is not None:
            free_at = self._tokens_free_at if num_tokens < 0 else max(self._tokens_free_at, now)
            self._tokens_free_at = free_at + num_tokens * _MINUTE / self.tokens_per_minute

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.requests_per_minute, self.tokens_per_minute))


def rate_limits_of(model: object) -> RateLimits | None:
    """Return the ``rate_limiter`` of a model object, if it is one that counts tokens."""
    limiter = getattr(model, "rate_limiter", None)  # llama-index-core 0.14.0 has no such field
    return limiter if isinstance(limiter, RateLimits) else None


def counted(call: _Call, model: object) -> _Call:
    """Return a call that a model object is about to send; its rate limits have then counted it."""
    limits = rate_limits_of(model)
    if limits is not None:
        limits.count_question(call)
    return call


async def _sleep(seconds: float) -> None:
    import asyncio  # noqa: PLC0415 - importing the package must stay cheap

    await asyncio.sleep(seconds)


def _input_estimate(call: Call) -> int:
    return estimates.estimate(call.text, call.model_info.tokenizer)
