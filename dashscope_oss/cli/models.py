"""``dashscope-oss models``: what the registry knows, for people, programs and the documentation.

With ``--compare`` it shows where other lists differ.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import fields
from pathlib import Path

from dashscope_oss.cli.reports import model_list
from dashscope_oss.cli.reports.comparison import compare, read_file
from dashscope_oss.cli.reports.table import table
from dashscope_oss.errors import ConfigurationError, DashScopeError, did_you_mean
from dashscope_oss.prompts.prompt_template import PromptTemplate
from dashscope_oss.registry import lookup
from dashscope_oss.registry.catalog import SEED_IDS, sources
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.registry.public_lists import PublicList, service_list
from dashscope_oss.transport.endpoint import REGIONS, Endpoint

HEAD = (
    "model",
    "status",
    "input",
    "holds",
    "context",
    "max in",
    "max out",
    "usage",
    "tools",
    "thinking",
)
SERVICE = "service"
NUMBERS = ("context", "max in", "max out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("id", nargs="?", help="a model's id; without it all models are listed")
    parser.add_argument(
        "--status", choices=("hosted", "retired", "unknown"), help="list only these"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--markdown", action="store_true", help="print the table of the documentation"
    )
    parser.add_argument(
        "--compare",
        metavar="LIST",
        help=f"say what differs from a list: a file of models.dev or litellm, or {SERVICE!r}, to "
        "ask the service with your key; exit status 0: nothing, 1: something, 2: unknown",
    )
    parser.add_argument("--base-url", help="of the service that is compared with")
    parser.add_argument("--region", choices=REGIONS, help="of the service that is compared with")


def run(arguments: argparse.Namespace) -> int:
    """Print all models, all that is known about one, or where other lists differ."""
    if arguments.compare:
        return _compare(arguments)
    if arguments.id:
        model_info = _known(arguments.id)
        print(_as_json(_plain(model_info)) if arguments.json else _details(model_info))
        return 0
    models = [m for m in lookup.all_models() if arguments.status in (None, m.status)]
    if arguments.json:
        print(_as_json([_plain(model_info) for model_info in models]))
    else:
        rows = list(map(_cells, models))
        print(markdown() if arguments.markdown else table(HEAD, rows, NUMBERS))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    try:
        public = _read_public(arguments)
    except DashScopeError as error:
        print(f"dashscope-oss: {error}", file=sys.stderr)
        return 2
    report, differs = compare(lookup.all_models(), public)
    print(report)
    return int(differs)


def _read_public(arguments: argparse.Namespace) -> PublicList:
    if arguments.compare != SERVICE:
        return read_file(Path(arguments.compare))
    endpoint = Endpoint.resolve(base_url=arguments.base_url, region=arguments.region)
    return service_list(model_list.pages(endpoint))


def markdown() -> str:
    """Return the table of the documentation: the ten seed models and those hosted today."""
    models = [m for m in lookup.all_models() if m.id in SEED_IDS or m.status == "hosted"]
    rows = [_cells(model_info) for model_info in models]
    lines = [HEAD, tuple("---" for _ in HEAD), *((f"`{id}`", *rest) for id, *rest in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _known(id: str) -> ModelInfo:
    model_info = lookup.known_model(id)
    if model_info is None:
        raise ConfigurationError(
            f"The model {id!r} is not in the registry.{did_you_mean(lookup.similar_ids(id))} "
            "`dashscope-oss models` lists all models."
        )
    return model_info


def _cells(model_info: ModelInfo) -> tuple[str, ...]:
    return (
        model_info.id,
        f"retired {model_info.retired_on}" if model_info.retired_on else model_info.status,
        "+".join(model_info.inputs),
        "+".join(model_info.modalities),
        *(_count(model_info, name) for name in ("context_window", "max_input", "max_output")),
        "yes" if model_info.reports_usage else "no",
        "yes" if model_info.tools else "no",
        model_info.thinking,
    )


def _count(model_info: ModelInfo, name: str) -> str:
    """Return a number of tokens; one that is disputed or guessed has a mark."""
    tokens = getattr(model_info, name)
    if tokens is None:
        return "?"
    return f"{'~' if model_info.doubt(name) else ''}{tokens:,}"


def _details(model_info: ModelInfo) -> str:
    facts = {name: value for name, value in _plain(model_info).items() if name != "notes"}
    width = max(map(len, facts))
    lines = [f"{name.ljust(width)}  {_in_words(value)}" for name, value in facts.items()]
    notes = [f"- {note}" for note in model_info.notes]
    return "\n".join([*lines, *notes, *_named_sources(model_info.source)])


def _named_sources(source: str) -> list[str]:
    """Return what the words of a record's source stand for; those of a user's own are left out."""
    words = [re.split(r" \(", word)[0] for word in source.split("; ")]
    return [f"{word}: {known}" for word, known in sources().items() if word in words]


def _in_words(value: object) -> str:
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
