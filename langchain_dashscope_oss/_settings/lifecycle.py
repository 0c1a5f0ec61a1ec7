"""What a model object makes of its settings and keeps: its clients, and what is computed once.

Both are made when first needed and forgotten when a setting changes. They are never copied or
pickled: connections belong to one object in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import SecretStr

from dashscope_oss.tokens.rate_limits import rate_limits_of
from dashscope_oss.transport.async_client import AsyncClient
from dashscope_oss.transport.client import Client
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.options import (
    CONNECTION_SETTINGS,
    SHARED_SETTINGS,
    UNPICKLED_SETTINGS,
    ClientOptions,
)
from langchain_dashscope_oss._settings.changes import checked_changes, checked_value
from langchain_dashscope_oss._settings.fields import Settings
from langchain_dashscope_oss._settings.names import fields_by_alias
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

# Names of cached properties. LangChain caches its serialised form under a private name, which would
# go stale when a setting changes.
_CONNECTIONS = ("_endpoint", "_client", "_async_client")
_COMPUTED = ("_serialized", "_computed_defaults")
_CACHES = (*_CONNECTIONS, *_COMPUTED)


class Lifecycle(Settings):
    """Clients, copies, pickles and changes of a model object."""

    def close(self) -> None:
        """Close the connections of sync calls; the next call opens new ones."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the async connections of the running event loop."""
        await self._async_client.aclose()

    @cached_property
    def _endpoint(self) -> Endpoint:
        return Endpoint.resolve(
            base_url=self.base_url,
            region=self.region,
            api_key=self.api_key,
            workspace=self.workspace,
        )

    @cached_property
    def _client(self) -> Client:
        return Client(self._endpoint, self._client_options)

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(self._endpoint, self._client_options)

    @property
    def _client_options(self) -> ClientOptions:
        return ClientOptions.of(self, "LangChain", rate_limits_of(self))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the settings in ``update``, which may be named by their aliases.

        Raises:
            ConfigurationError: for a name that is no setting, or a value that it cannot have.
        """
        with raising_langchain_errors():
            changed = checked_changes(type(self), update or {})
        return super().model_copy(update=changed, deep=deep)

    def __setattr__(self, name: str, value: object) -> None:
        field = fields_by_alias(type(self)).get(name, name)
        with raising_langchain_errors():
            checked = checked_value(type(self), field, value)
        super().__setattr__(field, checked)
        forget_cached(self, _CACHES if field in CONNECTION_SETTINGS else _COMPUTED)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        forget_cached(copied, _CACHES)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Open connections cannot be copied: the copy shares the caller's clients and makes its
        # own of all others.
        shared = memo if memo is not None else {}
        for name in (*SHARED_SETTINGS, *_CACHES):
            if (value := self.__dict__.get(name)) is not None:
                shared[id(value)] = value
        copied = super().__deepcopy__(shared)
        forget_cached(copied, _CACHES)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        kept = {name: value for name, value in self.__dict__.items() if name not in _CACHES}
        kept.update(dict.fromkeys(UNPICKLED_SETTINGS))
        if isinstance(self.api_key, SecretStr):
            kept["api_key"] = None
        return {**state, "__dict__": kept}


def forget_cached(settings: Settings, names: Iterable[str]) -> None:
    """Drop cached properties; the next access computes them anew."""
    for name in names:
        settings.__dict__.pop(name, None)
