"""Who may call the gateway, and how much: keys kept as hashes, and limits a minute. No I/O."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.api_error import MAX_BODY_BYTES, APIError
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.endpoint import checked_key

_TOO_OFTEN = ("Throttling.RateQuota", "Requests rate limit exceeded, try again later.")
_TOO_MUCH = (
    "Throttling.AllocationQuota",
    "Allocated quota exceeded, please increase your quota limit.",
)

_NAME = r"^[A-Za-z0-9_.-]{1,64}$"
KeyName = Annotated[str, Field(pattern=_NAME)]
KeyHash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Table(BaseModel):
    """A table of the gateway's file: it refuses keys that it does not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class MinuteLimits(Table):
    """What may be used in a minute; ``None`` is without limit.

    Attributes:
        requests_per_minute: calls that are begun.
        tokens_per_minute: tokens in and out. What an answer will use is not known before it is
            given: a call is refused once the minute's tokens are used up, and the last answer
            may go over them, which later calls wait for.
    """

    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None


class KeySettings(MinuteLimits):
    """One key: the table ``[keys.NAME]``. Its limits stand in place of those of ``[limits]``.

    Attributes:
        hash: as ``dashscope-oss key`` prints it; the key itself is kept nowhere.
    """

    hash: KeyHash


class ModelLimits(MinuteLimits):
    """Limits of one model, over all callers: the table ``[limits.models."ID"]``.

    Attributes:
        max_input_tokens: longest input; the model's own limit holds if it is lower.
    """

    max_input_tokens: PositiveInt | None = None


class LimitSettings(ModelLimits):
    """The table ``[limits]``: for each key, or for all callers together if there are no keys.

    Attributes:
        max_body_bytes: largest body of a request, 32,000,000 at the most.
        slow_client_seconds: in which a request's head must be here, and then its body; and for
            which an answer may wait for a caller that does not read on.
        models: further limits of single models.
    """

    max_body_bytes: PositiveInt = Field(default=MAX_BODY_BYTES, le=MAX_BODY_BYTES)
    slow_client_seconds: PositiveFloat = 60.0
    models: dict[str, ModelLimits] = Field(default_factory=dict)


class AccessSettings(Table):
    """Keys and limits; without keys anybody may call.

    Attributes:
        keys: by name. Names, never keys, stand in logs and metrics.
        limits: for those who may call.
    """

    keys: dict[KeyName, KeySettings] = Field(default_factory=dict)
    limits: LimitSettings = LimitSettings()

    @property
    def hosts(self) -> Sequence[str]:
        """Names, beside this machine's own, by which it may be called from here without a key."""
        return ()

    @model_validator(mode="after")
    def _each_key_once(self) -> AccessSettings:
        names = {key.hash: name for name, key in self.keys.items()}
        for name, key in self.keys.items():
            if names[key.hash] != name:
                raise ValueError(f"the keys {name!r} and {names[key.hash]!r} have the same hash")
        return self


