"""The command ``dashscope-oss``: models, ask, serve, key, fetch."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from dashscope_oss._version import __version__
from dashscope_oss.cli.table import aligned
from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Message, Options, Usage
from dashscope_oss.prompts.templates import PromptTemplate
from dashscope_oss.protocol.request import chat_request
from dashscope_oss.registry import lookup
from dashscope_oss.registry.catalog import SEED_IDS
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import REGIONS, Endpoint

if TYPE_CHECKING:
    from dashscope_oss.gateway import Engine, GatewayConfig

Arguments: TypeAlias = argparse.Namespace

T = TypeVar("T")

_HOST, _PORT, _GRACE = "127.0.0.1", 8000, 30
GATEWAY_KEY_VARIABLE = "DASHSCOPE_OSS_GATEWAY_KEY"
UPSTREAM_KEY_VARIABLE = "DASHSCOPE_OSS_UPSTREAM_KEY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 well, 1 the service failed, 2 wrong use."""
    arguments = _parser().parse_args(argv)
    warnings.showwarning = _show_warning  # type: ignore[assignment] # it needs the text only
    try:
        arguments.run(arguments)
        sys.stdout.flush()  # little output fails here, not in the interpreter's end
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (DashScopeError, ImportError) as error:
        print(f"dashscope-oss: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError | ImportError) else 1
    return 0


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"dashscope-oss: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dashscope-oss", description="DashScope's open-weight language models."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_models(commands)
    _add_ask(commands)
    _add_serve(commands)
    _add_key(commands)
    _add_fetch(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def _add_models(commands: _Commands) -> None:
    parser = commands.add_parser("models", help="list the known models, or all about one")
    parser.add_argument("id", nargs="?", help="a model's id")
    parser.add_argument("--status", choices=("hosted", "retired", "unknown"), help="only these")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--markdown", action="store_true", help="the README's table")
    parser.set_defaults(run=_models)


def _add_ask(commands: _Commands) -> None:
    parser = commands.add_parser("ask", help="ask a model one question; the answer streams")
    parser.add_argument("model", help="a model's id")
    parser.add_argument("question")
    parser.add_argument("--system", help="a system message")
    parser.add_argument("--base-url", help="ends in /api/v1; else DASHSCOPE_HTTP_BASE_URL")
    parser.add_argument("--region", choices=REGIONS)
    parser.add_argument("--max-tokens", type=int)
    parser.set_defaults(run=_ask)


def _add_serve(commands: _Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="run the gateway",
        description="Serve DashScope's native protocol in front of a model of yours. "
        f"{GATEWAY_KEY_VARIABLE} in the environment is the key that callers must show; "
        f"{UPSTREAM_KEY_VARIABLE} the one that --upstream asks for.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a TOML file with upstreams, models, keys and limits; see SERVING.md",
    )
    parser.add_argument("--host", help=f"address to bind to ({_HOST})")
    parser.add_argument("--port", type=int, help=f"0 picks a free one ({_PORT})")
    parser.add_argument(
        "--engine",
        choices=("embedded", "openai", "scripted"),
        help="embedded: a small real model on this CPU; openai: any OpenAI-compatible server; "
        "scripted: canned answers for tests (embedded, if --config names no upstreams)",
    )
    parser.add_argument("--gguf", type=Path, help="embedded: a model file of yours")
    parser.add_argument("--threads", type=int, help="embedded: CPU threads")
    parser.add_argument("--upstream", help="openai: the server's base URL, ending in /v1")
    parser.add_argument(
        "--kind",
        choices=("vllm", "sglang", "llama.cpp", "ollama"),
        help="openai: what the server is, for parameters that each calls differently",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="ID=NAME",
        help="openai: serve the model ID with the server's model NAME; repeat for more",
    )
    parser.add_argument("--default-model", metavar="NAME", help="openai: NAME for every other id")
    parser.add_argument(
        "--api",
        choices=("auto", "chat", "completions"),
        help="openai: call chat completions, or raw completions with the family's template "
        "(auto: raw for prompt-only models)",
    )
    parser.add_argument("--script", type=Path, help="scripted: a JSON file, a list of answers")
    parser.add_argument(
        "--modern",
        action="store_true",
        help="no model echoes its prompt, and every model reports usage",
    )
    parser.add_argument(
        "--grace",
        type=int,
        metavar="SECONDS",
        help=f"for calls under way when told to stop; a second signal ends at once ({_GRACE})",
    )
    parser.add_argument(
        "--access-log",
        action="store_true",
        help="a line of JSON on stderr for each request, without prompts and keys",
    )
    parser.add_argument("--verbose", action="store_true", help="log what goes on")
    parser.set_defaults(run=_serve)


def _add_key(commands: _Commands) -> None:
    parser = commands.add_parser(
        "key",
        help="make a key for callers of the gateway",
        description="Makes a key, prints it this once, and the table for the gateway's file, "
        "which holds its hash only.",
    )
    parser.add_argument("name", help="what logs and metrics call it")
    parser.set_defaults(run=_key)


def _add_fetch(commands: _Commands) -> None:
    parser = commands.add_parser("fetch", help="fetch the embedded model's file ahead (93 MB)")
    parser.set_defaults(run=_fetch)


def _models(arguments: Arguments) -> None:
    if arguments.id:
        model_info = lookup.known_model(arguments.id)
        if model_info is None:
            raise ConfigurationError(_unknown(arguments.id))
        print(_as_json(_plain(model_info)) if arguments.json else _details(model_info))
        return
    wanted = arguments.status
    records = [row for row in lookup.all_models() if wanted in (None, row.status)]
    if arguments.json:
        print(_as_json([_plain(model_info) for model_info in records]))
    else:
        print(markdown() if arguments.markdown else _table(records))


def _unknown(id: str) -> str:
    return (
        f"no record of the model {id!r}.{lookup.did_you_mean(id)} `dashscope-oss models` lists all."
    )


def markdown() -> str:
    """Return the README's table: the ten seed models and those hosted today."""
    shown = [r for r in lookup.all_models() if r.id in SEED_IDS or r.status == "hosted"]
    rows = [_cells(model_info) for model_info in shown]
    lines = [_HEAD, tuple("---" for _ in _HEAD), *((f"`{id}`", *rest) for id, *rest in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_HEAD = ("model", "status", "input", "context", "max in", "max out", "usage", "tools", "thinking")


def _cells(model_info: ModelInfo) -> tuple[str, ...]:
    return (
        model_info.id,
        f"retired {model_info.retired_on}" if model_info.retired_on else model_info.status,
        "+".join(model_info.inputs),
        _count(model_info.context_window),
        _count(model_info.max_input),
        _count(model_info.max_output),
        "yes" if model_info.reports_usage else "no",
        "yes" if model_info.tools else "no",
        model_info.thinking,
    )


def _count(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens is not None else "?"


def _table(records: Sequence[ModelInfo]) -> str:
    rows = [tuple(word.upper() for word in _HEAD), *(_cells(model_info) for model_info in records)]
    numbers = [_HEAD.index(name) for name in ("context", "max in", "max out")]
    return aligned(rows, right=numbers)


def _details(model_info: ModelInfo) -> str:
    shown = [(name, value) for name, value in _plain(model_info).items() if name != "notes"]
    width = max(len(name) for name, _ in shown)
    lines = [f"{name.ljust(width)}  {_shown(value)}" for name, value in shown]
    return "\n".join([*lines, *(f"- {note}" for note in model_info.notes)])


def _shown(value: object) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _plain(model_info: ModelInfo) -> dict[str, object]:
    return {f.name: _json_value(getattr(model_info, f.name)) for f in fields(ModelInfo)}


def _json_value(value: object) -> object:
    if isinstance(value, PromptTemplate):
        return {"name": value.name, "one_turn": "{}".join(value.user), "source": value.source}
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _ask(arguments: Arguments) -> None:
    endpoint = Endpoint.resolve(base_url=arguments.base_url, region=arguments.region)
    turns = [Message("user", arguments.question)]
    if arguments.system:
        turns.insert(0, Message("system", arguments.system))
    model_info = lookup.find_model(arguments.model)
    options = Options(max_tokens=arguments.max_tokens)
    with Client(endpoint) as client:
        for delta in client.stream(chat_request(model_info, turns, options, stream=True)):
            print(delta.text, end="", flush=True)
    print()
    by = f"; answered by {delta.served_by}" if delta.served_by else ""
    print(f"[{_tokens(delta.usage)}{by}]", file=sys.stderr)


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "no usage reported"
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out"


def _serve(arguments: Arguments) -> None:
    from dashscope_oss.gateway import (  # noqa: PLC0415 - only with the extra
        Gateway,
        GatewayConfig,
        load_config,
        serve,
    )
    from dashscope_oss.gateway.security.access import key_in  # noqa: PLC0415

    settings = load_config(arguments.config) if arguments.config else GatewayConfig()
    _check_engine_options(arguments, settings)
    _log(verbose=arguments.verbose, accesses=arguments.access_log or settings.server.access_log)
    key = key_in(GATEWAY_KEY_VARIABLE, os.environ)
    app = Gateway(
        _engine(arguments, settings),
        api_keys=(key,) if key else (),
        access=settings,
        modern=arguments.modern or settings.server.modern,
    )
    serve(
        app,
        host=_first(arguments.host, settings.server.host, _HOST),
        port=_first(arguments.port, settings.server.port, _PORT),
        on_ready=_say_ready,
        grace=_first(arguments.grace, settings.server.grace, _GRACE),
    )


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _engine(arguments: Arguments, settings: GatewayConfig) -> Engine:
    from dashscope_oss.gateway import build_load_balancer  # noqa: PLC0415

    if settings.upstreams:
        return build_load_balancer(settings)
    return _ENGINES[arguments.engine or "embedded"](arguments)


_ENGINE_OPTIONS = {
    "embedded": ("gguf", "threads"),
    "openai": ("upstream", "kind", "model", "default_model", "api"),
    "scripted": ("script",),
}


def _check_engine_options(arguments: Arguments, settings: GatewayConfig) -> None:
    if settings.upstreams and arguments.engine:
        raise ConfigurationError(
            f"{arguments.config} says which upstreams answer: leave --engine out, or them"
        )
    for engine, names in _ENGINE_OPTIONS.items():
        given = [name for name in names if getattr(arguments, name) not in (None, [])]
        if given and (settings.upstreams or engine != (arguments.engine or "embedded")):
            option = "--" + given[0].replace("_", "-")
            raise ConfigurationError(f"{option} is for --engine {engine}: add that or leave it out")
    if arguments.threads is not None and arguments.threads < 1:
        raise ConfigurationError("--threads must be at least 1")
    if arguments.grace is not None and arguments.grace < 0:
        raise ConfigurationError("--grace must be at least 0")


def _log(*, verbose: bool, accesses: bool = False) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    # The server's own errors are told by this command, in words of its user.
    logging.getLogger("uvicorn.error").setLevel(level if verbose else logging.CRITICAL)
    if accesses:
        access_log = logging.getLogger("dashscope_oss.access")
        access_log.propagate = False
        access_log.setLevel(logging.INFO)
        access_log.addHandler(logging.StreamHandler())


def _say_ready(url: str) -> None:
    print(f"listening on {url}", flush=True)


def _embedded(arguments: Arguments) -> Engine:
    from dashscope_oss.gateway import EmbeddedEngine  # noqa: PLC0415

    return EmbeddedEngine(arguments.gguf, threads=arguments.threads)


def _openai(arguments: Arguments) -> Engine:
    from dashscope_oss.gateway import HealthCheck, OpenAIEngine, Upstream  # noqa: PLC0415
    from dashscope_oss.gateway.security.access import key_in  # noqa: PLC0415

    if not arguments.upstream:
        raise ConfigurationError("--engine openai needs --upstream http://HOST:PORT/v1")
    names = _names(arguments.model)
    if not names and not arguments.default_model:
        raise ConfigurationError(
            "--engine openai needs --model ID=NAME (repeat for more), or --default-model NAME"
        )
    return OpenAIEngine(
        Upstream(
            url=arguments.upstream,
            kind=arguments.kind,
            api_key=key_in(UPSTREAM_KEY_VARIABLE, os.environ),
            names=names,
            default=arguments.default_model,
            api=arguments.api or "auto",
            health=HealthCheck(),
        )
    )


def _names(pairs: Sequence[str]) -> dict[str, str]:
    found = dict(pair.partition("=")[::2] for pair in pairs)
    for id, name in found.items():
        if not id or not name:
            raise ConfigurationError(f"--model takes ID=NAME, not {id or name!r}")
    if len(found) < len(pairs):
        raise ConfigurationError("--model names an id twice: each is served by one NAME")
    return found


def _scripted(arguments: Arguments) -> Engine:
    from dashscope_oss.gateway import ScriptedEngine, load_script  # noqa: PLC0415

    return ScriptedEngine(load_script(arguments.script) if arguments.script else ())


_ENGINES: dict[str, Callable[[Arguments], Engine]] = {
    "embedded": _embedded,
    "openai": _openai,
    "scripted": _scripted,
}


def _key(arguments: Arguments) -> None:
    from dashscope_oss.gateway.security.access import checked_name, hashed, new_key  # noqa: PLC0415

    name, key = checked_name(arguments.name), new_key()
    print(key)
    print(f'\n[keys.{json.dumps(name) if "." in name else name}]\nhash = "{hashed(key)}"')
    print(
        "\nThe key is shown this once: callers set it as DASHSCOPE_API_KEY. The table goes into "
        "the file of dashscope-oss serve --config FILE.",
        file=sys.stderr,
    )


def _fetch(_: Arguments) -> None:
    from dashscope_oss.gateway.engines import weights  # noqa: PLC0415

    print(weights.fetch())
