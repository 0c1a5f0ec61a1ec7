"""The tables of the configuration file."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, NonNegativeInt, PositiveFloat, field_validator, model_validator

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.config.field_types import Host, Line, Path, Port
from dashscope_oss.gateway.config.model_table import ModelConfig
from dashscope_oss.gateway.engines.openai.upstream import (
    DEFAULT_TIMEOUT,
    Api,
    HealthCheck,
    Kind,
)
from dashscope_oss.gateway.security.config import AccessConfig, ConfigTable, Name
from dashscope_oss.transport.endpoint import checked_url

_HEALTH_CHECK = HealthCheck()


class ServerConfig(ConfigTable):
    """The table ``[server]``; the command's options override it.

    Attributes:
        host: address to bind to.
        port: port to listen on; 0 picks a free one.
        hosts: names of this machine, beside localhost, by which its own programs may call it; only
            a gateway without keys needs them.
        modern: no model echoes its prompt, and every model reports usage.
        grace: seconds that calls under way may take after a signal to stop.
        access_log: whether each request is logged as a line of JSON on stderr.
    """

    host: Line | None = None
    port: Port | None = None
    hosts: list[Host] = Field(default_factory=list)
    modern: bool = False
    grace: NonNegativeInt | None = None
    access_log: bool = False


class HealthConfig(ConfigTable):
    """How an upstream is checked: the table ``[upstreams.NAME.health]``.

    Attributes:
        path: what to GET, below ``url``; with a leading slash, from the server's root.
        interval: seconds between two checks.
        timeout: seconds that the whole answer may take.
    """

    path: Path = _HEALTH_CHECK.path
    interval: PositiveFloat = _HEALTH_CHECK.interval
    timeout: PositiveFloat = _HEALTH_CHECK.timeout


class UpstreamConfig(ConfigTable):
    """One server: the table ``[upstreams.NAME]``.

    Attributes:
        url: its base URL, which ends in ``/v1``.
        kind: ``vllm``, ``sglang``, ``llama.cpp`` or ``ollama``; left out for any other server.
        api_key_env: the environment variable that holds the key it asks for.
        api: ``chat`` or ``completions`` for every model; ``auto`` decides by the model's record.
        timeout: seconds that may pass between two pieces of an answer.
        weight: its share of the requests, in relation to the other weights.
        health: how it is checked.
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
    def _check_url(cls, url: str) -> str:
        try:
            return checked_url(url, "url", like="http://HOST:8000/v1")
        except ConfigurationError as error:
            raise ValueError(error.message) from None


class GatewayConfig(AccessConfig):
    """A whole configuration file.

    Attributes:
        server: where to listen.
        upstreams: servers by name; if there are none, the command's options say what answers.
        models: what is served, by the id that callers use.
    """

    server: ServerConfig = ServerConfig()
    upstreams: dict[Name, UpstreamConfig] = Field(default_factory=dict)
    models: dict[Line, ModelConfig] = Field(default_factory=dict)

    @property
    def hosts(self) -> Sequence[str]:
        """The names of this machine in the table ``[server]``."""
        return self.server.hosts

    @model_validator(mode="after")
    def _check_names(self) -> GatewayConfig:
        if self.models and not self.upstreams:
            raise ValueError(
                "it names models, but no server that runs them: add [upstreams.NAME] with its url"
            )
        if self.upstreams and not self.models:
            raise ValueError(
                'it names upstreams, but no model that they serve: add [models."ID"], with the '
                "upstream's name of the model as name"
            )
        for id, model in self.models.items():
            unknown = {*(model.upstreams or ()), *model.names} - self.upstreams.keys()
            if unknown:
                raise ValueError(
                    f'[models."{id}"] names the upstream {min(unknown)!r}, which has no table; '
                    f"there are {', '.join(self.upstreams)}"
                )
        unserved = sorted(self.limits.models.keys() - self.models.keys()) if self.models else []
        if unserved:
            raise ValueError(f'[limits.models."{unserved[0]}"]: no such model is served')
        return self
