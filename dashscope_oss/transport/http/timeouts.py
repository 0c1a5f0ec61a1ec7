"""How long the steps of a call may take, in the forms that users may give."""

from __future__ import annotations

from typing import TypeAlias

import httpx2

from dashscope_oss.errors import ConfigurationError

DEFAULT_TIMEOUT = 300.0
"""Seconds between two pieces of an answer; the service itself gives up after 300."""
DEFAULT_CONNECT_TIMEOUT = 10.0

Timeout: TypeAlias = float | tuple[float | None, ...] | httpx2.Timeout
"""Seconds between two pieces of an answer; or the limits of connecting, reading, writing and
waiting for a connection one by one, ``None`` for no limit, as httpx2 has them."""


def checked_timeouts(timeout: Timeout | None) -> httpx2.Timeout:
    """Return all four limits that ``timeout`` stands for.

    Raises:
        ConfigurationError: if one of them is not a number above 0.
    """
    if timeout is None:
        timeout = DEFAULT_TIMEOUT
    if isinstance(timeout, int | float):
        timeouts = httpx2.Timeout(timeout, connect=min(timeout, DEFAULT_CONNECT_TIMEOUT))
    elif isinstance(timeout, httpx2.Timeout) or (
        isinstance(timeout, tuple) and 2 <= len(timeout) <= 4
    ):
        timeouts = httpx2.Timeout(timeout)  # type: ignore[arg-type]  # two and three are taken too
    else:
        raise ConfigurationError(
            f"bad timeout {timeout!r:.100}: pass seconds, a tuple of two to four limits, or an "
            "httpx2.Timeout"
        )
    for name, seconds in timeouts.as_dict().items():
        check_seconds(f"timeout for {name}", seconds)
    return timeouts


def storable_timeout(timeout: object) -> object:
    """Return an ``httpx2.Timeout`` as the tuple of its limits, which can be stored as JSON.

    One of httpx, which has the same four limits, is taken too.
    """
    limits = getattr(timeout, "as_dict", None)
    return timeout if limits is None else tuple(limits().values())


def check_seconds(name: str, seconds: float | None) -> None:
    """Raise ``ConfigurationError`` unless ``seconds`` is ``None`` or a number above 0."""
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ConfigurationError(f"bad {name} {seconds}: pass a number of seconds above 0, or None")
