"""Finds the record of a model, and adds records to the registry."""

from __future__ import annotations

from dashscope_oss.errors import ConfigurationError, UnknownModelWarning, warn
from dashscope_oss.registry.model_info import ModelInfo

__all__ = ["ModelInfo", "all_models", "did_you_mean", "find_model", "known_model", "register_model"]

_registry: dict[str, ModelInfo] = {}
_warned: set[str] = set()


def find_model(id: str) -> ModelInfo:
    """Return the record of the model ``id``.

    An unknown id gets a record of cautious defaults (messages, no tools, no thinking, no known
    limits) and one :class:`UnknownModelWarning` in the life of the process.

    Raises:
        ConfigurationError: if ``id`` is empty or not text.
    """
    if not isinstance(id, str) or not id.strip():
        raise ConfigurationError(
            f"model must be a model's id, not {id!r:.100}; `dashscope-oss models` lists the ids"
        )
    return _records().get(id.strip()) or _unknown(id.strip())


def known_model(id: str) -> ModelInfo | None:
    """Return the record of the model ``id``, or ``None`` if there is none."""
    return _records().get(id)


def register_model(info: ModelInfo) -> ModelInfo:
    """Add a record, or replace the one with the same id; return it.

    For a fine-tuned deployment or a model you serve yourself::

        register_model(replace(find_model("llama3-8b-instruct"), id="my-llama", max_input=2000))
    """
    _records()[info.id] = info
    return info


def did_you_mean(id: str) -> str:
    """Return ``" Did you mean …?"`` with ids that look like ``id``, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for misspelt ids only

    ids = {known.lower(): known for known in _records()}
    containing = [known for lowered, known in ids.items() if id.lower() in lowered]
    similar = containing or [ids[lowered] for lowered in get_close_matches(id.lower(), ids)]
    return f" Did you mean {' or '.join(similar[:5])}?" if similar else ""


def all_models() -> list[ModelInfo]:
    """Return every record, in the order of the registry."""
    return list(_records().values())


def _unknown(id: str) -> ModelInfo:
    if id not in _warned:
        _warned.add(id)
        warn(
            f"no record of the model {id!r}: it is taken for a chat model without tools."
            f"{did_you_mean(id)} `dashscope-oss models` lists the known ids; register_model() "
            "adds one.",
            UnknownModelWarning,
        )
    return ModelInfo(
        id=id,
        family="unknown",
        maker="unknown",
        status="unknown",
        thinking="unknown",
        structured="unknown",
        source="no record",
    )


def _records() -> dict[str, ModelInfo]:
    # The catalog is built when somebody first asks: importing the package must stay cheap.
    if not _registry:
        from dashscope_oss.registry.catalog import MODELS  # noqa: PLC0415

        # In one step, so that no other thread finds half a registry.
        _registry.update({model_info.id: model_info for model_info in MODELS})
    return _registry
