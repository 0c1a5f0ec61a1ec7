"""The chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import model_validator

from dashscope_oss import __version__, chat_request
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.tools import tool_choice as chosen_tool
from dashscope_oss.registry.lookup import ModelInfo
from langchain_dashscope_oss import _blocks
from langchain_dashscope_oss._convert import (
    PROVIDER,
    Chunks,
    llm_output,
    to_chat_result,
    to_messages,
)
from langchain_dashscope_oss._errors import translated
from langchain_dashscope_oss._objects import Schema
from langchain_dashscope_oss._retries import atold, listening, note, told
from langchain_dashscope_oss._settings import Settings
from langchain_dashscope_oss._structured import (
    Asking,
    Method,
    ObjectOutput,
    check,
    choose,
    parameters,
    reader,
)

_blocks.register()


class ChatDashScopeOSS(Settings, BaseChatModel):
    """An open-weight model behind DashScope's protocol, as a chat model.

    Every model of the registry works, prompt-only ones too: their family's template turns the
    messages into one prompt. Settings are those of ``Settings``; a call may override the
    sampling ones and ``model``::

        llm = ChatDashScopeOSS(model="llama3-8b-instruct", base_url="http://127.0.0.1:8000/api/v1")
        llm.invoke("Hello", temperature=0)

    Token counts are in ``usage_metadata``, which is ``None`` where the service reports none;
    ``response_metadata`` has ``request_id``, ``finish_reason`` and, behind a gateway,
    ``served_by``. Thoughts are in ``additional_kwargs["reasoning_content"]`` and among
    ``content_blocks``. The protocol has no names: a message's ``name`` is not sent.

    Attributes:
        send_reasoning: send the thoughts of earlier answers along with them, as
            ``reasoning_content``. Some models read them only with
            ``model_kwargs={"preserve_thinking": True}``.

    Raises:
        DashScopeError: one of its tree, which is a ``langchain_core`` ``ModelError`` too. What a
            model cannot carry is an ``UnsupportedInputError`` before anything is sent.
    """

    send_reasoning: bool = False

    @property
    def _llm_type(self) -> str:
        return "dashscope-oss-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity()

    @model_validator(mode="after")
    def _set_dashscope_oss_version(self) -> Self:
        self._add_version("dashscope-oss", __version__)
        return self

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it may call.

        Args:
            tools: functions, pydantic classes, LangChain tools or OpenAI's JSON form.
            tool_choice: ``"auto"``, ``"none"``, a tool's name or its JSON form; ``"any"``,
                ``"required"`` or ``True`` force the tool if there is one only. The service
                cannot force a choice among several: it warns and chooses by itself. It forces
                none while a model thinks: a model that can do without is told not to in such a
                call, one that cannot is refused.
            strict: arguments must follow the schema.
            parallel_tool_calls: allow several calls in one answer.
            **kwargs: bound as they are.

        Raises:
            UnsupportedInputError: if the model knows no tools.
        """
        made = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        with translated():
            model_info = self._tool_record(self._said(kwargs).get("model"))
            choice = chosen_tool(tool_choice, made, model_info.id)
        said: dict[str, Any] = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        bound = {name: value for name, value in said.items() if value is not None}
        return self.bind(tools=made, **{**bound, **kwargs})

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a runnable that answers with an object of ``schema``; this model stays as it is.

        Its stream hands on the object as it grows. A pydantic class gives its objects, checked;
        any other schema gives dicts that have the required names.

        Args:
            schema: a pydantic class, a TypedDict, a function, a JSON schema or a tool in OpenAI's
                form. ``None`` is any object, with ``json_mode`` and ``prompt``.
            method: ``function_calling`` (a tool is forced), ``json_mode`` and ``json_schema``
                (the service's ``response_format``), ``prompt`` (the schema goes into the prompt;
                an answer that cannot be read is asked for once more). ``None`` takes the surest
                that the model has; while it thinks that is ``prompt``, for then the service
                forces nothing. What it lacks falls back with a warning. To ``json_mode`` the
                schema is added if no message speaks of JSON, which the service demands.
            include_raw: answer with ``raw``, ``parsed`` and ``parsing_error``; nothing is raised
                for an answer that cannot be read.
            strict: the service holds arguments, or a ``json_schema`` answer, to the schema; the
                other methods have no such promise.
            tools: further tools that the model may call instead; needs ``include_raw``.
            **kwargs: bound as they are.

        Raises:
            ConfigurationError: for what cannot be combined.
            UnsupportedInputError: for ``tools`` with a model that knows none.
        """
        with translated():
            given = self._said(kwargs)
            model_info = self._record(given.pop("model", None))
            thinking = self._defaults.merged(given).enable_thinking
            way = choose(model_info, method, thinking)
            check(schema, way, tools, include_raw=include_raw)
            said = {**parameters(model_info, schema, way, strict, thinking), **kwargs}
        model = self._with_tools(schema, way, strict, tools, said)
        return ObjectOutput(
            model,
            Asking.by(way, schema, self._turns, asked=method),
            reader(way, schema, optional=bool(tools)),
            include_raw=include_raw,
            repairs=way == "prompt",
        )

    def _with_tools(
        self,
        schema: Schema | None,
        way: Method,
        strict: bool | None,
        tools: Sequence[Any] | None,
        said: dict[str, Any],
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with the tools that a structured answer needs, and all that is said."""
        own: list[Any] = [schema] if way == "function_calling" else []
        if tools:
            said = {**said, "tool_choice": None}
        found = [*own, *(tools or ())]
        return self.bind_tools(found, strict=strict, **said) if found else self.bind(**said)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        with translated():
            request = self._request(messages, stop, kwargs)
            reply = self._client.send(request, on_retry=told(run_manager))
        return to_chat_result(reply, request.model_info.id)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        with translated():
            request = self._request(messages, stop, kwargs)
            reply = await self._async_client.send(request, on_retry=atold(run_manager))
        return to_chat_result(reply, request.model_info.id)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> Iterator[ChatGenerationChunk]:
        with translated():
            request = self._request(messages, stop, kwargs, stream=True)
            chunks = Chunks(request.model_info.id)
            pieces = self._client.stream(request, on_retry=told(run_manager))
            with closing(pieces) as deltas:
                for delta in deltas:
                    chunk = chunks.push(delta)
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with translated():
            request = self._request(messages, stop, kwargs, stream=True)
            chunks = Chunks(request.model_info.id)
            pieces = self._async_client.stream(request, on_retry=atold(run_manager))
            async with aclosing(pieces) as deltas:
                async for delta in deltas:
                    chunk = chunks.push(delta)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _request(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        given: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> Request:
        model_info, options = self._call(stop, given)
        turns = to_messages(messages, model_info.id, reasoning=self.send_reasoning)
        return chat_request(model_info, turns, options, stream=stream)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Iterator[AIMessageChunk]:
        """Hand on the answer in pieces."""
        return super().stream(input, listening(config, self.callbacks), stop=stop, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> AsyncIterator[AIMessageChunk]:
        """Hand on the answer in pieces."""
        return super().astream(input, listening(config, self.callbacks), stop=stop, **kwargs)

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> bool:
        # The last place before _stream at which LangChain says which run it is about.
        note(run_manager)
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _turns(self, given: LanguageModelInput) -> list[BaseMessage]:
        return self._convert_input(given).to_messages()

    def _tool_record(self, model: str | None) -> ModelInfo:
        model_info = self._record(model)
        if not model_info.tools:
            raise UnsupportedInputError(
                "this model knows no tools; choose one that does, or say so in model_info",
                model=model_info.id,
            )
        return model_info

    def _combine_llm_outputs(self, _llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        # LangChain has no output for an answer that came from its cache.
        named = (output["model_name"] for output in _llm_outputs if output)
        return llm_output(_llm_outputs, next(named, self.model))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: object) -> str:
        # The default reads the serialised object, which lacks what the environment decides.
        return str(sorted(self._get_invocation_params(stop=stop, **kwargs).items()))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: object) -> LangSmithParams:
        params = super()._get_ls_params(stop=self._stops(stop), **self._traced(kwargs))
        params["ls_provider"] = PROVIDER
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return _profile(self._record())

    def __setattr__(self, name: str, value: object) -> None:
        follows = name in _PROFILED and self._profile_is_own()
        super().__setattr__(name, value)
        if follows:
            self.profile = self._resolve_model_profile()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its profile is that of the model it has then, unless one was given."""
        given = update or {}
        copied = super().model_copy(update=update, deep=deep)
        if "profile" not in given and given.keys() & set(_PROFILED) and self._profile_is_own():
            copied.profile = copied._resolve_model_profile()  # noqa: SLF001 - of this class
        return copied

    def _profile_is_own(self) -> bool:
        return self.profile is not None and self.profile == self._resolve_model_profile()


def _profile(model_info: ModelInfo) -> ModelProfile:
    profile = ModelProfile(
        name=model_info.id,
        open_weights=True,
        text_inputs=True,
        text_outputs=True,
        image_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        tool_calling=model_info.tools,
        tool_choice=model_info.tools,
        tool_call_streaming=model_info.tools,
        structured_output=model_info.structured == "json_schema",
    )
    if model_info.status in _STATUS:
        profile["status"] = _STATUS[model_info.status]
    if model_info.input_limit is not None:
        profile["max_input_tokens"] = model_info.input_limit
    if model_info.max_output is not None:
        profile["max_output_tokens"] = model_info.max_output
    if model_info.thinking != "unknown":
        profile["reasoning_output"] = model_info.thinking != "none"
    return profile


_PROFILED = ("model", "model_info")
_STATUS = {"hosted": "active", "retired": "deprecated", "self-hosted": "active"}
