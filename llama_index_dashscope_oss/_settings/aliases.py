"""The names of settings, aliases too, and the fields that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from llama_index.core.base.llms.base import BaseLLM

from dashscope_oss.errors import ConfigurationError, did_you_mean, similar_names


@cache
def fields_by_name(cls: type[BaseLLM]) -> dict[str, str]:
    """Map the names of all settings, aliases too, to their fields."""
    fields: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        aliases = getattr(info.validation_alias, "choices", ())
        fields.update(dict.fromkeys((field, *aliases), field))
    return fields


def refuse_unknown(cls: type[BaseLLM], names: Iterable[str]) -> None:
    """Raise for the first name that is no setting.

    Raises:
        ConfigurationError: with the setting that may be meant.
    """
    fields = fields_by_name(cls)
    for name in sorted(name for name in names if name not in fields):
        meant = did_you_mean(similar_names(name, fields)[:1])
        raise ConfigurationError(
            f"{cls.__name__} has no setting {name}.{meant} Other parameters of the service go into "
            "additional_kwargs"
        )


def rename_to_fields(cls: type[BaseLLM], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` under the names of their fields.

    Raises:
        ConfigurationError: for a name that is no setting.
    """
    fields = fields_by_name(cls)
    refuse_unknown(cls, settings)
    return {fields[name]: value for name, value in settings.items()}
