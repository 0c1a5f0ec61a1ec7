"""Parquet files in blocks, each answered by itself: what a worker of a cluster does.

The folder of a run, which all machines must see, holds for each block a log of its outcomes while
it is under way, and its answered rows once it is finished. Nothing here knows Ray.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.calls.tries import ends_run
from dashscope_oss.batch.calls.window import run
from dashscope_oss.batch.files.jsonl import JsonlWriter
from dashscope_oss.batch.files.output import replacing_both
from dashscope_oss.batch.files.parquet import ParquetReader, ParquetWriter, answer_schema
from dashscope_oss.batch.files.replace import replacing
from dashscope_oss.batch.files.row_log import RowLog
from dashscope_oss.batch.report.tally import Tally
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.batch.rows.form import write_outcomes
from dashscope_oss.batch.rows.outcome import Failure, Outcome, decode, encode, outcome_of
from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Json, Reply
from dashscope_oss.protocol.request import Request
from dashscope_oss.transport.async_client import AsyncClient

BLOCK_ROWS = 500
MAX_BLOCK_ROWS = 5000
"""A file with a row group of more rows is copied in blocks of ``BLOCK_ROWS``."""

_STATE = b"dashscope_oss.block"


@dataclass(frozen=True)
class Block:
    """A row group of a file.

    Attributes:
        number: which one of all files, from 0.
        file: which file, from 0.
        row_group: which one of this file, from 0.
        first_row: the number of its first row among those of all files, from 1.
        num_rows: how many rows it has.
    """

    number: int
    file: int
    row_group: int
    first_row: int
    num_rows: int


def blocks_of(rows: ParquetReader) -> list[Block]:
    """Return the blocks of the files that are read."""
    blocks: list[Block] = []
    first_row = 1
    for file, path in enumerate(rows.files):
        for row_group, num_rows in enumerate(rows.row_groups(path)):
            blocks.append(Block(len(blocks), file, row_group, first_row, num_rows))
            first_row += num_rows
    return blocks


def split_rows(source: ParquetReader, copy: Path) -> ParquetReader:
    """Return a reader of the same rows, in blocks that are not too large.

    Args:
        source: it is returned itself if its row groups are small enough.
        copy: the file in which a copy is made if not.
    """
    if all(block.num_rows <= MAX_BLOCK_ROWS for block in blocks_of(source)):
        return source
    if not copy.exists():
        with replacing(copy) as aside, closing(ParquetWriter(aside, source.schema())) as writer:
            for batch in source.batches(BLOCK_ROWS):
                writer.write_table(batch)
    return ParquetReader(copy)


@dataclass(frozen=True)
class BlockState:
    """What was done for a finished block; it stands in the metadata of its answered rows.

    Attributes:
        start: which start of the run finished it.
        counts: those of that start, see :attr:`Tally.counts`.
        tokens: of all its answers, those of earlier starts included.
    """

    start: str
    counts: dict[str, object]
    tokens: int

    def tally(self, start: str) -> Tally:
        """Return the counts as another start sees them."""
        tally = Tally()
        tally.add_counts(self.counts)
        if start == self.start:
            return tally
        return Tally(
            earlier=tally.earlier + tally.answered,
            earlier_failed=tally.earlier_failed + tally.failed,
        )


@dataclass(frozen=True)
class BlockFiles:
    """The files of a run's blocks.

    Attributes:
        rows: reads the files whose row groups are the blocks.
        folder: where the outcomes go.
    """

    rows: ParquetReader
    folder: Path

    def log(self, number: int) -> Path:
        """The outcomes of a block, row by row; gone once it is finished without a failure."""
        return self.folder / f"{number:08}.log"

    def answered(self, number: int) -> Path:
        """The answered rows of a finished block."""
        return self.folder / f"{number:08}.parquet"

    def answered_rows(self, number: int) -> pa.Table:
        """Return the answered rows of a finished block."""
        return pq.read_table(self.answered(number))

    def failed(self, number: int) -> Path:
        """The rows of a finished block that have no answer."""
        return self.folder / f"{number:08}.failed.jsonl"

    def is_finished(self, number: int, *, retry_failed: bool) -> bool:
        """Whether nothing is left to ask of a block.

        Args:
            number: the block's.
            retry_failed: ask rows again that failed.
        """
        if not self.answered(number).exists():
            return False
        return not (retry_failed and self.failed(number).exists())

    def failures(self, number: int) -> list[bytes]:
        """Return the lines about rows of a finished block that have no answer."""
        file = self.failed(number)
        return file.read_bytes().splitlines(keepends=True) if file.exists() else []

    def state(self, number: int) -> BlockState:
        """Return what was done for a finished block."""
        metadata = pq.read_schema(self.answered(number)).metadata
        return BlockState(**json.loads(metadata[_STATE]))

    def read(self, block: Block) -> list[tuple[int, Json]]:
        """Return the rows of a block, each with its number among those of all files."""
        table = self.rows.read_row_group(self.rows.files[block.file], block.row_group)
        return list(enumerate(table.to_pylist(), block.first_row))


@dataclass(frozen=True)
class BlockWorker:
    """Answers blocks, one after the other.

    Attributes:
        files: the files of the blocks.
        form: makes requests of rows, and rows of answers.
        client: asks.
        pace: limits of the account, or this worker's part of them.
        concurrency: most calls under way at a time.
        start: which start of the run this is.
        retry_failed: ask rows again that failed.
    """

    files: BlockFiles
    form: Columns
    client: AsyncClient
    pace: Pace
    concurrency: int
    start: str
    retry_failed: bool = False

    async def answer(self, block: Block) -> Tally:
        """Ask all rows of a block that have no outcome yet, write it, and return the counts.

        Raises:
            DashScopeError: if no row can succeed, as with a wrong key, or a file cannot be
                written.
        """
        if self.files.is_finished(block.number, retry_failed=self.retry_failed):
            # The machine that answered it was lost before it could say so.
            return self.files.state(block.number).tally(self.start)
        rows, tally = self.files.read(block), Tally()
        with RowLog(self.files.log(block.number), self.start) as log:
            outcomes = self._known(log, tally)
            asked = run(
                self._to_ask(rows, outcomes, tally), self.client, self.concurrency, pace=self.pace
            )
            async with aclosing(asked) as results:
                async for row, result in results:
                    has_answers = self.pace.has_answers or bool(tally.earlier)
                    if isinstance(result, Exception) and ends_run(result, has_answers=has_answers):
                        raise result
                    outcomes[row] = outcome_of(result)
                    log.append(row, encode(outcomes[row]))
                    tally.add(outcomes[row])
        self._write(block, rows, outcomes, tally)
        return tally

    def _known(self, log: RowLog, tally: Tally) -> dict[int, Outcome]:
        """Return and count the outcomes that need not be asked for again."""
        outcomes: dict[int, Outcome] = {}
        for row, (data, is_of_this_start) in log.read().items():
            outcome = decode(data)
            if is_of_this_start:
                tally.add(outcome)
            elif self.retry_failed and isinstance(outcome, Failure):
                continue
            else:
                tally.add_earlier(outcome)
            outcomes[row] = outcome
        return outcomes

    def _to_ask(
        self, rows: list[tuple[int, Json]], outcomes: dict[int, Outcome], tally: Tally
    ) -> Iterator[tuple[int, Request]]:
        for number, values in rows:
            if number in outcomes:
                continue
            try:
                request = self.form.request(values)
            except DashScopeError as error:
                error.message = f"row {number}: {error.message}"
                outcomes[number] = outcome_of(error)
                tally.add(outcomes[number])
            else:
                yield number, request

    def _write(
        self,
        block: Block,
        rows: list[tuple[int, Json]],
        outcomes: dict[int, Outcome],
        tally: Tally,
    ) -> None:
        """Write the finished block; another worker may do so at the same time."""
        output, failures_path = self.files.answered(block.number), self.files.failed(block.number)
        in_order = ((number, values, outcomes[number]) for number, values in rows)
        # Once the output has its name, the block is finished.
        with (
            replacing_both(output, failures_path, part=uuid4().hex) as (aside, failures_aside),
            closing(JsonlWriter(failures_aside)) as failed,
            closing(ParquetWriter(aside, self._schema(outcomes, tally))) as answered,
        ):
            failures = write_outcomes(self.form, in_order, answered, failed)
        if not failures:
            self.files.log(block.number).unlink(missing_ok=True)

    def _schema(self, outcomes: dict[int, Outcome], tally: Tally) -> pa.Schema:
        """Return the columns of the answered rows, with the state of their block."""
        usages = [reply.usage for reply in outcomes.values() if isinstance(reply, Reply)]
        tokens = sum(usage.total_tokens or 0 for usage in usages if usage)
        state = asdict(BlockState(self.start, tally.counts, tokens))
        schema = answer_schema(self.files.rows.schema(), self.form.answer_columns())
        return schema.with_metadata({_STATE: json.dumps(state)})
