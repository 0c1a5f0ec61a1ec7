"""The settings of a model object, each with its meaning, unit and range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import httpx2
from langchain_core.load.serializable import Serializable
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    SkipValidation,
    field_serializer,
)

from dashscope_oss.registry.lookup import ModelInfo, find_model
from dashscope_oss.tokens.usage_table import UsageTable
from dashscope_oss.transport.endpoint import KEY_VARIABLE
from dashscope_oss.transport.http.connections import DEFAULT_MAX_CONNECTIONS
from dashscope_oss.transport.http.timeouts import storable_timeout
from dashscope_oss.transport.options import DEFAULT_MAX_RETRIES


class Settings(Serializable):
    """The settings of a model object. ``None`` is not sent: the service's default applies.

    Attributes:
        model: the model's id; ``dashscope-oss models`` lists the known ones.
        base_url: where the service or a gateway is; ends in ``/api/v1``. Wins over ``region``
            and the environment variable ``DASHSCOPE_HTTP_BASE_URL``.
        region: a public region by name, e.g. ``"singapore"``; Beijing if not set.
        workspace: a workspace's id; else ``DASHSCOPE_WORKSPACE``.
        api_key: the key, or a function that returns it; else ``DASHSCOPE_API_KEY``. A gateway on
            this machine needs none. A pickled model holds no key, no ``default_headers`` and none
            of your clients.
        temperature: in [0, 2).
        top_p: in (0, 1].
        top_k: at least 0; 0 or more than 100 turns it off.
        seed: in [0, 2**31 - 1] by the pages; the service refuses only above 2**63 - 1.
        max_tokens: tokens of the answer, thinking not counted; at least 1.
        max_completion_tokens: tokens of thoughts and answer together; at least 1.
        stop: text, or several, or ids of tokens, at which the answer ends. A call's own ``stop``
            is text, as LangChain has it.
        repetition_penalty: above 0; 1 is none.
        presence_penalty: in [-2, 2].
        enable_thinking: turns thinking on or off on a model that can do both.
        thinking_budget: most tokens the model may think.
        reasoning_effort: how much the model thinks, one of the levels in its record.
        preserve_thinking: let the model read the thoughts of its earlier answers, which go along
            as ``send_reasoning`` says.
        enable_search: let the model search the web, where the service offers it.
        search_options: how it searches. ``{"enable_source": True}`` makes the service name the
            pages that it found: they are the citations of the answer.
        vl_high_resolution_images: read images in their full resolution, for more tokens.
        media_options: ``min_pixels``, ``max_pixels``, ``total_pixels``, ``max_frames`` and ``fps``
            for all images and videos; a block's own field of that name wins. A call may set it.
        cache_system_prompt: mark the system text, and the tools with it, for the service's context
            cache; without a system text the first message. A call may set it.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Or all four
            limits, as an ``httpx2.Timeout`` or a tuple: connect, read, write, pool.
        total_timeout: seconds for a whole answer, retries included, or for the next piece of a
            stream, however slowly its bytes arrive; four times ``timeout`` if ``None``.
        max_retries: tries after the first, for errors that waiting can cure.
        max_connections: most connections at once; further calls wait for a free one.
        default_headers: sent with every call. They may hold secrets, so they are neither shown
            nor serialised.
        http_client: an ``httpx2.Client`` of yours for sync calls; never closed here.
        http_async_client: an ``httpx2.AsyncClient`` for async calls.
        usage_table: where the tokens of all answers are counted, with those of other models. It is
            neither shown nor serialised.
        model_kwargs: further parameters, sent as they are; alias ``extra_body``.
        model_info: a record to use for ``model`` instead of the registry's.
        streaming: ``True``: ``invoke`` streams inside, so that callbacks see each token.
        estimate_usage: where the service reports no usage, give an estimate (some 20 per cent
            off); such answers have ``usage_estimated`` beside ``token_usage``. A call may set it.
        split_think: take what the model writes between ``<think>`` and ``</think>`` at the
            beginning of an answer for its reasoning. A call may set it.
        strict_params: refuse parameters that the vendor's page of the model does not document.
        check_length: refuse an input that is too long for the model before it is sent: by
            ``custom_get_token_ids``, else only if it is too long even where the estimate errs by
            20 per cent, or is twice the truth where no rate was measured (BiLLa, Baichuan).
        custom_get_token_ids: your tokenizer; token counts are exact then.
    """

    model: str = Field(validation_alias="model_name")
    base_url: str | None = Field(default=None, validation_alias="api_base")
    region: str | None = None
    workspace: str | None = None
    api_key: SecretStr | Callable[[], str] | None = Field(
        default=None, validation_alias="dashscope_api_key"
    )
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | list[int] | list[list[int]] | None = Field(
        default=None, validation_alias="stop_sequences"
    )
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    preserve_thinking: bool | None = None
    enable_search: bool | None = None
    search_options: dict[str, Any] | None = None
    vl_high_resolution_images: bool | None = None
    media_options: dict[str, Any] = Field(default_factory=dict)
    cache_system_prompt: bool = False
    timeout: Annotated[
        Annotated[float, Field(gt=0)] | tuple[float | None, ...] | None,
        BeforeValidator(storable_timeout),
    ] = None
    total_timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_retries: int = Field(default=DEFAULT_MAX_RETRIES, ge=0)
    max_connections: int = Field(default=DEFAULT_MAX_CONNECTIONS, ge=1)
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    http_client: SkipValidation[InstanceOf[httpx2.Client]] | None = Field(
        default=None, exclude=True, repr=False
    )
    http_async_client: SkipValidation[InstanceOf[httpx2.AsyncClient]] | None = Field(
        default=None, exclude=True, repr=False
    )
    usage_table: SkipValidation[InstanceOf[UsageTable]] | None = Field(
        default=None, exclude=True, repr=False
    )
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    model_info: InstanceOf[ModelInfo] | None = Field(default=None, repr=False)
    streaming: bool = False
    estimate_usage: bool = False
    split_think: bool = False
    strict_params: bool = False
    check_length: bool = True
    custom_get_token_ids: Callable[[str], list[int]] | None = Field(default=None, exclude=True)

    _call_settings: ClassVar[tuple[str, ...]] = ()
    """Settings of one model class that a call may override though no service knows them."""

    # A pydantic error shows its input, and the input may hold the key.
    model_config = ConfigDict(
        populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether ``langchain_core.load.dumps`` writes this model; it does, without the key."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where a serialised model finds its key again."""
        return {"api_key": KEY_VARIABLE}

    @property
    def model_name(self) -> str:
        """The model's id, by the name that other integrations give it."""
        return self.model

    def _find_model_info(self, model: str | None = None) -> ModelInfo:
        """Return the record of ``model``, which a call may name, else of this object's model."""
        if self.model_info is None or model not in (None, self.model):
            return find_model(model or self.model)
        return replace(self.model_info, id=self.model)

    @field_serializer("api_key", when_used="json")
    def _plain_key(self, key: SecretStr | Callable[[], str] | None) -> str | None:
        return str(key) if isinstance(key, SecretStr) else None  # JSON has no functions
