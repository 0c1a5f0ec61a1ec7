"""Rows of a Ray dataset, asked by async actors on any number of machines. Needs the extra ``ray``.

::

    import ray
    from dashscope_oss.batch.ray import AskModel

    ray.data.read_parquet("reviews").map_batches(
        AskModel,
        fn_constructor_kwargs={"model": "glm-5", "prompt_column": "review", "actors": 4},
        batch_format="pyarrow",
        batch_size=256,
        concurrency=4,
    ).write_parquet("labelled")

Workers read the key from their own environment: ``DASHSCOPE_API_KEY``, or a file, as everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace

try:
    import pyarrow as pa
    import ray as _ray  # noqa: F401 - without it nothing here is of use
except ImportError as error:
    raise ImportError(f'{error.name} is missing: pip install "dashscope-oss[ray]"') from error

from dashscope_oss.batch.calls.pace import Pace, part_of_limits
from dashscope_oss.batch.calls.tries import ends_run
from dashscope_oss.batch.calls.window import DEFAULT_CONCURRENCY, run
from dashscope_oss.batch.files.parquet import answer_schema
from dashscope_oss.batch.rows.columns import DEFAULT_ANSWER_COLUMN, Columns
from dashscope_oss.batch.rows.outcome import Failure, Outcome, outcome_of
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Json, Options, Reply
from dashscope_oss.protocol.request import Request
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.options import ClientOptions


class AskModel:
    """A class for ``Dataset.map_batches``: adds the columns of the answers to each batch.

    A row without an answer has nulls there, and ``answer_error`` says why. An error that every
    row would end in, such as a wrong key, ends the job.

    No key is in what Ray sends to the workers: each reads it from its own environment.

    Args:
        model: a model's id, or its record.
        prompt_column: holds a prompt; ``prompt`` if neither column is named.
        messages_column: holds a conversation.
        image_column: holds images: addresses, bytes, or paths that all machines can read.
        system: a system message before each prompt.
        answer_column: for the answers; other new columns begin with it.
        parameters: of every call, such as ``{"temperature": 0}``.
        base_url: ends in ``/api/v1``; else ``region``, else ``DASHSCOPE_HTTP_BASE_URL``.
        region: a region's name.
        client_options: limits and headers of the client; they are sent to the workers.
        concurrency: most calls that an actor has under way at a time.
        requests_per_minute: of the account; each actor keeps its part.
        tokens_per_minute: of the account; each actor keeps its part.
        actors: over how many actors these limits are divided.
    """

    def __init__(
        self,
        model: str | ModelInfo,
        *,
        prompt_column: str | None = None,
        messages_column: str | None = None,
        image_column: str | None = None,
        system: str | None = None,
        answer_column: str = DEFAULT_ANSWER_COLUMN,
        parameters: Mapping[str, object] | None = None,
        base_url: str | None = None,
        region: str | None = None,
        client_options: ClientOptions | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        actors: int = 1,
    ) -> None:
        options = client_options or ClientOptions(max_connections=concurrency)
        self._form = Columns(
            model if isinstance(model, ModelInfo) else find_model(model),
            Options().merged(parameters or {}),
            prompt_column,
            messages_column,
            image_column,
            system=system,
            answer=answer_column,
        )
        endpoint = Endpoint.resolve(base_url=base_url, region=region)
        self._client = AsyncClient(endpoint, replace(options, max_retries=0))
        self._max_retries = options.max_retries
        self._pace = Pace(part_of_limits(requests_per_minute, tokens_per_minute, actors))
        self._concurrency = concurrency
        # Ray gives an actor several batches at a time.
        self._places = asyncio.Semaphore(concurrency)

    async def aclose(self) -> None:
        """Close the connections; Ray's actors, whose process ends, need not."""
        await self._client.aclose()

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Return the batch with its answers.

        Raises:
            ConfigurationError: if the batch is no table of pyarrow, or has a column of the name
                that an answer's would have.
            DashScopeError: if no row can succeed.
        """
        if not isinstance(batch, pa.Table):
            raise ConfigurationError(
                f"AskModel takes tables, not {type(batch).__name__}: pass batch_format='pyarrow' "
                "to map_batches"
            )
        schema = self._schema(batch.schema)
        rows: list[Json] = batch.to_pylist()
        outcomes: dict[int, Outcome] = {}
        requests = self._requests(rows, outcomes)
        results = run(
            requests, self._ask, self._concurrency, pace=self._pace, max_retries=self._max_retries
        )
        async with aclosing(results):
            async for number, result in results:
                if isinstance(result, Exception) and ends_run(
                    result, has_answers=self._pace.has_answers
                ):
                    raise result
                outcomes[number] = outcome_of(result)
        answered = [self._row(rows[number], outcomes[number]) for number in range(len(rows))]
        return pa.Table.from_pylist(answered, schema)

    def _requests(
        self, rows: list[Json], outcomes: dict[int, Outcome]
    ) -> Iterator[tuple[int, Request]]:
        for number, values in enumerate(rows):
            try:
                request = self._form.request(values)
            except DashScopeError as error:
                outcomes[number] = outcome_of(error)
            else:
                yield number, request

    async def _ask(self, request: Request) -> Reply:
        async with self._places:
            return await self._client.send(request)

    def _row(self, values: Json, outcome: Outcome) -> dict[str, object]:
        if isinstance(outcome, Failure):
            return {**values, self._error_column: f"{outcome.kind}: {outcome.message}"}
        return self._form.answered(0, values, outcome)

    @property
    def _error_column(self) -> str:
        return f"{self._form.answer}_error"

    def _schema(self, schema: pa.Schema) -> pa.Schema:
        answers = answer_schema(schema, self._form.answer_columns())
        return answers.append(pa.field(self._error_column, pa.string()))
