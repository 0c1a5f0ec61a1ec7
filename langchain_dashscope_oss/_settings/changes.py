"""What is set on a model object that exists already: checked as its constructor would.

pydantic checks neither assignments nor the updates of a copy: a key would stay plain text, which
representations and pickles show.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from dashscope_oss.errors import ConfigurationError, did_you_mean, similar_names
from dashscope_oss.registry.lookup import check_id
from langchain_dashscope_oss._settings.fields import Settings
from langchain_dashscope_oss._settings.names import by_field_name, refuse_settings


def checked_changes(cls: type[BaseModel], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to change in a copy, by field.

    Raises:
        ConfigurationError: for a name that is no setting, with the one that may be meant, and for
            a value that a setting cannot have.
    """
    by_field = by_field_name(cls, changes)
    for name in by_field:
        if name not in cls.model_fields:
            meant = did_you_mean(similar_names(name, cls.model_fields)[:1])
            raise ConfigurationError(
                f"{cls.__name__} has no setting {name}.{meant} Other parameters of the service go "
                "into model_kwargs"
            )
    return {name: checked_value(cls, name, value) for name, value in by_field.items()}


def checked_value(cls: type[BaseModel], name: str, value: object) -> object:
    """Return ``value`` as the field ``name`` keeps it: a key hidden, a number as a number.

    Raises:
        ConfigurationError: for a wrong type or range, for a model without a name, and for settings
            and keys among ``model_kwargs``; it never shows the value.
    """
    if name not in Settings.model_fields:
        return value
    checked = _validated(name, value)
    if name == "model":
        check_id(checked)
    if name == "model_kwargs":
        refuse_settings(cls, by_field_name(cls, checked))
    return checked


def _validated(name: str, value: object) -> Any:  # noqa: ANN401 - of the field's type
    try:
        return _validator(name).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        reasons = dict.fromkeys(detail["msg"] for detail in details)
        raise ConfigurationError(f"bad {name}: {'; '.join(reasons)}") from None


@cache
def _validator(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(Settings.model_fields[name].rebuild_annotation())
