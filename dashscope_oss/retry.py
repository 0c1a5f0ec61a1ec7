"""When to try a call again: pure functions.

Rules: only errors that say ``retryable``; a wait the service asks for is kept, unless it is
longer than a minute, which is reported at once instead; else exponential backoff with full
jitter, 0.5 s doubling up to 8 s.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from dashscope_oss.errors import DashScopeError

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0


def delay(
    attempt: int,
    error: DashScopeError,
    *,
    max_retries: int,
    draw: Callable[[], float] = random.random,
) -> float | None:
    """Return the seconds to wait before the next try, or ``None`` to give up.

    Args:
        attempt: tries made so far, counted from 1.
        error: why the last one failed.
        max_retries: most tries after the first.
        draw: a number in [0, 1), for the jitter.
    """
    if not error.retryable or attempt > max_retries:
        return None
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None
    return draw() * min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the headers of an answer ask to wait, if they make sense.

    Read are ``retry-after-ms``, and ``retry-after`` in seconds or as an HTTP date; junk and
    negative figures count as nothing said.

    Args:
        headers: names in lower case.
        now: the present, in seconds of the epoch.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    return seconds if seconds is not None else _until(text, now)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until(text: str | None, now: float) -> float | None:
    try:
        wait = parsedate_to_datetime(text or "").timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return wait if wait >= 0 else None
