"""The base of both model classes."""

from __future__ import annotations

from langchain_dashscope_oss._settings.call_options import CallOptions
from langchain_dashscope_oss._settings.names import constructor_arguments
from langchain_dashscope_oss._settings.token_counts import TokenCounts
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors


class DashScopeModel(CallOptions, TokenCounts):
    """Settings, clients, options of a call and token counts of a model object.

    Raises:
        ConfigurationError: for settings with which no call could be made.
    """

    def __init__(self, **arguments: object) -> None:
        # Not in a validator: pydantic would turn our errors into its own.
        with raising_langchain_errors():
            super().__init__(**constructor_arguments(type(self), arguments))
            self._find_model_info()
            _ = self._client_options, self._endpoint
