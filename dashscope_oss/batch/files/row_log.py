"""Outcomes of rows, one line each, in a file that several machines can see."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic_core import from_json

from dashscope_oss.batch.files.output import cannot_record


class RowLog:
    """Outcomes that are appended line by line; a kill loses at most the line being written.

    The checkpoint in SQLite needs locks that file systems of a network may not have; this needs
    none. If a row is there twice, its last outcome counts.

    Args:
        path: the file; it is made if it does not exist.
        start: which start of a run writes; a word.
    """

    def __init__(self, path: Path, start: str) -> None:
        self._path, self._start = path, start.encode()
        self._file = path.open("ab+", buffering=0)
        if path.read_bytes()[-1:] not in (b"", b"\n"):
            self._write(b"\n")

    def read(self) -> dict[int, tuple[bytes, bool]]:
        """Return the outcome of each row, and whether it is of this start."""
        outcomes: dict[int, tuple[bytes, bool]] = {}
        for line in self._path.read_bytes().splitlines():
            row, _, rest = line.partition(b" ")
            start, _, outcome = rest.partition(b" ")
            if _is_whole(outcome):
                outcomes[int(row)] = outcome, start == self._start
        return outcomes

    def append(self, row: int, outcome: bytes) -> None:
        """Write an outcome, a JSON object; when this returns, a kill cannot undo it.

        Raises:
            DashScopeError: if the disk is full.
        """
        self._write(b"%d %s %s\n" % (row, self._start, outcome))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
        except OSError as error:
            raise cannot_record(self._path, error.strerror) from error
        if written != len(line):
            raise cannot_record(self._path, "only a part was written")


def _is_whole(outcome: bytes) -> bool:
    try:
        return isinstance(from_json(outcome), dict)
    except ValueError:
        return False
