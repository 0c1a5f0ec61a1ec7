"""What reads and what writes a file of rows, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Json


class Reader(Protocol):
    """Reads the rows of a file, as often as wanted."""

    path: Path

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
