"""The HTTP connections to one upstream.

Each request has a connection to itself until its answer ends, and an engine takes hundreds of
requests at once. For each request httpx2 looks at all connections of a client, so the requests
are spread over clients of a few connections each. How many there are in all is not limited: the
engine queues requests better than the gateway could.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.transport.endpoint import checked_url
from dashscope_oss.transport.http.connections import no_cookies, trusted_tls

MAX_REQUESTS_PER_CLIENT = 20
_CONNECT_TIMEOUT = 10.0
# Seconds that an idle connection is kept: less than the five after which vLLM and SGLang close it.
# A request that is sent as its connection closes is lost, because the server may have read it.
_KEEP_ALIVE = 3.0


@dataclass(slots=True, eq=False)
class _SharedClient:
    http: httpx2.AsyncClient
    requests: int = 0


class Connections:
    """Lends clients for single requests; belongs to the event loop in which it is first used.

    Args:
        upstream: the server.
        keep_alive: whether connections are kept for the next request.

    Raises:
        ConfigurationError: if the upstream's URL is wrong, or the authorities that the
            environment names cannot be read.
    """

    def __init__(self, upstream: Upstream, *, keep_alive: bool) -> None:
        self._upstream = upstream
        self._keep_alive = keep_alive
        self._url = httpx2.URL(checked_url(upstream.url, "--upstream", like="http://HOST:8000/v1"))
        # Loading the authorities takes tens of milliseconds; only TLS needs them.
        is_secure = self._url.scheme == "https"
        self._tls = trusted_tls() if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._clients: list[_SharedClient] = []

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[httpx2.AsyncClient, None]:
        """Lend a client for one request; its base URL is the upstream's."""
        shared = next((c for c in self._clients if c.requests < MAX_REQUESTS_PER_CLIENT), None)
        if shared is None:
            shared = _SharedClient(self._open())
            self._clients.append(shared)
        shared.requests += 1
        try:
            yield shared.http
        finally:
            shared.requests -= 1
            # Of the clients without requests only the first is kept for the next ones.
            if not shared.requests and shared in self._clients[1:]:
                self._clients.remove(shared)
                await shared.http.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, []
        for shared in clients:
            await shared.http.aclose()

    def _open(self) -> httpx2.AsyncClient:
        key = self._upstream.api_key
        return httpx2.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(self._upstream.timeout, connect=_CONNECT_TIMEOUT),
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=None if self._keep_alive else 0,
                keepalive_expiry=_KEEP_ALIVE,
            ),
            verify=self._tls,
            trust_env=False,
            # Cookies would let a balancer in front of several servers send all callers to one.
            cookies=no_cookies(),
        )
