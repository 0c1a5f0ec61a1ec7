"""The HTTP connection to an upstream, and what its failures mean to callers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.engines.openai.response_body import read_body
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.engines.openai.upstream_error import UNREADABLE, describe
from dashscope_oss.gateway.interface.api_error import AnswerBrokenOff, APIError, ModelUnavailable
from dashscope_oss.transport.endpoint import checked_url
from dashscope_oss.transport.http.connections import no_cookies, trusted_tls

_STALLED = (500, "RequestTimeOut", "Request timed out, try again later.")
_CONNECT_TIMEOUT = 10.0
# Seconds that an idle connection is kept. vLLM, SGLang and llama.cpp close theirs after five: a
# call that is sent as its connection closes is lost, because it may have been read and is
# therefore not sent again.
_KEEP_ALIVE = 3.0
_STALL_ERRORS = (httpx2.ReadTimeout, httpx2.WriteTimeout, TimeoutError)
_CONNECT_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout)


class UpstreamClient:
    """Sends requests to one upstream; belongs to the event loop in which it is first used.

    The number of connections is not limited: the engine behind it queues requests better.

    Args:
        upstream: the server.
        keep_alive: whether connections are kept for the next request.

    Raises:
        ConfigurationError: if the address is not one, or the authorities that the environment
            names cannot be read.
    """

    def __init__(self, upstream: Upstream, *, keep_alive: bool = True) -> None:
        url = httpx2.URL(checked_url(upstream.url, "--upstream", like="http://HOST:8000/v1"))
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {upstream.api_key}"} if upstream.api_key else {},
            timeout=httpx2.Timeout(upstream.timeout, connect=_CONNECT_TIMEOUT),
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=None if keep_alive else 0,
                keepalive_expiry=_KEEP_ALIVE,
            ),
            # Loading the authorities takes tens of milliseconds; only TLS needs them.
            verify=trusted_tls()
            if url.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,
            # No cookie is kept: a balancer in front of several servers would use it to send all
            # callers to the same one.
            cookies=no_cookies(),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body; a path with a leading slash counts from the server's root.

        Raises:
            httpx2.HTTPError: if there is no answer.
        """
        request = self._http.build_request("GET", self._http.base_url.join(path))
        response = await self._http.send(request, stream=True)
        try:
            return response.status_code, await read_body(response)
        finally:
            await response.aclose()

    @asynccontextmanager
    async def post(self, path: str, content: bytes) -> AsyncGenerator[httpx2.Response, None]:
        """Send a JSON body below the base URL; the value is the answer, whatever its status.

        A request is sent once: httpx2 does not repeat one of which a byte has been written.

        Raises:
            APIError: if the server cannot be reached, stalls or breaks off, while the request is
                sent or while the answer is read.
        """
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request("POST", path, content=content, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            raise _to_api_error(error) from error
        except ProtocolError as error:
            raise APIError(*UNREADABLE) from error


def _to_api_error(error: Exception) -> APIError:
    if isinstance(error, _STALL_ERRORS):
        return APIError(*_STALLED, cause=describe(error))
    if isinstance(error, _CONNECT_ERRORS):
        return ModelUnavailable(cause=describe(error))
    return AnswerBrokenOff(cause=describe(error))
