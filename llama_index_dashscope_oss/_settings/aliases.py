"""The names of settings, aliases too, and the fields that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from llama_index.core.base.llms.base import BaseLLM

from dashscope_oss import ConfigurationError


@cache
def fields_by_name(cls: type[BaseLLM]) -> dict[str, str]:
    """Map the names of all settings, aliases too, to their fields."""
    fields: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        aliases = getattr(info.validation_alias, "choices", ())
        fields.update(dict.fromkeys((field, *aliases), field))
    return fields


def rename_to_fields(cls: type[BaseLLM], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` under the names of their fields.

    Raises:
        ConfigurationError: for a name that is no setting.
    """
    fields = fields_by_name(cls)
    unknown = sorted(name for name in settings if name not in fields)
    if unknown:
        raise ConfigurationError(
            f"{unknown[0]} is not a setting of {cls.__name__}; put other parameters of the service "
            "into additional_kwargs"
        )
    return {fields[name]: value for name, value in settings.items()}
