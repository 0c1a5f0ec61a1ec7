"""Decides how often a caller may call, and how large a call may be. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable

from dashscope_oss.gateway.interface.api_error import BodyTooLarge
from dashscope_oss.gateway.security.config import (
    AccessConfig,
    KeyConfig,
    LimitsConfig,
    RateLimits,
)
from dashscope_oss.gateway.security.rate_limiter import Clock, RateLimiter
from dashscope_oss.registry.model_info import ModelInfo


class UsageLimits:
    """Knows the limits, and counts what each key and each model has used.

    Args:
        config: the limits.
        key_names: the names of the keys that callers may have.
        clock: returns seconds.

    Attributes:
        limits: those of all callers.
    """

    def __init__(
        self,
        config: AccessConfig | None = None,
        key_names: Iterable[str] = (),
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        config = config or AccessConfig()
        self.limits = config.limits
        self._model_limiters = {
            id: RateLimiter(limits, clock) for id, limits in config.limits.models.items()
        }
        self._key_limiters = {
            name: RateLimiter(_limits_of(config.keys.get(name), config.limits), clock)
            for name in ("", *key_names)
        }

    def check_body_size(self, size: int) -> None:
        """Check the size of a request's body, in bytes.

        Raises:
            APIError: 400, if it is too large.
        """
        if size > self.limits.max_body_bytes:
            raise BodyTooLarge

    def with_input_limit(self, model_info: ModelInfo) -> ModelInfo:
        """Return ``model_info`` with the longest input that this gateway accepts."""
        model_limits = self.limits.models.get(model_info.id)
        limits = (
            model_info.input_limit,
            self.limits.max_input_tokens,
            model_limits.max_input_tokens if model_limits else None,
        )
        lowest = min((limit for limit in limits if limit is not None), default=None)
        if lowest == model_info.input_limit:
            return model_info
        return model_info.settled(max_input=lowest)

    def admit(self, key_name: str, model: str) -> None:
        """Count a call that begins.

        Raises:
            APIError: 429, if a limit is reached; the call is then not counted.
        """
        limiters = self._limiters(key_name, model)
        for limiter in limiters:
            limiter.check()
        for limiter in limiters:
            limiter.count_request()

    def counts_tokens(self, key_name: str, model: str) -> bool:
        """Return whether any limit depends on the tokens that a call uses."""
        return any(limiter.counts_tokens for limiter in self._limiters(key_name, model))

    def charge(self, key_name: str, model: str, tokens: int) -> None:
        """Count the tokens that a call has used."""
        for limiter in self._limiters(key_name, model):
            limiter.count_tokens(tokens)

    def _limiters(self, key_name: str, model: str) -> list[RateLimiter]:
        limiters = (self._key_limiters.get(key_name), self._model_limiters.get(model))
        return [limiter for limiter in limiters if limiter is not None]


def _limits_of(key: KeyConfig | None, general: LimitsConfig) -> RateLimits:
    """Return a key's own limits; where it has none, the general ones."""
    own = key or RateLimits()
    return RateLimits(
        requests_per_minute=own.requests_per_minute or general.requests_per_minute,
        tokens_per_minute=own.tokens_per_minute or general.tokens_per_minute,
    )
