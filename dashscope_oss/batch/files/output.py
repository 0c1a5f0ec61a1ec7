"""The files that a run writes: its output, and beside it the rows without an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dashscope_oss.errors import ConfigurationError


class RunRecord(Protocol):
    """What is kept of a run, so that it can go on."""

    @property
    def wrote_output(self) -> bool:
        """Whether the output was last written by this run."""


def failures_path(output: Path) -> Path:
    """Return the file with the rows that have no answer."""
    return output.with_name(f"{output.name}.failed.jsonl")


def refuse_output_of_others(output: Path, run: RunRecord) -> None:
    """Raise if there is an output that ``run`` has not written.

    Raises:
        ConfigurationError: naming it.
    """
    if output.exists() and not run.wrote_output:
        raise ConfigurationError(
            f"{output} is there already, and not from this run; choose another output, "
            "or replace it with --overwrite"
        )