def checked_name(name: str) -> str:
    """Return ``name``, if a key can have it.

    Raises:
        ConfigurationError: if not.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigurationError(
            f"bad name of a key {name!r:.100}: 1 to 64 letters, digits, '_', '.' and '-'"
        )
    return name


def key_in(variable: str, environ: Mapping[str, str]) -> str | None:
    """Return the key that an environment variable holds; ``None`` if it holds none.

    Raises:
        ConfigurationError: if it cannot stand in a header; the text does not show it.
    """
    key = environ.get(variable, "").strip()
    if not key:
        return None
    try:
        return checked_key(key)
    except ConfigurationError:
        raise ConfigurationError(
            f"the environment variable {variable} holds a space, a line break or a character that "
            "no key has; copy the key anew (it is not shown here)"
        ) from None


def new_key() -> str:
    """Return a new random key of 256 bits."""
    return f"sk-{secrets.token_urlsafe(32)}"


def hashed(key: str) -> str:
    """Return the hash of ``key`` as the settings keep it.

    Slow hashes (scrypt and its like) are for passwords that people make up. A key is 256 random
    bits, which nobody can try out, and is checked at every call: one round of SHA-256 is enough.
    """
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


class Access:
    """Decides who may call, and keeps what they have used.

    Args:
        settings: keys by hash, and limits.
        keys: more keys, as they are, by name.
        clock: seconds.
    """

    def __init__(
        self,
        settings: AccessSettings | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = settings or AccessSettings()
        self.limits = settings.limits
        hashes = {key.hash: name for name, key in settings.keys.items()}
        # Looked up by hash: how long that takes tells nothing of a key.
        self._names = hashes | {hashed(key): name for name, key in (keys or {}).items()}
        self._of_models = {
            id: _Allowance(limits, clock) for id, limits in settings.limits.models.items()
        }
        self._of_callers = {
            name: _Allowance(_own_or_general(settings.keys.get(name), settings.limits), clock)
            for name in ("", *self._names.values())
        }

    @property
    def open(self) -> bool:
        """Whether anybody may call."""
        return not self._names

    def caller(self, headers: Mapping[str, str]) -> str:
        """Return the name of the key that came with ``headers``; "" if none is asked for.

        Raises:
            APIError: if a key is asked for, and it is not one of the gateway's.
        """
        if self.open:
            return ""
        said = headers.get("authorization", "")
        scheme, _, rest = said.partition(" ")
        key = rest if scheme.lower() == "bearer" else said
        name = self._names.get(hashed(key.strip()))
        if name is None:
            raise APIError(401, "InvalidApiKey", "Invalid API-key provided.")
        return name

    def check_size(self, size: int) -> None:
        """Check the size of a body in bytes.

        Raises:
            APIError: if it is too large.
        """
        if size > self.limits.max_body_bytes:
            raise APIError(400, "BadRequest.TooLarge", "Payload Too Large")

    def limited(self, model_info: ModelInfo) -> ModelInfo:
        """Return ``record`` with the longest input that this gateway takes."""
        special = self.limits.models.get(model_info.id)
        given = (
            model_info.input_limit,
            self.limits.max_input_tokens,
            special.max_input_tokens if special else None,
        )
        least = min((limit for limit in given if limit is not None), default=None)
        return (
            model_info if least == model_info.input_limit else replace(model_info, max_input=least)
        )

    def admit(self, caller: str, model: str) -> None:
        """Count a call that begins.

        Raises:
            APIError: 429, if a limit is reached; the call is then not counted.
        """
        allowances = self._allowances(caller, model)
        for allowance in allowances:
            allowance.check()
        for allowance in allowances:
            allowance.begin()

    def counts_tokens(self, caller: str, model: str) -> bool:
        """Whether it matters how many tokens a call uses."""
        return any(allowance.counts_tokens for allowance in self._allowances(caller, model))

    def charge(self, caller: str, model: str, tokens: int) -> None:
        """Count the tokens that a call has used."""
        for allowance in self._allowances(caller, model):
            allowance.use(tokens)

    def _allowances(self, caller: str, model: str) -> list[_Allowance]:
        found = (self._of_callers.get(caller), self._of_models.get(model))
        return [allowance for allowance in found if allowance is not None]


class _Allowance:
    def __init__(self, limits: MinuteLimits, clock: Callable[[], float]) -> None:
        self._requests = _bucket(limits.requests_per_minute, clock)
        self._tokens = _bucket(limits.tokens_per_minute, clock)

    @property
    def counts_tokens(self) -> bool:
        return self._tokens is not None

    def check(self) -> None:
        if self._requests is not None and self._requests.left() < 1:
            raise APIError(429, *_TOO_OFTEN)
        if self._tokens is not None and self._tokens.left() <= 0:
            raise APIError(429, *_TOO_MUCH)

    def begin(self) -> None:
        if self._requests is not None:
            self._requests.take(1)

    def use(self, tokens: int) -> None:
        if self._tokens is not None:
            self._tokens.take(tokens)


class _Bucket:
    """Holds a minute's allowance at most, and fills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._most = float(per_minute)
        self._left = self._most
        self._clock = clock
        self._at = clock()

    def left(self) -> float:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
        self._at = now
        return self._left

    def take(self, amount: int) -> None:
        self._left = self.left() - amount


def _bucket(per_minute: int | None, clock: Callable[[], float]) -> _Bucket | None:
    return None if per_minute is None else _Bucket(per_minute, clock)


def _own_or_general(key: KeySettings | None, general: LimitSettings) -> MinuteLimits:
    own = key or MinuteLimits()
    return MinuteLimits(
        requests_per_minute=own.requests_per_minute or general.requests_per_minute,
        tokens_per_minute=own.tokens_per_minute or general.tokens_per_minute,
    )
