"""``dashscope-oss models``: what the registry knows, for people, programs and the documentation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.prompts.prompt_template import PromptTemplate
from dashscope_oss.registry import lookup
from dashscope_oss.registry.catalog import SEED_IDS
from dashscope_oss.registry.model_info import ModelInfo

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
NUMBERS = [HEAD.index(name) for name in ("context", "max in", "max out")]


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


def run(arguments: argparse.Namespace) -> None:
    """Print all models, or all that is known about one."""
    if arguments.id:
        model_info = _known(arguments.id)
        print(_as_json(_plain(model_info)) if arguments.json else _details(model_info))
        return
    models = [m for m in lookup.all_models() if arguments.status in (None, m.status)]
    if arguments.json:
        print(_as_json([_plain(model_info) for model_info in models]))
    else:
        print(markdown() if arguments.markdown else _table(models))


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
            f"The model {id!r} is not in the registry.{lookup.did_you_mean(id)} "
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
    """Return a number of tokens; one that the sources dispute has a mark."""
    tokens = getattr(model_info, name)
    if tokens is None:
        return "?"
    return f"{'~' if name in model_info.disputed else ''}{tokens:,}"


def _table(models: Sequence[ModelInfo]) -> str:
    rows = [tuple(name.upper() for name in HEAD), *map(_cells, models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_padded(row, widths) for row in rows)


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line of the table: numbers to the right, text to the left."""
    cells = (
        cell.rjust(width) if column in NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _details(model_info: ModelInfo) -> str:
    facts = {name: value for name, value in _plain(model_info).items() if name != "notes"}
    width = max(map(len, facts))
    lines = [f"{name.ljust(width)}  {_in_words(value)}" for name, value in facts.items()]
    return "\n".join([*lines, *(f"- {note}" for note in model_info.notes)])


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
