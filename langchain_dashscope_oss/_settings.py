"""What both model classes share: their settings, clients, and the options of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Self

import httpx2
from langchain_core.load.serializable import Serializable
from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    SkipValidation,
    field_serializer,
)

from dashscope_oss.errors import ConfigurationError, DashScopeWarning, warn
from dashscope_oss.messages import OPTION_NAMES, Message, Options
from dashscope_oss.registry.lookup import ModelInfo, find_model
from dashscope_oss.tokens import estimates
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import KEY_VARIABLE, Endpoint
from dashscope_oss.transport.options import (
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_RETRIES,
    ClientOptions,
    storable_timeout,
)
from langchain_dashscope_oss._convert import to_messages
from langchain_dashscope_oss._errors import translated

_CONNECTION = (
    "base_url",
    "region",
    "api_key",
    "workspace",
    "default_headers",
    "timeout",
    "total_timeout",
    "max_retries",
    "max_connections",
    "http_client",
    "http_async_client",
)
_SWITCHES = ("estimate_usage", "split_think", "strict_params", "send_reasoning")
_MARKS = 4
_UNPICKLED = ("default_headers", "http_client", "http_async_client")
_MADE = ("_serialized", "_made_defaults")
_CACHES = ("_endpoint", "_client", "_async_client", *_MADE)


class Settings(Serializable):
    """The settings of a model object. ``None`` is not sent: the service's default applies.

    Attributes:
        model: the model's id; ``dashscope-oss models`` lists the known ones.
        base_url: where the service or a gateway is; ends in ``/api/v1``. Wins over ``region``
            and the environment variable ``DASHSCOPE_HTTP_BASE_URL``.
        region: a public region by name, e.g. ``"singapore"``; Beijing if nothing is said.
        workspace: a workspace's id; else ``DASHSCOPE_WORKSPACE``.
        api_key: the key, or a function that returns it; else ``DASHSCOPE_API_KEY``. A gateway on
            this machine needs none. It is left out when the model is pickled, as are
            ``default_headers`` and your clients.
        temperature: in [0, 2).
        top_p: in (0, 1].
        top_k: at least 0; 0 or more than 100 turns it off.
        seed: in [0, 2**31 - 1].
        max_tokens: tokens of the answer, thinking not counted; at least 1.
        stop: text, or several, at which the answer ends.
        repetition_penalty: above 0; 1 is none.
        presence_penalty: in [-2, 2].
        enable_thinking: turns thinking on or off on a model that can do both.
        thinking_budget: most tokens the model may think.
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Or all four
            limits, as an ``httpx2.Timeout`` or a tuple: connect, read, write, pool.
        total_timeout: seconds for a whole answer, retries included, or for the next piece of a
            stream, however its bytes trickle in; four times ``timeout`` if ``None``.
        max_retries: tries after the first, for errors that waiting can cure.
        max_connections: most connections at once.
        default_headers: sent with every call. They may hold secrets, so they are neither shown
            nor serialised.
        http_client: an ``httpx2.Client`` of yours for sync calls; never closed here.
        http_async_client: an ``httpx2.AsyncClient`` for async calls.
        model_kwargs: further parameters, sent as they are; ``extra_body`` is another name.
        model_info: a record to use for ``model`` instead of the registry's.
        streaming: ``True``: ``invoke`` streams inside, so that callbacks see each token.
        estimate_usage: where the service reports no usage, give an estimate (some 20 per cent
            off); answers then say ``usage_estimated`` beside ``token_usage``.
        split_think: take what the model writes between ``<think>`` and ``</think>`` at the
            beginning of an answer for its reasoning.
        strict_params: refuse parameters that the vendor's page of the model does not document.
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
    stop: str | list[str] | None = Field(default=None, validation_alias="stop_sequences")
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
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
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    model_info: InstanceOf[ModelInfo] | None = Field(default=None, repr=False)
    streaming: bool = False
    estimate_usage: bool = False
    split_think: bool = False
    strict_params: bool = False
    custom_get_token_ids: Callable[[str], list[int]] | None = Field(default=None, exclude=True)

    _of_a_call: ClassVar[tuple[str, ...]] = ()
    """Settings that a call may override though no service knows them."""

    # A pydantic error shows its input, and the input may hold the key.
    model_config = ConfigDict(
        populate_by_name=True, hide_input_in_errors=True, protected_namespaces=()
    )

    def __init__(self, **given: object) -> None:
        # Not in a validator: pydantic would turn our errors into its own.
        with translated():
            super().__init__(**_by_name(type(self), given))
            self._record()
            ClientOptions.of(self)
            _ = self._endpoint

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

    def get_num_tokens(self, text: str) -> int:
        """Return about how many tokens ``text`` is, offline.

        Chinese, Japanese and Korean characters are counted at the rate of the model's tokenizer
        family, all others at another. Expect errors of some 20 per cent, more for code, rare
        scripts and short texts; with ``custom_get_token_ids`` it is exact.
        """
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return estimates.estimate(text, self._record().tokenizer)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return about how many tokens ``messages`` and ``tools`` are, offline.

        Text and tool calls count as in ``get_num_tokens``, each message 4 more for its marks,
        each tool as the JSON that is sent.

        Raises:
            UnsupportedInputError: for content that is not text.
        """
        with translated():
            sent = bool(getattr(self, "send_reasoning", False))
            turns = to_messages(messages, self.model, reasoning=sent)
        texts = [_counted(turn) for turn in turns]
        made = [convert_to_openai_tool(tool) for tool in tools or ()]
        texts += [json.dumps(tool, ensure_ascii=False) for tool in made]
        return sum(map(self.get_num_tokens, texts)) + _MARKS * len(messages)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids that ``custom_get_token_ids`` gives.

        Raises:
            ConfigurationError: if it is not set; no tokenizer is shipped, and ids cannot be
                estimated.
        """
        if self.custom_get_token_ids is None:
            with translated():
                raise ConfigurationError(
                    "token ids need the model's own tokenizer: pass custom_get_token_ids; "
                    "get_num_tokens estimates without it"
                )
        return self.custom_get_token_ids(text)

    def close(self) -> None:
        """Close the connections of sync calls; the next call opens new ones."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the async connections of the running event loop."""
        await self._async_client.aclose()

    @cached_property
    def _endpoint(self) -> Endpoint:
        return Endpoint.resolve(
            base_url=self.base_url,
            region=self.region,
            api_key=self.api_key,
            workspace=self.workspace,
        )

    @cached_property
    def _client(self) -> Client:
        return Client(self._endpoint, ClientOptions.of(self))

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(self._endpoint, ClientOptions.of(self))

    @property
    def _defaults(self) -> Options:
        """What every call asks for: made once, and anew if ``model_kwargs`` was changed."""
        made_of, made = self._made_defaults
        if made_of == self.model_kwargs:
            return made
        _forget(self, ("_made_defaults",))
        return self._made_defaults[1]

    @cached_property
    def _made_defaults(self) -> tuple[dict[str, Any], Options]:
        extra = deepcopy(self.model_kwargs)
        return extra, Options.of(self).merged({"strict": self.strict_params, **extra})

    def _record(self, model: str | None = None) -> ModelInfo:
        """Return the record of ``model``, which a call may name, else of this object's model."""
        if self.model_info is None or model not in (None, self.model):
            return find_model(model or self.model)
        return replace(self.model_info, id=self.model)

    def _call(self, stop: list[str] | None, given: Mapping[str, Any]) -> tuple[ModelInfo, Options]:
        """Return what a call with these keyword arguments asks: of which model, how."""
        said = self._said(given)
        model_info = self._record(said.pop("model", None))
        said.pop("stream", None)  # LangChain's own switch
        if stop is not None:
            said["stop"] = stop
        return model_info, self._defaults.merged(said)

    def _said(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a call says, under the fields' names; settings of the object are refused.

        Callbacks and traces see what a call says, so it is asked before a run starts.
        """
        said = _flat(renamed(type(self), given))
        own = ("model", *self._of_a_call)
        _refuse_settings(type(self), {name: said[name] for name in said if name not in own})
        return said

    def _traced(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a call says for LangChain's ``_get_ls_params``, which knows no aliases."""
        with translated():
            said = self._said(given)
        said.pop("stop", None)
        return said

    def _identity(self) -> dict[str, Any]:
        """Return all that decides an answer, for caches and traces; never the key."""
        defaults = self._defaults
        said = {name: getattr(defaults, name) for name in OPTION_NAMES}
        # LangChain writes the stop of the call over "stop", which would hide this object's.
        said["stop_sequences"] = said.pop("stop")
        info = {"model_info": repr(self.model_info)} if self.model_info else {}
        switches = {name: True for name in _SWITCHES if getattr(self, name, False)}
        return {
            "model": self.model,
            "base_url": self._endpoint.base_url,
            "workspace": self._endpoint.workspace,
            **{name: value for name, value in said.items() if value is not None},
            **defaults.extra,
            **info,
            **switches,
        }

    def _stops(self, stop: list[str] | None) -> list[str] | None:
        found = stop if stop is not None else self.stop
        return [found] if isinstance(found, str) else found

    @field_serializer("api_key", when_used="json")
    def _plain_key(self, key: SecretStr | Callable[[], str] | None) -> str | None:
        return str(key) if isinstance(key, SecretStr) else None  # JSON has no functions

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        _forget(self, _CACHES if name in _CONNECTION else _MADE)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        _forget(copied, _CACHES)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Open connections cannot be copied: the copy shares the caller's clients.
        shared = memo if memo is not None else {}
        for name in ("http_client", "http_async_client", *_CACHES):
            if (value := self.__dict__.get(name)) is not None:
                shared[id(value)] = value
        copied = super().__deepcopy__(shared)
        _forget(copied, _CACHES)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        kept = {name: value for name, value in self.__dict__.items() if name not in _CACHES}
        kept.update(dict.fromkeys(_UNPICKLED))
        if isinstance(self.api_key, SecretStr):
            kept["api_key"] = None
        return {**state, "__dict__": kept}


def _forget(settings: Settings, names: Iterable[str]) -> None:
    for name in names:
        settings.__dict__.pop(name, None)


def renamed(cls: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments under their fields' names."""
    names = _aliases(cls)
    found: dict[str, Any] = {}
    for word, value in given.items():
        name = names.get(word, word)
        if name in found:
            raise ConfigurationError(f"{name} is given twice, by two names; give one of them")
        found[name] = value
    return found


@cache
def _aliases(cls: type[Settings]) -> dict[str, str]:
    return {
        field.validation_alias: name
        for name, field in cls.model_fields.items()
        if isinstance(field.validation_alias, str)
    }


def _by_name(cls: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments under their fields' names; unknown ones go to ``model_kwargs``."""
    found = _flat(renamed(cls, given), "model_kwargs")
    _refuse_strangers(cls, found)
    unknown = {name: found.pop(name) for name in list(found) if name not in cls.model_fields}
    extra = found.get("model_kwargs") or {}
    if unknown:
        warn(
            f"{cls.__name__} has no setting {', '.join(unknown)}; sent to the service as it is. "
            "Say model_kwargs if that is meant.",
            DashScopeWarning,
        )
        found["model_kwargs"] = {**extra, **unknown}
    _refuse_settings(cls, renamed(cls, extra))
    return found


_STRANGERS = {
    "client": "the SDK is not used; leave it out",
    "proxy": "pass http_client=httpx2.Client(proxy=...) and http_async_client for async calls",
    "proxies": "pass http_client=httpx2.Client(mounts=...) and http_async_client for async calls",
    "stream": "call stream(), or say streaming=True",
    "prefix_messages": "put the messages before those of the call",
}
"""What other integrations take, and what to do here."""


def _refuse_strangers(cls: type[Settings], given: dict[str, Any]) -> None:
    for name in _STRANGERS.keys() & given.keys():
        if given.pop(name) is not None:
            raise ConfigurationError(f"{cls.__name__} takes no {name}: {_STRANGERS[name]}")


def _flat(given: dict[str, Any], into: str | None = None) -> dict[str, Any]:
    """Return the arguments with those of ``extra_body`` among them, or in the dict ``into``."""
    found = dict(given)
    more = found.pop("extra_body", None) or {}
    if into is None:
        return {**found, **more}
    return {**found, into: {**(found.get(into) or {}), **more}} if more else found


def _counted(turn: Message) -> str:
    calls = (f"{call.name}{call.arguments}" for call in turn.tool_calls)
    return "".join((turn.content, turn.reasoning or "", *calls))


def _refuse_settings(cls: type[Settings], parameters: Mapping[str, Any]) -> None:
    """Stop settings of the object, the key among them, from being sent as parameters."""
    for name in parameters:
        if name in cls.model_fields and name not in OPTION_NAMES:
            raise ConfigurationError(f"{name} is a setting of the model object, not of one call")
