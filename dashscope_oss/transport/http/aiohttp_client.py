"""asyncio calls over aiohttp, for many calls at once. It needs the extra ``aiohttp``."""

from __future__ import annotations

import ssl
from typing import Any

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.transport.http.connection_queue import ConnectionQueue
from dashscope_oss.transport.http.connections import (
    DEFAULT_MAX_CONNECTIONS,
    check_connections,
    no_cookies,
    proxy_for,
    trusted_tls,
    usable_proxy,
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

_OF_CONNECTIONS = {"cert", "trust_env", "verify"}
"""Settings of httpx2's that say whom to trust."""


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
        limits: httpx2.Limits = settings.get("limits") or httpx2.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        )
        if limits.max_connections is not None:
            check_connections(limits.max_connections)
        self.connection_queue = ConnectionQueue(limits.max_connections)
        proxy = settings.pop("proxy", None)
        of_connections = {name: settings[name] for name in _OF_CONNECTIONS & settings.keys()}
        transport = _Transport(self.connection_queue, limits, proxy=proxy, **of_connections)
        sends_more = settings.keys() - _OF_CONNECTIONS - {"limits", "timeout"}
        self._direct = None if sends_more else transport
        defaults: dict[str, Any] = {
            "transport": transport,
            "timeout": checked_timeouts(None),
            "cookies": no_cookies(),
        }
        super().__init__(**defaults | settings)
        self._made_with = self._additions()

    @property
    def direct_transport(self) -> httpx2.AsyncBaseTransport | None:
        """What sends its requests, if the client would add nothing to them."""
        unchanged = self._additions() == self._made_with
        return self._direct if unchanged and not self.is_closed else None

    def _additions(self) -> tuple[object, ...]:
        hooks = [*self.event_hooks["request"], *self.event_hooks["response"]]
        sent_by = httpx2.AsyncClient.send, vars(self).get("send")  # tracers may replace them
        return self.auth, hooks, self.params, self.headers.raw, len(self.cookies.jar), sent_by


class _Transport(httpx2.AsyncBaseTransport):
    """Sends requests over aiohttp: directly, or through the proxy that the environment names."""

    def __init__(
        self,
        connection_queue: ConnectionQueue,
        limits: httpx2.Limits,
        *,
        verify: ssl.SSLContext | str | bool | None = None,
        cert: Any = None,  # noqa: ANN401 - httpx2's own
        trust_env: bool = True,
        proxy: str | httpx2.URL | httpx2.Proxy | None = None,
    ) -> None:
        self.connection_queue = connection_queue
        self._limits = limits
        self._tls = (
            trusted_tls()
            if verify is None and cert is None
            else httpx2.create_ssl_context(True if verify is None else verify, cert, trust_env)
        )
        self._trusts_environment = trust_env
        self._proxy = httpx2.Proxy(proxy) if isinstance(proxy, str | httpx2.URL) else proxy
        self._is_closed = False
        self._by_proxy: dict[str, AiohttpTransport] = {}
        self._by_place: dict[tuple[str, str], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; an answer that aiohttp cannot read is an error of the connection."""
        place = request.url.scheme, request.url.host
        transport = self._by_place.get(place) or self._open(place, request.url)
        try:
            return await transport.handle_async_request(request)
        except aiohttp.ClientError as error:  # httpx-aiohttp leaves some of them as they are
            unreadable = httpx2.RemoteProtocolError(str(error))
        raise unreadable  # here, for aiohttp's error holds the headers of the request, with the key

    async def aclose(self) -> None:
        """Close all connections; whatever is sent later raises ``RuntimeError``."""
        self._is_closed = True
        self._by_place.clear()
        while self._by_proxy:
            await self._by_proxy.popitem()[1].aclose()

    def _open(self, place: tuple[str, str], url: httpx2.URL) -> AiohttpTransport:
        if self._is_closed:  # calls that wait for their turn learn of it here
            raise RuntimeError("it has been closed")
        proxy = self._proxy
        with usable_proxy():
            if proxy is None and self._trusts_environment:
                proxy = proxy_for(str(url))
        name = str(proxy.url) if proxy else ""
        if name not in self._by_proxy:
            self._by_proxy[name] = AiohttpTransport(
                verify=self._tls, proxy=proxy, client=self._session
            )
        self._by_place[place] = self._by_proxy[name]
        return self._by_place[place]

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            limit=self._limits.max_connections or 0,
            keepalive_timeout=self._limits.keepalive_expiry,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
