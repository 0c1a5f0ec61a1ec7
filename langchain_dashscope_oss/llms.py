"""The text model: one string in, one string out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from functools import reduce
from operator import add
from typing import Any, ClassVar, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import BaseLLM, LangSmithParams, LanguageModelInput
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field, model_validator

from dashscope_oss import __version__, completion_request
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens.rate_limits import counted
from langchain_dashscope_oss._convert import (
    PROVIDER,
    llm_output,
    to_generation,
    to_generation_chunk,
)
from langchain_dashscope_oss._retry_callbacks import async_retry_callback, retry_callback
from langchain_dashscope_oss._settings import DashScopeModel
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

_arguments_of_call: ContextVar[Mapping[str, Any] | None] = ContextVar(
    "_arguments_of_call", default=None
)
_RUN_ARGUMENTS = ("tags", "metadata", "run_name", "run_id")
"""Arguments of ``generate`` that name a run in traces and do not change its answer."""


class DashScopeOSSLLM(DashScopeModel, BaseLLM):
    """An open-weight model behind DashScope's protocol, as a text model.

    A prompt-only model gets the string in its family's template, a model of messages as one user
    message::

        llm = DashScopeOSSLLM(model="ziya-llama-13b-v1", base_url="http://127.0.0.1:8000/api/v1")
        llm.invoke("Hello")

    Token counts are in ``llm_output["token_usage"]``, summed over the prompts of a batch, and in
    each ``generation_info``; when streaming, in that of the last chunk. They are ``None`` where
    the service reports none. Settings are those of ``Settings``, and:

    Attributes:
        formatted: ``True``: the prompt stands as the model expects it. ``False``: it is plain
            text. ``None``: it is taken as formatted if it can be read as such.
        rate_limiter: asked before every prompt, as chat models do.

    ``batch`` and ``abatch`` make a call of its own for each prompt, at once or
    ``max_concurrency`` at a time; with ``return_exceptions`` only what failed is an exception.

    Raises:
        DashScopeError: one of ``langchain_dashscope_oss.errors``, which is a ``langchain_core``
            ``ModelError`` too.
    """

    _call_settings: ClassVar[tuple[str, ...]] = ("formatted",)

    formatted: bool | None = None
    rate_limiter: BaseRateLimiter | None = Field(default=None, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "dashscope-oss"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        arguments = _arguments_of_call.get() or {}
        return {**self._answer_identity(), "formatted": self.formatted, **arguments}

    @model_validator(mode="after")
    def _set_dashscope_oss_version(self) -> Self:
        self._add_version("dashscope-oss", __version__)
        return self

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> LLMResult:
        """Return the answers to several prompts, with their usage summed."""
        with self._identified_by(kwargs):
            return super().generate(prompts, stop, callbacks, **kwargs)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> LLMResult:
        """Return the answers to several prompts, with their usage summed."""
        with self._identified_by(kwargs):
            return await super().agenerate(prompts, stop, callbacks, **kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> list[str]:
        """Return the answers in order, asked for at once in threads."""
        # BaseLLM's own makes one run of all, which fails as a whole.
        return Runnable.batch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> list[str]:
        """Return the answers in order, asked for at once."""
        return await Runnable.abatch(
            self, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> LLMResult:
        return _result([self._answer(prompt, stop, run_manager, kwargs) for prompt in prompts])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> LLMResult:
        try:
            async with asyncio.TaskGroup() as group:
                answers = [
                    group.create_task(self._aanswer(prompt, stop, run_manager, kwargs))
                    for prompt in prompts
                ]
        except ExceptionGroup as group_error:
            first = group_error.exceptions[0]
            raise first from first.__cause__
        return _result([answer.result() for answer in answers])

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> Iterator[GenerationChunk]:
        with raising_langchain_errors():
            request = self._in_turn(self._request(prompt, stop, kwargs, stream=True))
            on_retry = retry_callback(run_manager)
            with closing(self._client.stream(request, on_retry=on_retry)) as deltas:
                for delta in deltas:
                    chunk = to_generation_chunk(delta, request.model_info.id)
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> AsyncIterator[GenerationChunk]:
        with raising_langchain_errors():
            request = await self._ain_turn(self._request(prompt, stop, kwargs, stream=True))
            on_retry = async_retry_callback(run_manager)
            async with aclosing(self._async_client.stream(request, on_retry=on_retry)) as deltas:
                async for delta in deltas:
                    chunk = to_generation_chunk(delta, request.model_info.id)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    @contextmanager
    def _identified_by(self, kwargs: Mapping[str, Any]) -> Iterator[None]:
        """Make the arguments of a call part of the cache's key; BaseLLM takes the object's only."""
        arguments = {name: kwargs[name] for name in kwargs if name not in _RUN_ARGUMENTS}
        with raising_langchain_errors():
            token = _arguments_of_call.set(self._call_arguments(arguments))
        try:
            yield
        finally:
            _arguments_of_call.reset(token)

    def _answer(
        self,
        prompt: str,
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: Mapping[str, Any],
    ) -> Generation:
        if self.streaming:
            return reduce(add, self._stream(prompt, stop, run_manager, **kwargs))
        with raising_langchain_errors():
            request = self._in_turn(self._request(prompt, stop, kwargs))
            reply = self._client.send(request, on_retry=retry_callback(run_manager))
            return to_generation(reply, request.model_info.id)

    async def _aanswer(
        self,
        prompt: str,
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: Mapping[str, Any],
    ) -> Generation:
        if self.streaming:
            chunks = self._astream(prompt, stop, run_manager, **kwargs)
            return reduce(add, [chunk async for chunk in chunks])
        with raising_langchain_errors():
            request = await self._ain_turn(self._request(prompt, stop, kwargs))
            on_retry = async_retry_callback(run_manager)
            reply = await self._async_client.send(request, on_retry=on_retry)
            return to_generation(reply, request.model_info.id)

    def _request(
        self,
        prompt: str,
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> Request:
        arguments = dict(kwargs)
        formatted = arguments.pop("formatted", self.formatted)
        model_info, options = self._call_options(stop, arguments)
        if options.tools:
            raise UnsupportedInputError(
                "a text model cannot return tool calls; use ChatDashScopeOSS", model=model_info.id
            )
        request = completion_request(
            model_info, prompt, options, stream=stream, formatted=formatted
        )
        return self._checked_length(request)

    def _in_turn(self, request: Request) -> Request:
        """Return ``request`` once the rate limiter lets it out."""
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        return counted(request, self)

    async def _ain_turn(self, request: Request) -> Request:
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        return counted(request, self)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: object) -> LangSmithParams:
        arguments = self._trace_arguments(kwargs)
        params = super()._get_ls_params(stop=self._trace_stop(stop), **arguments)
        params["ls_provider"] = PROVIDER
        return params


def _result(answers: Sequence[Generation]) -> LLMResult:
    infos = [answer.generation_info or {} for answer in answers]
    model = next((info.get("model_name") for info in infos), None)
    return LLMResult(
        generations=[[answer] for answer in answers], llm_output=llm_output(infos, model)
    )
