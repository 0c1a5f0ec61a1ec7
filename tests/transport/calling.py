"""Ways to call the client, and answers that tests begin with."""

from __future__ import annotations

import asyncio

from dashscope_oss import (
    AsyncClient,
    Client,
    ClientOptions,
    Delta,
    Endpoint,
    Message,
    Reply,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.faults.server import (
    WAIT,
    RawServer,
    answer,
    frame,
    stream,
    text_reply,
)

KEY = "sk-secret-0123456789"
GOOD = answer(text_reply("hello"))
GOOD_STREAM = stream(frame("hel"), frame("lo"), frame("", "stop"))
THROTTLED = answer(
    {"code": "Throttling.RateQuota", "message": "slow down", "request_id": "r-1"}, "429 Too Many"
)
REFUSED = answer({"code": "InvalidParameter", "message": "no", "request_id": "r-1"}, "400 Bad")


def question(id: str = "baichuan2-7b-chat-v1") -> Request:
    return chat_request(find_model(id), [Message("user", "question")])


def endpoint(server: RawServer, **settings: str) -> Endpoint:
    return Endpoint.resolve(base_url=server.base_url, **settings)


class Waits(list):
    """Stands in for sleeping, for both clients: it only notes how long."""

    def sync(self, seconds: float) -> None:
        self.append(seconds)

    async def later(self, seconds: float) -> None:
        self.append(seconds)


class Caller:
    """One way to call: sync or async, whole or streamed. A test that takes it runs in all four."""

    def __init__(self, *, is_async: bool, streams: bool) -> None:
        self.is_async = is_async
        self.streams = streams
        self.waits = Waits()
        self.handed_on: list[str] = []

    def __call__(
        self, server: RawServer | Endpoint, request: Request | None = None, **more
    ) -> Reply:
        place = endpoint(server) if isinstance(server, RawServer) else server
        request = request or question()
        if self.is_async:
            return asyncio.run(self._later(place, request, more))
        with Client(place, ClientOptions(**more), sleep=self.waits.sync) as caller:
            if not self.streams:
                return caller.send(request)
            return self._join([self._note(delta) for delta in caller.stream(request)])

    async def _later(self, place: Endpoint, request: Request, more: dict) -> Reply:
        async with AsyncClient(place, ClientOptions(**more), sleep=self.waits.later) as caller:
            if not self.streams:
                return await caller.send(request)
            return self._join([self._note(delta) async for delta in caller.stream(request)])

    def _note(self, delta: Delta) -> Delta:
        self.handed_on.append(delta.text)
        return delta

    @staticmethod
    def _join(parts: list[Delta]) -> Reply:
        return join_deltas(parts)

    def good(self) -> bytes | list:
        return GOOD_STREAM if self.streams else GOOD


async def is_gone(server: RawServer) -> bool:
    """Wait for the end of the newest connection, without blocking."""
    return await asyncio.to_thread(server.gone.wait, WAIT)
