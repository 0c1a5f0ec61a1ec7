"""Which format a file of rows has: its ending says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dashscope_oss.batch.files.csv_table import CsvReader, CsvWriter
from dashscope_oss.batch.files.interface import Reader, Writer
from dashscope_oss.batch.files.jsonl import JsonlReader, JsonlWriter
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Json

JSONL = (".jsonl", ".ndjson")
CSV = (".csv",)
PARQUET = (".parquet",)


def open_reader(path: Path) -> Reader:
    """Return what reads ``path``.

    Raises:
        ConfigurationError: if there is no such file, or its ending names no format.
        ImportError: names the extra that the format needs.
    """
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    ending = checked_ending(path)
    if ending in PARQUET:
        from dashscope_oss.batch.files.parquet import ParquetReader  # noqa: PLC0415 - an extra

        return ParquetReader(path)
    return CsvReader(path) if ending in CSV else JsonlReader(path)


def first_row(reader: Reader) -> Json:
    """Return the first row that can be read.

    Raises:
        ConfigurationError: if there is none.
    """
    for _, values in reader.rows():
        if not isinstance(values, DashScopeError):
            return values
    raise ConfigurationError(f"{reader.path} has no row that can be read")


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
        columns = [*reader.columns(), *answer_columns]
        return lambda path: CsvWriter(path, columns)
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
        raise ConfigurationError(f"{path} has no ending that names a format: {known}")
    return ending
