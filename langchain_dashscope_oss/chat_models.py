"""The chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
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
from pydantic import model_validator

from dashscope_oss import __version__, chat_request
from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.protocol import tools as core_tools
from dashscope_oss.protocol.request import Request
from dashscope_oss.registry.lookup import known_model
from dashscope_oss.tokens.rate_limits import counted
from langchain_dashscope_oss._convert import (
    PROVIDER,
    ChunkConverter,
    llm_output,
    model_profile,
    register_translator,
    to_chat_result,
    to_messages,
)
from langchain_dashscope_oss._retry_callbacks import (
    async_retry_callback,
    remember_run,
    retry_callback,
    with_run_listener,
)
from langchain_dashscope_oss._settings import DashScopeModel
from langchain_dashscope_oss._structured import (
    FormatInstructions,
    Method,
    Schema,
    StructuredOutput,
    bound_parameters,
    check_arguments,
    choose_method,
    in_json,
    object_parser,
    object_type,
    tool_form,
)
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

_PROFILE_SETTINGS = ("model", "model_name", "model_info")
"""Settings that the profile is made of, by all their names."""

register_translator()


class ChatDashScopeOSS(DashScopeModel, BaseChatModel):
    """An open-weight model behind DashScope's protocol, as a chat model.

    Every model of the registry works, prompt-only ones too: their family's template turns the
    messages into one prompt. Settings are those of ``Settings``; a call may override the
    sampling ones and ``model``::

        llm = ChatDashScopeOSS(model="llama3-8b-instruct", base_url="http://127.0.0.1:8000/api/v1")
        llm.invoke("Hello", temperature=0)

    Token counts are in ``usage_metadata``, or ``None`` where the service reports none;
    ``response_metadata`` has ``request_id``, ``finish_reason`` and, behind a gateway,
    ``served_by``. Reasoning is in ``additional_kwargs["reasoning_content"]`` and among
    ``content_blocks``. The protocol has no names: a message's ``name`` is not sent.

    Attributes:
        send_reasoning: send the reasoning of all earlier answers along with them, as
            ``reasoning_content``, or of none. ``None``, the default, leaves it to the model's
            record: today's thinking models want it with the calls of tools. Some models read more
            only with ``preserve_thinking=True``.

    Raises:
        DashScopeError: one of ``langchain_dashscope_oss.errors``, which is a ``langchain_core``
            ``ModelError`` too. What a model cannot carry is an ``UnsupportedInputError`` before
            anything is sent.
    """

    send_reasoning: bool | None = None

    @property
    def _llm_type(self) -> str:
        return "dashscope-oss-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._answer_identity()

    @model_validator(mode="after")
    def _set_dashscope_oss_version(self) -> Self:
        self._add_version("dashscope-oss", __version__)
        return self

    @model_validator(mode="after")
    def _renew_profile(self) -> Self:
        # Configurable fields make a new object with all fields of the old one, its profile too.
        if self._is_default_profile():
            self.profile = self._resolve_model_profile()
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
            tool_choice: ``"auto"``, ``"none"``, a tool's name or its JSON form. ``"any"``,
                ``"required"`` and ``True`` force the tool if there is only one; the service
                cannot force one of several, so a warning is given and the model is free. The
                service forces no tool while a model thinks: thinking is turned off for the call
                where the model can do without, and the call is refused where it cannot.
            strict: arguments must follow the schema.
            parallel_tool_calls: allow several calls in one answer.
            **kwargs: bound as they are; a class as ``response_format`` as its JSON schema.

        Raises:
            UnsupportedInputError: if the model knows no tools.
        """
        functions = [tool_form(tool, strict=strict) for tool in tools]
        with raising_langchain_errors():
            model = self._call_arguments(kwargs).get("model")
            choice = core_tools.tool_choice(tool_choice, functions, self._check_tools(model))
        optional = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        parameters = {name: value for name, value in optional.items() if value is not None}
        return self.bind(tools=functions, **{**parameters, **in_json(kwargs, strict=strict)})

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
                method that the model has; while the model thinks that is ``prompt``, because the
                service forces nothing then. A method that the model lacks is replaced by the
                nearest one, with a warning. For ``json_mode`` the schema is added to the prompt
                if no message speaks of JSON, which the service demands.
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
        with raising_langchain_errors():
            arguments = self._call_arguments(kwargs)
            model_info = self._find_model_info(arguments.pop("model", None))
            thinking = self._defaults.merged(arguments).enable_thinking
            chosen = choose_method(model_info, method, thinking)
            check_arguments(schema, chosen, tools, include_raw=include_raw)
            bound = bound_parameters(model_info, schema, chosen, strict, thinking)
        return StructuredOutput(
            self._with_tools(schema, chosen, strict, tools, {**bound, **kwargs}),
            FormatInstructions.of(chosen, schema, wanted=method),
            object_parser(chosen, schema, optional=bool(tools)),
            output_type=object_type(None if include_raw else schema),
            include_raw=include_raw,
            repairs=chosen == "prompt",
        )

    def _with_tools(
        self,
        schema: Schema | None,
        method: Method,
        strict: bool | None,
        tools: Sequence[Any] | None,
        bound: dict[str, Any],
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with all that is bound, and the tools of a structured answer."""
        own: list[Any] = [schema] if method == "function_calling" else []
        if tools:
            bound = {**bound, "tool_choice": None}
        if all_tools := [*own, *(tools or ())]:
            return self.bind_tools(all_tools, strict=strict, **bound)
        return self.bind(**bound)

    def _check_tools(self, model: str | None) -> str:
        """Return the id of the model that is given tools."""
        model_info = self._find_model_info(model)
        if not model_info.tools:
            raise UnsupportedInputError(
                "this model knows no tools; choose one that does, or say so in model_info",
                model=model_info.id,
            )
        return model_info.id

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        with raising_langchain_errors():
            request = self._request(messages, stop, kwargs)
            reply = self._client.send(request, on_retry=retry_callback(run_manager))
        return to_chat_result(reply, request.model_info.id)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        with raising_langchain_errors():
            request = self._request(messages, stop, kwargs)
            on_retry = async_retry_callback(run_manager)
            reply = await self._async_client.send(request, on_retry=on_retry)
        return to_chat_result(reply, request.model_info.id)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> Iterator[ChatGenerationChunk]:
        with raising_langchain_errors():
            request = self._request(messages, stop, kwargs, stream=True)
            converter = ChunkConverter(request.model_info.id)
            on_retry = retry_callback(run_manager)
            with closing(self._client.stream(request, on_retry=on_retry)) as deltas:
                for delta in deltas:
                    chunk = converter.push(delta)
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
        with raising_langchain_errors():
            request = self._request(messages, stop, kwargs, stream=True)
            converter = ChunkConverter(request.model_info.id)
            on_retry = async_retry_callback(run_manager)
            async with aclosing(self._async_client.stream(request, on_retry=on_retry)) as deltas:
                async for delta in deltas:
                    chunk = converter.push(delta)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _request(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        arguments: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> Request:
        model_info, options = self._call_options(stop, in_json(arguments))
        sent = to_messages(messages, model_info.id)
        request = chat_request(model_info, sent, options, stream=stream)
        return counted(self._checked_length(request), self)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Iterator[AIMessageChunk]:
        """Hand on the answer in pieces."""
        config = with_run_listener(config, self.callbacks)
        return super().stream(input, config, stop=stop, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> AsyncIterator[AIMessageChunk]:
        """Hand on the answer in pieces."""
        config = with_run_listener(config, self.callbacks)
        return super().astream(input, config, stop=stop, **kwargs)

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> bool:
        # An undocumented hook, and the last place before _stream where LangChain names the run of
        # an invoke: without it no callback would learn of its retries.
        remember_run(run_manager)
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _combine_llm_outputs(self, _llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        # LangChain has no output for an answer that came from its cache.
        models = (output["model_name"] for output in _llm_outputs if output)
        return llm_output(_llm_outputs, next(models, self.model))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: object) -> str:
        # The default reads the serialised object, which lacks what the environment decides.
        return str(sorted(self._get_invocation_params(stop=stop, **kwargs).items()))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: object) -> LangSmithParams:
        arguments = self._trace_arguments(kwargs)
        params = super()._get_ls_params(stop=self._trace_stop(stop), **arguments)
        params["ls_provider"] = PROVIDER
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return model_profile(self._find_model_info())

    def __setattr__(self, name: str, value: object) -> None:
        follows = name in _PROFILE_SETTINGS and self._has_default_profile()
        super().__setattr__(name, value)
        if follows:
            self.profile = self._resolve_model_profile()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its profile follows a new model, unless you set a profile yourself."""
        changed = (update or {}).keys()
        copied = super().model_copy(update=update, deep=deep)
        follows = "profile" not in changed and not changed.isdisjoint(_PROFILE_SETTINGS)
        if follows and self._has_default_profile():
            copied.profile = copied._resolve_model_profile()  # noqa: SLF001 - of this class
        return copied

    def _is_default_profile(self) -> bool:
        """Whether the profile is not the user's own, but made of some model's record."""
        name = (self.profile or {}).get("name")
        if not isinstance(name, str):
            return False
        own = [replace(self.model_info, id=name)] if self.model_info else []
        records = [*own, *filter(None, [known_model(name)])]
        return any(self.profile == model_profile(record) for record in records)

    def _has_default_profile(self) -> bool:
        return self.profile is not None and self.profile == self._resolve_model_profile()
