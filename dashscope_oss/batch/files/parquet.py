"""Rows of a Parquet file. Needs pyarrow, of the extra ``batch``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from dashscope_oss.batch.files.interface import Reader
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Json

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError('Parquet files need pyarrow: pip install "dashscope-oss[batch]"') from error

_BATCH_ROWS = 1000
_ROW_GROUP_ROWS = 10_000

_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
ANSWER_TYPES: dict[str, pa.DataType] = {
    "": pa.string(),
    "reasoning": pa.string(),
    "tool_calls": pa.list_(_CALL),
    "finish_reason": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "request_id": pa.string(),
    "served_by": pa.string(),
}
"""Types of the columns that an answer adds, by what follows the answer's name."""


class ParquetReader:
    """Reads a Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        """Return the number of rows."""
        with self._open() as file:
            return int(file.metadata.num_rows)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.schema().names)

    def schema(self) -> pa.Schema:
        """Return the columns with their types."""
        with self._open() as file:
            return file.schema_arrow

    def rows(self) -> Iterator[tuple[int, Json]]:
        """Yield the number of each row, from 1, and its values."""
        with self._open() as file:
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise ConfigurationError(f"cannot read {self.path} as Parquet: {error}") from error


class ParquetWriter:
    """Writes a Parquet file.

    Args:
        path: the file.
        schema: columns with their types.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._rows: list[Json] = []

    def write(self, values: Json) -> None:
        """Write a row."""
        self._rows.append(values)
        if len(self._rows) == _ROW_GROUP_ROWS:
            self._flush()

    def write_table(self, table: pa.Table) -> None:
        """Write rows that are together already, after all that were written before."""
        self._flush()
        self._writer.write_table(table)

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def answer_schema(schema: pa.Schema, answer_columns: Sequence[str]) -> pa.Schema:
    """Return ``schema`` with the columns of the answers; all begin with the first one's name."""
    for name in answer_columns:
        part = name.removeprefix(answer_columns[0]).removeprefix("_")
        schema = schema.append(pa.field(name, ANSWER_TYPES[part]))
    return schema


def schema_of(reader: Reader) -> pa.Schema:
    """Return the columns and types of the rows of a file; faulty rows do not count.

    Raises:
        ConfigurationError: if a column holds values of kinds that no type covers.
    """
    if isinstance(reader, ParquetReader):
        return reader.schema()
    rows = (values for _, values in reader.rows() if not isinstance(values, DashScopeError))
    schema = pa.schema([])
    while chunk := list(islice(rows, _BATCH_ROWS)):
        try:
            found = pa.Table.from_pylist(chunk).schema
            schema = pa.unify_schemas([schema, found], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigurationError(
                f"the rows of {reader.path} have no common types: {error}. Write JSONL instead of "
                "Parquet"
            ) from error
    return schema
