"""What reads and what writes a file of rows, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Json


class Reader(Protocol):
    """Reads rows, as often as wanted.

    Attributes:
        path: what was asked for: a file, or the folder of several.
        files: all files with rows.
    """

    path: Path
    files: Sequence[Path]

    def count(self) -> int:
        """Return the number of rows."""

    def columns(self) -> list[str]:
        """Return the names of all columns."""

    def rows(self) -> Iterator[tuple[int, Json | DashScopeError]]:
        """Yield the number of each row and its values, or why it has none."""


class Writer(Protocol):
    """Writes the rows of a file."""

    def write(self, values: Json) -> None:
        """Write a row."""

    def close(self) -> None:
        """Write what is left, and close the file."""


def state_of(files: Sequence[Path]) -> tuple[int, int, int]:
    """Return what tells whether files have changed: how many, their bytes, the last change."""
    stats = [file.stat() for file in files if file.exists()]
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return len(stats), sum(stat.st_size for stat in stats), newest
