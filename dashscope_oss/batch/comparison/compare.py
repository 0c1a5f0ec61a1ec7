"""``compare``: every model on every prompt."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple, TypeAlias

from dashscope_oss.batch.calls.window import run
from dashscope_oss.batch.comparison.comparison import ComparedAnswer, Comparison
from dashscope_oss.batch.report.progress import Progress
from dashscope_oss.messages import Json, Message, Options, Reply
from dashscope_oss.protocol.request import chat_request
from dashscope_oss.registry.lookup import find_model
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.options import ClientOptions

DEFAULT_CONCURRENCY = 4

Prompt: TypeAlias = str | Sequence[Message]


def compare(
    models: Iterable[str | ModelInfo] | Mapping[str, Json],
    prompts: Iterable[Prompt],
    *,
    base_url: str | None = None,
    endpoint: Endpoint | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    **options: object,
) -> Comparison:
    """Ask every model every prompt, and return the answers side by side.

    ::

        compare(["llama3-8b-instruct", "ziya-llama-13b-v1"], ["What is tea?"], max_tokens=50)

    A progress bar shows how far it is. A call that fails is an error in its place of the table,
    and the others go on. It works in a notebook too, where an event loop is running already.

    Args:
        models: ids or records; or a mapping of ids to options of that model alone, such as
            ``{"deepseek-v4-flash": {"enable_thinking": False}}``.
        prompts: each a text, or a conversation.
        base_url: where all of them are asked; else the environment decides, see
            :meth:`Endpoint.resolve`.
        endpoint: the same, with a key or a workspace; wins over ``base_url``.
        concurrency: most calls under way at a time. The seconds of an answer contain what it
            waited for the server, so 1 compares speed best.
        options: those of every call, by the names of :class:`Options`.

    Raises:
        ConfigurationError: if the address or ``concurrency`` cannot be used.
    """
    endpoint = endpoint or Endpoint.resolve(base_url=base_url)
    shared, own = Options().merged(options), models if isinstance(models, Mapping) else {}
    records = [find_model(model) if isinstance(model, str) else model for model in models]
    calls = [
        _Call(record, prompt, shared.merged(own.get(record.id, {})))
        for prompt, record in product(prompts, records)
    ]
    answers = _in_own_loop(calls, endpoint, concurrency, Progress(total=len(calls)))
    return Comparison(tuple(record.id for record in records), tuple(answers))


class _Call(NamedTuple):
    model_info: ModelInfo
    prompt: Prompt
    options: Options

    @property
    def messages(self) -> Sequence[Message]:
        return [Message("user", self.prompt)] if isinstance(self.prompt, str) else self.prompt

    def answered(self, outcome: tuple[Reply, float] | Exception) -> ComparedAnswer:
        prompt = self.messages[-1].content
        if isinstance(outcome, Exception):
            return ComparedAnswer(self.model_info.id, prompt, error=outcome)
        reply, seconds = outcome
        return ComparedAnswer(self.model_info.id, prompt, reply=reply, seconds=seconds)


def _in_own_loop(
    calls: Sequence[_Call], endpoint: Endpoint, concurrency: int, progress: Progress
) -> list[ComparedAnswer]:
    """Make the calls in a thread, since this one may have a running loop already.

    What the caller's context holds goes along: a notebook knows by it where to show the bar.
    """
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as thread:
        answers = _answers(calls, endpoint, concurrency, progress)
        return thread.submit(context.run, asyncio.run, answers).result()


async def _answers(
    calls: Sequence[_Call], endpoint: Endpoint, concurrency: int, progress: Progress
) -> list[ComparedAnswer]:
    """Return the answers in the order of the calls."""
    answers: dict[int, ComparedAnswer] = {}
    async with AsyncClient(endpoint, ClientOptions(max_retries=0)) as client, progress:

        async def ask(call: _Call) -> tuple[Reply, float]:
            request = chat_request(call.model_info, call.messages, call.options)
            began = time.perf_counter()
            return await client.send(request), time.perf_counter() - began

        async for number, outcome in run(enumerate(calls), ask, concurrency):
            progress.add(outcome if isinstance(outcome, Exception) else outcome[0])
            answers[number] = calls[number].answered(outcome)
    return [answers[number] for number in sorted(answers)]
