"""Finds the record of a model, and adds records to the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dashscope_oss.errors import (
    ConfigurationError,
    UnknownModelWarning,
    did_you_mean,
    similar_names,
    warn,
)
from dashscope_oss.registry.model_info import Modality, ModelInfo

__all__ = [
    "ModelInfo",
    "all_models",
    "check_id",
    "find_model",
    "known_model",
    "model_that_searches",
    "model_that_takes",
    "no_model_named",
    "register_model",
    "similar_ids",
]

_registry: dict[str, ModelInfo] = {}
"""What the program registered."""
_warned: set[str] = set()


def find_model(id: str) -> ModelInfo:
    """Return the record of the model ``id``.

    An unknown id is taken for a chat model with tools and without known limits, and gets one
    :class:`UnknownModelWarning` in the life of the process. If its name begins as those of a known
    series do, endpoint, thinking and what messages may hold are guessed to be that series'; the
    warning says so.

    Raises:
        ConfigurationError: if ``id`` is empty or not text.
    """
    check_id(id)
    return known_model(id.strip()) or _unknown(id.strip())


def check_id(id: object) -> None:
    """Raise for what cannot be a model's id.

    Raises:
        ConfigurationError: if ``id`` is empty or not text.
    """
    if not isinstance(id, str) or not id.strip():
        raise ConfigurationError(
            f"model must be a model's id, not {id!r:.100}; `dashscope-oss models` lists the ids"
        )


def no_model_named() -> ConfigurationError:
    """Return the error for a model object that was made without ``model``."""
    return ConfigurationError(
        "no model is named, and there is no default; pass model, for instance "
        "model='deepseek-v4-flash'; `dashscope-oss models` lists the ids"
    )


def known_model(id: str) -> ModelInfo | None:
    """Return the record of the model ``id``, or ``None`` if there is none."""
    # The catalog is imported when somebody first asks: importing the package must stay cheap.
    from dashscope_oss.registry import catalog  # noqa: PLC0415

    return _registry.get(id) or catalog.record(id)


def register_model(info: ModelInfo) -> ModelInfo:
    """Add a record, or replace the one with the same id; return it.

    For a fine-tuned deployment or a model you serve yourself::

        register_model(replace(find_model("llama3-8b-instruct"), id="my-llama", max_input=2000))
    """
    _registry[info.id] = info
    return info


def similar_ids(id: str) -> list[str]:
    """Return up to five ids that hold ``id``, else up to three that look like it."""
    ids = {info.id.lower(): info.id for info in all_models()}
    containing = [whole for lowered, whole in ids.items() if id.lower() in lowered]
    return containing[:5] or [ids[lowered] for lowered in similar_names(id.lower(), ids)]


def model_that_takes(modality: Modality) -> str | None:
    """Return the first hosted model whose messages may hold it, ``None`` if there is none."""
    return next((info.id for info in _hosted() if modality in info.modalities), None)


def model_that_searches() -> str | None:
    """Return the first hosted model that can search the web, ``None`` if there is none."""
    return next((info.id for info in _hosted() if info.web_search), None)


def all_models() -> list[ModelInfo]:
    """Return every record, in the order of the registry."""
    from dashscope_oss.registry import catalog  # noqa: PLC0415 - see known_model

    known = {model_info.id: model_info for model_info in catalog.records()}
    return list((known | _registry).values())


def _hosted() -> Iterator[ModelInfo]:
    return (info for info in all_models() if info.status == "hosted")


def _unknown(id: str) -> ModelInfo:
    from dashscope_oss.registry import catalog  # noqa: PLC0415 - see known_model

    model_info, guessed = _NO_RECORD, ""
    if guess := catalog.guess(id):
        prefix, series = guess
        fields = {name: getattr(series, name) for name in catalog.GUESSED_FIELDS}
        model_info = replace(_NO_RECORD, guessed=catalog.GUESSED_FIELDS, **fields)
        guessed = (
            f" As its name begins with {prefix!r}, it is guessed to be of the series "
            f"{series.family}: endpoint {series.endpoint}, thinking {series.thinking}, takes "
            f"{', '.join(series.modalities)}."
        )
    if id not in _warned:
        _warned.add(id)
        warn(
            f"no record of the model {id!r}: it is taken for a chat model with tools and without "
            f"known limits.{guessed}{did_you_mean(similar_ids(id))} `dashscope-oss models` lists "
            "the known ids; register_model() adds one.",
            UnknownModelWarning,
        )
    return replace(model_info, id=id)


_NO_RECORD = ModelInfo(
    id="",
    family="unknown",
    maker="unknown",
    status="unknown",
    thinking="unknown",
    tools=True,
    structured="unknown",
    source="no record",
)
