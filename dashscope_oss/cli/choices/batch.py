"""What ``dashscope-oss batch`` is to do, from its arguments."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from dashscope_oss.batch.calls.pace import Pace
from dashscope_oss.batch.files.formats import (
    JSONL,
    PARQUET,
    checked_ending,
    first_row,
    open_reader,
    prepare_writer,
)
from dashscope_oss.batch.files.interface import Reader
from dashscope_oss.batch.files.output import check_output
from dashscope_oss.batch.jobs.job import Job
from dashscope_oss.batch.jobs.local_job import LocalJob
from dashscope_oss.batch.rows.choice import choose_form
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.batch.rows.form import Form
from dashscope_oss.batch.rows.openai_form import OpenAIForm
from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Options
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens.rate_limits import RateLimits
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.options import ClientOptions

if TYPE_CHECKING:
    from dashscope_oss.batch.cluster.ray_job import RayJob


def build_job(arguments: argparse.Namespace) -> tuple[LocalJob, ModelInfo | None]:
    """Return what the arguments ask of this machine, and the model if it is one that is paid for.

    Raises:
        ConfigurationError: if it cannot be done.
    """
    reader = _open_input(arguments)
    form, model_info = _choose_form(arguments, reader)
    if isinstance(form, OpenAIForm) and checked_ending(arguments.output) not in JSONL:
        raise ConfigurationError(
            f"a batch file is answered in its own form: {arguments.output} is no .jsonl"
        )
    common = _common_part(arguments, reader, form)
    billed = model_info if common.client.endpoint.is_vendor else None
    job = LocalJob(
        **vars(common),
        open_writer=prepare_writer(arguments.output, reader, form.answer_columns()),
        pace=Pace(_limits(arguments, billed)),
        strict=arguments.strict,
    )
    return job, billed


def build_ray_job(arguments: argparse.Namespace) -> tuple[RayJob, ModelInfo | None]:
    """Return what the arguments ask of a cluster, and the model if it is one that is paid for.

    Raises:
        ConfigurationError: if it cannot be done.
        ImportError: if Ray is not installed.
    """
    from dashscope_oss.batch.cluster.ray_job import RayJob  # noqa: PLC0415 - of the extra
    from dashscope_oss.batch.files.parquet import ParquetReader  # noqa: PLC0415 - of the extra

    reader = _open_input(arguments)
    if not isinstance(reader, ParquetReader) or checked_ending(arguments.output) not in PARQUET:
        raise ConfigurationError(
            "--ray reads and writes .parquet files: IN must be one, several, or a folder of them, "
            "and OUT one"
        )
    if arguments.strict:
        raise ConfigurationError("--strict has no use with --ray, whose machines do not stop")
    form, model_info = _choose_form(arguments, reader)
    if not isinstance(form, Columns):
        raise ConfigurationError("--ray takes no batch files: name the column to ask")
    common = _common_part(arguments, reader, form)
    billed = model_info if common.client.endpoint.is_vendor else None
    limits = _limits(arguments, billed)
    job = RayJob(
        **vars(common),
        actors=arguments.actors,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
    )
    return job, billed


def _common_part(arguments: argparse.Namespace, reader: Reader, form: Form) -> Job:
    """Return what a job on one machine and one on many have in common."""
    return Job(
        reader=reader,
        output=arguments.output,
        form=form,
        client=_build_client(arguments),
        concurrency=arguments.concurrency,
        retry_failed=arguments.retry_failed,
        overwrite=arguments.overwrite,
        max_tokens_total=arguments.max_tokens_total,
        deadline=arguments.deadline,
    )


def _open_input(arguments: argparse.Namespace) -> Reader:
    reader = open_reader(*arguments.input)
    check_output(arguments.output, [*arguments.input, *reader.files])
    return reader


def _choose_form(arguments: argparse.Namespace, reader: Reader) -> tuple[Form, ModelInfo | None]:
    model_info = find_model(arguments.model) if arguments.model else None
    form = choose_form(
        first_row(reader),
        model_info,
        Options().merged(parameters(arguments.parameter)),
        prompt=arguments.prompt_column,
        messages=arguments.messages_column,
        image=arguments.image_column,
        folder=reader.path.resolve() if reader.path.is_dir() else reader.path.resolve().parent,
        system=arguments.system,
        answer=arguments.answer_column,
    )
    return form, model_info


def _build_client(arguments: argparse.Namespace) -> AsyncClient:
    endpoint = Endpoint.resolve(base_url=arguments.base_url, region=arguments.region)
    options = ClientOptions(
        timeout=arguments.timeout,
        max_retries=arguments.max_retries,
        max_connections=arguments.concurrency,
    )
    return AsyncClient(endpoint, options)


def _limits(arguments: argparse.Namespace, billed: ModelInfo | None) -> RateLimits:
    """Return the limits of the command line; else, at the vendor's, those of the record."""
    requests, tokens = arguments.requests_per_minute, arguments.tokens_per_minute
    if billed is not None:
        requests = billed.requests_per_minute if requests is None else requests
        tokens = billed.tokens_per_minute if tokens is None else tokens
    return RateLimits(requests, tokens)


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
