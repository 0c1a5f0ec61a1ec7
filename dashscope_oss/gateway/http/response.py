"""The answer to one HTTP request.

How an error is sent depends on who refuses the call at the service. Its front judges who calls,
where and how much (key, path, method, size); it answers with the true HTTP status and JSON, also
to a caller that wants a stream. Everything else (body, model, parameters, limits, the engine) is
judged behind the front: then a plain call gets the true status and JSON, and a stream gets HTTP
200 and one ``event:error``, whose comment holds the true status. Captures of the service show
this: its 401 lacks ``x-dashscope-call-gateway``, which the 400 of a plain call and the error event
of a stream carry.

A stream of OpenAI's protocol that is refused gets the true status and JSON from both; only an error
in the middle of one is an event.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeAlias

from pydantic_core import to_json

from dashscope_oss.gateway.http.asgi import Send
from dashscope_oss.gateway.http.coalesce import coalesce
from dashscope_oss.gateway.http.request import HttpRequest
from dashscope_oss.gateway.interface.api_error import AnswerBrokenOff, APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.wire_protocol import NATIVE, WireProtocol
from dashscope_oss.messages import Delta, Usage
from dashscope_oss.protocol.response import INCREMENTAL_HEADER, SERVED_BY_HEADER

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

_JSON = b"application/json"
_EVENT_STREAM = b"text/event-stream;charset=UTF-8"
# A proxy that buffers would hold events back.
_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


def _retry_after(error: APIError) -> Headers:
    """Return the header that says when to call again, in whole seconds, if that is known."""
    if error.retry_after is None:
        return ()
    return ((b"retry-after", b"%d" % math.ceil(error.retry_after)),)


class HttpResponse:
    """The answer to one HTTP request.

    Args:
        request: the request.
        send: ASGI's.
        protocol: how the answer is written.

    Attributes:
        protocol: how the answer is written.
        errors_as_events: whether an error is sent as an event; see the module.
        served_by: the weights that answer, for a header; ``None`` leaves it out.
        status: the true status, also where HTTP says 200; ``None`` before the answer begins.
        code: the vendor's code of an error, else "".
        usage: the token counts that the engine has reported, also where the answer has none.
        first_piece_at: when the engine gave its first piece, in seconds of ``time.perf_counter``.
        is_complete: whether the last byte was given to the server.
    """

    def __init__(self, request: HttpRequest, send: Send, protocol: WireProtocol = NATIVE) -> None:
        self.protocol = protocol
        self._request_id = request.request_id
        self._send = send
        self._events = 0
        self.errors_as_events = False
        self.served_by: str | None = None
        self.status: int | None = None
        self.code = ""
        self.usage: Usage | None = None
        self.first_piece_at: float | None = None
        self.is_complete = False

    async def send_json(self, status: int, body: dict[str, object]) -> None:
        """Send ``body`` as JSON."""
        await self.send_content(status, _JSON, to_json(body))

    async def send_content(
        self, status: int, content_type: bytes, content: bytes, headers: Headers = ()
    ) -> None:
        """Send a whole answer."""
        length = (b"content-length", b"%d" % len(content))
        await self._send_head(status, content_type, (length, *headers))
        await self._send_body(content, more=False)

    async def send_reply(self, request: EngineRequest, deltas: AsyncGenerator[Delta, None]) -> None:
        """Send all that the engine generates as one JSON body.

        Raises:
            AnswerBrokenOff: if the engine stops without a last piece.
        """
        pieces: list[Delta] = []
        async for delta in deltas:
            self._record((delta,))
            pieces.append(delta)
        if not pieces or not pieces[-1].last:
            raise AnswerBrokenOff
        await self.send_content(200, _JSON, self.protocol.encode_reply(request, pieces))

    async def send_stream(
        self, request: EngineRequest, deltas: AsyncGenerator[Delta, None]
    ) -> None:
        """Send an event for each piece that the engine generates.

        The head is sent with the first of them; the native one says whether events hold pieces or
        all the text so far.

        Raises:
            AnswerBrokenOff: if the engine stops without a last piece.
        """
        encoder = self.protocol.encode_stream(request)
        async with aclosing(coalesce(deltas)) as bursts:
            async for burst in bursts:
                self._record(burst)
                if not self._events:
                    await self._send_stream_head(request)
                self._events += len(burst)
                is_last = burst[-1].last
                await self._send_body(b"".join(map(encoder.event, burst)), more=not is_last)
                if is_last:
                    return
        raise AnswerBrokenOff

    async def send_error(self, error: APIError) -> None:
        """Send an error, in the form that the module describes."""
        if self.status is None and not self.errors_as_events:
            content = self.protocol.encode_error(error, self._request_id)
            await self.send_content(error.status, _JSON, content, _retry_after(error))
        else:
            if self.status is None:
                headers = (*_STREAM_HEADERS, *_retry_after(error))
                await self._send_head(200, _EVENT_STREAM, headers)
            self._events += 1
            event = self.protocol.encode_error_event(error, self._request_id, self._events)
            await self._send_body(event, more=False)
        self.status, self.code = error.status, error.code

    async def begin_only(self) -> None:
        """Begin an answer and leave it unfinished, so that the server breaks the connection."""
        if self.status is None:
            await self._send_head(200, _JSON, ((b"content-length", b"1000"),))

    def _record(self, deltas: Sequence[Delta]) -> None:
        if self.first_piece_at is None:
            self.first_piece_at = time.perf_counter()
        for delta in deltas:
            if delta.usage is not None:
                self.usage = delta.usage

    async def _send_stream_head(self, request: EngineRequest) -> None:
        headers: Headers = _STREAM_HEADERS
        if self.protocol.names_increments:
            value = b"true" if request.incremental else b"false"
            headers = (*headers, (INCREMENTAL_HEADER.encode(), value))
        await self._send_head(200, _EVENT_STREAM, headers)

    async def _send_head(self, status: int, content_type: bytes, headers: Headers) -> None:
        self.status = status
        all_headers = [
            (b"content-type", content_type),
            (b"x-request-id", self._request_id.encode()),
            *headers,
        ]
        if self.served_by is not None:
            served_by = self.served_by.encode("ascii", "replace")
            all_headers.append((SERVED_BY_HEADER.encode(), served_by))
        message = {"type": "http.response.start", "status": status, "headers": all_headers}
        await self._send(message)

    async def _send_body(self, content: bytes, *, more: bool) -> None:
        self.is_complete = not more
        await self._send({"type": "http.response.body", "body": content, "more_body": more})
