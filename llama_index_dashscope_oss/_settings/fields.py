"""The settings of a model object, and the model and options that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import httpx2
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    TypeAdapter,
    field_serializer,
)

from dashscope_oss import ConfigurationError, ModelInfo, Options, UsageTable, find_model
from dashscope_oss.transport.http.connections import DEFAULT_MAX_CONNECTIONS
from dashscope_oss.transport.http.timeouts import storable_timeout
from dashscope_oss.transport.options import DEFAULT_MAX_RETRIES
from llama_index_dashscope_oss._settings.aliases import with_extra_body
from llama_index_dashscope_oss._tokens.memory import Tokenize


def _as_function(tokenizer: object) -> object:
    """Return the function of a tokenizer: called itself, some give no list of tokens."""
    return tokenizer if isinstance(tokenizer, str) else getattr(tokenizer, "encode", tokenizer)


class LLMSettings(FunctionCallingLLM):
    """The settings of a ``DashScopeOSS``. What is ``None`` is not sent: the service decides.

    Attributes:
        model: id of the model, ``dashscope-oss models`` lists them; alias ``model_name``.
        base_url: ends in ``/api/v1``; alias ``api_base``; else ``DASHSCOPE_HTTP_BASE_URL``.
        region: ``beijing`` (the default), ``singapore``, ``us`` …, if there is no ``base_url``.
        workspace: a workspace's id; else ``DASHSCOPE_WORKSPACE``.
        api_key: text or a function that returns it; alias ``dashscope_api_key``; else
            ``DASHSCOPE_API_KEY``, read anew for every call. In no dump, pickle or event.
        temperature: in [0, 2).
        top_p: in (0, 1].
        top_k: at least 0; 0 or more than 100 turns it off.
        seed: in [0, 2**31 - 1] by the pages; the service refuses only above 2**63 - 1.
        max_tokens: most tokens of the answer; also the ``num_output`` of the metadata, as long as
            it is less than half the window.
        max_completion_tokens: most tokens of thoughts and answer together.
        enable_search: let the model search the web, where the service offers it.
        search_options: how it searches. ``{"enable_source": True}`` makes the service name the
            pages that it found: they are in ``raw["output"]["search_info"]``.
        stop: text, or several, or ids of tokens, at which the answer ends.
        repetition_penalty: above 0; 1 is none.
        presence_penalty: in [-2, 2].
        enable_thinking: turns thinking on or off on a model that can do both.
        thinking_budget: most tokens the model may think.
        reasoning_effort: how much the model thinks, one of the levels in its record.
        preserve_thinking: let the model read the thoughts of its earlier answers, which go along
            as ``send_reasoning`` says.
        vl_high_resolution_images: read images in their full resolution, for more tokens.
        media_options: ``min_pixels``, ``max_pixels``, ``total_pixels``, ``max_frames`` and ``fps``
            for all images and videos; a video block's own ``fps`` wins.
        cache_system_prompt: mark the system text, and the tools with it, for the service's context
            cache; without a system text the first message.
        send_reasoning: send the thoughts of all earlier answers back with them, as
            ``reasoning_content``, or of none. ``None``, the default, leaves it to the model's
            record: today's thinking models want them with the calls of tools. Some models read
            more only with ``preserve_thinking=True``.
        split_think: take what the model writes between ``<think>`` and ``</think>`` at the
            beginning of an answer for its thoughts.
        additional_kwargs: merged into ``parameters`` as it is; so is what an ``extra_body`` holds,
            in it or in a call.
        estimate_usage: where the service reports no usage, give an estimate (some 20 per cent
            off); responses then say ``usage_estimated``.
        strict_params: refuse parameters that the vendor's page of the model does not document.
        check_length: refuse an input that is too long before it is sent: counted by
            ``tokenizer``, else only if it is too long even where the estimate errs by 20 per
            cent, or is twice the truth where no rate was measured (BiLLa, Baichuan).
        tokenizer_fn: the model's own tokenizer: a function from a text to its tokens, or an object
            with ``encode`` as those of transformers and tiktoken; alias ``tokenizer``. What counts
            by estimate without it is exact then: ``llm.tokenizer``, ``use_tokenizer``,
            ``chat_memory`` and ``check_length``. In no dump.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Or all four
            limits, as an ``httpx2.Timeout`` or a tuple: connect, read, write, pool.
        total_timeout: seconds for a whole answer, retries included, or for the next piece of a
            stream, however its bytes trickle in; four times ``timeout`` if ``None``.
        max_retries: tries after the first, for errors that waiting can cure.
        max_connections: most connections at once.
        default_headers: sent with every call. In no dump, pickle or event.
        http_client: an ``httpx2.Client`` of yours for the blocking methods; never closed here.
        http_async_client: an ``httpx2.AsyncClient`` for the async methods.
        usage_table: where the tokens of all answers are counted, with those of other models. In no
            dump or pickle.
        model_info: the model's record in place of the registry's.
        context_window: tokens of input and output together, in place of the record's limits.
        is_chat_model: whether LlamaIndex hands over messages or a prompt.
        is_function_calling_model: whether the model takes tools.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,  # else a key that is set later would stay plain text
        hide_input_in_errors=True,  # it may hold the key
        protected_namespaces=(),
        defer_build=True,  # only the class that users make is worth the time
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
    max_completion_tokens: int | None = Field(None, ge=1)
    enable_search: bool | None = None
    search_options: dict[str, Any] | None = None
    stop: str | list[str] | list[int] | list[list[int]] | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    preserve_thinking: bool | None = None
    vl_high_resolution_images: bool | None = None
    media_options: dict[str, Any] = Field(default_factory=dict)
    cache_system_prompt: bool = False
    send_reasoning: bool | None = None
    split_think: bool = False
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    estimate_usage: bool = False
    strict_params: bool = False
    check_length: bool = True
    tokenizer_fn: Annotated[Tokenize | None, BeforeValidator(_as_function)] = Field(
        None, validation_alias=AliasChoices("tokenizer_fn", "tokenizer"), exclude=True, repr=False
    )
    timeout: Annotated[
        Annotated[float, Field(gt=0)] | tuple[float | None, ...] | None,
        BeforeValidator(storable_timeout),
    ] = None
    total_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_retries: int = Field(DEFAULT_MAX_RETRIES, ge=0)
    max_connections: int = Field(DEFAULT_MAX_CONNECTIONS, ge=1)
    default_headers: dict[str, str] | None = Field(None, exclude=True, repr=False)
    http_client: SkipValidation[httpx2.Client] | None = Field(None, exclude=True, repr=False)
    http_async_client: SkipValidation[httpx2.AsyncClient] | None = Field(
        None, exclude=True, repr=False
    )
    usage_table: SkipValidation[UsageTable] | None = Field(None, exclude=True, repr=False)
    model_info: ModelInfo | None = None
    context_window: int | None = Field(None, ge=1)
    is_chat_model: bool | None = None
    is_function_calling_model: bool | None = None

    @property
    def model_name(self) -> str:
        """Another name of ``model``."""
        return self.model

    def _resolve_model(self) -> ModelInfo:
        """Return the record of the model, with this object's overrides."""
        own = self.model_info
        model_info = replace(own, id=self.model) if own else find_model(self.model)
        if self.context_window is not None:
            model_info = model_info.settled(context_window=self.context_window, max_input=None)
        if self.is_function_calling_model is not None:
            model_info = model_info.settled(tools=self.is_function_calling_model)
        return model_info

    def _options(self, call_arguments: Mapping[str, Any]) -> Options:
        """Return what a call asks for: its own arguments over the settings of this object."""
        strict = {"strict": True} if self.strict_params else {}
        options = Options.of(self).merged({**strict, **with_extra_body(self.additional_kwargs)})
        return options.merged(without_incremental_output(with_extra_body(call_arguments)))

    @field_serializer("model_info")
    def _plain_model_info(self, info: ModelInfo | None) -> object:
        # Plain JSON: LlamaIndex's to_json() could not write the dates.
        return None if info is None else TypeAdapter(ModelInfo).dump_python(info, mode="json")


def without_incremental_output(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``arguments`` without ``incremental_output``, which llama-index-llms-dashscope takes.

    Raises:
        ConfigurationError: if it is ``False``; ``True`` is how streams work here.
    """
    kept = dict(arguments)
    if kept.pop("incremental_output", None) is False:
        raise ConfigurationError(
            "incremental_output=False is not supported and not needed: every response of a stream "
            "holds the new piece (delta) and the whole text so far; leave it out"
        )
    return kept
