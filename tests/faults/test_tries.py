"""A POST that the server may have read is a try: it is counted, reported and never hidden."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dashscope_oss.errors import APIConnectionError

from .callers import MODES, Caller
from .matrix import caller_id, every_caller, in_core, over_aiohttp, table
from .server import Close, Cut, RawServer, Step, chunk, head, message_frame


def hello(caller: Caller) -> list[Step]:
    """Return the steps of a good answer that keep its connection open."""
    return caller.hello if caller.streams else [caller.hello]


def outcomes(caller: Caller, model, calls: int) -> list[str | None]:
    """Make some calls in one event loop; return their texts, ``None`` for one that failed."""
    if caller.is_async:
        return asyncio.run(_outcomes(caller, model, calls))
    texts: list[str | None] = []
    for _ in range(calls):
        try:
            texts.append(caller.ask(model).text)
        except APIConnectionError:
            texts.append(None)
    model.close()
    return texts


async def _outcomes(caller: Caller, model, calls: int) -> list[str | None]:
    texts: list[str | None] = []
    for _ in range(calls):
        try:
            texts.append((await caller.aask(model)).text)
        except APIConnectionError:
            texts.append(None)
    await caller.aclose(model)
    return texts


@every_caller
def test_without_retries_no_call_is_read_twice_on_a_kept_connection(caller: Caller):
    """The server closes the connection after it has read the second request."""
    with RawServer(hello(caller), [Close()], hello(caller)) as server:
        assert outcomes(caller, caller.model(server, max_retries=0), 2) == ["hello", None]
    assert (len(server.requests), caller.waits) == (2, [])


@pytest.mark.parametrize("caller", [*in_core(MODES), *over_aiohttp()], indirect=True, ids=caller_id)
def test_a_retry_on_a_kept_connection_is_reported_and_logged(caller: Caller, caplog):
    caplog.set_level(logging.DEBUG, "dashscope_oss")
    retries = []
    with RawServer(hello(caller), [Close()], hello(caller)) as server:
        model = caller.model(server, max_retries=1, on_retry=lambda *retry: retries.append(retry))
        assert caller.ask_each(model, "one", "two") == ["hello", "hello"]
    ((number, error, wait),) = retries
    assert (number, type(error).__name__, [wait]) == (1, "APIConnectionError", caller.waits)
    assert len(server.requests) == 3
    tries = [line for line in caplog.messages if "attempt" in line]
    assert ["attempt 1" in line for line in tries] == [True, True, False]
    assert sum("again in" in line for line in caplog.messages) == 1


ENDS = {
    "close": [Close()],
    "reset": [Cut()],
    "half-a-head": [b"HTTP/1.1 200 OK\r\nContent-Ty", Close()],
    "half-a-body": [head(length=100), b'{"output":', Close()],
    "half-a-stream": [
        head(kind="text/event-stream", headers=[("Transfer-Encoding", "chunked")]),
        chunk(message_frame("")),
        Close(),
    ],
}


@table(ENDS, "half-a-stream", aiohttp=True)
def test_without_retries_as_many_requests_are_read_as_calls_were_made(caller: Caller, case):
    """Wherever an answer ends, on a new connection or on a kept one."""
    with RawServer(case, hello(caller), case, hello(caller)) as server:
        model = caller.model(server, max_retries=0)
        assert outcomes(caller, model, 3) == [None, "hello", None]
    assert len(server.requests) == 3
