"""The model class of LlamaIndex."""
# ruff: noqa: ANN401, FBT002 (the signatures are LlamaIndex's own)

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import httpx2
from llama_index.core.base.llms.generic_utils import (
    messages_to_prompt as generic_messages_to_prompt,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection, default_completion_to_prompt
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import Model
from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SkipValidation,
    TypeAdapter,
    field_serializer,
)

from dashscope_oss import (
    AsyncClient,
    Client,
    ConfigurationError,
    Delta,
    Endpoint,
    ModelInfo,
    Options,
    Reply,
    UnreadableAnswerError,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.protocol import tools as tools_form
from dashscope_oss.protocol.request import Request
from dashscope_oss.transport.options import (
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_RETRIES,
    ClientOptions,
    storable_timeout,
)
from llama_index_dashscope_oss import (
    _call_guard,
    _context_window,
    _convert,
    _message_adapter,
    _rate_limiter,
    _react,
    _structured,
    _tokens,
)

if TYPE_CHECKING:
    from llama_index.core.prompts import BasePromptTemplate
    from llama_index.core.tools.types import BaseTool

_UNSTORED = ("api_key", "default_headers", "http_client", "http_async_client")
"""Secrets and connections: in no dump and no pickle."""
_SHARED = (*_UNSTORED, "rate_limiter")
"""What a copy has in common with its original: connections, and the account's limits."""
_UNPICKLED = (*_SHARED, "callback_manager")
_CONNECTION = (
    *_UNSTORED,
    "base_url",
    "region",
    "workspace",
    "timeout",
    "total_timeout",
    "max_retries",
    "max_connections",
)
_TEMPLATE = ("model", "model_info")


@_call_guard.refusing_settings
class DashScopeOSS(_react.ReActLLM):
    """An open-weight model of DashScope, hosted or behind a gateway, as a LlamaIndex LLM.

    ::

        llm = DashScopeOSS(model="llama3-8b-instruct", base_url="http://127.0.0.1:8000/api/v1")
        print(llm.complete("Hello"))

    All eight methods work for every model, prompt-only ones included. What is ``None`` is not
    sent. Keyword arguments of a call go over the parameters here; other settings are refused,
    and a name that is neither goes into ``parameters`` as it is. Every failure raises a
    ``dashscope_oss.DashScopeError``.

    Attributes:
        model: id of the model, ``dashscope-oss models`` lists them; alias ``model_name``.
        base_url: ends in ``/api/v1``; alias ``api_base``; else ``DASHSCOPE_HTTP_BASE_URL``.
        region: ``beijing`` (the default), ``singapore``, ``us`` …, if there is no ``base_url``.
        workspace: a workspace's id; else ``DASHSCOPE_WORKSPACE``.
        api_key: text or a function that returns it; alias ``dashscope_api_key``; else
            ``DASHSCOPE_API_KEY``, read anew for every call. In no dump, pickle or event.
        temperature: in [0, 2).
        top_p: in (0, 1].
        top_k: at least 0.
        seed: in [0, 2**31 - 1].
        max_tokens: most tokens of the answer; also the ``num_output`` of the metadata, as long as
            it is less than half the window.
        enable_search: let the model search the web, where the service offers it.
        stop: text, or several, or ids of tokens, at which the answer ends.
        repetition_penalty: above 0; 1 is none.
        presence_penalty: in [-2, 2].
        enable_thinking: turns thinking on or off on a model that can do both.
        thinking_budget: most tokens the model may think.
        additional_kwargs: merged into ``parameters`` as it is.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Or all four
            limits, as an ``httpx2.Timeout`` or a tuple: connect, read, write, pool.
        total_timeout: seconds for a whole answer, retries included, or for the next piece of a
            stream, however its bytes trickle in; four times ``timeout`` if ``None``.
        max_retries: tries after the first.
        max_connections: most connections at once.
        default_headers: sent with every call.
        http_client: an ``httpx2.Client`` of yours for the blocking methods.
        http_async_client: an ``httpx2.AsyncClient`` for the async methods.
        model_info: the model's record in place of the registry's.
        estimate_usage: where the service reports no usage, give an estimate (some 20 per cent
            off); responses then say ``usage_estimated``.
        strict_params: refuse parameters that the vendor's page of the model does not document.
        check_length: refuse an input that is too long even if the estimate errs by 20 per cent,
            or is twice the truth where no rate was measured (BiLLa, Baichuan).
        context_window: tokens of input and output together, in place of the record's limits.
        is_chat_model: whether LlamaIndex hands over messages or a prompt.
        is_function_calling_model: whether the model takes tools.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,  # it may hold the key
        protected_namespaces=(),
    )

    model: str = Field(validation_alias=AliasChoices("model", "model_name"))
    base_url: str | None = Field(None, validation_alias=AliasChoices("base_url", "api_base"))
    region: str | None = None
    workspace: str | None = None
    api_key: SecretStr | Callable[[], str] | None = Field(
        None,
        validation_alias=AliasChoices("api_key", "dashscope_api_key"),
        exclude=True,
        repr=False,
    )
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = Field(None, ge=1)
    enable_search: bool | None = None
    stop: str | list[str] | list[int] | list[list[int]] | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    estimate_usage: bool = False
    strict_params: bool = False
    check_length: bool = True
    timeout: Annotated[
        Annotated[float, Field(gt=0)] | tuple[float | None, ...] | None,
        BeforeValidator(storable_timeout),
    ] = None
    total_timeout: float | None = Field(None, gt=0)
    max_retries: int = Field(DEFAULT_MAX_RETRIES, ge=0)
    max_connections: int = Field(DEFAULT_MAX_CONNECTIONS, ge=1)
    default_headers: dict[str, str] | None = Field(None, exclude=True, repr=False)
    http_client: SkipValidation[httpx2.Client] | None = Field(None, exclude=True, repr=False)
    http_async_client: SkipValidation[httpx2.AsyncClient] | None = Field(
        None, exclude=True, repr=False
    )
    model_info: ModelInfo | None = None
    context_window: int | None = Field(None, ge=1)
    is_chat_model: bool | None = None
    is_function_calling_model: bool | None = None

    _client: Client = PrivateAttr()
    _async_client: AsyncClient = PrivateAttr()

    def __init__(self, **settings: Any) -> None:
        settings.pop("class_name", None)  # LlamaIndex adds it to what it dumps
        # Not in a validator: pydantic would hide which error it was.
        super().__init__(**_moved_over(settings))
        self._connect()
        self._take_template()

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's serialized form."""
        return "DashScopeOSS"

    @property
    def model_name(self) -> str:
        """Another name of ``model``."""
        return self.model

    @property
    def metadata(self) -> LLMMetadata:
        """Limits and abilities, from the record; nothing is asked of the service.

        ``context_window`` is the input limit and ``num_output`` together, because LlamaIndex
        fills with input what ``num_output`` leaves of it.
        """
        model_info = self._record()
        output = _context_window.num_output(model_info, self.max_tokens)
        takes_messages = model_info.takes_messages
        return LLMMetadata(
            model_name=model_info.id,
            context_window=_context_window.window(model_info, output),
            num_output=output,
            is_chat_model=takes_messages if self.is_chat_model is None else self.is_chat_model,
            is_function_calling_model=model_info.tools,
        )

    def to_payload(self) -> dict[str, Any]:
        """What events say of this object; never the key."""
        return {
            "class_name": self.class_name(),
            "model": self.model,
            "temperature": self.temperature,
            **self.metadata.model_dump(),
        }

    @property
    def tokenizer(self) -> _tokens.TokenEstimator:
        """Counts tokens by the estimate for this model's family; see ``use_tokenizer``."""
        return _tokens.TokenEstimator(self._record().tokenizer)

    def chat_memory(self) -> ChatMemoryBuffer:
        """Return a memory for chat engines and agents that leaves room in this model's window."""
        return _tokens.chat_memory(self, self.tokenizer)

    def close(self) -> None:
        """Close the connections of the blocking methods; the next call opens new ones."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._async_client.aclose()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        request = self._chat_request(messages, kwargs)
        return _convert.chat_response(request, self._sent(request))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece."""
        request = self._chat_request(messages, kwargs, stream=True)
        return _convert.streamed(request, self._stream(request), _convert.chat_response)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation, without blocking."""
        request = self._chat_request(messages, kwargs)
        return _convert.chat_response(request, await self._asent(request))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece, without blocking."""
        request = self._chat_request(messages, kwargs, stream=True)
        return _convert.astreamed(request, self._astream(request), _convert.chat_response)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt; ``formatted`` says that it is in the model's own form already."""
        request = self._completion_request(prompt, kwargs, formatted=formatted)
        return _convert.completion_response(request, self._sent(request))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a prompt piece by piece."""
        request = self._completion_request(prompt, kwargs, formatted=formatted, stream=True)
        return _convert.streamed(request, self._stream(request), _convert.completion_response)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Answer a prompt, without blocking."""
        request = self._completion_request(prompt, kwargs, formatted=formatted)
        return _convert.completion_response(request, await self._asent(request))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt piece by piece, without blocking."""
        request = self._completion_request(prompt, kwargs, formatted=formatted, stream=True)
        return _convert.astreamed(request, self._astream(request), _convert.completion_response)

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of ``output_cls``: by a forced tool, else asked for in words.

        An answer in words that cannot be read is asked for once more.

        Raises:
            UnreadableAnswerError: if there is no such object in the answers.
        """
        asking = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        if asking is None:
            found: Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return found
        _structured.tell_start(output_cls, prompt, prompt_args)
        return _structured.tell_end(asking.answer())

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of ``output_cls``; see :meth:`structured_predict`."""
        asking = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        if asking is None:
            found: Model = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return found
        _structured.tell_start(output_cls, prompt, prompt_args)
        return _structured.tell_end(await asking.aanswer())

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        """Return the tools that the model wants called.

        Raises:
            UnreadableAnswerError: if there are none and ``error_on_no_tool_call``, or the answer
                is whole and the arguments of a call are no JSON object.
        """
        whole = response.additional_kwargs.get("finish_reason") is not None
        found = _convert.selections(response.message, self.model, whole=whole)
        if error_on_no_tool_call and not found:
            said = response.message.content
            raise UnreadableAnswerError(
                f"called no tool; it said: {said!r}", model=self.model, partial_text=said
            )
        return found

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        asking = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        if asking is None:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return asking.stream()

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        asking = self._asking(output_cls, prompt, llm_kwargs, prompt_args)
        if asking is None:
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        return asking.astream()

    def _asking(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> _structured.Asking[Model] | None:
        kwargs = llm_kwargs or {}
        model_info, options = self._record(), self._options(kwargs)
        way = _structured.choose(model_info, options, self.pydantic_program_mode)
        if way is None:
            return None
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        if way == "tool":
            return _structured.by_tool(self, output_cls, messages, kwargs)
        mode = _structured.json_mode(model_info, options, output_cls)
        return _structured.in_words(self, output_cls, messages, kwargs, mode)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            asked = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(asked)
        given = {"messages": messages, **kwargs}
        if not tools:
            return given
        given["tools"] = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if tool_choice is None and tool_required:
            tool_choice = "required"
        choice = tools_form.tool_choice(tool_choice, given["tools"], self.model)
        if choice is not None:
            given["tool_choice"] = choice
        if allow_parallel_tool_calls:
            given["parallel_tool_calls"] = True
        return given

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        # LlamaIndex would put the system prompt before the family's template, not into it.
        write = self.messages_to_prompt
        plain = self.query_wrapper_prompt is None and not _is_users(self.completion_to_prompt)
        if plain and isinstance(write, _message_adapter.MessagesToPrompt):
            return write(self._get_messages(prompt, **prompt_args))
        return super()._get_prompt(prompt, **prompt_args)

    def _chat_request(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], *, stream: bool = False
    ) -> Request:
        model_info, options = self._record(), self._options(kwargs)
        write = self.messages_to_prompt
        if write and not model_info.takes_messages and _is_users(write):
            request = completion_request(
                model_info, write(messages), options, stream=stream, formatted=True
            )
        else:
            given = _message_adapter.suited(messages, model_info)
            request = chat_request(model_info, given, options, stream=stream)
        return self._checked(request)

    def _completion_request(
        self, prompt: str, kwargs: dict[str, Any], *, formatted: bool, stream: bool = False
    ) -> Request:
        model_info, options = self._record(), self._options(kwargs)
        write = self.completion_to_prompt
        if write and not formatted and _is_users(write):
            prompt, formatted = write(prompt), True
        return self._checked(
            completion_request(
                model_info, prompt, options, stream=stream, formatted=formatted or None
            )
        )

    def _checked(self, request: Request) -> Request:
        if self.check_length:
            _tokens.check_length(request)
        return _rate_limiter.announced(self._limiter, request)

    def _sent(self, request: Request) -> Reply:
        return _rate_limiter.settled(self._limiter, request, self._client.send(request))

    async def _asent(self, request: Request) -> Reply:
        return _rate_limiter.settled(self._limiter, request, await self._async_client.send(request))

    def _stream(self, request: Request) -> Generator[Delta, None, None]:
        return _rate_limiter.watched(self._limiter, request, self._client.stream(request))

    def _astream(self, request: Request) -> AsyncGenerator[Delta, None]:
        return _rate_limiter.awatched(self._limiter, request, self._async_client.stream(request))

    @property
    def _limiter(self) -> object:
        return getattr(self, "rate_limiter", None)  # younger than llama-index-core 0.14.0

    def _options(self, kwargs: dict[str, Any]) -> Options:
        own = {"strict": self.strict_params, "enable_search": self.enable_search}
        options = Options.of(self).merged({**own, **self.additional_kwargs})
        return options.merged(_moved_over(kwargs))

    def _record(self) -> ModelInfo:
        given = self.model_info
        model_info = replace(given, id=self.model) if given else find_model(self.model)
        if self.context_window is not None:
            model_info = replace(model_info, context_window=self.context_window, max_input=None)
        if self.is_function_calling_model is not None:
            model_info = replace(model_info, tools=self.is_function_calling_model)
        return model_info

    def _connect(self) -> None:
        endpoint = Endpoint.resolve(
            base_url=self.base_url,
            region=self.region,
            api_key=self.api_key,
            workspace=self.workspace,
        )
        options = ClientOptions.of(self)
        self._client = Client(endpoint, options)
        self._async_client = AsyncClient(endpoint, options)

    def _take_template(self) -> None:
        model_info = self._record()
        family = None if model_info.takes_messages else model_info.template
        if not _is_users(self.messages_to_prompt):
            self.messages_to_prompt = (
                _message_adapter.MessagesToPrompt(family, model_info.id)
                if family
                else generic_messages_to_prompt
            )
        if not _is_users(self.completion_to_prompt):
            self.completion_to_prompt = (
                _message_adapter.CompletionToPrompt(family)
                if family
                else default_completion_to_prompt
            )

    def _follow(self, changed: Iterable[str]) -> None:
        """Let what is made of settings follow those that changed."""
        names = set(changed)
        if names.intersection(_CONNECTION):
            self._connect()
        if names.intersection(_TEMPLATE):
            self._take_template()

    @field_serializer("model_info")
    def _plain_record(self, info: ModelInfo | None) -> object:
        # Plain JSON: to_json() could not write the dates.
        return None if info is None else TypeAdapter(ModelInfo).dump_python(info, mode="json")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._follow([name])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; what ``update`` says of address, key or model holds for its calls.

        Raises:
            ConfigurationError: for a name that is no setting.
        """
        changed = _call_guard.by_field(type(self), update or {})
        copied = super().model_copy(update=changed, deep=deep)
        copied._follow(changed)  # noqa: SLF001 - of this class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # HTTP clients of the caller's cannot be copied; the copy goes on with the same ones.
        settings = {
            name: value if name in _SHARED else deepcopy(value, memo)
            for name, value in self.__dict__.items()
        }
        return type(self)(**settings)

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex's own takes what cannot be pickled off the living object.
        kept = {name: value for name, value in self.__dict__.items() if name not in _UNPICKLED}
        if callable(self.api_key):
            kept["api_key"] = self.api_key
        return {"__dict__": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["__dict__"])  # type: ignore[misc]  # as LlamaIndex does


def _moved_over(given: dict[str, Any]) -> dict[str, Any]:
    """Return ``given`` without ``incremental_output``, an argument of the older integration."""
    kept = dict(given)
    if kept.pop("incremental_output", None) is False:
        raise ConfigurationError(
            "incremental_output=False is not needed: every response of a stream holds the new "
            "piece (delta) and the whole text so far; leave it out"
        )
    return kept


def _is_users(write: object) -> bool:
    """Whether a prompt function is neither LlamaIndex's default nor the family's template."""
    ours = (_message_adapter.MessagesToPrompt, _message_adapter.CompletionToPrompt)
    defaults = (generic_messages_to_prompt, default_completion_to_prompt)
    return write not in defaults and not isinstance(write, ours)
