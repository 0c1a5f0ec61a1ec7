"""``dashscope-oss batch``: a file of prompts, answered into another file."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from dashscope_oss.batch.calls.window import DEFAULT_CONCURRENCY
from dashscope_oss.batch.jobs.checkpoint import Checkpoint
from dashscope_oss.batch.jobs.job import Job
from dashscope_oss.batch.jobs.local_job import JobRun, LocalJob
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.cli.choices.batch import build_job, build_ray_job
from dashscope_oss.transport.endpoint import REGIONS
from dashscope_oss.transport.options import DEFAULT_MAX_RETRIES

ACTORS = 4
CTRL_C, TERMINATED = "Ctrl-C", "the system ended it (SIGTERM)"
INTERRUPTED = 130
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = (
        "Asks a model every row of a file and writes the rows with their answers, in the same "
        "order. A run that was stopped, by whatever, goes on when the same command is given again."
    )
    parser.add_argument(
        "input",
        type=Path,
        nargs="+",
        metavar="IN",
        help=".jsonl, .csv or .parquet; several Parquet files, or a folder of them, count as one",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help=".jsonl, .csv or .parquet")
    _add_row_arguments(parser)
    _add_call_arguments(parser)
    _add_run_arguments(parser)
    _add_cluster_arguments(parser)


def _add_row_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rows")
    group.add_argument("--model", metavar="ID", help="a model's id; rows of a batch file name one")
    group.add_argument("--prompt-column", metavar="NAME", help="holds a prompt (default: prompt)")
    group.add_argument(
        "--messages-column", metavar="NAME", help="holds a conversation (default: messages)"
    )
    group.add_argument(
        "--image-column", metavar="NAME", help="holds images: addresses, bytes, or paths of files"
    )
    group.add_argument("--system", metavar="TEXT", help="a system message before each prompt")
    group.add_argument(
        "--answer-column",
        metavar="NAME",
        default="answer",
        help="for the answers; other new columns begin with it (default: answer)",
    )
    group.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of every call, such as temperature=0.2; may be repeated",
    )


def _add_call_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("calls")
    group.add_argument("--base-url", help="ends in /api/v1; default: DASHSCOPE_HTTP_BASE_URL")
    group.add_argument("--region", choices=REGIONS)
    group.add_argument(
        "--concurrency",
        type=partial(whole_number, least=1),
        default=DEFAULT_CONCURRENCY,
        metavar="N",
        help=f"calls under way at a time (default: {DEFAULT_CONCURRENCY})",
    )
    for name in ("requests", "tokens"):
        group.add_argument(
            f"--{name}-per-minute",
            type=float,
            metavar="N",
            help=f"most {name} a minute; at the vendor's own host the model's record states it",
        )
    group.add_argument("--timeout", type=float, metavar="SECONDS")
    group.add_argument(
        "--max-retries",
        type=partial(whole_number, least=0),
        default=DEFAULT_MAX_RETRIES,
        metavar="N",
        help=f"further tries of a failed call (default: {DEFAULT_MAX_RETRIES}); those that the "
        "service puts off do not count",
    )


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--retry-failed", action="store_true", help="ask rows again that failed earlier"
    )
    group.add_argument(
        "--strict", action="store_true", help="end at the first row that cannot be asked"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace an OUT that another run has written"
    )
    group.add_argument(
        "--max-tokens-total",
        type=partial(whole_number, least=1),
        metavar="N",
        help="stop when the answers cost N tokens",
    )
    group.add_argument(
        "--deadline", type=seconds, metavar="TIME", help="stop after 90s, 30m, 2h or 1h30m"
    )


def _add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many machines")
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="answer a Parquet file on this Ray cluster: auto, HOST:PORT, or local for one on this "
        "machine; IN and OUT must be where all machines see them",
    )
    group.add_argument(
        "--actors",
        type=partial(whole_number, least=1),
        default=ACTORS,
        metavar="N",
        help=f"processes of the cluster that ask, --concurrency calls each (default: {ACTORS})",
    )


def whole_number(text: str, *, least: int) -> int:
    """Return the number in a text.

    Raises:
        argparse.ArgumentTypeError: if it is none, or below ``least``.
    """
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)


def seconds(text: str) -> float:
    """Return the seconds in a time such as ``90``, ``30m`` or ``1h30m``.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not re.fullmatch(r"\d+s?|(\d+[smhd])+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 30m, 2h or 1h30m")
    parts = re.findall(r"(\d+)([smhd]?)", text)
    return float(sum(int(number) * _UNITS[unit or "s"] for number, unit in parts))


