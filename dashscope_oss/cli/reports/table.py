"""Rows as lines of equal columns. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """Return the lines: columns of ``numbers`` to the right, all others to the left."""
    lines = [tuple(name.upper() for name in head), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [name in numbers for name in head]
    return "\n".join(_padded(line, widths, right) for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        cell.rjust(width) if is_number else cell.ljust(width)
        for cell, width, is_number in zip(line, widths, right, strict=True)
    )
    return "  ".join(cells).rstrip()
