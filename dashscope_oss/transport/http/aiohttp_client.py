"""asyncio calls over aiohttp, for many calls at once. It needs the extra ``aiohttp``."""

from __future__ import annotations

from typing import Any
from urllib.request import getproxies

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.transport.http.connection_queue import ConnectionQueue
from dashscope_oss.transport.http.connections import (
    DEFAULT_MAX_CONNECTIONS,
    no_cookies,
    trusted_tls,
)
from dashscope_oss.transport.http.timeouts import checked_timeouts

try:
    import aiohttp
    from httpx_aiohttp.httpx2 import AiohttpTransport, Httpx2AiohttpClient
except ImportError as error:
    raise ConfigurationError(
        "the aiohttp client needs an extra of this package: pip install 'dashscope-oss[aiohttp]'"
    ) from error

import httpx2

_OF_CONNECTIONS = {"cert", "limits", "timeout", "trust_env", "verify"}
"""Settings that say how to connect, and nothing of what is sent."""


class DefaultAioHttpClient(Httpx2AiohttpClient):
    """An HTTP client for asyncio on aiohttp, which needs less CPU per call than the default.

    Pass it to a model, which uses it for its async methods::

        llm = ChatDashScopeOSS(model="glm-5", http_async_client=DefaultAioHttpClient())

    It serves one event loop, and whoever made it closes it (``await client.aclose()``).
    docs/scale/reliability.md says in what else it differs from the default.

    Args:
        max_connections: connections open at once; further calls wait for a free one.
        **settings: those of ``httpx2.AsyncClient``.
    """

    def __init__(self, *, max_connections: int = DEFAULT_MAX_CONNECTIONS, **settings: Any) -> None:  # noqa: ANN401 - httpx2's own
        settings.setdefault("timeout", checked_timeouts(None))
        settings.setdefault("verify", trusted_tls())
        limits = settings.setdefault(
            "limits",
            httpx2.Limits(
                max_connections=max_connections, max_keepalive_connections=max_connections
            ),
        )
        self.connection_queue = ConnectionQueue(limits.max_connections)
        self._direct: AiohttpTransport | None = None
        is_plain = type(self) is DefaultAioHttpClient and settings.keys() <= _OF_CONNECTIONS
        if is_plain and getproxies().keys() <= {"no"}:
            of_transport = {name: settings[name] for name in settings if name != "timeout"}
            settings["transport"] = self._direct = _Transport(self.connection_queue, **of_transport)
        super().__init__(**{"cookies": no_cookies(), **settings})
        self._made_with = self._additions()

    @property
    def direct_transport(self) -> httpx2.AsyncBaseTransport | None:
        """What sends its requests, if the client would add nothing to them."""
        unchanged = self._additions() == self._made_with
        return self._direct if unchanged and not self.is_closed else None

    def _additions(self) -> tuple[object, ...]:
        hooks = [*self.event_hooks["request"], *self.event_hooks["response"]]
        return self.auth, hooks, self.params, self.headers.raw, len(self.cookies.jar)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401 - httpx2's own
        """Send a request; an answer that aiohttp cannot read is an error of the connection."""
        try:
            return await super().send(request, **options)
        except aiohttp.ClientError as error:
            unreadable = _unreadable(error)
        raise unreadable  # here, for aiohttp's error holds the headers of the request, with the key


class _Transport(AiohttpTransport):
    """The client's transport, for calls that need nothing else of the client."""

    def __init__(self, connection_queue: ConnectionQueue, **settings: Any) -> None:  # noqa: ANN401 - httpx-aiohttp's own
        super().__init__(**settings)
        self.connection_queue = connection_queue

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await super().handle_async_request(request)
        except aiohttp.ClientError as error:
            unreadable = _unreadable(error)
        raise unreadable  # see DefaultAioHttpClient.send


def _unreadable(error: aiohttp.ClientError) -> httpx2.RemoteProtocolError:
    # httpx-aiohttp leaves some errors of aiohttp as they are.
    return httpx2.RemoteProtocolError(str(error))
