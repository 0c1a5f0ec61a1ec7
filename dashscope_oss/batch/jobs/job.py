"""What is to be done with a file of rows, on one machine or on many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dashscope_oss.batch.calls.window import DEFAULT_CONCURRENCY
from dashscope_oss.batch.files.interface import Reader
from dashscope_oss.batch.files.output import failures_path
from dashscope_oss.batch.rows.form import Form
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.transport.async_client import AsyncClient

DEADLINE_HAS_PASSED = "--deadline has passed"


class RunRecord(Protocol):
    """What is kept of a run, so that it can go on."""

    @property
    def wrote_output(self) -> bool:
        """Whether the output was last written by this run."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A file of rows to be answered into another file.

    Attributes:
        reader: the rows.
        output: the file with their answers, in their order.
        form: makes requests of rows, and rows of answers.
        client: asks.
        concurrency: most calls that a process has under way at a time.
        retry_failed: ask rows again that failed earlier.
        overwrite: replace an output that another run has written.
        max_tokens_total: tokens of all answers, those of earlier starts included, after which the
            run stops.
        deadline: seconds after which it stops.
    """

    reader: Reader
    output: Path
    form: Form
    client: AsyncClient
    concurrency: int = DEFAULT_CONCURRENCY
    retry_failed: bool = False
    overwrite: bool = False
    max_tokens_total: int | None = None
    deadline: float | None = None

    @property
    def failures_path(self) -> Path:
        """The file with the rows that have no answer."""
        return failures_path(self.output)

    @property
    def seconds(self) -> float:
        """How long the run may take; infinite without a deadline."""
        return float("inf") if self.deadline is None else self.deadline

    def reason_to_stop(self, tokens: int) -> str:
        """Return why the run stops once its answers cost ``tokens``; empty if it goes on."""
        limit = self.max_tokens_total
        if limit is None or tokens < limit:
            return ""
        return f"the answers have used up --max-tokens-total, {limit:,}"

    def refuse_output_of_others(self, run: RunRecord) -> None:
        """Raise if there is an output that ``run`` has not written and that is not to be replaced.

        Raises:
            ConfigurationError: naming it.
        """
        for path in (self.output, self.failures_path):
            if path.exists() and not (self.overwrite or run.wrote_output):
                raise ConfigurationError(
                    f"{path} is there already, and not from this run; choose another output, "
                    "or replace it with --overwrite"
                )
