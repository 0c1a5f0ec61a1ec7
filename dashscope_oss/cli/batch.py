"""``dashscope-oss batch``: a file of prompts, answered into another file."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.calls.window import DEFAULT_CONCURRENCY
from dashscope_oss.batch.checkpoint import Checkpoint
from dashscope_oss.batch.files.formats import (
    JSONL,
    checked_ending,
    first_row,
    open_reader,
    prepare_writer,
)
from dashscope_oss.batch.job import Job, JobRun
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.batch.rows.choice import choose_form
from dashscope_oss.batch.rows.openai_form import OpenAIForm
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Options
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.rate_limits import RateLimits
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.endpoint import REGIONS, Endpoint
from dashscope_oss.transport.options import DEFAULT_MAX_RETRIES, ClientOptions

CTRL_C = "Ctrl-C"
INTERRUPTED = 130
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = (
        "Asks a model every row of a file and writes the rows with their answers, in the same "
        "order. A run that was stopped, by whatever, goes on when the same command is given again."
    )
    parser.add_argument("input", type=Path, metavar="IN", help=".jsonl, .csv or .parquet")
    parser.add_argument("output", type=Path, metavar="OUT", help=".jsonl, .csv or .parquet")
    _add_row_arguments(parser)
    _add_call_arguments(parser)
    _add_run_arguments(parser)


def _add_row_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rows")
    group.add_argument("--model", metavar="ID", help="a model's id; rows of a batch file name one")
    group.add_argument("--prompt-column", metavar="NAME", help="holds a prompt (default: prompt)")
    group.add_argument(
        "--messages-column", metavar="NAME", help="holds a conversation (default: messages)"
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
        type=int,
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
        type=int,
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
        "--max-tokens-total", type=int, metavar="N", help="stop when the answers cost N tokens"
    )
    group.add_argument(
        "--deadline", type=seconds, metavar="TIME", help="stop after 90s, 30m, 2h or 1h30m"
    )


def seconds(text: str) -> float:
    """Return the seconds in a time such as ``90``, ``30m`` or ``1h30m``.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    if not re.fullmatch(r"\d+s?|(\d+[smhd])+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 30m, 2h or 1h30m")
    parts = re.findall(r"(\d+)([smhd]?)", text)
    return float(sum(int(number) * _UNITS[unit or "s"] for number, unit in parts))


def parameters(pairs: list[str]) -> dict[str, object]:
    """Return the parameters in arguments of the form NAME=VALUE; a value is JSON, or text.

    Raises:
        ConfigurationError: for another form, or a name that comes twice.
    """
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals or name in values:
            raise ConfigurationError(f"--parameter takes NAME=VALUE, each name once, not {pair!r}")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def run(arguments: argparse.Namespace) -> int:
    """Ask all rows and write the answers; return the exit status."""
    job, model_info = build_job(arguments)
    progress = Progress(job.reader.count(), model_info=model_info)
    with job.open_checkpoint() as checkpoint:
        return asyncio.run(_run(job, checkpoint, progress))


def build_job(arguments: argparse.Namespace) -> tuple[Job, ModelInfo | None]:
    """Return what the arguments ask for, and the model if it is one.

    Raises:
        ConfigurationError: if it cannot be done.
    """
    reader, output = open_reader(arguments.input), arguments.output
    if output.resolve() == arguments.input.resolve():
        raise ConfigurationError("IN and OUT are the same file: the input would be lost")
    model_info = find_model(arguments.model) if arguments.model else None
    form = choose_form(
        first_row(reader),
        model_info,
        Options().merged(parameters(arguments.parameter)),
        prompt=arguments.prompt_column,
        messages=arguments.messages_column,
        system=arguments.system,
        answer=arguments.answer_column,
    )
    if isinstance(form, OpenAIForm) and checked_ending(output) not in JSONL:
        raise ConfigurationError(f"a batch file is answered in its own form: {output} is no .jsonl")
    endpoint = Endpoint.resolve(base_url=arguments.base_url, region=arguments.region)
    client_options = ClientOptions(
        timeout=arguments.timeout,
        max_retries=arguments.max_retries,
        max_connections=arguments.concurrency,
    )
    job = Job(
        reader=reader,
        output=output,
        open_writer=prepare_writer(output, reader, form.answer_columns()),
        form=form,
        client=AsyncClient(endpoint, client_options),
        concurrency=arguments.concurrency,
        pace=Pace(_limits(arguments, model_info, endpoint)),
        retry_failed=arguments.retry_failed,
        strict=arguments.strict,
        overwrite=arguments.overwrite,
        max_tokens_total=arguments.max_tokens_total,
        deadline=arguments.deadline,
    )
    return job, model_info


def _limits(
    arguments: argparse.Namespace, model_info: ModelInfo | None, endpoint: Endpoint
) -> RateLimits:
    """Return the limits of the command line; else, at the vendor's, those of the record."""
    stated = model_info if endpoint.is_vendor else None
    requests, tokens = arguments.requests_per_minute, arguments.tokens_per_minute
    if stated is not None:
        requests = stated.requests_per_minute if requests is None else requests
        tokens = stated.tokens_per_minute if tokens is None else tokens
    return RateLimits(requests, tokens)


async def _run(job: Job, checkpoint: Checkpoint, progress: Progress) -> int:
    job_run = JobRun(job, checkpoint, progress)
    async with progress:
        _tell_start(job, checkpoint, progress)
        _heed_interrupts(job_run, progress)
        await job_run.ask()
    print(progress.summary)
    if not job_run.is_complete:
        print(_how_to_go_on(job_run, checkpoint), file=sys.stderr)
        return INTERRUPTED if job_run.stopped_by == CTRL_C else 1
    failures = job_run.write()
    print(_where_it_is(job, checkpoint, failures), file=sys.stderr)
    return 1 if failures else 0


def _tell_start(job: Job, checkpoint: Checkpoint, progress: Progress) -> None:
    if checkpoint.changes:
        changes = "; ".join(checkpoint.changes)
        progress.say(
            f"This is a new run, because something is different: {changes}. What was answered "
            f"before is kept in {checkpoint.path}, and is used again with the former settings."
        )
    done = checkpoint.progress()
    if done.answered or done.failed:
        again = "are asked again" if job.retry_failed else "are not: --retry-failed asks them again"
        failed = f"; {done.failed:,} that failed {again}" if done.failed else ""
        progress.say(f"Going on: {done.answered:,} rows are answered{failed}.")


def _heed_interrupts(job_run: JobRun, progress: Progress) -> None:
    """Let Ctrl-C finish what is under way, and a second one end at once."""

    def interrupt() -> None:
        if job_run.stop.is_set():
            raise KeyboardInterrupt  # leaves the event loop, which cancels what is under way
        progress.say("Finishing the calls under way; Ctrl-C again ends at once.")
        job_run.stop_because(CTRL_C)

    with suppress(NotImplementedError):  # Windows: the first Ctrl-C ends
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)


def _how_to_go_on(job_run: JobRun, checkpoint: Checkpoint) -> str:
    done = checkpoint.progress()
    return (
        f"Stopped: {job_run.stopped_by}. {done.answered:,} rows are answered and kept in "
        f"{checkpoint.path}; the same command goes on."
    )


def _where_it_is(job: Job, checkpoint: Checkpoint, failures: int) -> str:
    if not failures:
        return f"The answers are in {job.output}; {checkpoint.path} is no longer needed."
    return (
        f"The answers are in {job.output}. {failures:,} rows have none: see {job.failures_path}; "
        "the same command with --retry-failed asks them again."
    )
