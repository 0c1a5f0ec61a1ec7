"""Which format a file of rows has: its ending says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from dashscope_oss.batch.files.csv_table import CsvReader, CsvWriter
from dashscope_oss.batch.files.interface import Reader, Writer
from dashscope_oss.batch.files.jsonl import JsonlReader, JsonlWriter
from dashscope_oss.batch.files.output import refuse_taken_names
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Json

JSONL = (".jsonl", ".ndjson")
CSV = (".csv",)
PARQUET = (".parquet",)


def open_reader(*paths: Path) -> Reader:
    """Return what reads a file, or several Parquet files as one.

    Args:
        paths: a file; a folder, for all Parquet files in it, by their names; or several Parquet
            files.

    Raises:
        ConfigurationError: if there is no such file, or its ending names no format.
        ImportError: names the extra that the format needs.
    """
    if len(paths) > 1 or paths[0].is_dir():
        return _open_parquet_files(paths)
    (path,) = paths
    _check_is_file(path)
    ending = checked_ending(path)
    if ending in PARQUET:
        return _parquet_reader(path, [path])
    return CsvReader(path) if ending in CSV else JsonlReader(path)


def _open_parquet_files(paths: Sequence[Path]) -> Reader:
    files: list[Path] = []
    for path in paths:
        files += _parquet_files_in(path) if path.is_dir() else [path]
    for file in files:
        _check_is_file(file)
        if checked_ending(file) not in PARQUET:
            raise ConfigurationError(f"{file}: of several files each must be .parquet")
    if len(paths) == 1:
        return _parquet_reader(paths[0], files)
    files = [file.absolute() for file in files]
    folder = Path(os.path.commonpath([file.parent for file in files]))
    return _parquet_reader(folder, files)


def _parquet_files_in(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder and its folders, without hidden and unfinished ones."""
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in PARQUET
        and not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise ConfigurationError(f"the folder {folder} has no .parquet file")
    return files


def _check_is_file(path: Path) -> None:
    if not path.exists():
        raise ConfigurationError(f"there is no file {path}")
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is no regular file; a batch reads its rows more than once: save them first"
        )


def _parquet_reader(path: Path, files: Sequence[Path]) -> Reader:
    from dashscope_oss.batch.files.parquet import ParquetReader  # noqa: PLC0415 - an extra

    return ParquetReader(path, files)


def first_row(reader: Reader) -> Json:
    """Return the first row that can be read.

    Raises:
        ConfigurationError: if there is none.
    """
    first_fault = ""
    for number, values in reader.rows():
        if not isinstance(values, DashScopeError):
            return values
        first_fault = first_fault or f"; row {number}: {values.message}"
    without = "has no row that can be read" if first_fault else "has no rows"
    raise ConfigurationError(f"{reader.path} {without}{first_fault}")


def prepare_writer(
    output: Path, reader: Reader, answer_columns: Sequence[str]
) -> Callable[[Path], Writer]:
    """Return what opens a file for the rows of ``reader`` with their answers.

    Columns and types are settled here, so that nothing can be wrong with them after the calls.

    Args:
        output: names the format by its ending.
        reader: the rows.
        answer_columns: the columns that an answer adds; all begin with the first one's name.

    Raises:
        ConfigurationError: if the format cannot hold the rows.
        ImportError: names the extra that the format needs.
    """
    ending = checked_ending(output)
    if ending in JSONL:
        return JsonlWriter
    if ending in CSV:
        columns = reader.columns()
        refuse_taken_names(columns, answer_columns)
        encoding = reader.encoding if isinstance(reader, CsvReader) else "utf-8"
        return lambda path: CsvWriter(path, [*columns, *answer_columns], encoding)
    from dashscope_oss.batch.files import parquet  # noqa: PLC0415 - an extra

    schema = parquet.answer_schema(parquet.schema_of(reader), answer_columns)
    return lambda path: parquet.ParquetWriter(path, schema)


def checked_ending(path: Path) -> str:
    """Return the ending of a file's name in lower case.

    Raises:
        ConfigurationError: if it names no format.
    """
    ending = path.suffix.lower()
    if ending not in (*JSONL, *CSV, *PARQUET):
        known = ", ".join((*JSONL, *CSV, *PARQUET))
        raise ConfigurationError(f"the name {path} must end with its format, one of {known}")
    return ending
