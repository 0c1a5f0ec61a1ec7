"""How calls are made: time limits, retries, connections. One value, from any adapter down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import TYPE_CHECKING, TypeAlias

import httpx2

from dashscope_oss.errors import ConfigurationError, DashScopeError
from dashscope_oss.messages import Usage
from dashscope_oss.protocol.request import Request
from dashscope_oss.transport.endpoint import Endpoint
from dashscope_oss.transport.http.connections import DEFAULT_MAX_CONNECTIONS, check_connections
from dashscope_oss.transport.http.timeouts import Timeout, check_seconds, checked_timeouts

if TYPE_CHECKING:
    from dashscope_oss.tokens.rate_limits import RateLimits
    from dashscope_oss.tokens.usage_table import UsageTable

DEFAULT_TOTAL_FACTOR = 4
"""Times ``timeout``: the default of ``total_timeout``."""
DEFAULT_MAX_RETRIES = 2

OnAnswer: TypeAlias = Callable[[Request, Usage | None, str], None]
"""Called once for each answer that is complete: the call, its token counts, its text."""

OnRetry: TypeAlias = Callable[[int, DashScopeError, float], None]
"""Called before each retry: number of the failed try, its error, seconds until the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How :class:`Client` and :class:`AsyncClient` make their calls.

    Attributes:
        timeout: seconds to wait for the next piece of an answer; 300 if ``None``. Connecting may
            take 10 of them at most. Or all four limits, as an ``httpx2.Timeout`` or a tuple:
            connect, read, write, pool.
        total_timeout: seconds for a whole answer, with its retries and the waits between them; for
            a stream, seconds until its next piece, however slowly the bytes arrive. Four times
            ``timeout`` if ``None``. A stream that keeps flowing is never cut.
        max_retries: tries after the first, for errors that waiting can cure. With 0 the service
            never receives a call twice.
        max_connections: connections open at once; further calls wait for a free one.
        default_headers: sent with every call. They may hold secrets and are never shown.
        on_retry: called before every retry.
        on_answer: called when an answer is complete, whole or streamed.
        usage_table: where the tokens of all answers are counted.
        framework: where the calls are made, for the usage table.
        http_client: an ``httpx2.Client`` of yours for blocking calls. It is used as it is and never
            closed here; ``total_timeout`` is then checked between its reads only.
        http_async_client: an ``httpx2.AsyncClient`` of yours; one serves one event loop only.

    Raises:
        ConfigurationError: if a value cannot be used.
    """

    timeout: Timeout | None = None
    total_timeout: float | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    max_connections: int = DEFAULT_MAX_CONNECTIONS
    default_headers: Mapping[str, str] | None = field(default=None, repr=False)
    on_retry: OnRetry | None = None
    on_answer: OnAnswer | None = None
    usage_table: UsageTable | None = None
    framework: str = "client"
    http_client: httpx2.Client | None = None
    http_async_client: httpx2.AsyncClient | None = None

    def __post_init__(self) -> None:
        checked_timeouts(self.timeout)
        check_seconds("total_timeout", self.total_timeout)
        check_connections(self.max_connections)
        _check_headers(self.default_headers or {})
        _check_http_client("http_client", self.http_client, httpx2.Client)
        _check_http_client("http_async_client", self.http_async_client, httpx2.AsyncClient)

    @classmethod
    def of(cls, model: object, framework: str, rate_limits: RateLimits | None) -> ClientOptions:
        """Return the options that a model object holds in its attributes of the same names.

        ``rate_limits`` counts the answers to its calls.
        """
        attributes = vars(model)
        values = {name: attributes.get(name) for name in _NAMES}
        values["framework"] = framework
        values["on_answer"] = rate_limits and rate_limits.count_answer
        return cls(**{name: value for name, value in values.items() if value is not None})

    @property
    def timeouts(self) -> httpx2.Timeout:
        """The four limits that ``timeout`` stands for."""
        return checked_timeouts(self.timeout)

    @property
    def total_seconds(self) -> float | None:
        """Seconds for a whole answer, ``None`` if there is no limit."""
        if self.total_timeout is not None:
            return self.total_timeout
        read_limit = self.timeouts.read
        return None if read_limit is None else DEFAULT_TOTAL_FACTOR * read_limit


_NAMES = tuple(f.name for f in fields(ClientOptions))
CONNECTION_SETTINGS = {*_NAMES, *signature(Endpoint.resolve).parameters, "rate_limiter"}
"""Settings of a model object that its clients are made of: when one changes, they are made anew."""
SHARED_SETTINGS = ("http_client", "http_async_client", "usage_table", "rate_limiter")
"""Connections and counts: a deep copy of a model object has them in common with its original."""
UNPICKLED_SETTINGS = ("default_headers", "http_client", "http_async_client", "usage_table")
"""Secrets, connections and counts: no dump and no pickle has them."""


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ConfigurationError(f"{name!r:.100} cannot be the name of an HTTP header")
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise ConfigurationError(
                f"the value of the header {name!r} is not plain ASCII text, or holds a line break"
            )


def _check_http_client(name: str, client: object, kind: type) -> None:
    if client is None or isinstance(client, kind):
        return
    client_class = type(client)
    package = client_class.__module__.partition(".")[0]
    reason = " of httpx, which this package does not use" if package == "httpx" else ""
    raise ConfigurationError(
        f"{name} is a {package}.{client_class.__name__}{reason}; pass an httpx2.{kind.__name__}"
    )
