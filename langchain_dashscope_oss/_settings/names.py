"""Which arguments a model object and a call may have, and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from dashscope_oss.errors import ConfigurationError, DashScopeWarning, warn
from dashscope_oss.messages import OPTION_NAMES
from dashscope_oss.protocol.validation import NEVER_A_PARAMETER, PARAMETERS, is_key_name
from dashscope_oss.registry.lookup import no_model_named

_PROXY = "pass http_client=httpx2.Client(proxy=...) and http_async_client for async calls"
_ORGANIZATION = "the service has none; a workspace of yours goes into workspace"
_USAGE_OF_STREAMS = "the last piece of a stream always has the usage; leave it out"
_FOREIGN_ARGUMENTS = {
    "client": "the SDK is not used; leave it out",
    "proxy": _PROXY,
    "proxies": "pass http_client=httpx2.Client(mounts=...) and http_async_client for async calls",
    "prefix_messages": "put these messages before those of the call",
    "openai_api_base": "pass region, or as base_url an address that ends in /api/v1",
    "openai_api_key": "pass api_key, or set DASHSCOPE_API_KEY",
    "openai_organization": _ORGANIZATION,
    "openai_proxy": _PROXY,
    "organization": _ORGANIZATION,
    "request_timeout": "pass timeout",
    "stream_options": _USAGE_OF_STREAMS,
    "stream_usage": _USAGE_OF_STREAMS,
    "use_responses_api": "there is only one protocol; leave it out",
}
"""Arguments of other integrations that have no place here, and what to do instead."""
_FOREIGN_SETTINGS = {"stream": "call stream(), or pass streaming=True", **_FOREIGN_ARGUMENTS}
"""The same of objects: in a call, ``stream`` is LangChain's own switch."""
_NO_CHANGE = {
    "stream_options": {"include_usage": True},
    "stream_usage": True,
    "use_responses_api": False,
}
"""What foreign arguments ask for that is always so."""


def constructor_arguments(cls: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor by field; others go to ``model_kwargs``.

    A warning names those that are no parameter of the service either, as far as is known.

    Raises:
        ConfigurationError: for what other integrations take and this one cannot, for one setting
            under two names, for settings and keys among ``model_kwargs``, and without a model.
    """
    by_field = by_field_name(cls, arguments)
    extra_body = _taken_extra_body(by_field)
    _refuse_foreign_arguments(cls, by_field, _FOREIGN_SETTINGS)
    unknown = {name: by_field.pop(name) for name in list(by_field) if name not in cls.model_fields}
    refuse_settings(cls, unknown)
    if doubtful := [name for name in unknown if name not in PARAMETERS]:
        warn(
            f"{cls.__name__} has no setting {', '.join(doubtful)}; it is sent to the service as a "
            "parameter. Check the spelling, or pass it in model_kwargs if you mean that.",
            DashScopeWarning,
        )
    model_kwargs = {**(by_field.get("model_kwargs") or {}), **extra_body}
    refuse_settings(cls, by_field_name(cls, model_kwargs))
    if extra_body or unknown:
        by_field["model_kwargs"] = {**model_kwargs, **unknown}
    if "model" not in by_field and cls.model_fields["model"].is_required():
        raise no_model_named()
    return by_field


def call_arguments(cls: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by field, those of ``extra_body`` among them.

    Raises:
        ConfigurationError: for what other integrations take and this one cannot, for one setting
            under two names, and for an ``extra_body`` that is no dict.
    """
    by_field = by_field_name(cls, arguments)
    _refuse_foreign_arguments(cls, by_field, _FOREIGN_ARGUMENTS)
    if "extra_body" not in by_field:
        return by_field
    extra_body = _taken_extra_body(by_field)
    return {**by_field, **by_field_name(cls, extra_body)}


def by_field_name(cls: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments under their fields' names.

    Raises:
        ConfigurationError: for one setting under two names.
    """
    fields = fields_by_alias(cls)
    by_field: dict[str, Any] = {}
    for name, value in arguments.items():
        field = fields.get(name, name)
        if field in by_field:
            raise ConfigurationError(f"{field} is given twice, by two names; give one of them")
        by_field[field] = value
    return by_field


def refuse_settings(cls: type[BaseModel], parameters: Mapping[str, Any]) -> None:
    """Keep settings of the object, and keys under any name, from being sent as parameters.

    Raises:
        ConfigurationError: naming the first, never its value.
    """
    for name in parameters:
        if name in OPTION_NAMES:
            continue
        if name in cls.model_fields:
            raise ConfigurationError(
                f"{name} is a setting of the model object, not of one call; make a model object "
                "that has it"
            )
        if is_key_name(name):
            raise ConfigurationError(f"{name} {NEVER_A_PARAMETER}; the model object takes api_key")


@cache
def fields_by_alias(cls: type[BaseModel]) -> dict[str, str]:
    """Map the other names of settings to their fields."""
    return {
        field.validation_alias: name
        for name, field in cls.model_fields.items()
        if isinstance(field.validation_alias, str)
    }


def _taken_extra_body(arguments: dict[str, Any]) -> Mapping[str, Any]:
    """Take ``extra_body`` out of the arguments, and return what it holds."""
    extra_body = arguments.pop("extra_body", None) or {}
    if not isinstance(extra_body, Mapping):
        raise ConfigurationError("extra_body must be a dict of parameters")
    return extra_body


def _refuse_foreign_arguments(
    cls: type[BaseModel], arguments: dict[str, Any], foreign: Mapping[str, str]
) -> None:
    """Raise for arguments that could not keep their meaning; drop those that change nothing."""
    if foreign.keys().isdisjoint(arguments):  # in every call, and quicker than a set
        return
    for name in foreign.keys() & arguments.keys():
        if arguments.pop(name) not in (None, _NO_CHANGE.get(name)):
            raise ConfigurationError(f"{cls.__name__} takes no {name}: {foreign[name]}")
