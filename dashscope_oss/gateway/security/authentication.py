"""Decides who may call the gateway, and says what a wrong key gets. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.security.api_keys import hash_key
from dashscope_oss.gateway.security.config import AccessConfig


class Authenticator:
    """Knows the keys of those who may call.

    Args:
        config: keys by hash.
        keys: more keys, in plain text, by name.
    """

    def __init__(
        self, config: AccessConfig | None = None, *, keys: Mapping[str, str] | None = None
    ) -> None:
        names = {key.hash: name for name, key in config.keys.items()} if config else {}
        # A key is looked up by its hash, so the time that takes tells nothing of the key.
        self._names_by_hash = names | {hash_key(key): name for name, key in (keys or {}).items()}

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of all keys."""
        return tuple(self._names_by_hash.values())

    @property
    def is_open(self) -> bool:
        """Whether anybody may call, without a key."""
        return not self._names_by_hash

    def authenticate(self, headers: Mapping[str, str]) -> str:
        """Return the name of the caller's key; "" if the gateway asks for none.

        Raises:
            APIError: 401, if the gateway asks for a key and this is not one of its keys.
        """
        if self.is_open:
            return ""
        authorization = headers.get("authorization", "")
        scheme, _, credentials = authorization.partition(" ")
        key = credentials if scheme.lower() == "bearer" else authorization
        name = self._names_by_hash.get(hash_key(key.strip()))
        if name is None:
            raise APIError(401, "InvalidApiKey", "Invalid API-key provided.")
        return name
