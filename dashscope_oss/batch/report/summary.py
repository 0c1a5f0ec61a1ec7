"""The table at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from dashscope_oss.batch.report.tally import Tally, duration
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.prices import cost


@dataclass(frozen=True, repr=False)
class Summary:
    """What a run did, as a table: as text with ``print``, as HTML in a notebook.

    Attributes:
        tally: its counts.
        model_info: the model, for the cost; ``None`` if there were several, nobody knows, or
            nobody is billed.
    """

    tally: Tally
    model_info: ModelInfo | None = None

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What is counted, and the figure; what is nothing is left out."""
        tally = self.tally
        total = "" if tally.total is None else f" of {tally.total:,}"
        counts = [
            ("rows answered", f"{tally.earlier + tally.answered:,}{total}"),
            ("answered earlier", f"{tally.earlier:,}" if tally.earlier else ""),
            ("rows that failed", self._failures()),
            ("tokens", self._tokens()),
            ("answers without counts", f"{tally.unreported:,}" if tally.unreported else ""),
            ("cost", self._cost()),
            ("calls put off by the service", f"{tally.refusals:,}" if tally.refusals else ""),
            ("time", duration(tally.seconds)),
            ("rows a second", f"{tally.rate:,.1f}"),
        ]
        return [(name, figure) for name, figure in counts if figure]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        return "\n".join(f"{name:<{width}}  {figure}" for name, figure in self.rows)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(figure)}</td></tr>"
            for name, figure in self.rows
        )
        return f"<table>{cells}</table>"

    @property
    def _has_tokens(self) -> bool:
        """Whether the service reported any."""
        return self.tally.answered > self.tally.unreported

    def _tokens(self) -> str:
        tally = self.tally
        return f"{tally.input_tokens:,} in, {tally.output_tokens:,} out" if self._has_tokens else ""

    def _failures(self) -> str:
        failed = self.tally.failed + self.tally.earlier_failed
        details = [self.tally.error_text] if self.tally.failed else []
        if self.tally.earlier_failed:
            details.append(f"{self.tally.earlier_failed:,} earlier")
        return f"{failed:,} ({'; '.join(details)})" if failed else ""

    def _cost(self) -> str:
        """The cost by the prices of the model's record; tokens that nobody counted cost more."""
        model_info = self.model_info
        if model_info is None or not self._has_tokens:
            return ""
        yuan = cost(model_info, self.tally.usage)
        if yuan is None:
            return ""
        at_least = "at least " if self.tally.unreported else ""
        return f"{at_least}{yuan:,.2f} CNY by the prices of {model_info.priced_on}"
