"""Rows as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic_core import from_json, to_json

from dashscope_oss.errors import DashScopeError, UnsupportedInputError
from dashscope_oss.messages import Json
from dashscope_oss.protocol.streaming.sse import BOM

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),  # before the numbers, which it is too
    (int, "a number"),
    (float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (bytes, "bytes"),
    (object, "something else"),
)


class JsonlReader:
    """Reads a file with a JSON object on each line; empty lines are no rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: Sequence[Path] = (path,)

    def count(self) -> int:
        """Return the number of rows."""
        with self.path.open("rb") as file:
            return sum(1 for line in file if not line.isspace())

    def columns(self) -> list[str]:
        """Return the names of all columns, in the order in which they come up."""
        names: dict[str, None] = {}
        for _, values in self.rows():
            if not isinstance(values, DashScopeError):
                names.update(dict.fromkeys(values))
        return list(names)

    def rows(self) -> Iterator[tuple[int, Json | DashScopeError]]:
        """Yield the number of each line, from 1, and its object, or why it is none."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.removeprefix(BOM) if number == 1 else line
                if not text.isspace():
                    yield number, _read(text)


class JsonlWriter:
    """Writes a file with a JSON object on each line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, values: Json) -> None:
        """Write a row."""
        self._file.write(json_text(values) + b"\n")

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()


def json_text(value: object) -> bytes:
    """Return a value as JSON; bytes, such as images, become base64."""
    return to_json(value, inf_nan_mode="constants", bytes_mode="base64")


def json_type(value: object) -> str:
    """Return what a value is, in the words of JSON, with its article."""
    if value is None:
        return "null"
    return next(name for kind, name in _TYPES if isinstance(value, kind))


def _read(line: bytes) -> Json | DashScopeError:
    try:
        values = from_json(line)
    except ValueError as error:
        fault = f"not JSON: {error}" if _is_utf8(line) else "not UTF-8; save the file as UTF-8"
        return UnsupportedInputError(f"the line is {fault}")
    if isinstance(values, dict):
        return values
    return UnsupportedInputError(
        f"the line holds {json_type(values)}, not an object {{…}} with the columns"
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
