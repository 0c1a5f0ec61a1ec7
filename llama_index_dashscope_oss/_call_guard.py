"""Settings of an object that a single call cannot have: refused before an event holds them.

Around all that LlamaIndex does for one of the eight calls: its events, spans and callbacks hold
the arguments of a call, a key among them too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from typing import Any, TypeVar

from llama_index.core.base.llms.base import BaseLLM

from dashscope_oss import ConfigurationError
from dashscope_oss.messages import OPTION_NAMES

LLMClass = TypeVar("LLMClass", bound=type[BaseLLM])

_METHODS = (
    "chat",
    "stream_chat",
    "achat",
    "astream_chat",
    "complete",
    "stream_complete",
    "acomplete",
    "astream_complete",
)
# Fields that are parameters or switches of a call as well, and arguments that a subclass may have
# a field of the same name as.
_OF_CALLS = (*OPTION_NAMES, "enable_search", "estimate_usage")
_NOT_REFUSED = frozenset((*_OF_CALLS, "messages", "prompt", "formatted"))


def refusing_settings(cls: LLMClass) -> LLMClass:
    """Let the eight methods of ``cls`` refuse what :func:`_check` refuses."""
    for name in _METHODS:
        setattr(cls, name, _checked(getattr(cls, name)))
    return cls


def by_field(cls: type[BaseLLM], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under the names of their fields.

    Raises:
        ConfigurationError: for a name that is no setting.
    """
    fields = _fields(cls)
    unknown = sorted(name for name in given if name not in fields)
    if unknown:
        raise ConfigurationError(f"{unknown[0]} is no setting of {cls.__name__}")
    return {fields[name]: value for name, value in given.items()}


def _check(llm: BaseLLM, given: Iterable[str]) -> None:
    """Raise if ``given``, names of a call's arguments, are settings of the object.

    Raises:
        ConfigurationError: naming the first of them, never its value.
    """
    of_object = _of_object(type(llm))
    wrong = sorted(name for name in given if name in of_object)
    if wrong:
        raise ConfigurationError(
            f"{wrong[0]} is a setting of the object, not of a call; make another object: "
            f"llm.model_copy(update={{{of_object[wrong[0]]!r}: ...}})"
        )


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @wraps(method)
        async def waiting(self: BaseLLM, *args: object, **kwargs: object) -> object:
            _check(self, kwargs)
            return await method(self, *args, **kwargs)

        return waiting

    @wraps(method)
    def call(self: BaseLLM, *args: object, **kwargs: object) -> object:
        _check(self, kwargs)
        return method(self, *args, **kwargs)

    return call


@cache
def _of_object(cls: type[BaseLLM]) -> dict[str, str]:
    """Names of settings that no call can have, aliases too, each with its field."""
    return {name: field for name, field in _fields(cls).items() if name not in _NOT_REFUSED}


@cache
def _fields(cls: type[BaseLLM]) -> dict[str, str]:
    """Names of all settings, aliases too, each with its field."""
    named: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        aliases = getattr(info.validation_alias, "choices", ())
        named.update(dict.fromkeys((field, *aliases), field))
    return named
