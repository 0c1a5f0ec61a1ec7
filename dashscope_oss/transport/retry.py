"""When to try a call again: pure functions.

Rules: only errors that say ``retryable``; a wait the service asks for is kept, unless it is
longer than a minute, which is reported at once instead; else exponential backoff with full
jitter, 0.5 s doubling up to 8 s.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from dashscope_oss.errors import DashScopeError

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0
_LONGEST_NAMED = 1e9
_PLAIN_NUMBER = r"[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]+"


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


def given_up(error: DashScopeError, attempt: int, wait: float | None) -> DashScopeError:
    """Return ``error``, whose text now says why there is no further try.

    Args:
        error: why the last try failed.
        attempt: tries made, counted from 1.
        wait: the wait that there is no time left for, ``None`` if there would have been none.
    """
    asked = error.retry_after or 0.0
    if error.retryable and asked > LONGEST_RETRY_AFTER:
        longest = f"{LONGEST_RETRY_AFTER:.0f} s at most"
        reason = f"The service asks to wait {asked:.0f} s; a call waits {longest}."
    elif wait is not None:
        reason = f"There is no time left to wait {wait:.3g} s for another try: see total_timeout."
    elif attempt > 1:
        reason = f"Given up after {attempt} tries."
    else:
        return error
    error.hint = f"{error.hint} {reason}".strip()
    return error


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
    plain = (text or "").strip()
    return min(float(plain), _LONGEST_NAMED) if re.fullmatch(_PLAIN_NUMBER, plain) else None


def _until(text: str | None, now: float) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        # A date without a zone is Greenwich's, as HTTP has them all.
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return wait if wait >= 0 else None
