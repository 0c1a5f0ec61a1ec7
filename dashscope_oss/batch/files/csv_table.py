"""Rows as a table of comma-separated values, in UTF-8, with a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashscope_oss.batch.files.jsonl import json_text
from dashscope_oss.errors import ConfigurationError, DashScopeError, UnsupportedInputError
from dashscope_oss.messages import Json
from dashscope_oss.protocol.streaming.sse import BOM

_MAX_FIELD_SIZE = 2**31 - 1
"""The module's own limit, 128 KiB, is less than some prompts."""
_NOT_UTF8 = 'is not UTF-8; save it as UTF-8, which Excel calls "CSV UTF-8"'


class CsvReader:
    """Reads a table; every value is text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: Sequence[Path] = (path,)

    def count(self) -> int:
        """Return the number of rows."""
        return sum(1 for _ in self.rows())

    @property
    def encoding(self) -> str:
        """UTF-8 with the mark by which Excel knows it, or without."""
        with self.path.open("rb") as file:
            return "utf-8-sig" if file.read(len(BOM)) == BOM else "utf-8"

    def columns(self) -> list[str]:
        """Return the names in the header.

        Raises:
            ConfigurationError: if there is no header, or a name stands in it twice; if it is not
                UTF-8.
        """
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            names = next(csv.reader(file), [])
        if not _is_utf8(names):
            raise ConfigurationError(f"{self.path} {_NOT_UTF8}")
        if not names:
            raise ConfigurationError(
                f"{self.path} has no first line with the names of the columns; add one"
            )
        if len({*names}) < len(names):
            raise ConfigurationError(
                f"{self.path} names a column twice in its first line, {', '.join(names)!r:.200}; "
                "give each another name"
            )
        return names

    def rows(self) -> Iterator[tuple[int, Json | DashScopeError]]:
        """Yield the number of each row, from 1 after the header, and its values or its fault."""
        columns = self.columns()
        csv.field_size_limit(_MAX_FIELD_SIZE)
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader)
            number = 0
            while (fields := _next(reader)) is not None:
                if fields:  # an empty line is no row
                    number += 1
                    yield number, _read(columns, fields)


class CsvWriter:
    """Writes a table.

    Args:
        path: the file.
        columns: the header; a row without one of them has an empty field there.
        encoding: ``utf-8``; ``utf-8-sig`` begins the file with the mark by which Excel knows it.
    """

    def __init__(self, path: Path, columns: list[str], encoding: str = "utf-8") -> None:
        self._file = path.open("w", encoding=encoding, newline="")
        self._writer = csv.writer(self._file)
        self._columns = columns
        self._writer.writerow(columns)

    def write(self, values: Json) -> None:
        """Write a row; lists and objects become JSON text."""
        self._writer.writerow([_field(values.get(name)) for name in self._columns])

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()


def _next(reader: Iterator[list[str]]) -> list[str] | DashScopeError | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        return UnsupportedInputError(f"the row is not CSV: {error}")


def _read(columns: list[str], fields: list[str] | DashScopeError) -> Json | DashScopeError:
    if isinstance(fields, DashScopeError):
        return fields
    if len(fields) != len(columns):
        return UnsupportedInputError(
            f"the row has {len(fields)} fields, the header has {len(columns)}"
        )
    if not _is_utf8(fields):
        return UnsupportedInputError(f"the row {_NOT_UTF8}")
    return dict(zip(columns, fields, strict=True))


def _is_utf8(fields: list[str]) -> bool:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:  # bytes that are not stand in the text as halves of a pair
        return False
    return True


def _field(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    return json_text(value).decode()
