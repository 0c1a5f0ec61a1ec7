"""The tables of the configuration file that say who may call, and how much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from dashscope_oss.gateway.interface.api_error import MAX_BODY_BYTES
from dashscope_oss.gateway.security.api_keys import NAME_PATTERN

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _check_hash(text: str) -> str:
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise ValueError("it is no hash of a key; `dashscope-oss key NAME` makes key and hash")
    return text


KeyHash = Annotated[str, AfterValidator(_check_hash)]


class ConfigTable(BaseModel):
    """A table of the configuration file; a key that it does not know is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class RateLimits(ConfigTable):
    """How much may be used in a minute; ``None`` is without limit.

    Attributes:
        requests_per_minute: calls that are begun.
        tokens_per_minute: tokens of prompts and answers. What an answer will use is not known
            before it ends, so the last call may exceed the limit; later ones wait for that.
    """

    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None


class KeyConfig(RateLimits):
    """One key: the table ``[keys.NAME]``. Its limits replace those of ``[limits]``.

    Attributes:
        hash: as ``dashscope-oss key`` prints it; the key itself is stored nowhere.
    """

    hash: KeyHash


class ModelLimits(RateLimits):
    """The limits of one model, over all callers: the table ``[limits.models."ID"]``.

    Attributes:
        max_input_tokens: the longest input; a lower limit of the model itself still applies.
    """

    max_input_tokens: PositiveInt | None = None


class LimitsConfig(ModelLimits):
    """The table ``[limits]``: for each key, or for all callers together if there are no keys.

    Attributes:
        max_body_bytes: the largest body of a request, at most 32,000,000.
        slow_client_seconds: how long a client may take to send a request's head, and then its
            body, and how long an answer may wait for a client that stops reading.
        models: further limits of single models.
    """

    max_body_bytes: PositiveInt = Field(default=MAX_BODY_BYTES, le=MAX_BODY_BYTES)
    slow_client_seconds: PositiveFloat = 60.0
    models: dict[str, ModelLimits] = Field(default_factory=dict)


class AccessConfig(ConfigTable):
    """Keys and limits; without keys anybody may call.

    Attributes:
        keys: by name. Logs and metrics show names, never keys.
        limits: how much callers may use.
    """

    keys: dict[Name, KeyConfig] = Field(default_factory=dict)
    limits: LimitsConfig = LimitsConfig()

    @property
    def hosts(self) -> Sequence[str]:
        """Host names, besides localhost, under which a gateway without keys may be called."""
        return ()

    @model_validator(mode="after")
    def _check_hashes_differ(self) -> AccessConfig:
        names = {key.hash: name for name, key in self.keys.items()}
        for name, key in self.keys.items():
            if names[key.hash] != name:
                raise ValueError(f"the keys {name!r} and {names[key.hash]!r} have the same hash")
        return self
