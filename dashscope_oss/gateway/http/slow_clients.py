"""How long a connection may take: a client that is too slow must not hold it for ever."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_MOST_HEAD = 65_536
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)

if TYPE_CHECKING:
    Base = H11Protocol
else:
    Base = object


class _Patient(Base):
    """Ends connections whose request head does not come, or that do not read their answer.

    The body's time is kept where it is read, for it ends with an answer.
    """

    seconds = 60.0
    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _size = 0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn narrows it
        super().connection_made(transport)
        self._head = self.loop.call_later(self.seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            data = _plain(data)
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            _stop(self._head)
            self._head, self._size = None, 0
            return
        if self._head is None:
            self._head = self.loop.call_later(self.seconds, self.transport.close)
        self._limit_head(len(data))

    def _limit_head(self, more: int) -> None:
        # What is left of the body of a call that was refused early is not kept, nor counted.
        if self.cycle is not None and self.cycle.more_body:
            return
        self._size += more
        if self._size > _MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head)
        _stop(self._reading)
        super().connection_lost(exc)


def _plain(data: bytes) -> bytes:
    """Leave unread, in a request's head, the offer to go over to another protocol.

    Java's HTTP client offers HTTP/2 so with its calls. httptools would take the body for the other
    protocol's first words.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    if _UPGRADE.search(head) is None:
        return data
    return _UPGRADE.sub(b"\r\nx-offered:", head) + end + body


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def patient(seconds: float) -> type[asyncio.Protocol]:
    """Return the quickest HTTP protocol that is installed, which waits so long and no longer."""
    return type("Patient", (_Patient, _quickest()), {"seconds": seconds})


def _quickest() -> type[asyncio.Protocol]:
    if importlib.util.find_spec("httptools") is None:
        return H11Protocol
    module = importlib.import_module("uvicorn.protocols.http.httptools_impl")
    found: type[asyncio.Protocol] = module.HttpToolsProtocol
    return found