def run(arguments: argparse.Namespace) -> int:
    """Ask all rows and write the answers; return the exit status."""
    if arguments.ray:
        return _run_on_ray(arguments)
    job, model_info = build_job(arguments)
    progress = Progress(job.reader.count(), model_info=model_info)
    with job.open_checkpoint() as checkpoint:
        return asyncio.run(_run(job, checkpoint, progress))


def _run_on_ray(arguments: argparse.Namespace) -> int:
    from dashscope_oss.batch.cluster.ray_job import connected  # noqa: PLC0415 - of the extra

    job, model_info = build_ray_job(arguments)
    progress = Progress(job.reader.count(), model_info=model_info)
    folder = job.open_folder()
    with connected(arguments.ray), progress:
        _tell_changes(folder.changes, folder.path, progress)
        try:
            stopped_by = job.ask(folder, progress)
        except KeyboardInterrupt:
            stopped_by = CTRL_C
    if stopped_by:
        return _tell_stop(stopped_by, folder.path, progress)
    return _tell_end(job, folder.path, job.write(folder), progress)


async def _run(job: LocalJob, checkpoint: Checkpoint, progress: Progress) -> int:
    job_run = JobRun(job, checkpoint, progress)
    async with progress:
        _tell_start(job, checkpoint, progress)
        _heed_interrupts(job_run, progress)
        await job_run.ask()
    if not job_run.is_complete:
        return _tell_stop(job_run.stopped_by, checkpoint.path, progress)
    # The table comes last: whoever no longer reads it has all answers.
    return _tell_end(job, checkpoint.path, job_run.write(), progress)


def _tell_start(job: LocalJob, checkpoint: Checkpoint, progress: Progress) -> None:
    _tell_changes(checkpoint.changes, checkpoint.path, progress)
    done = checkpoint.progress()
    if done.answered or done.failed:
        again = (
            "and are asked again"
            if job.retry_failed
            else "and are not asked again, which --retry-failed would do"
        )
        failed = f"; {done.failed:,} failed {again}" if done.failed else ""
        progress.say(f"Going on: {done.answered:,} rows are answered{failed}.")


def _tell_changes(changes: list[str], checkpoint: Path, progress: Progress) -> None:
    if changes:
        progress.say(
            f"This is a new run, because something is different: {'; '.join(changes)}. What was "
            f"answered before is kept in {checkpoint}, and is used again with the former settings."
        )


def _heed_interrupts(job_run: JobRun, progress: Progress) -> None:
    """Let Ctrl-C finish what is under way, and a second one end at once."""

    def interrupt(reason: str) -> None:
        if job_run.stop.is_set():
            raise KeyboardInterrupt  # leaves the event loop, which cancels what is under way
        progress.say("Finishing the calls under way; Ctrl-C again ends at once.")
        job_run.stop_because(reason)

    with suppress(NotImplementedError):  # Windows: the first Ctrl-C ends
        for number, reason in ((signal.SIGINT, CTRL_C), (signal.SIGTERM, TERMINATED)):
            asyncio.get_running_loop().add_signal_handler(number, interrupt, reason)


def _tell_stop(reason: str, checkpoint: Path, progress: Progress) -> int:
    """Show the table and how to go on; return the exit status."""
    print(progress.summary)
    tally = progress.tally
    print(
        f"Stopped: {reason}. {tally.earlier + tally.answered:,} rows are answered and kept in "
        f"{checkpoint}; the same command{_with_what(reason)} goes on.",
        file=sys.stderr,
    )
    return INTERRUPTED if reason in (CTRL_C, TERMINATED) else 1


def _with_what(stopped_by: str) -> str:
    return " with a larger --max-tokens-total" if "--max-tokens-total" in stopped_by else ""


def _tell_end(job: Job, checkpoint: Path, failures: int, progress: Progress) -> int:
    """Show the table and where the answers are; return the exit status."""
    print(progress.summary)
    if not failures:
        text = f"The answers are in {job.output}; {checkpoint} is no longer needed."
    else:
        text = (
            f"The answers are in {job.output}. Rows without an answer: {failures:,}; "
            f"{job.failures_path} says why. What you correct in the input is asked by the same "
            "command, all others with --retry-failed."
        )
    print(text, file=sys.stderr)
    return 1 if failures else 0
