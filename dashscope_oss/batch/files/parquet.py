"""Rows of a Parquet file. Needs pyarrow, of the extra ``batch``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from dashscope_oss.batch.files.interface import Reader
from dashscope_oss.batch.files.output import refuse_taken_names
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
    """Reads a Parquet file, or several as one.

    As in Ray Data, folders of the form ``language=zh`` on the way from ``path`` to a file are
    columns of text.

    Args:
        path: the file, or the folder of all files.
        files: in the order of their rows; ``path`` itself if ``None``.
    """

    def __init__(self, path: Path, files: Sequence[Path] | None = None) -> None:
        self.path = path
        self.files: Sequence[Path] = [path] if files is None else files

    def count(self) -> int:
        """Return the number of rows."""
        return sum(sum(self.row_groups(file)) for file in self.files)

    def absolute(self) -> ParquetReader:
        """Return what reads the same files in a process with another working folder."""
        return ParquetReader(self.path.absolute(), [file.absolute() for file in self.files])

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.schema().names)

    def schema(self) -> pa.Schema:
        """Return the columns of all files with their types.

        Raises:
            ConfigurationError: if the files have no common types, or two columns one name.
        """
        return self._schema

    def rows(self) -> Iterator[tuple[int, Json]]:
        """Yield the number of each row, from 1, and its values."""
        number = 0
        for batch in self.batches(_BATCH_ROWS):
            for values in batch.to_pylist():
                number += 1
                yield number, values

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        """Yield all rows in tables of at most ``num_rows``; they have the columns of their file."""
        for path in self.files:
            with _opened(path) as file:
                for batch in file.iter_batches(num_rows):
                    yield self._with_folders(pa.table(batch), path)

    def row_groups(self, path: Path) -> list[int]:
        """Return the number of rows of each row group of one of the files."""
        with _opened(path) as file:
            metadata = file.metadata
            return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]

    def read_row_group(self, path: Path, number: int) -> pa.Table:
        """Return the rows of a row group of one of the files."""
        with _opened(path) as file:
            return self._with_folders(file.read_row_group(number), path)

    @cached_property
    def _schema(self) -> pa.Schema:
        try:
            schema = pa.unify_schemas(
                [self._schema_of(path) for path in self.files], promote_options="permissive"
            )
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigurationError(
                f"the files of {self.path} have no common types: {error}"
            ) from error
        return schema

    def _schema_of(self, path: Path) -> pa.Schema:
        with _opened(path) as file:
            schema = self._with_folders(file.schema_arrow.empty_table(), path).schema
        if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
            raise ConfigurationError(f"{path} has more than one column {', '.join(twice)}")
        return schema

    def _with_folders(self, table: pa.Table, path: Path) -> pa.Table:
        if path == self.path:
            return table
        folders = (part.partition("=") for part in path.relative_to(self.path).parts[:-1])
        for name, equals, value in folders:
            if equals and name not in table.column_names:
                texts = pa.array([unquote(value)] * table.num_rows, pa.string())
                table = table.append_column(name, texts)
        return table


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"cannot read {path} as Parquet: {error}") from error


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
    """Return ``schema`` with the columns of the answers; all begin with the first one's name.

    Raises:
        ConfigurationError: if it has a column of such a name.
    """
    refuse_taken_names(schema.names, answer_columns)
    for name in answer_columns:
        part = name.removeprefix(answer_columns[0]).removeprefix("_")
        schema = schema.append(pa.field(name, ANSWER_TYPES[part]))
    return schema


def schema_of(reader: Reader) -> pa.Schema:
    """Return the columns and types of the rows of a file; faulty rows do not count.

    Raises:
        ConfigurationError: if a column holds values of kinds that no type covers, or none that
            Parquet has.
    """
    if isinstance(reader, ParquetReader):
        return reader.schema()
    rows = (values for _, values in reader.rows() if not isinstance(values, DashScopeError))
    schema = pa.schema([])
    try:
        while chunk := list(islice(rows, _BATCH_ROWS)):
            schema = pa.unify_schemas([schema, _types_of(chunk)], promote_options="permissive")
        # Some types, such as an object without fields, are refused here only.
        pq.ParquetWriter(pa.BufferOutputStream(), schema).close()
    except (pa.ArrowException, OverflowError) as error:
        raise ConfigurationError(
            f"the rows of {reader.path} have no common types of Parquet: {error}. Write JSONL "
            "instead"
        ) from error
    return schema


def _types_of(rows: list[Json]) -> pa.Schema:
    names = dict.fromkeys(name for values in rows for name in values)
    return pa.schema([(name, pa.array([row.get(name) for row in rows]).type) for name in names])
