"""A file of rows answered on one machine: what has to be asked, recorded and written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.calls.tries import ends_run, tokens_of
from dashscope_oss.batch.calls.window import run_each
from dashscope_oss.batch.files.interface import Writer, state_of
from dashscope_oss.batch.files.jsonl import JsonlWriter
from dashscope_oss.batch.files.output import replacing_both
from dashscope_oss.batch.jobs.checkpoint import Checkpoint, Known
from dashscope_oss.batch.jobs.job import DEADLINE_HAS_PASSED, Job
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.batch.rows.form import write_outcomes
from dashscope_oss.batch.rows.outcome import Failure, Outcome, decode, encode, outcome_of
from dashscope_oss.errors import DashScopeError
from dashscope_oss.messages import Json, Reply
from dashscope_oss.protocol.request import Request

_DIGEST_BYTES = 16
_MAX_SHOWN = 10
"""Rows that cannot be asked and are shown at once; all stand in a file at the end."""
_YEAR = 366 * 86400.0


@dataclass(frozen=True, kw_only=True)
class LocalJob(Job):
    """A file of rows to be answered into another file by this process.

    Attributes:
        open_writer: opens the file with the answers.
        pace: limits of the account.
        strict: end at the first row that cannot be asked.
    """

    open_writer: Callable[[Path], Writer]
    pace: Pace
    strict: bool = False

    def open_checkpoint(self) -> Checkpoint:
        """Return the checkpoint of this run.

        Raises:
            ConfigurationError: if it cannot be this run's, or the output is another's.
        """
        checkpoint = Checkpoint(self.output, self.reader.path, self.form.settings)
        try:
            self.refuse_output_of_others(checkpoint)
        except BaseException:
            checkpoint.close()
            raise
        return checkpoint


class JobRun:
    """One start of a job.

    Args:
        job: what is to be done.
        checkpoint: the outcomes so far.
        progress: is told each outcome.

    Attributes:
        stop: set it to let no further call begin.
        stopped_by: why the run was stopped, in words; empty if nothing stopped it.
    """

    def __init__(self, job: LocalJob, checkpoint: Checkpoint, progress: Progress) -> None:
        self.stop = asyncio.Event()
        self.stopped_by = ""
        self._job = job
        self._checkpoint = checkpoint
        self._progress = progress
        self._tokens = checkpoint.progress().tokens
        self._input_state = state_of(job.reader.files)
        self._taken = self._recorded = self._num_unasked = 0
        self._took_all = False
        self._told: set[type[Exception]] = set()
        job.pace.on_refusal = self._tell_refusal

    @property
    def is_complete(self) -> bool:
        """Whether every row has an outcome."""
        return self._took_all and self._taken == self._recorded

    def stop_because(self, reason: str) -> None:
        """Let no further call begin."""
        self.stopped_by = self.stopped_by or reason
        self.stop.set()

    async def ask(self) -> None:
        """Ask all rows that have no outcome yet, until there are none or the run is stopped.

        Raises:
            DashScopeError: if no row can succeed, as with a wrong key; if the checkpoint cannot be
                written; if the job is strict, for the first row that cannot be asked.
        """
        job = self._job
        fatal: Exception | None = None
        loop = asyncio.get_running_loop()
        timer = loop.call_later(min(job.seconds, _YEAR), self.stop_because, DEADLINE_HAS_PASSED)

        def handle(key: tuple[int, Request], result: Reply | Exception) -> None:
            nonlocal fatal
            answered = bool(self._progress.tally.answered)
            if isinstance(result, Exception) and ends_run(result, has_answers=answered):
                fatal = result
                self.stop.set()
            else:
                self._record(*key, result)

        rows = self._to_ask()
        try:
            await run_each(rows, job.client, job.concurrency, handle, pace=job.pace, stop=self.stop)
        finally:
            timer.cancel()
        if fatal:
            raise fatal

    def write(self) -> int:
        """Write the output, and the rows without an answer beside it; return how many these are.

        Neither is there under its own name before it is whole.

        Raises:
            DashScopeError: if a file cannot be written, or the input has changed meanwhile.
        """
        job = self._job
        if state_of(job.reader.files) != self._input_state:
            raise DashScopeError(
                f"{job.reader.path} has changed since the run began; give the same command again: "
                "it asks what is new"
            )
        with (
            replacing_both(job.output, job.failures_path) as (output_aside, failures_aside),
            closing(JsonlWriter(failures_aside)) as failed,
            closing(job.open_writer(output_aside)) as answered,
        ):
            failures = write_outcomes(job.form, self._outcomes(), answered, failed)
            # Before the files have their names: a kill in between must not make them a stranger's.
            self._checkpoint.note_output()
        return failures

    def _to_ask(self) -> Iterator[tuple[tuple[int, Request], Request]]:
        for number, values in self._job.reader.rows():
            try:
                if isinstance(values, DashScopeError):
                    raise values
                request = self._job.form.request(values)
            except DashScopeError as error:
                self._set_apart(number, error)
                continue
            if not self._is_known(number, request):
                self._taken += 1
                yield (number, request), request
        self._took_all = True

    def _is_known(self, number: int, request: Request) -> bool:
        known = self._find_outcome(number, _digest(request))
        if known is None:
            return False
        if known.failed and self._job.retry_failed:
            return False
        if known.failed:
            self._progress.tally.earlier_failed += 1
        else:
            self._progress.tally.earlier += 1
        return True

    def _find_outcome(self, number: int, digest: bytes) -> Known | None:
        known = self._checkpoint.known(number)
        if known is not None and known.digest == digest:
            return known
        if known is not None and known.digest:
            self._checkpoint.set_aside(number)
        return self._checkpoint.take(number, digest)

    def _set_apart(self, number: int, error: DashScopeError) -> None:
        """Record a row that cannot be asked, and say so."""
        error.message = f"row {number}: {error.message}"
        if self._job.strict:
            raise error
        self._num_unasked += 1
        if self._num_unasked <= _MAX_SHOWN:
            self._progress.say(str(error))
        elif self._num_unasked == _MAX_SHOWN + 1:
            self._progress.say(f"more such rows: see {self._job.failures_path} at the end")
        self._keep(number, b"", error, 0)

    def _record(self, number: int, request: Request, result: Reply | Exception) -> None:
        self._recorded += 1
        tokens = 0 if isinstance(result, Exception) else tokens_of(request, result)
        self._keep(number, _digest(request), result, tokens)
        self._tokens += tokens
        if reason := self._job.reason_to_stop(self._tokens):
            self.stop_because(reason)

    def _tell_refusal(self, error: Exception) -> None:
        """Say why calls wait, once for each kind of reason."""
        self._progress.tally.refusals = self._job.pace.refusals
        if type(error) not in self._told:
            self._told.add(type(error))
            self._progress.say(f"{error} All calls wait, and are then made again.")

    def _keep(self, number: int, digest: bytes, result: Reply | Exception, tokens: int) -> None:
        outcome = outcome_of(result)
        self._checkpoint.record(
            number,
            digest,
            encode(outcome),
            failed=isinstance(outcome, Failure),
            tokens=tokens,
        )
        self._progress.add(result)

    def _outcomes(self) -> Iterator[tuple[int, Json | None, Outcome]]:
        """Yield number, values and outcome of each row, in the order of the input."""
        recorded = self._checkpoint.outcomes()
        for number, values in self._job.reader.rows():
            outcome = next(data for row, data in recorded if row == number)
            yield number, None if isinstance(values, DashScopeError) else values, decode(outcome)


def _digest(request: Request) -> bytes:
    return blake2b(request.content, digest_size=_DIGEST_BYTES).digest()
