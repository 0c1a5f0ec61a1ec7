"""What a server's refusals say of the rate that it grants. Decides only; ``pace`` waits.

Servers count calls in many ways: by the second, by the minute of the clock, by the last sixty
seconds, with a reserve for bursts. What holds for all of them is the average that they granted,
the time of refusal included, so this is what the rate is set to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
PROBE_SECONDS = 1.0
"""How long a first call after a refusal is given to be refused too."""
CAUTION = 0.95
"""Part of the granted rate with which calls go on after a refusal."""
RECOVERY_SECONDS = 60.0
"""After how long the rate has doubled; it grows with the third power of time: near the granted
rate it hardly changes, and a limit that is gone is forgotten in minutes."""


class _State(Enum):
    OPEN = auto()
    CLOSED = auto()
    PROBING = auto()


@dataclass
class AdaptiveRate:
    """When the next call may go out, by what was refused before.

    Without a refusal there is no limit. A refusal stops all calls, for as long as the server asks
    or for a second that doubles each time. Then a single call goes out; if it is not refused the
    others follow, spread evenly at the rate that was granted on average, and slowly faster.

    Times are seconds of one steady clock.
    """

    period: int = 0
    """Which pause was the last before a call; a call's refusal counts if none came since."""
    _state: _State = _State.OPEN
    _round_began: int = 0
    _opened_at: float | None = None
    _sent: int = 0
    _refused: int = 0
    _next_wait: float = FIRST_WAIT
    _until: float = 0.0
    _granted: float | None = None

    def wait(self, now: float) -> float:
        """Return the seconds until a call may go out, 0 if one may now."""
        if self._state is _State.PROBING and now >= self._until:
            self._open(now)
        return max(self._until - now, 0.0)

    def send(self, now: float) -> int:
        """Count a call that goes out now; return its period."""
        if self._opened_at is None:
            self._opened_at = now
        self._sent += 1
        if self._state is _State.CLOSED:
            self._state, self._until = _State.PROBING, now + PROBE_SECONDS
        elif self._granted is not None and self._state is _State.OPEN:
            self._until = max(self._until, now) + 1 / self._rate(now, self._granted)
        return self.period

    def grant(self, period: int, now: float) -> bool:
        """Note a call that was not refused; return whether that lets the others go on."""
        if self._state is not _State.PROBING or period != self.period:
            return False
        self._open(now)
        return True

    def refuse(self, period: int, now: float, retry_after: float | None = None) -> None:
        """Note a refused call.

        Args:
            period: what ``send`` returned for it.
            now: the time.
            retry_after: seconds that the server asked to wait.
        """
        if period >= self._round_began:
            self._refused += 1
        if period != self.period:
            return  # it went out before a pause that other calls have already led to
        self.period += 1
        self._state = _State.CLOSED
        self._until = now + (retry_after or self._next_wait)
        self._next_wait = min(2 * self._next_wait, LONGEST_WAIT)

    def _open(self, now: float) -> None:
        elapsed = now - (self._opened_at or 0.0)
        granted = max(self._sent - self._refused, 1)
        self._granted = granted / max(elapsed, PROBE_SECONDS)
        self._state, self._until, self._opened_at = _State.OPEN, now, now
        self._sent = self._refused = 0
        self._next_wait, self._round_began = FIRST_WAIT, self.period

    def _rate(self, now: float, granted: float) -> float:
        calm = now - (self._opened_at or now)
        return granted * (CAUTION + (calm / RECOVERY_SECONDS) ** 3)
