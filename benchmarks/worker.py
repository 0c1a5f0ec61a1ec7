"""One client in a process of its own: ``worker.py CLIENT ADDRESS``, started by compare.py.

A line of JSON on stdin is a task, a line on stdout what it cost. All that arrives is compared with
what was sent: an answer that is not whole, or a stream that came in fewer pieces, is a failure.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from clients import CLIENTS, Client
from service import ANSWER, PIECE

THREADS = 64
ASYNC = ("ainvoke", "astream", "many")
WARM_UP = {"threads": "invoke", "many": "ainvoke"}
Answers = list[str] | list[list[str]]


def call(client: Client, kind: str, count: int) -> Answers:
    """Make calls or read streams, one after the other or in threads; return what came."""
    if kind == "stream":
        return [list(client.stream()) for _ in range(count)]
    if kind == "invoke":
        return [client.invoke() for _ in range(count)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda _: client.invoke(), range(count)))


async def acall(client: Client, kind: str, count: int) -> Answers:
    """Make async calls or read streams, one after the other or all at once."""
    if kind == "astream":
        return [[piece async for piece in client.astream()] for _ in range(count)]
    if kind == "ainvoke":
        return [await client.ainvoke() for _ in range(count)]
    return await client.many(count)


def check(answer: str | list[str], pieces: int) -> None:
    """Refuse an answer that is not the one sent, and a stream that did not come in its pieces."""
    if isinstance(answer, str):
        if answer != ANSWER:
            raise ValueError(f"a wrong answer: {answer!r:.60}")
    elif "".join(answer) != PIECE * pieces or len(list(filter(None, answer))) < pieces:
        raise ValueError(f"of a stream of {pieces} pieces came {len(answer)}, or text was lost")


def memory(name: str) -> float:
    """Return ``VmRSS`` (memory now) or ``VmHWM`` (the most so far) in MB."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def measured(work: Callable[[], None]) -> dict[str, float | None]:
    """Do the work; return seconds of CPU (of all threads), seconds, and the memory it added.

    Only Linux tells the memory.
    """
    gc.collect()
    linux, before = sys.platform == "linux", 0.0
    if linux:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the most so far begins anew
        before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    most = max(0.0, memory("VmHWM") - before) if linux else None
    return {"cpu": cpu, "wall": wall, "memory": most}


def do(client: Client, task: Mapping[str, Any], loop: asyncio.Runner) -> dict[str, float | None]:
    """Warm up with one call or stream, then do the task."""
    client.expect(task["pieces"])
    loop.run(asyncio.sleep(0.01))  # the loop sees that the service has dropped its connections

    def work(kind: str, count: int) -> None:
        is_async = kind in ASYNC
        answers = loop.run(acall(client, kind, count)) if is_async else call(client, kind, count)
        for answer in answers:
            check(answer, task["pieces"])

    work(WARM_UP.get(task["do"], task["do"]), 1)
    return measured(lambda: work(task["do"], task["count"]))


def attempt(work: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    """Return what came out, or how it failed."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever a client raises, the others go on
        return {"failed": f"{type(error).__name__}: {error}"[:200]}


def main() -> None:
    """Make the client, then do tasks until stdin closes, all in one event loop as in a server."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what a client prints is no reply
    clients: list[Client] = []

    def make() -> Mapping[str, object]:
        clients.append(CLIENTS[sys.argv[1]].make(sys.argv[2]))
        return {}

    print(json.dumps(attempt(make)), file=replies, flush=True)
    with asyncio.Runner() as loop:
        for line in sys.stdin if clients else ():
            reply = attempt(partial(do, clients[0], json.loads(line), loop))
            print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
