"""What a run has done so far, in a file beside its output that survives a kill at any moment.

It is an SQLite database. Each outcome is written as it comes, before its place in the window is
given to another call, so that a killed process loses the calls under way and nothing else. A
crash of the whole machine may cost the last moments, but never the file.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dashscope_oss.batch.files.output import cannot_record, checkpoint_path
from dashscope_oss.batch.rows.settings import differences, settings_text
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Json

_APPLICATION_ID = 0x44534F42
_FORMAT = 1
_TABLES = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, input TEXT, settings TEXT, output INTEGER)",
    "CREATE TABLE outcomes (run INTEGER, row INTEGER, digest BLOB, failed INTEGER, "
    # What was set aside has the negative number of its run.
    "tokens INTEGER, outcome BLOB, PRIMARY KEY (run, row)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORMAT}",
)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FOREIGN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_BASE_CODE = 0xFF
"""The lower byte of SQLite's extended codes is the error itself."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a checkpoint knows of a row: what was asked, and whether that failed."""

    digest: bytes
    failed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: rows with an answer, rows that were asked and failed, tokens used."""

    answered: int
    failed: int
    tokens: int


class Checkpoint:
    """The outcomes of one run. Open it with ``with``; one process at a time can.

    Args:
        output: the run's output, beside which the checkpoint stands.
        input_path: the file that the rows come from.
        settings: what else makes the run: model, parameters, columns. With others it is another
            run in the same file, and the outcomes of both are kept.

    Attributes:
        path: the file.
        changes: how the settings differ from those of the run before, if this one has no outcome
            yet.

    Raises:
        ConfigurationError: if the file is no checkpoint, belongs to another input, or is in use.
        DashScopeError: if it cannot be written.
    """

    def __init__(self, output: Path, input_path: Path, settings: Json) -> None:
        self.path = checkpoint_path(output)
        # The way from one file to the other: a folder with both can be moved.
        source = os.path.relpath(input_path.resolve(), output.resolve().parent)
        with self._errors():
            # Autocommit: an outcome is safe as soon as it is recorded.
            self._database = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            try:
                self._open()
                self._run = self._find_run(source, settings)
                (self._last,) = self._one("SELECT max(row) FROM outcomes WHERE run = ?", self._run)
                (has_moved,) = self._one(
                    "SELECT EXISTS (SELECT 1 FROM outcomes WHERE run = ?)", -self._run
                )
                self._has_moved = bool(has_moved)
                self.changes = self._differences(settings)
            except BaseException:
                self._database.close()
                raise

    def known(self, row: int) -> Known | None:
        """Return what was known of a row when the checkpoint was opened."""
        if row > (self._last or 0):
            return None
        with self._errors():
            outcome = self._database.execute(
                "SELECT digest, failed FROM outcomes WHERE run = ? AND row = ?", (self._run, row)
            ).fetchone()
        return Known(outcome[0], bool(outcome[1])) if outcome else None

    def set_aside(self, row: int) -> None:
        """Note that from this row on the outcomes no longer belong to their rows.

        The input has changed: rows were put in or taken out. :meth:`take` finds them again.
        """
        with self._errors():
            run = self._database.execute
            run("CREATE INDEX IF NOT EXISTS moved ON outcomes (digest) WHERE run < 0")
            # Behind those that were set aside before and that nobody took.
            (last,) = self._one(
                "SELECT ifnull(max(row), 0) FROM outcomes WHERE run = ?", -self._run
            )
            run(
                "UPDATE outcomes SET run = -run, row = row + ? WHERE run = ? AND row >= ?",
                (last, self._run, row),
            )
        self._has_moved = True

    def take(self, row: int, digest: bytes) -> Known | None:
        """Give a row the outcome of one that was set aside and asked the same; return it."""
        if not self._has_moved:
            return None
        with self._errors():
            outcomes = self._database.execute(
                "UPDATE OR REPLACE outcomes SET run = ?, row = ? WHERE run = ? AND row = "
                "(SELECT row FROM outcomes WHERE run < 0 AND run = ? AND digest = ? LIMIT 1) "
                "RETURNING failed",
                (self._run, row, -self._run, -self._run, digest),
            ).fetchall()
        return Known(digest, bool(outcomes[0][0])) if outcomes else None

    def record(self, row: int, digest: bytes, outcome: bytes, *, failed: bool, tokens: int) -> None:
        """Keep the outcome of a row; when this returns, a kill cannot undo it.

        Args:
            row: its number.
            digest: of what was asked; empty for a row that could not be.
            outcome: as JSON.
            failed: whether it is a failure.
            tokens: what it cost.
        """
        with self._errors():
            self._database.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
                (self._run, row, digest, failed, tokens, outcome),
            )

    def progress(self) -> Progress:
        """Return how far the run has come."""
        with self._errors():
            return Progress(
                *self._one(
                    "SELECT count(*) FILTER (WHERE run > 0 AND NOT failed), "
                    "count(*) FILTER (WHERE run > 0 AND failed AND digest <> x''), "
                    "ifnull(sum(tokens), 0) FROM outcomes WHERE run IN (?, ?)",
                    self._run,
                    -self._run,
                )
            )

    def outcomes(self) -> Iterator[tuple[int, bytes]]:
        """Yield row and outcome of all that is recorded, in the order of the rows."""
        with self._errors():
            yield from self._database.execute(
                "SELECT row, outcome FROM outcomes WHERE run = ? ORDER BY row", (self._run,)
            )

    @property
    def wrote_output(self) -> bool:
        """Whether the output was last written by this run."""
        with self._errors():
            return bool(self._one("SELECT output FROM runs WHERE id = ?", self._run)[0])

    def note_output(self) -> None:
        """Note that this run has written the output."""
        with self._errors():
            self._database.execute("UPDATE runs SET output = (id = ?)", (self._run,))

    def close(self) -> None:
        """Let another process have the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        (application,), (version,) = (
            self._one(f"PRAGMA {name}") for name in ("application_id", "user_version")
        )
        (tables,) = self._one("SELECT count(*) FROM sqlite_master")
        if tables and (application, version) != (_APPLICATION_ID, _FORMAT):
            raise ConfigurationError(
                f"{self.path} is not a checkpoint that this version can read; move it away, or "
                "choose another output"
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        if not tables:
            run("BEGIN")
            for statement in _TABLES:
                run(statement)
            run("COMMIT")

    def _find_run(self, source: str, settings: Json) -> int:
        """Return the run's number; a new one if it is not in the file yet."""
        text = settings_text(settings)
        runs = self._database.execute("SELECT id, input, settings FROM runs ORDER BY id").fetchall()
        for number, input_of_run, settings_of_run in runs:
            if input_of_run != source:
                raise ConfigurationError(
                    f"{self.path} belongs to a run over {input_of_run}, not over {source}; choose "
                    "another output, or move the checkpoint away"
                )
            if settings_of_run == text:
                return int(number)
        insert = "INSERT INTO runs (input, settings, output) VALUES (?, ?, 0) RETURNING id"
        return int(self._one(insert, source, text)[0])

    def _differences(self, settings: Json) -> list[str]:
        """Return how a run without outcomes differs from the last one that has some."""
        former = self._database.execute(
            "SELECT settings FROM runs WHERE id IN (SELECT run FROM outcomes) ORDER BY id DESC"
        ).fetchone()
        if self._last is not None or former is None:
            return []
        return differences(json.loads(former[0]), settings)

    def _one(self, statement: str, *values: object) -> tuple[int, ...]:
        (row,) = self._database.execute(statement, values).fetchall()
        return tuple(row)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & _BASE_CODE
            if code in _IN_USE:
                raise ConfigurationError(
                    f"{self.path} is in use: another run writes to the same output"
                ) from error
            if code in _FOREIGN:
                raise ConfigurationError(
                    f"{self.path} is not a checkpoint, or is damaged ({error}); move it away, or "
                    "choose another output"
                ) from error
            raise cannot_record(f"the checkpoint {self.path}", error) from error
