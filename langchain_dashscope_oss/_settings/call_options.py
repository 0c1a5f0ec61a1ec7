"""What one call asks for: the object's settings, with the arguments of the call over them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any

from dashscope_oss.messages import OPTION_NAMES, Options
from dashscope_oss.registry.model_info import ModelInfo
from langchain_dashscope_oss._settings.lifecycle import Lifecycle, forget_cached
from langchain_dashscope_oss._settings.names import call_arguments, refuse_settings
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

_CALL_SETTINGS = (
    "model",
    "estimate_usage",
    "split_think",
    "media_options",
    "cache_system_prompt",
)
"""Settings that a call may override though they are no parameters."""
_SWITCHES = ("estimate_usage", "split_think", "strict_params")
"""Settings that are not sent, but change an answer or whether there is one."""


class CallOptions(Lifecycle):
    """The options of a call, and what caches and traces must know of them."""

    def _call_options(
        self, stop: list[str] | None, arguments: Mapping[str, Any]
    ) -> tuple[ModelInfo, Options]:
        """Return which model a call with these keyword arguments asks, and with what options."""
        by_field = self._call_arguments(arguments)
        model_info = self._find_model_info(by_field.pop("model", None))
        by_field.pop("stream", None)  # LangChain's own switch
        if stop is not None:
            by_field["stop"] = stop
        return model_info, self._defaults.merged(by_field)

    def _call_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by field; settings of the object are refused.

        Callbacks and traces see these arguments, so this is called before a run starts.
        """
        by_field = call_arguments(type(self), arguments)
        allowed = (*_CALL_SETTINGS, *self._call_settings)
        others = {name: by_field[name] for name in by_field if name not in allowed}
        refuse_settings(type(self), others)
        return by_field

    def _trace_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by field, for LangChain's ``_get_ls_params``."""
        with raising_langchain_errors():
            by_field = self._call_arguments(arguments)
        by_field.pop("stop", None)
        return by_field

    def _trace_stop(self, stop: list[str] | None) -> list[str] | None:
        """Return the stop sequences of a call for LangChain's traces, which know texts only."""
        sequences = stop if stop is not None else self.stop
        if isinstance(sequences, str):
            return [sequences]
        if not isinstance(sequences, list | tuple):
            return []  # nothing, or what the core refuses
        return [text for text in sequences if isinstance(text, str)]

    @property
    def _defaults(self) -> Options:
        """What every call asks for: computed once, and anew if ``model_kwargs`` was changed."""
        model_kwargs, options = self._computed_defaults
        if model_kwargs == self.model_kwargs:
            return options
        forget_cached(self, ["_computed_defaults"])
        return self._computed_defaults[1]

    @cached_property
    def _computed_defaults(self) -> tuple[dict[str, Any], Options]:
        model_kwargs = deepcopy(self.model_kwargs)
        options = Options.of(self).merged({"strict": self.strict_params, **model_kwargs})
        return model_kwargs, options

    def _answer_identity(self) -> dict[str, Any]:
        """Return all that decides an answer, for caches and traces; never the key."""
        defaults = self._defaults
        options = {name: getattr(defaults, name) for name in OPTION_NAMES}
        # LangChain writes the stop of the call over "stop", which would hide this object's.
        options["stop_sequences"] = options.pop("stop")
        model_info = {"model_info": repr(self.model_info)} if self.model_info else {}
        switches: dict[str, Any] = {name: True for name in _SWITCHES if getattr(self, name, False)}
        if self.media_options:
            switches["media_options"] = self.media_options
        send_reasoning = getattr(self, "send_reasoning", None)  # the chat model has it
        if send_reasoning is not None:
            switches["send_reasoning"] = send_reasoning
        return {
            "model": self.model,
            "base_url": self._endpoint.base_url,
            "workspace": self._endpoint.workspace,
            **{name: value for name, value in options.items() if value is not None},
            **defaults.extra,
            **model_info,
            **switches,
        }
