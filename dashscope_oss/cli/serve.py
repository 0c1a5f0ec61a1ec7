"""``dashscope-oss serve``: the gateway, from its options and its configuration file."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TypeVar

from dashscope_oss.errors import ConfigurationError

HOST, PORT = "127.0.0.1", 8000
GRACE_SECONDS = 30
KEY_VARIABLE = "DASHSCOPE_OSS_GATEWAY_KEY"
UPSTREAM_KEY_VARIABLE = "DASHSCOPE_OSS_UPSTREAM_KEY"

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.description = (
        "Serves DashScope's native protocol in front of a model of yours, and OpenAI's chat "
        "completions below /compatible-mode/v1. The environment variable "
        f"{KEY_VARIABLE} holds the key that callers must send; {UPSTREAM_KEY_VARIABLE} the key "
        "for the server of --upstream."
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a TOML file with upstreams, models, keys and limits; all keys stand in "
        "docs/gateway/configuration.md",
    )
    parser.add_argument("--host", help=f"address to bind to (default: {HOST})")
    parser.add_argument("--port", type=int, help=f"0 picks a free port (default: {PORT})")
    _add_engine_arguments(parser)
    parser.add_argument(
        "--modern",
        action="store_true",
        help="let no model echo its prompt, and every model report usage",
    )
    parser.add_argument(
        "--grace",
        type=int,
        metavar="SECONDS",
        help="how long calls under way may take once the gateway is told to stop "
        f"(default: {GRACE_SECONDS}); a second signal ends them at once",
    )
    parser.add_argument(
        "--access-log",
        action="store_true",
        help="write a line of JSON to stderr for each request, without prompts and keys",
    )
    parser.add_argument("--verbose", action="store_true", help="log at level INFO")


def _add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("embedded", "openai", "scripted"),
        help="embedded: a small real model on this CPU; openai: any OpenAI-compatible server; "
        "scripted: canned answers for tests (default: the upstreams of --config, else embedded)",
    )
    parser.add_argument("--gguf", type=Path, help="embedded: a model file of yours")
    parser.add_argument("--threads", type=int, help="embedded: number of CPU threads")
    parser.add_argument("--upstream", help="openai: the server's base URL, ending in /v1")
    parser.add_argument(
        "--kind",
        choices=("vllm", "sglang", "llama.cpp", "ollama"),
        help="openai: the kind of server; each kind has its own names for some parameters",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="ID=NAME",
        help="openai: serve the model ID with the server's model NAME; may be repeated",
    )
    parser.add_argument("--default-model", metavar="NAME", help="openai: NAME for every other id")
    parser.add_argument(
        "--api",
        choices=("auto", "chat", "completions"),
        help="openai: call chat completions, or raw completions with the family's template "
        "(auto: raw for models that take a prompt only)",
    )
    parser.add_argument("--script", type=Path, help="scripted: a JSON file with a list of answers")


def run(arguments: argparse.Namespace) -> None:
    """Serve until stopped; one line on stdout tells when the gateway is ready, and where."""
    # These need the extra `gateway`; `dashscope-oss serve --help` does not.
    from dashscope_oss.cli.choices.engine import build_engine  # noqa: PLC0415
    from dashscope_oss.gateway import Gateway, GatewayConfig, load_config, serve  # noqa: PLC0415
    from dashscope_oss.gateway.security.api_keys import key_from_environment  # noqa: PLC0415

    if arguments.grace is not None and arguments.grace < 0:
        raise ConfigurationError("--grace must be at least 0")
    config = load_config(arguments.config) if arguments.config else GatewayConfig()
    _configure_logs(
        verbose=arguments.verbose, accesses=arguments.access_log or config.server.access_log
    )
    engine = build_engine(arguments, config, upstream_key_variable=UPSTREAM_KEY_VARIABLE)
    key = key_from_environment(KEY_VARIABLE, os.environ)
    app = Gateway(
        engine,
        api_keys=(key,) if key else (),
        access=config,
        modern=arguments.modern or config.server.modern,
    )
    serve(
        app,
        host=_first(arguments.host, config.server.host, HOST),
        port=_first(arguments.port, config.server.port, PORT),
        on_ready=_announce,
        grace=_first(arguments.grace, config.server.grace, GRACE_SECONDS),
    )


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _configure_logs(*, verbose: bool, accesses: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    # uvicorn's own errors reach the user as errors of this command, in plain words.
    logging.getLogger("uvicorn.error").setLevel(level if verbose else logging.CRITICAL)
    if accesses:
        access_log = logging.getLogger("dashscope_oss.access")
        access_log.propagate = False
        access_log.setLevel(logging.INFO)
        access_log.addHandler(logging.StreamHandler())


def _announce(url: str) -> None:
    print(f"listening on {url}", flush=True)
