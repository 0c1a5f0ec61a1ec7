"""The counts of a run, and what follows from them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dashscope_oss.batch.rows.outcome import Failure, Outcome
from dashscope_oss.messages import Reply, Usage

_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_creation_tokens")
_SUMS = (
    *("earlier", "earlier_failed", "answered", "errors", "refusals", "unreported"),
    *_TOKENS,
)


@dataclass
class Tally:
    """The counts of a run. Add to it; nothing here waits or prints.

    Attributes:
        total: rows of the run, ``None`` if nobody knows.
        earlier: rows that an earlier start has answered.
        earlier_failed: rows that failed then and are not asked again.
        answered: rows answered since the start.
        errors: rows without an answer since the start, by the class of their error.
        input_tokens: as the service reported them.
        output_tokens: as the service reported them.
        cached_tokens: those of the input that were read from the context cache.
        cache_creation_tokens: those that were written into it; ``None`` if nobody reported any.
        unreported: answers for which the service did not report tokens in and out.
        refusals: calls that the service refused for the moment, and that were made again.
        began_at: when the run began, in seconds of ``time.monotonic``.
        ended_at: when it ended, ``None`` while it goes on.
    """

    total: int | None = None
    earlier: int = 0
    earlier_failed: int = 0
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_creation_tokens: int | None = None
    unreported: int = 0
    refusals: int = 0
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None

    def add(self, result: object) -> None:
        """Count a row that was dealt with.

        Args:
            result: an error, a :class:`Failure`, a :class:`Reply`, or any other answer, of whose
                tokens nothing is known.
        """
        if isinstance(result, Exception | Failure):
            kind = result.kind if isinstance(result, Failure) else type(result).__name__
            self.errors[kind] += 1
            return
        self.answered += 1
        usage = result.usage if isinstance(result, Reply) else None
        reported = Usage() if usage is None or usage.estimated else usage
        if None in (reported.input_tokens, reported.output_tokens):
            self.unreported += 1
        for name in _TOKENS:
            self._plus(name, getattr(reported, name))

    def add_earlier(self, outcome: Outcome) -> None:
        """Count a row that an earlier start has dealt with."""
        if isinstance(outcome, Failure):
            self.earlier_failed += 1
        else:
            self.earlier += 1

    @property
    def counts(self) -> dict[str, object]:
        """What another tally can add, in a form that can be written as JSON."""
        return {**{name: getattr(self, name) for name in _SUMS}, "errors": dict(self.errors)}

    def add_counts(self, counts: Mapping[str, object]) -> None:
        """Add the counts of another part of the run."""
        for name, count in counts.items():
            self._plus(name, Counter(count) if isinstance(count, Mapping) else count)

    def _plus(self, name: str, amount: Any) -> None:  # noqa: ANN401 - a number or a Counter
        if amount is not None:
            before = getattr(self, name)
            setattr(self, name, amount if before is None else before + amount)

    @property
    def usage(self) -> Usage:
        """The tokens of all answers, as one usage."""
        return Usage(**{name: getattr(self, name) for name in _TOKENS})

    @property
    def failed(self) -> int:
        """Rows without an answer since the start."""
        return self.errors.total()

    @property
    def calls(self) -> int:
        """Rows that were dealt with since the start."""
        return self.answered + self.failed

    @property
    def done(self) -> int:
        """Rows that need no call any more."""
        return self.earlier + self.earlier_failed + self.calls

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return (self.ended_at or time.monotonic()) - self.began_at

    @property
    def rate(self) -> float:
        """Rows a second since the start."""
        return self.calls / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate; ``None`` if that cannot be known."""
        if self.total is None or not self.rate:
            return None
        return (self.total - self.done) / self.rate

    @property
    def error_text(self) -> str:
        """The errors by class, most frequent first; empty without any."""
        return ", ".join(f"{kind} {count:,}" for kind, count in self.errors.most_common())


def duration(seconds: float) -> str:
    """Return a time as people say it: ``42 s``, ``7 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
