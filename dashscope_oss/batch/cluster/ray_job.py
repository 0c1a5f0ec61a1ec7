"""Parquet files answered on a Ray cluster: the side of the machine that starts it."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from uuid import uuid4

try:
    import ray
    import ray.data
    import ray.exceptions
except ImportError as error:
    raise ImportError(f'{error.name} is missing: pip install "dashscope-oss[ray]"') from error

from dashscope_oss.batch.cluster.block_actor import BlockActor
from dashscope_oss.batch.cluster.blocks import Block, BlockFiles, blocks_of
from dashscope_oss.batch.cluster.folder import BlockFolder
from dashscope_oss.batch.files.output import replacing_both
from dashscope_oss.batch.files.parquet import ParquetReader, ParquetWriter, answer_schema
from dashscope_oss.batch.jobs.job import DEADLINE_HAS_PASSED, Job
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.errors import ConfigurationError, DashScopeError

KNOCK_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class RayJob(Job):
    """Parquet files to be answered into another one by the actors of a Ray cluster.

    The rows are blocks, the files' row groups. An actor answers a block at a time and writes it
    into the folder beside the output, which all machines must see. A block that is finished stays
    so, whatever happens to actors and machines; of one that was under way the answered rows stay.
    Each actor has a client of its own, which reads the key from its machine's environment.

    Attributes:
        actors: how many.
        requests_per_minute: of the account, divided over the actors.
        tokens_per_minute: of the account, divided over the actors.
    """

    reader: ParquetReader
    form: Columns
    actors: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def open_folder(self) -> BlockFolder:
        """Return the folder of this run.

        Raises:
            ConfigurationError: if it cannot be this run's, or the output is another's.
        """
        folder = BlockFolder.open(self.output, self.reader, self.form.settings)
        self.refuse_output_of_others(folder)
        return folder

    def ask(self, folder: BlockFolder, progress: Progress) -> str:
        """Answer all blocks that are not finished; return why the run was stopped, if it was.

        Raises:
            DashScopeError: if no row can succeed, as with a wrong key.
        """
        files, end = folder.files, time.monotonic() + self.seconds
        start, tally = uuid4().hex, progress.tally
        finished, left = self._divide(files)
        tokens = 0
        for block in finished:
            state = files.state(block.number)
            progress.add_counts(state.tally(start).counts)
            tokens += state.tokens
        with closing(self._results(files, left, start)) as results:
            for counts in results:
                progress.add_counts(counts)
                used = tokens + tally.input_tokens + tally.output_tokens
                if reason := self.reason_to_stop(used):
                    return reason
                if time.monotonic() > end:
                    return DEADLINE_HAS_PASSED
        return ""

    def write(self, folder: BlockFolder) -> int:
        """Write the output, and the rows without an answer beside it; return how many these are.

        Raises:
            DashScopeError: if a file cannot be written.
        """
        files, failures = folder.files, 0
        schema = answer_schema(self.reader.schema(), self.form.answer_columns())
        with (
            replacing_both(self.output, self.failures_path) as (output_aside, failures_aside),
            closing(ParquetWriter(output_aside, schema)) as answered,
            failures_aside.open("wb") as failed,
        ):
            for block in blocks_of(files.rows):
                answered.write_table(files.answered_rows(block.number))
                lines = files.failures(block.number)
                failed.writelines(lines)
                failures += len(lines)
            # Before the files have their names: a kill in between must not make them a stranger's.
            folder.note_output()
        return failures

    def _divide(self, files: BlockFiles) -> tuple[list[Block], list[Block]]:
        """Return the blocks that are finished, and those that are not."""
        finished: list[Block] = []
        left: list[Block] = []
        for block in blocks_of(files.rows):
            is_finished = files.is_finished(block.number, retry_failed=self.retry_failed)
            (finished if is_finished else left).append(block)
        return finished, left

    def _results(
        self, files: BlockFiles, blocks: list[Block], start: str
    ) -> Generator[dict[str, object], None, None]:
        """Yield the counts of each block as it is finished."""
        if not blocks:
            return
        dataset = ray.data.from_items(
            [asdict(block) for block in blocks], override_num_blocks=len(blocks)
        ).map_batches(
            BlockActor,
            fn_constructor_kwargs={
                "files": files,
                "form": self.form,
                "client": self.client,
                "limits": (self.requests_per_minute, self.tokens_per_minute, self.actors),
                "concurrency": self.concurrency,
                "start": start,
                "retry_failed": self.retry_failed,
            },
            batch_format="pyarrow",
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(self.actors, len(blocks)), max_tasks_in_flight_per_actor=1
            ),
        )
        with _plain_errors():
            for row in dataset.iter_rows():
                if row["error"] is not None:
                    raise pickle.loads(row["error"])  # noqa: S301 - from an actor of this job
                yield json.loads(row["counts"])


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster, unless the process already is; leave it at the end.

    Args:
        address: what ``ray.init`` takes; ``local`` starts a cluster on this machine.

    Raises:
        ConfigurationError: if there is no cluster at this address.
    """
    data_context = ray.data.DataContext.get_current()
    data_context.enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    is_own = not ray.is_initialized()
    if is_own:
        _join(address)
    try:
        yield
    finally:
        if is_own:
            ray.shutdown()


def _join(address: str) -> None:
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise ConfigurationError(f"no Ray cluster at {address}: {error}") from error


def _knock(address: str) -> None:
    """Raise ``ConnectionError`` if nothing listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except OSError as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        raise DashScopeError(
            f"the Ray job failed: {error}. What was answered is kept; the same command goes on"
        ) from error
