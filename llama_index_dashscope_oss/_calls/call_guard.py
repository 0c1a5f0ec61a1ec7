"""Settings of the object that a single call cannot have: refused before any event holds them.

The guard stands around all that LlamaIndex does for one of the eight calls, because its events,
spans and callbacks hold the arguments of a call, an API key among them too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from llama_index.core.base.llms.base import BaseLLM

from dashscope_oss import ConfigurationError
from llama_index_dashscope_oss._settings.aliases import object_settings, with_extra_body

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
_IMAGE_DOCUMENTS = "image_documents"
_NO_IMAGE_DOCUMENTS = (
    "image_documents is an argument of LlamaIndex's older classes for images, so nothing was sent; "
    "put the images into the message: "
    "llm.chat([ChatMessage(blocks=[ImageBlock(path=...), TextBlock(text=...)])])"
)


def refuse_settings_in_calls(cls: LLMClass) -> LLMClass:
    """Make the eight methods of ``cls`` raise for arguments that are settings of the object."""
    for name in _METHODS:
        method = getattr(cls, name)
        guarded = _guarded(method)
        # LlamaIndex asks for it with each call; to follow the wrappers costs more than they do.
        guarded.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        setattr(cls, name, guarded)
    return cls


def _refuse_arguments(llm: BaseLLM, arguments: Mapping[str, object]) -> None:
    """Raise if one of a call's arguments is a setting of the object; never show its value.

    Raises:
        ConfigurationError: naming the first of them; also for the images of older classes.
    """
    if _IMAGE_DOCUMENTS in arguments:
        raise ConfigurationError(_NO_IMAGE_DOCUMENTS)
    settings = object_settings(type(llm))
    refused = sorted(name for name in with_extra_body(arguments) if name in settings)
    if refused:
        raise ConfigurationError(
            f"{refused[0]} is a setting of the object, not of a call, so nothing was sent; make a "
            f"copy that has it: llm.model_copy(update={{{settings[refused[0]]!r}: ...}})"
        )


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(inspect.unwrap(method)):

        @wraps(method)
        async def guarded_async(self: BaseLLM, *args: object, **kwargs: object) -> object:
            _refuse_arguments(self, kwargs)
            return await method.__get__(self)(*args, **kwargs)

        return guarded_async

    @wraps(method)
    def guarded(self: BaseLLM, *args: object, **kwargs: object) -> object:
        _refuse_arguments(self, kwargs)
        # Bound first: LlamaIndex asks for the signature, which costs twice as much unbound.
        return method.__get__(self)(*args, **kwargs)

    return guarded
