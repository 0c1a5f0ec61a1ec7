"""One HTTP request, as it arrives."""

from __future__ import annotations

import time
import uuid
from functools import cached_property
from urllib.parse import parse_qs

from dashscope_oss.gateway.http.asgi import Message, Receive, Scope
from dashscope_oss.gateway.interface.api_error import MAX_BODY_BYTES, APIError, BodyTooLarge


class HttpRequest:
    """One HTTP request.

    Attributes:
        method: in capitals.
        path: without a slash at its end.
        request_id: new and unique; the answer's header and body show it.
        began_at: when it came, in seconds of ``time.perf_counter``.
        disconnected: whether the caller left before the end of the answer.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"].rstrip("/") or "/"
        self.request_id = str(uuid.uuid4())
        self.began_at = time.perf_counter()
        self.disconnected = False

    @cached_property
    def headers(self) -> dict[str, str]:
        """Headers; their names are in lower case."""
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self._scope["headers"]
        }

    @cached_property
    def query(self) -> dict[str, str]:
        """The URL's query; of a name that occurs several times, the first value."""
        query = parse_qs(self._scope["query_string"].decode("latin-1"))
        return {name: values[0] for name, values in query.items()}

    @property
    def server_address(self) -> str:
        """The server's own IP address at which the call arrived; "" if it has none."""
        address, port = self._scope.get("server") or ("", None)
        return "" if port is None else str(address)

    @property
    def client_address(self) -> str:
        """The IP address from which the call came: of a proxy, if there is one; "" if unknown."""
        return str((self._scope.get("client") or ("",))[0])

    @cached_property
    def wants_stream(self) -> bool:
        """Whether the caller wants events; either of two headers says so."""
        has_sse_header = self.headers.get("x-dashscope-sse", "").lower() == "enable"
        return has_sse_header or "text/event-stream" in self.headers.get("accept", "")

    @property
    def announced_size(self) -> int:
        """The size of the body in bytes, if the caller announces it; else 0."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isdecimal() else 0

    async def body(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            APIError: if it is longer than ``max_bytes``, or the caller left in its middle.
        """
        message = await self._receive_part()
        part: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return _limited(part, max_bytes)
        body = bytearray(part)
        while message.get("more_body"):
            message = await self._receive_part()
            body += _limited(message.get("body", b""), max_bytes - len(body))
        return bytes(body)

    async def wait_for_disconnect(self) -> None:
        """Return when the caller has left, or when its answer is complete: ASGI tells no more."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _receive_part(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            raise APIError(
                400, "ClientDisconnect", "The client disconnected before its request was complete."
            )
        return message


def _limited(part: bytes, max_bytes: int) -> bytes:
    if len(part) > max_bytes:
        raise BodyTooLarge
    return part
