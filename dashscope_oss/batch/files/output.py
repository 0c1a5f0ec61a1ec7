"""The files that a run writes: its output, and beside it the rows without an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dashscope_oss.batch.files.replace import replacing
from dashscope_oss.errors import ConfigurationError, DashScopeError


def failures_path(output: Path) -> Path:
    """Return the file with the rows that have no answer."""
    return output.with_name(f"{output.name}.failed.jsonl")


def checkpoint_path(output: Path) -> Path:
    """Return the file, or on a cluster the folder, in which a run keeps what was answered."""
    return output.with_name(f"{output.name}.checkpoint")


def cannot_record(file: str | Path, reason: object) -> DashScopeError:
    """Return the error for an outcome that cannot be written beside those of earlier rows."""
    return DashScopeError(
        f"cannot write {file}: {reason}. The rows recorded so far are safe: free space, and give "
        "the same command again"
    )


@contextmanager
def replacing_both(
    output: Path, failures: Path, *, part: str = "part"
) -> Iterator[tuple[Path, Path]]:
    """Give paths to write to; at the end, once both are whole, they take the names of the files.

    The output is the last one to get its name. Failures that are empty get none.

    Args:
        output: the file with the answers.
        failures: the one with the rows that have no answer.
        part: see :func:`replacing`.

    Raises:
        DashScopeError: if a file cannot be written.
    """
    # The first one to begin is the last one to get its name.
    with (
        replacing(output, part=part) as output_aside,
        replacing(failures, part=part) as failures_aside,
    ):
        yield output_aside, failures_aside
        has_failures = failures_aside.stat().st_size > 0
    if not has_failures:
        failures.unlink(missing_ok=True)  # other workers may do the same


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raise if a run cannot write its files, or would write over its own input, or into it.

    Args:
        output: the run's.
        inputs: the files and folders that are read.

    Raises:
        ConfigurationError: naming the file.
    """
    target = output.resolve()
    if target.is_dir():
        raise ConfigurationError(f"{output} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise ConfigurationError(f"there is no folder {target.parent} for {output}")
    written = {path.resolve() for path in (output, failures_path(output), checkpoint_path(output))}
    for path in inputs:
        if path.is_dir() and target.is_relative_to(path.resolve()):
            raise ConfigurationError(
                f"{output} would be in the folder {path}, whose files are the input; choose "
                "another place"
            )
        if path.resolve() in written:
            raise ConfigurationError(
                f"IN and OUT are the same file: the run would write over its input {path}; choose "
                "another output"
            )


def refuse_taken_names(columns: Sequence[str], answer_columns: Sequence[str]) -> None:
    """Raise if rows have a column of the name that an answer's would have.

    Raises:
        ConfigurationError: naming it.
    """
    if taken := [name for name in answer_columns if name in columns]:
        raise ConfigurationError(
            f"the rows already have a column {', '.join(taken)}; give the answers another name, "
            "with --answer-column or answer_column"
        )
