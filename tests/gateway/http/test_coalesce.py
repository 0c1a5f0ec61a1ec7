"""Pieces that are there bursts_of leave bursts_of; none is held back, none is lost."""

import asyncio
from contextlib import aclosing

import pytest

from dashscope_oss.gateway.http.coalesce import MAX_BURST, coalesce


async def bursts_of(pieces):
    return [burst async for burst in coalesce(pieces)]


async def test_pieces_without_waiting_are_one_burst():
    """A wait ends a burst."""

    async def pieces():
        yield 1
        yield 2
        await asyncio.sleep(0)
        yield 3

    assert await bursts_of(pieces()) == [[1, 2], [3]]


async def test_a_burst_has_an_end():
    """An engine that never waits cannot fill the memory."""

    async def pieces():
        for number in range(MAX_BURST + 1):
            yield number

    assert [len(burst) for burst in await bursts_of(pieces())] == [MAX_BURST, 1]


async def test_nothing_is_nothing():
    """No piece, no burst."""

    async def pieces():
        return
        yield

    assert await bursts_of(pieces()) == []


@pytest.mark.parametrize("wait", [False, True])
async def test_a_failure_comes_after_the_pieces_before_it(wait):
    """What came before it is not lost."""

    async def pieces():
        yield 1
        if wait:
            await asyncio.sleep(0)
        raise LookupError

    bursts = coalesce(pieces())

    assert await anext(bursts) == [1]
    with pytest.raises(LookupError):
        await anext(bursts)


async def test_a_piece_is_handed_on_while_the_next_is_waited_for():
    """The first does not wait for the second."""
    go = asyncio.Event()

    async def pieces():
        yield 1
        await go.wait()
        yield 2

    async with aclosing(coalesce(pieces())) as bursts:
        assert await anext(bursts) == [1]
        go.set()
        assert await anext(bursts) == [2]


async def test_leaving_stops_the_engine_where_it_waits():
    """Closing after a burst cancels what the engine waits for, and its generator can be closed."""
    ended = []

    async def pieces():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    inner = pieces()
    async with aclosing(coalesce(inner)) as bursts:
        await anext(bursts)
    await inner.aclose()

    assert ended == [True]


async def test_a_cancellation_reaches_the_engine():
    """Whoever waits for a burst can be cancelled; the engine cleans up."""
    waits, ended = asyncio.Event(), []

    async def pieces():
        try:
            waits.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.append(True)

    task = asyncio.ensure_future(bursts_of(pieces()))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended == [True]


async def test_leaving_after_a_full_burst_stops_the_engine():
    """Where the engine does not wait, there is nothing to cancel."""
    ended = []

    async def pieces():
        try:
            for number in range(2 * MAX_BURST):
                yield number
        finally:
            ended.append(True)

    inner = pieces()
    async with aclosing(coalesce(inner)) as bursts:
        assert len(await anext(bursts)) == MAX_BURST
    await inner.aclose()

    assert ended == [True]
