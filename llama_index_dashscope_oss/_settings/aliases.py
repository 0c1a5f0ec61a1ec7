"""The names of settings, aliases too, and the fields that they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from llama_index.core.base.llms.base import BaseLLM

from dashscope_oss.errors import ConfigurationError, did_you_mean, similar_names
from dashscope_oss.messages import OPTION_NAMES

_ALSO_OF_CALLS = (
    *OPTION_NAMES,
    "estimate_usage",
    "split_think",
    "media_options",
    "cache_system_prompt",
)
"""Settings that a call may have too."""
# A subclass may have fields of these names, which LlamaIndex passes by name.
_METHOD_ARGUMENTS = ("messages", "prompt", "formatted")
_NO_SDK = "no SDK is used, so leave it out"
_FOREIGN_SETTINGS = {
    "api_version": "the service has one version only, so leave it out",
    "async_http_client": "pass http_async_client",
    "async_openai_client": _NO_SDK,
    "extra_body": "pass what it holds in additional_kwargs",
    "openai_client": _NO_SDK,
    "reuse_client": "connections are always reused, so leave it out",
    "should_use_structured_outputs": "each model is asked in its surest way, so leave it out",
    "strict": "an object is always checked against its class, so leave it out",
}
"""Settings of LlamaIndex's classes for OpenAI that have no place here, and what to do instead."""


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
        if advice := _FOREIGN_SETTINGS.get(name):
            raise ConfigurationError(f"{cls.__name__} has no setting {name}: {advice}")
        meant = did_you_mean(similar_names(name, fields)[:1])
        raise ConfigurationError(
            f"{cls.__name__} has no setting {name}.{meant} Other parameters of the service go into "
            "additional_kwargs"
        )


def refuse_repeated(cls: type[BaseLLM], names: Iterable[str]) -> None:
    """Raise if two of the names stand for one setting.

    Raises:
        ConfigurationError: naming the setting.
    """
    fields = fields_by_name(cls)
    for field, count in Counter(fields.get(name, name) for name in names).items():
        if count > 1:
            raise ConfigurationError(f"{field} is given twice; give it once")


@cache
def object_settings(cls: type[BaseLLM]) -> dict[str, str]:
    """Map the names of settings that no call can have, aliases too, to their fields."""
    allowed = (*_ALSO_OF_CALLS, *_METHOD_ARGUMENTS)
    return {name: field for name, field in fields_by_name(cls).items() if name not in allowed}


def refuse_settings_as_parameters(cls: type[BaseLLM], parameters: Mapping[str, Any]) -> None:
    """Raise for a setting of the object among parameters of the service.

    Raises:
        ConfigurationError: naming the first of them, never its value.
    """
    settings = object_settings(cls)
    for name in sorted(name for name in with_extra_body(parameters) if name in settings):
        raise ConfigurationError(
            f"{name} is no parameter of the service but a setting: pass it beside additional_kwargs"
        )


def with_extra_body(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``arguments`` with what ``extra_body`` holds among them, as OpenAI's client sends it.

    One that holds no names is left for the check of parameters to refuse.
    """
    extra_body = arguments.get("extra_body")
    if not isinstance(extra_body, Mapping):
        return arguments
    others = {name: value for name, value in arguments.items() if name != "extra_body"}
    return {**others, **extra_body}


def rename_to_fields(cls: type[BaseLLM], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` under the names of their fields.

    Raises:
        ConfigurationError: for a name that is no setting, and for two names of one.
    """
    fields = fields_by_name(cls)
    refuse_unknown(cls, settings)
    refuse_repeated(cls, settings)
    return {fields[name]: value for name, value in settings.items()}
