"""A worker as Ray Data wants it; nothing here needs Ray."""

from __future__ import annotations

import json
import pickle

import pyarrow as pa

from dashscope_oss.batch.calls.pace import Pace, part_of_limits
from dashscope_oss.batch.cluster.blocks import Block, BlockFiles, BlockWorker
from dashscope_oss.batch.report.tally import Tally
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.errors import DashScopeError
from dashscope_oss.transport.async_client import AsyncClient


class BlockActor:
    """A callable class: its batches are blocks, one each, and its results their counts."""

    def __init__(
        self,
        *,
        files: BlockFiles,
        form: Columns,
        client: AsyncClient,
        limits: tuple[float | None, float | None, int],
        concurrency: int,
        start: str,
        retry_failed: bool,
    ) -> None:
        pace = Pace(part_of_limits(*limits))
        self._worker = BlockWorker(files, form, client, pace, concurrency, start, retry_failed)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the block, and return its counts or the error that ends the run."""
        (block,) = (Block(**values) for values in batch.to_pylist())
        try:
            tally = await self._worker.answer(block)
        except DashScopeError as error:
            # Raised here it would end the job too, but its class and its words would be lost.
            return _result(Tally(), pickle.dumps(error))
        return _result(tally, None)


def _result(tally: Tally, error: bytes | None) -> pa.Table:
    return pa.table(
        {
            "counts": pa.array([json.dumps(tally.counts)], pa.string()),
            "error": pa.array([error], pa.binary()),
        }
    )
