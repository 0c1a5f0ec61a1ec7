"""asyncio calls over aiohttp, for many calls at once. It needs the extra ``aiohttp``."""

from __future__ import annotations

from typing import Any

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
    from httpx_aiohttp.httpx2 import Httpx2AiohttpClient
except ImportError as error:
    raise ConfigurationError(
        "the aiohttp client needs an extra of this package: pip install 'dashscope-oss[aiohttp]'"
    ) from error

import httpx2


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
        settings.setdefault("cookies", no_cookies())
        limits = httpx2.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        )
        settings = {"limits": limits, **settings}
        super().__init__(**settings)
        self.connection_queue = ConnectionQueue(settings["limits"].max_connections)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401 - httpx2's own
        """Send a request; an answer that aiohttp cannot read is an error of the connection."""
        try:
            return await super().send(request, **options)
        except aiohttp.ClientError as error:  # httpx-aiohttp leaves some of them as they are
            unreadable = httpx2.RemoteProtocolError(str(error), request=request)
        raise unreadable  # here, for aiohttp's error holds the headers of the request, with the key
