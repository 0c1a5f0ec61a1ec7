"""Sending a request to an upstream, and what a failure on the way means to callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2

from dashscope_oss.errors import ProtocolError
from dashscope_oss.gateway.engines.openai.connections import Connections
from dashscope_oss.gateway.engines.openai.response_body import read_body
from dashscope_oss.gateway.engines.openai.upstream import Upstream
from dashscope_oss.gateway.engines.openai.upstream_error import UNREADABLE, describe, one_line
from dashscope_oss.gateway.interface.api_error import AnswerBrokenOff, APIError, ModelUnavailable

_STALLED = (500, "RequestTimeOut", "Request timed out, try again later.")
_STALL_ERRORS = (httpx2.ReadTimeout, httpx2.WriteTimeout, TimeoutError)
_CONNECT_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout)


class UpstreamClient:
    """Sends requests to one upstream.

    Args:
        upstream: the server.
        keep_alive: whether connections are kept for the next request.

    Raises:
        ConfigurationError: if the upstream's URL is wrong, or the authorities that the
            environment names cannot be read.
    """

    def __init__(self, upstream: Upstream, *, keep_alive: bool) -> None:
        self._connections = Connections(upstream, keep_alive=keep_alive)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def get(self, path: str) -> tuple[int, bytes, str]:
        """Return status, body, and, of a redirect, a hint that says where it leads.

        A path with a leading slash counts from the server's root.

        Raises:
            httpx2.HTTPError: if there is no answer.
        """
        async with self._connections.client() as http:
            request = http.build_request("GET", http.base_url.join(path))
            response = await http.send(request, stream=True)
            try:
                return response.status_code, await read_body(response), redirect_hint(response)
            finally:
                await response.aclose()

    @asynccontextmanager
    async def post(
        self, path: str, content: bytes, request_id: str
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a JSON body below the base URL; the value is the answer, whatever its status.

        A request is sent once: httpx2 does not repeat one of which a byte has been written. Its id
        goes along, so that it is found in the server's log; vLLM takes it for its own.

        Raises:
            APIError: if the server cannot be reached, stalls or breaks off, while the request is
                sent or while the answer is read.
        """
        headers = {"Content-Type": "application/json"}
        if request_id:
            headers["X-Request-Id"] = request_id
        try:
            async with self._connections.client() as http:
                request = http.build_request("POST", path, content=content, headers=headers)
                response = await http.send(request, stream=True)
                try:
                    yield response
                finally:
                    await response.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            raise _to_api_error(error) from error
        except ProtocolError as error:
            raise APIError(*UNREADABLE, cause=error.message) from error


def redirect_hint(response: httpx2.Response) -> str:
    """Return, of a redirect, what the operator is to know of it; "" of any other answer."""
    if not response.has_redirect_location:
        return ""
    location = one_line(response.headers["location"])
    return f" (it redirects to {location}, and no redirect is followed: correct the url)"


def _to_api_error(error: Exception) -> APIError:
    if isinstance(error, _STALL_ERRORS):
        return APIError(*_STALLED, cause=describe(error))
    if isinstance(error, _CONNECT_ERRORS):
        return ModelUnavailable(cause=describe(error))
    return AnswerBrokenOff(cause=describe(error))
