"""From the configuration file to the engine that serves it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.config.tables import GatewayConfig, UpstreamConfig
from dashscope_oss.gateway.engines.load_balancer import Backend, LoadBalancer
from dashscope_oss.gateway.engines.openai.upstream import HealthCheck, Upstream
from dashscope_oss.gateway.security.api_keys import key_from_environment


def build_load_balancer(
    config: GatewayConfig, environ: Mapping[str, str] | None = None
) -> LoadBalancer:
    """Return the engine that serves the models of ``config``.

    Args:
        config: the configuration.
        environ: where the upstreams' keys are; by default this process's environment.

    Raises:
        ConfigurationError: if the variable for an upstream's key is not set.
    """
    environ = os.environ if environ is None else environ
    backends = [
        Backend(upstream=_upstream(name, upstream, config, environ), weight=upstream.weight)
        for name, upstream in config.upstreams.items()
    ]
    return LoadBalancer([model.model_info(id) for id, model in config.models.items()], backends)


def _upstream(
    name: str, upstream: UpstreamConfig, config: GatewayConfig, environ: Mapping[str, str]
) -> Upstream:
    served = {
        id: model
        for id, model in config.models.items()
        if model.upstreams is None or name in model.upstreams
    }
    return Upstream(
        url=upstream.url,
        name=name,
        kind=upstream.kind,
        api_key=_api_key(name, upstream.api_key_env, environ),
        names={id: model.name_at(name, id) for id, model in served.items()},
        api=upstream.api,
        apis={id: model.api for id, model in served.items() if model.api != "auto"},
        timeout=upstream.timeout,
        health_check=HealthCheck(**upstream.health.model_dump()),
    )


def _api_key(upstream: str, variable: str | None, environ: Mapping[str, str]) -> str | None:
    if variable is None:
        return None
    key = key_from_environment(variable, environ)
    if key is None:
        raise ConfigurationError(
            f"[upstreams.{upstream}] api_key_env: the environment variable {variable} is not set"
        )
    return key
