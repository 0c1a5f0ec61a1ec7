"""Which engine ``dashscope-oss serve`` runs, from its options and its configuration file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence

from dashscope_oss.errors import ConfigurationError, UnknownModelWarning, did_you_mean, warn
from dashscope_oss.gateway import (
    EmbeddedEngine,
    Engine,
    GatewayConfig,
    HealthCheck,
    OpenAIEngine,
    ScriptedEngine,
    Upstream,
    build_load_balancer,
)
from dashscope_oss.gateway.engines.script import load_script
from dashscope_oss.gateway.security.api_keys import key_from_environment
from dashscope_oss.registry.lookup import known_model, similar_ids

ENGINE_OPTIONS = {
    "embedded": ("gguf", "threads"),
    "openai": ("upstream", "kind", "model", "default_model", "api"),
    "scripted": ("script",),
}


def build_engine(
    arguments: argparse.Namespace, config: GatewayConfig, *, upstream_key_variable: str
) -> Engine:
    """Return the engine that the options or the file name; the embedded one if neither does.

    Raises:
        ConfigurationError: options contradict each other or the file, or one is missing.
    """
    _check_options(arguments, config)
    if config.upstreams:
        _warn_of_unknown_models(id for id, model in config.models.items() if model.like is None)
        return build_load_balancer(config)
    if arguments.engine == "openai":
        return OpenAIEngine(
            _upstream(arguments, key_from_environment(upstream_key_variable, os.environ))
        )
    if arguments.engine == "scripted":
        return ScriptedEngine(load_script(arguments.script) if arguments.script else ())
    return EmbeddedEngine(arguments.gguf, threads=arguments.threads)


def _check_options(arguments: argparse.Namespace, config: GatewayConfig) -> None:
    if config.upstreams and arguments.engine:
        raise ConfigurationError(
            f"{arguments.config} already names the upstreams that answer: leave --engine out, or "
            "take the upstreams out of the file"
        )
    chosen = None if config.upstreams else arguments.engine or "embedded"
    for engine, names in ENGINE_OPTIONS.items():
        for name in names if engine != chosen else ():
            if getattr(arguments, name) not in (None, []):
                raise ConfigurationError(_misplaced(f"--{name.replace('_', '-')}", engine, chosen))
    if arguments.threads is not None and arguments.threads < 1:
        raise ConfigurationError("--threads must be at least 1")


def _misplaced(option: str, engine: str, chosen: str | None) -> str:
    if chosen is None:
        return f"{option} has no use beside --config with upstreams of its own: leave it out"
    return f"{option} is for --engine {engine}: add that or leave {option} out"


def _upstream(arguments: argparse.Namespace, api_key: str | None) -> Upstream:
    if not arguments.upstream:
        raise ConfigurationError("--engine openai needs --upstream http://HOST:PORT/v1")
    names = _model_names(arguments.model)
    if not names and not arguments.default_model:
        raise ConfigurationError(
            "--engine openai needs --model ID=NAME (may be repeated) or --default-model NAME"
        )
    _warn_of_unknown_models(names)
    return Upstream(
        url=arguments.upstream,
        kind=arguments.kind,
        api_key=api_key,
        names=names,
        default=arguments.default_model,
        api=arguments.api or "auto",
        health_check=HealthCheck(),
    )


def _warn_of_unknown_models(ids: Iterable[str]) -> None:
    """Warn of ids that may be typing errors: callers would not find the models that were meant."""
    for id in ids:
        if known_model(id) is None:
            warn(
                f"no record of the model {id!r}: it is served under this id, with a chat model's "
                f"abilities and without known limits.{did_you_mean(similar_ids(id))} For an id of "
                "your own, 'like' in the configuration file names a model with the same abilities.",
                UnknownModelWarning,
            )


def _model_names(pairs: Sequence[str]) -> dict[str, str]:
    """Return the upstream's name of each model id, from arguments of the form ID=NAME."""
    names = dict(pair.partition("=")[::2] for pair in pairs)
    for id, name in names.items():
        if not id or not name:
            raise ConfigurationError(f"--model takes ID=NAME, not {id or name!r}")
    if len(names) < len(pairs):
        raise ConfigurationError("--model gives an id twice: give each id one NAME")
    return names
