"""What models used and cost, over all models and frameworks of a program."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dashscope_oss.messages import Usage
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.prices import cost

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one model used in one framework. What nobody reported is ``None``, and never 0.

    Attributes:
        framework: ``LangChain``, ``LlamaIndex``, or ``client`` for this package's own clients.
        model: the model's id.
        calls: answers that came whole.
        unreported: those of them for which the service reported no tokens; they are in no sum.
        input_tokens: of all other calls, and so on.
        output_tokens: thoughts included.
        cached_tokens: input that was read from the context cache.
        cache_creation_tokens: input that was written into it.
        reasoning_tokens: output that was thought.
        cost: in yuan; ``None`` if the price is not known, or the calls went to a gateway, which
            nobody is billed for.
        priced_on: the day on which a source stated the prices; ``None`` without a cost.
    """

    framework: str
    model: str
    calls: int = 0
    unreported: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    priced_on: date | None = None


_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
)


class UsageTable:
    """Counts the tokens of all models that share it, by framework and model, and what they cost.

    ::

        usage = UsageTable()
        chat = ChatDashScopeOSS(model="glm-5", usage_table=usage)
        llm = DashScopeOSS(model="glm-5", usage_table=usage)
        ...
        print(usage)

    Whole and streamed answers count once they are complete. Works in threads. Costs are those of
    the hosted service at the prices of the registry, see :func:`dashscope_oss.tokens.prices.cost`.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], UsageRow] = {}
        self._lock = threading.Lock()

    def add(
        self,
        model_info: ModelInfo,
        usage: Usage | None,
        *,
        framework: str = "client",
        is_billed: bool = True,
    ) -> None:
        """Count one answer.

        Args:
            model_info: the model that answered.
            usage: what the service reported; estimates are not counted.
            framework: where the call was made.
            is_billed: whether it went to the hosted service.
        """
        key = (framework, model_info.id)
        reported = None if usage is None or usage.estimated else usage
        price = cost(model_info, reported) if reported and is_billed else None
        with self._lock:
            row = self._rows.get(key) or UsageRow(framework=framework, model=model_info.id)
            self._rows[key] = _with_call(row, reported, price, model_info.priced_on)

    @property
    def rows(self) -> list[UsageRow]:
        """One row for each framework and model, in the order of their first answers."""
        with self._lock:
            return list(self._rows.values())

    @property
    def cost(self) -> float | None:
        """Yuan for all calls whose cost is known; ``None`` if that of none is."""
        return _sum(row.cost for row in self.rows)

    def to_pandas(self) -> DataFrame:
        """Return a data frame with the rows. It needs pandas; what is not known is ``<NA>``."""
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        names = [field.name for field in fields(UsageRow)]
        frame: DataFrame = pandas.DataFrame([asdict(row) for row in self.rows], columns=names)
        return frame.astype({**dict.fromkeys(_COUNTS, "Int64"), "cost": "Float64"})

    def __repr__(self) -> str:
        lines = [_HEADS, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_line(cells, widths) for cells in lines)

    def _repr_html_(self) -> str:
        body = "".join(_html_row(cells, "td") for cells in map(_cells, self.rows))
        return f"<table>{_html_row(_HEADS, 'th')}{body}</table>"


_HEADS = (
    "framework",
    "model",
    "calls",
    "without counts",
    "tokens in",
    "out",
    "from cache",
    "into cache",
    "thought",
    "cost (CNY)",
    "prices of",
)


def _with_call(
    row: UsageRow, usage: Usage | None, price: float | None, priced_on: date | None
) -> UsageRow:
    row = replace(row, calls=row.calls + 1)
    if usage is None:
        return replace(row, unreported=row.unreported + 1)
    if price is not None:
        row = replace(row, cost=_sum((row.cost, price)), priced_on=priced_on)
    counts: dict[str, Any] = {
        name: _sum((getattr(row, name), getattr(usage, name))) for name in _COUNTS
    }
    return replace(row, **counts)


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of what is known, ``None`` if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _cells(row: UsageRow) -> tuple[str, ...]:
    counts = (row.calls, row.unreported, *(getattr(row, name) for name in _COUNTS))
    price = "not known" if row.cost is None else f"{row.cost:,.4f}"
    return (row.framework, row.model, *map(_in_digits, counts), price, str(row.priced_on or "-"))


def _in_digits(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    """Return a line of the table: words stand left, numbers right."""
    columns = enumerate(zip(cells, widths, strict=True))
    return "  ".join(
        cell.ljust(width) if number < 2 else cell.rjust(width) for number, (cell, width) in columns
    )


def _html_row(cells: Iterable[str], tag: str) -> str:
    from html import escape  # noqa: PLC0415 - only notebooks need it

    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
