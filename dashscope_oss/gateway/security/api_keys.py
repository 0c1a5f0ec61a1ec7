"""API keys of the gateway: how they are made, named, hashed and read from the environment."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.transport.endpoint import checked_key

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"


def generate_key() -> str:
    """Return a new random key of 256 bits."""
    return f"sk-{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """Return the hash of ``key`` in the form of the configuration file.

    Slow hashes such as scrypt are for passwords that people invent. A key is 256 random bits,
    which nobody can guess, and it is checked at every call: one round of SHA-256 is enough.
    """
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def check_key_name(name: str) -> str:
    """Return ``name`` if a key can have it.

    Raises:
        ConfigurationError: if it cannot.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigurationError(
            f"bad name of a key {name!r:.100}: use 1 to 64 letters, digits, '_', '.' and '-'"
        )
    return name


def key_from_environment(variable: str, environ: Mapping[str, str]) -> str | None:
    """Return the key that an environment variable holds; ``None`` if it is unset or empty.

    Raises:
        ConfigurationError: if it cannot be sent in a header. The text does not show the key.
    """
    key = environ.get(variable, "").strip()
    if not key:
        return None
    try:
        return checked_key(key)
    except ConfigurationError:
        raise ConfigurationError(
            f"the environment variable {variable} holds a space, a line break or a character that "
            "no key has; copy the key again (it is not shown here)"
        ) from None
