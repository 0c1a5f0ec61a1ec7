"""The gateway's settings file: which models it serves, from which upstreams, and to whom.

A TOML file, for example::

    [upstreams.gpu1]
    url = "http://10.0.0.5:8000/v1"
    kind = "vllm"

    [models."ziya-llama-13b-v1"]
    name = "Ziya-LLaMA-13B-v1"

Every table refuses keys that it does not know. SERVING.md has recipes.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.engines.load_balancer import Backend, LoadBalancer
from dashscope_oss.gateway.engines.openai.upstream import (
    DEFAULT_TIMEOUT,
    Api,
    HealthCheck,
    Kind,
    Upstream,
)
from dashscope_oss.gateway.interface.served_models import modernize, unregistered_model
from dashscope_oss.gateway.security.api_keys import key_from_environment
from dashscope_oss.gateway.security.config import AccessConfig, ConfigTable
from dashscope_oss.prompts.templates import TEMPLATES
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import Input, ModelInfo, Structured, Thinking, Tokenizer
from dashscope_oss.transport.endpoint import checked_url

_SAME_NAMES = (
    "context_window",
    "max_input",
    "max_output",
    "tokenizer",
    "tools",
    "thinking",
    "structured",
)
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_Port = Annotated[int, Field(ge=0, le=65535)]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it must be one line of text, and not empty")
    return text


def _is_path(text: str) -> str:
    # A whole address would get the upstream's key.
    if not re.fullmatch(r"/|/?[^/\s:#][^\s:#]*", text):
        raise ValueError("it must be a path below url, or with a leading slash from the root")
    return text


def _is_host(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+|[0-9a-fA-F:]+", text, re.ASCII):
        raise ValueError("it must be a name alone, without http:// and port")
    return text


_Host = Annotated[str, AfterValidator(_is_host)]
_Line = Annotated[str, AfterValidator(_one_line)]
_Path = Annotated[str, AfterValidator(_is_path)]


class ServerConfig(ConfigTable):
    """The table ``[server]``; options of the command win.

    Attributes:
        host: address to bind to.
        port: 0 picks a free one.
        hosts: names of this machine, beside localhost, that its own programs may call; only a
            gateway without keys needs them.
        modern: no model echoes its prompt, every model reports usage.
        grace: seconds that calls under way may take when it is told to stop.
        access_log: a line of JSON on stderr for each request.
    """

    host: _Line | None = None
    port: _Port | None = None
    hosts: list[_Host] = Field(default_factory=list)
    modern: bool = False
    grace: NonNegativeInt | None = None
    access_log: bool = False


_HEALTH = HealthCheck()


class HealthConfig(ConfigTable):
    """How an upstream is watched: the table ``[upstreams.NAME.health]``.

    Attributes:
        path: what to GET: below ``url``, or with a leading slash from the server's root.
        interval: seconds between two looks.
        timeout: seconds that an answer may take.
    """

    path: _Path = _HEALTH.path
    interval: PositiveFloat = _HEALTH.interval
    timeout: PositiveFloat = _HEALTH.timeout


class UpstreamConfig(ConfigTable):
    """One server: the table ``[upstreams.NAME]``.

    Attributes:
        url: its base, ending in ``/v1``.
        kind: ``vllm``, ``sglang``, ``llama.cpp`` or ``ollama``; leave it out for any other.
        api_key_env: the environment variable that holds the key it asks for.
        api: ``chat`` or ``completions`` for every model; ``auto`` decides by the record.
        timeout: seconds between two pieces of an answer.
        weight: its share of the calls, beside the others' weights.
        health: how it is watched.
    """

    url: str
    kind: Kind | None = None
    api_key_env: str | None = None
    api: Api = "auto"
    timeout: PositiveFloat = DEFAULT_TIMEOUT
    weight: PositiveFloat = 1.0
    health: HealthConfig = HealthConfig()

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        try:
            return checked_url(url, "url", like="http://HOST:8000/v1")
        except ConfigurationError as error:
            raise ValueError(error.message) from None


class ModelConfig(ConfigTable):
    """One served model: the table ``[models."ID"]``.

    Attributes:
        name: the servers' name for the weights; the id if left out.
        names: the same for single upstreams that have another.
        upstreams: who serves it; every upstream if left out.
        api: ``chat`` or ``completions``; ``auto`` decides by the record.
        like: the known model whose record it has; the id's own if left out.
        template: how its family writes a conversation, by the template's name.
        inputs: ``prompt``, ``messages`` or both.
        context_window: tokens of input and output together.
        max_input: most input tokens.
        max_output: most output tokens.
        tokenizer: family of its tokenizer, for estimates.
        tools: takes tool definitions.
        thinking: ``none``, ``hybrid``, ``always`` or ``unknown``.
        structured: strongest ``response_format`` it takes.
        echo: ``false`` leaves off the echo that the hosted model had.
        usage: ``true`` reports token counts where the hosted model did not.
        modern: both of these.
    """

    name: _Line | None = None
    names: dict[str, _Line] = Field(default_factory=dict)
    upstreams: list[str] | None = Field(default=None, min_length=1)
    api: Api = "auto"
    like: str | None = None
    template: str | None = None
    inputs: list[Input] | None = Field(default=None, min_length=1)
    context_window: PositiveInt | None = None
    max_input: PositiveInt | None = None
    max_output: PositiveInt | None = None
    tokenizer: Tokenizer | None = None
    tools: bool | None = None
    thinking: Thinking | None = None
    structured: Structured | None = None
    echo: bool | None = None
    usage: bool | None = None
    modern: bool = False

    @field_validator("template")
    @classmethod
    def _is_template(cls, name: str | None) -> str | None:
        if name is not None and name not in TEMPLATES:
            raise ValueError(f"no template {name!r}; there are {', '.join(sorted(TEMPLATES))}")
        return name

    @field_validator("like")
    @classmethod
    def _is_known(cls, id: str | None) -> str | None:
        if id is not None and lookup.known_model(id) is None:
            raise ValueError(f"no record of a model {id!r}.{lookup.did_you_mean(id)}")
        return id

    def model_info(self, id: str) -> ModelInfo:
        """Return the record under which ``id`` is served."""
        known = lookup.known_model(self.like or id)
        own = replace(known, id=id) if known is not None else unregistered_model(id)
        found = modernize(own) if self.modern else own
        return replace(found, **self._overrides(own))

    def _overrides(self, own: ModelInfo) -> dict[str, Any]:
        echo = None if self.echo is None else own.echo if self.echo else "none"
        said: dict[str, Any] = {
            "template": TEMPLATES[self.template] if self.template else None,
            "inputs": tuple(self.inputs) if self.inputs else None,
            "echo": echo,
            "reports_usage": self.usage,
            **{name: getattr(self, name) for name in _SAME_NAMES},
        }
        return {name: value for name, value in said.items() if value is not None}


class GatewayConfig(AccessConfig):
    """A whole settings file.

    Attributes:
        server: where to listen.
        upstreams: servers by name; with none, the command's options say what answers.
        models: what is served, by the id that callers use.
    """

    server: ServerConfig = ServerConfig()
    upstreams: dict[_Name, UpstreamConfig] = Field(default_factory=dict)
    models: dict[_Line, ModelConfig] = Field(default_factory=dict)

    @property
    def hosts(self) -> Sequence[str]:
        """Those of the table ``[server]``."""
        return self.server.hosts

    @model_validator(mode="after")
    def _names_meet(self) -> GatewayConfig:
        if bool(self.upstreams) != bool(self.models):
            raise ValueError('[upstreams.NAME] and [models."ID"] need each other: add the other')
        for id, model in self.models.items():
            strangers = {*(model.upstreams or ()), *model.names} - self.upstreams.keys()
            if strangers:
                raise ValueError(
                    f'[models."{id}"] names the upstream {min(strangers)!r}, of which there is no '
                    f"table; there are {', '.join(self.upstreams)}"
                )
        unserved = sorted(self.limits.models.keys() - self.models.keys()) if self.models else []
        if unserved:
            raise ValueError(f'[limits.models."{unserved[0]}"]: no such model is served')
        return self


def load_config(file: Path) -> GatewayConfig:
    """Return the settings in ``file``.

    Raises:
        ConfigurationError: if it cannot be read; the text names file, table and key.
    """
    try:
        return parse_config(file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cannot read the settings {file}: it is not UTF-8") from error


def parse_config(text: str, name: str) -> GatewayConfig:
    """Return the settings in ``text``.

    Args:
        name: what an error calls it.

    Raises:
        ConfigurationError: if it is no TOML, or a table or key is not as it must be.
    """
    try:
        return GatewayConfig.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{name} is no TOML: {error}") from error
    except ValidationError as error:
        faults = (_fault(fault["loc"], fault["msg"]) for fault in error.errors())
        raise ConfigurationError(f"{name}: {'; '.join(faults)}") from error


def build_load_balancer(
    settings: GatewayConfig, environ: Mapping[str, str] | None = None
) -> LoadBalancer:
    """Return the engine that serves ``settings``.

    Args:
        environ: where the upstreams' keys are; this process's environment if left out.

    Raises:
        ConfigurationError: if a key's variable is not set.
    """
    environ = os.environ if environ is None else environ
    members = [
        Backend(upstream=_upstream(name, found, settings, environ), weight=found.weight)
        for name, found in settings.upstreams.items()
    ]
    return LoadBalancer([model.model_info(id) for id, model in settings.models.items()], members)


def _upstream(
    name: str, found: UpstreamConfig, settings: GatewayConfig, environ: Mapping[str, str]
) -> Upstream:
    served = {
        id: model
        for id, model in settings.models.items()
        if model.upstreams is None or name in model.upstreams
    }
    return Upstream(
        url=found.url,
        name=name,
        kind=found.kind,
        api_key=_key(name, found.api_key_env, environ),
        names={id: model.names.get(name) or model.name or id for id, model in served.items()},
        api=found.api,
        apis={id: model.api for id, model in served.items() if model.api != "auto"},
        timeout=found.timeout,
        health_check=HealthCheck(**found.health.model_dump()),
    )


def _key(upstream: str, variable: str | None, environ: Mapping[str, str]) -> str | None:
    if variable is None:
        return None
    key = key_from_environment(variable, environ)
    if key is None:
        raise ConfigurationError(
            f"[upstreams.{upstream}] api_key_env: the environment variable {variable} is not set"
        )
    return key


def _fault(place: Sequence[str | int], text: str) -> str:
    """One fault in words: the table, the key, what is wrong."""
    said = text.removeprefix("Value error, ").replace(
        "Extra inputs are not permitted", "there is no such key"
    )
    parts = [str(part) for part in place]
    if len(parts) < 2:
        return f"[{parts[0]}]: {said}" if parts else said
    table = ".".join(part if part.isidentifier() else f'"{part}"' for part in parts[:-1])
    return f"[{table}] {parts[-1]}: {said}"
