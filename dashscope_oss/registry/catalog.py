"""Reads the records from the files in ``data``: one file a family, one table a model.

A ``[[series]]`` holds what its models share, its ``models`` what sets each of them apart. Of
``notes``, ``disputed`` and ``guessed`` a model has its series' and its own; of all else its own
or, without one, its series'. ``prefixes`` are beginnings of ids: a model that has no record and
whose id begins so is guessed to be like this series in the fields of ``GUESSED_FIELDS``.

A file is read when somebody asks for a model that it names: most programs use one model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.prompts.templates import TEMPLATES
from dashscope_oss.registry.model_info import ModelInfo

SEED_IDS = (
    "llama2-7b-chat-v2",
    "llama2-13b-chat-v2",
    "llama3-8b-instruct",
    "llama3-70b-instruct",
    "ziya-llama-13b-v1",
    "belle-llama-13b-2m-v1",
    "billa-7b-sft-v1",
    "baichuan-7b-v1",
    "baichuan2-7b-chat-v1",
    "baichuan2-13b-chat-v1",
)
"""The ten models of the vendor's five pages."""

GUESSED_FIELDS = (
    "endpoint",
    "thinking",
    "thinks_by_default",
    "thinking_streams",
    "modalities",
    "text_reply",
)
"""What is guessed of a model without a record whose id begins as a series says."""

Row: TypeAlias = Mapping[str, Any]

DATA = Path(__file__).with_name("data")
FILES = ("llama", "early", "qwen", "qwen3", "qwen3_5", "deepseek", "glm", "kimi", "minimax")
_ADDED = ("notes", "disputed", "guessed")


@lru_cache(maxsize=512)  # asked for with each call
def record(id: str) -> ModelInfo | None:
    """Return the record of the model ``id``, or ``None``; reads only files that name it."""
    for name in FILES:
        if f'"{id}"' in _text(name) and (model_info := _family(name).get(id)):
            return model_info
    return None


def records() -> Iterator[ModelInfo]:
    """Yield every record: family after family, in the order of the files."""
    for name in FILES:
        yield from _family(name).values()


def guess(id: str) -> tuple[str, ModelInfo] | None:
    """Return the series that the name of an unknown model points to, and a record of it.

    ``None`` if no series claims ids that begin so. The longest beginning counts.
    """
    fitting = [(p, series) for p, series in _prefixes() if id.startswith(p)]
    return max(fitting, key=lambda pair: len(pair[0]), default=None)


def not_rows() -> list[str]:
    """Return patterns of ids in public lists that are no rows of the registry on purpose."""
    return [pattern for group in _parsed("not_rows")["ids"] for pattern in group["like"]]


def sources() -> dict[str, str]:
    """Return what each word in a record's ``source`` stands for."""
    return {
        word: f"{source['what']}, read on {source['read']}"
        for word, source in _parsed("sources").items()
    }


@lru_cache
def _text(name: str) -> str:
    return (DATA / f"{name}.toml").read_text("utf-8")


@lru_cache
def _family(name: str) -> dict[str, ModelInfo]:
    return {info.id: info for series in _series(name) for info in read_series(series, name)}


@lru_cache
def _series(name: str) -> tuple[Row, ...]:
    return tuple(_parsed(name)["series"])


def _parsed(name: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only whoever looks a model up needs it

    return tomllib.loads(_text(name))


@lru_cache
def _prefixes() -> tuple[tuple[str, ModelInfo], ...]:
    return tuple(
        (prefix, next(read_series(series, name)))
        for name in FILES
        for series in _series(name)
        for prefix in series.get("prefixes", ())
    )


def read_series(series: Row, file: str) -> Iterator[ModelInfo]:
    """Yield the records of a series.

    Raises:
        ConfigurationError: if a field does not exist or cannot hold its value; it names the file
            and the model.
    """
    shared = {name: v for name, v in series.items() if name not in ("models", "prefixes")}
    for id, own in series["models"].items():
        row = {**shared, **own, "id": id}
        for name in _ADDED:
            row[name] = [*shared.get(name, ()), *own.get(name, ())]
        held: dict[str, Any] = {n: _field(n, v, f"{file}.toml, {id}") for n, v in row.items()}
        yield ModelInfo(**held)


def _field(name: str, value: object, place: str) -> object:
    hint = _hints().get(name)
    if hint is None:
        raise ConfigurationError(f"{place}: a record has no field {name!r}")
    held = _held(name, value)
    if not _fits(held, hint):
        raise ConfigurationError(f"{place}: {name} cannot be {value!r:.100}; it holds {hint}")
    return held


def _held(name: str, value: object) -> object:
    """Return what the record holds for a value of the file: a template for its name."""
    if name == "template" and isinstance(value, str):
        return TEMPLATES.get(value, value)
    return tuple(value) if isinstance(value, list) else value


def _fits(value: object, hint: object) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(v, get_args(hint)[0]) for v in value)
    return type(value) is hint


@lru_cache
def _hints() -> Mapping[str, object]:
    return get_type_hints(ModelInfo)
