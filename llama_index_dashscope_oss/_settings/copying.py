"""Copies and pickles of a model object: copies share its clients, pickles hold no secret."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

from dashscope_oss.transport.options import SHARED_SETTINGS, UNPICKLED_SETTINGS
from llama_index_dashscope_oss._settings.aliases import rename_to_fields
from llama_index_dashscope_oss._settings.derived import ConfiguredLLM
from llama_index_dashscope_oss._settings.fields import LLMSettings

_SHARED = ("api_key", "default_headers", *SHARED_SETTINGS)
"""What a deep copy has in common with its original."""
_UNPICKLED = ("api_key", *UNPICKLED_SETTINGS, "rate_limiter", "callback_manager")


class CopyableLLM(ConfiguredLLM):
    """A model that can be copied with changes, copied deeply, and pickled."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the settings in ``update``, which may be named by their aliases.

        Raises:
            ConfigurationError: for a name that is no setting, or two names of one.
            ValidationError: pydantic's, for a value that a setting cannot have.
        """
        changed = rename_to_fields(type(self), update or {})
        copied = super().model_copy(deep=deep)
        for name, value in changed.items():  # pydantic's own method does not check them
            LLMSettings.__setattr__(copied, name, value)
        copied._follow(changed)  # noqa: SLF001 - of this class; once all have changed
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # HTTP clients of the caller's cannot be copied; the copy goes on with the same ones.
        settings = {
            name: value if name in _SHARED else deepcopy(value, memo)
            for name, value in self.__dict__.items()
        }
        return type(self)(**settings)

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex's own method removes what cannot be pickled from the object itself.
        kept = {name: value for name, value in self.__dict__.items() if name not in _UNPICKLED}
        if callable(self.api_key):
            kept["api_key"] = self.api_key
        return {"__dict__": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["__dict__"])  # type: ignore[misc]  # as LlamaIndex does
