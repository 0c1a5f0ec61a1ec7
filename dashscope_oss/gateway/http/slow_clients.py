"""Closes connections of clients that do not send their request, or do not read their answer.

uvicorn limits how large a request's head may be and how long an idle connection is kept. It sets
no limit to a client that sends a head byte by byte, or that stops reading: either would hold a
connection, or an engine, for ever. The timers here stand around uvicorn's protocol and know only
asyncio's transports and protocols, and ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from dashscope_oss.gateway.http.asgi import Application, Message, Receive, Scope, Send


class SlowClientGuard:
    """An ASGI application around ``app`` that aborts the connections of slow clients.

    It sees requests as an application, and connections through :meth:`around`; a server needs
    both. How long a body may take is limited by ``app``, which can still answer then.

    Args:
        app: what answers.
        seconds: how long the head of a request may take, and how long an answer may wait for its
            client to read on.
    """

    def __init__(self, app: Application, seconds: float) -> None:
        self.seconds = seconds
        self._app = app
        self._connections: dict[object, _GuardedConnection] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection = self._connections.get(_address(scope.get("client")))
        if connection is None:  # the server's own start and stop, or a client that has left
            await self._app(scope, receive, send)
            return
        connection.request_began()

        def watched_send(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                connection.request_ended()
            return send(message)

        await self._app(scope, receive, watched_send)

    def around(self, protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
        """Return a protocol that hands everything on to one of ``protocol``, and keeps the time."""
        seconds, connections = self.seconds, self._connections

        class Guarded(_GuardedConnection):
            def __init__(self, **arguments: object) -> None:
                create = cast("Callable[..., asyncio.Protocol]", protocol)
                super().__init__(create(**arguments), seconds, connections)

        return Guarded


class _GuardedConnection(asyncio.Protocol):
    """One client's connection: the server's protocol and two timers.

    Args:
        protocol: speaks HTTP.
        seconds: how long either timer runs.
        connections: all that are open, by the client's address.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        seconds: float,
        connections: dict[object, _GuardedConnection],
    ) -> None:
        self._protocol = protocol
        self._connections = connections
        self._answering = False
        self._sends_head = _Timer(seconds)
        self._reads_answer = _Timer(seconds)

    def request_began(self) -> None:
        """Wait for the application: the head of its request is here."""
        self._answering = True
        self._sends_head.stop()

    def request_ended(self) -> None:
        """Wait for the client again, once it sends more; until then uvicorn's keep-alive counts."""
        self._answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._abort = cast("asyncio.WriteTransport", transport).abort
        self._address = _address(transport.get_extra_info("peername"))
        self._connections[self._address] = self
        self._sends_head.start(self._abort)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        # What is left of the body of a call that was refused early is timed like a head.
        if not self._answering:
            self._sends_head.start(self._abort)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._reads_answer.start(self._abort)
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._reads_answer.stop()
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sends_head.stop()
        self._reads_answer.stop()
        if self._connections.get(self._address) is self:
            del self._connections[self._address]
        self._protocol.connection_lost(exc)


class _Timer:
    """Calls a function after so many seconds, unless it is stopped before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def start(self, function: Callable[[], None]) -> None:
        """Start, if it does not run already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, function)

    def stop(self) -> None:
        """Stop, if it runs."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def _address(place: object) -> object:
    """Return host and port; addresses of IPv6 have more parts, which ASGI leaves out."""
    return tuple(place[:2]) if isinstance(place, tuple | list) else None
