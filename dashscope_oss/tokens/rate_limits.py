"""An account's limits of requests and tokens a minute: when the next call may go out.

Nothing waits here: the adapters do, each in its framework's way.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Self

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.registry.lookup import find_model

_MINUTE = 60.0


@dataclass
class RateLimits:
    """Spreads calls evenly, because the service counts each second of a minute too.

    After a call the next one has to wait until the call's share of a minute has passed, in
    requests and in tokens. Works in threads. Times are seconds of one steady clock.

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

    def reserve(self, now: float, num_tokens: int = 0) -> float:
        """Count a call that goes out now and return 0, or return the seconds until one may.

        Args:
            now: the time.
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
