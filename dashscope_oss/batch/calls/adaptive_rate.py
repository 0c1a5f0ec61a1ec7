"""What a server's refusals say of the rate that it grants. Decides only; ``pace`` waits.

Servers count calls in many ways: by the second, by the minute of the clock, by the last sixty
seconds, with a reserve for bursts. What holds for all of them is the average that they granted,
the time of refusal included, so this is what the rate is set to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
PROBE_SECONDS = 1.0
"""How long a first call after a refusal is given to be refused too."""
LEAST_CAUTION, MOST_CAUTION = 0.01, 0.05
"""By which part the calls go on slower than was granted: five times the share that was refused,
within these bounds."""
RECOVERY_SECONDS, RECOVERY_CALLS = 20.0, 300
"""After how long, or how many calls, the rate has doubled; whichever comes first. It grows with the
third power: near the granted rate it hardly changes, and a limit that is gone is soon forgotten.
Calls count too, so that a refusal now and then, which no pace would avoid, does not slow down a
run of many calls a second."""


class _State(Enum):
    OPEN = auto()
    CLOSED = auto()
    PROBING = auto()


@dataclass
class AdaptiveRate:
    """When the next call may go out, by what was refused before.

    Without a refusal there is no limit. A refusal stops all calls, for as long as the server asks
    or for half a second that doubles each time. Then a single call goes out; if it is not refused
    the others follow, spread evenly at the rate that was granted on average, and slowly faster.

    Times are seconds of one steady clock.
    """

    period: int = 0
    """Which pause was the last before a call; a call's refusal counts if none came since."""
    _state: _State = _State.OPEN
    _round_began: int = 0
    _opened_at: float | None = None
    _closed_at: float = 0.0
    _pauses: int = 0
    _sent: int = 0
    _refused: int = 0
    _asked_to_wait: bool = False
    _until: float = 0.0
    _granted: float | None = None
    _caution: float = MOST_CAUTION

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

    def refuse(self, period: int, now: float, retry_after: float | None = None) -> int:
        """Note a refused call; return how many pauses in a row this makes.

        It is 0 for a call that went out before a pause that others have already led to.

        Args:
            period: what ``send`` returned for it.
            now: the time.
            retry_after: seconds that the server asked to wait.
        """
        if period >= self._round_began:
            self._refused += 1
        if period != self.period:
            return 0
        self.period += 1
        self._pauses += 1
        self._state, self._closed_at = _State.CLOSED, now
        self._until = now + (retry_after or min(FIRST_WAIT * 2**self._pauses / 2, LONGEST_WAIT))
        self._asked_to_wait = retry_after is not None
        return self._pauses

    def _open(self, now: float) -> None:
        # A short pause that was enough was this side's own choice; a longer one the server's.
        was_short = self._pauses == 1 and not self._asked_to_wait
        elapsed = (self._closed_at if was_short else now) - (self._opened_at or 0.0)
        granted = max(self._sent - self._refused, 1)
        self._granted = granted / max(elapsed, PROBE_SECONDS)
        refused_share = self._refused / self._sent
        self._caution = min(max(5 * refused_share, LEAST_CAUTION), MOST_CAUTION)
        self._state, self._until, self._opened_at = _State.OPEN, now, now
        self._sent = self._refused = self._pauses = 0
        self._round_began = self.period

    def _rate(self, now: float, granted: float) -> float:
        seconds = now - (self._opened_at or now)
        calm = max(seconds / RECOVERY_SECONDS, self._sent / RECOVERY_CALLS)
        return granted * (1 - self._caution + calm**3)
