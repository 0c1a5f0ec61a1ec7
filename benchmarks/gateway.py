"""What the gateway itself costs: CPU a request, and memory of a thousand slow streams.

Run by hand: ``python benchmarks/gateway.py [ROUNDS]``. The scripted engine answers at once, so
what is measured is server, protocol and checks. CPU is that of the server's process, so waiting
and the load generator do not count; it is the least of several rounds, for other work on the
machine only ever adds. Beside it stands a bare ASGI application on the same server that sends
the same bytes: what is left over is the gateway's own. Allowed: 200 us of CPU for a JSON call,
400 us for a stream of 100 events, 150 MB above idle for 1,000 streams, none starved.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

# A line on stdin is answered by CPU seconds and peak memory in MB.
SERVER = """
import resource, sys, threading, time
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve
from dashscope_oss.messages import Usage

unit = 2**20 if sys.platform == "darwin" else 2**10
usage = Usage(input_tokens=7, output_tokens=9, total_tokens=16)

def say():
    for _ in sys.stdin:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(time.process_time(), peak / unit, flush=True)

class Bare(Gateway):
    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        while (await receive()).get("more_body"):
            pass
        stream = sys.argv[1] == "bare stream"
        length = [] if stream else [(b"content-length", b"170")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for _ in range(99 if stream else 0):
            await send({"type": "http.response.body", "body": b"x" * 230, "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * (230 if stream else 170)})

def answer(job):
    pieces = 99 if job.stream else 1
    pause = 0.5 if sys.argv[1] == "slow" else 0.0
    return Answer(pieces=("piece ",) * (20 if pause else pieces), usage=usage, pause=pause)

kind = Bare if sys.argv[1].startswith("bare") else Gateway
threading.Thread(target=say, daemon=True).start()
serve(kind(ScriptedEngine([answer])), host="127.0.0.1", port=0,
    on_ready=lambda url: print(url, flush=True))
"""
BODY = json.dumps(
    {
        "model": "llama3-8b-instruct",
        "input": {"messages": [{"role": "user", "content": "Where is the capital of Zhejiang?"}]},
        "parameters": {"result_format": "message", "incremental_output": True},
    }
).encode()
PATH = "/api/v1/services/aigc/text-generation/generation"
END = b"0\r\n\r\n"
CONNECTIONS = 16
STREAMS = 1000
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def used(self) -> tuple[float, float]:
        """Return CPU seconds so far, and the most memory in MB."""
        assert self.process.stdin  # noqa: S101 - a pipe
        assert self.process.stdout  # noqa: S101 - a pipe
        print(file=self.process.stdin, flush=True)
        cpu, peak = self.process.stdout.readline().split()
        return float(cpu), float(peak)


@contextmanager
def server(kind: str) -> Iterator[Server]:
    """Start a server: ``gateway``, ``slow``, ``bare json`` or ``bare stream``."""
    command = [sys.executable, "-c", SERVER, kind]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout  # noqa: S101 - a pipe
            yield Server(process, int(process.stdout.readline().split(":")[2].split("/")[0]))
        finally:
            process.terminate()


def head(*, stream: bool) -> bytes:
    """Return a request's bytes, as the vendor's SDK sends them."""
    accept = "text/event-stream" if stream else "application/json"
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n"
        "Authorization: Bearer sk-none\r\nContent-Type: application/json\r\n"
        f"User-Agent: dashscope/2.0.2\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Open ``count`` connections, some at a time."""
    opened: list[Connection] = []
    while len(opened) < count:
        some = min(100, count - len(opened))
        opening = (asyncio.open_connection("127.0.0.1", port) for _ in range(some))
        opened += await asyncio.gather(*opening)
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def ask(connection: Connection, request: bytes, times: int, *, stream: bool) -> None:
    """Make ``times`` calls over one connection, one after the other."""
    reader, writer = connection
    for _ in range(times):
        writer.write(request)
        top = await reader.readuntil(b"\r\n\r\n")
        if not top.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server refused: {top!r}")
        if stream:
            await reader.readuntil(END)
        else:
            await reader.readexactly(int(top.lower().split(b"content-length: ")[1].split()[0]))


async def load(port: int, calls: int, *, stream: bool) -> None:
    """Make ``calls`` calls over several connections."""
    request = head(stream=stream)
    async with connections(port, CONNECTIONS) as opened:
        each = calls // CONNECTIONS
        await asyncio.gather(*(ask(one, request, each, stream=stream) for one in opened))


def cost(kind: str, calls: int, rounds: int, *, stream: bool) -> float:
    """Return the least CPU of a call, in microseconds."""
    with server(kind) as running:
        asyncio.run(load(running.port, calls // 4, stream=stream))
        seconds = []
        for _ in range(rounds):
            before = running.used()[0]
            asyncio.run(load(running.port, calls, stream=stream))
            seconds.append((running.used()[0] - before) / (calls // CONNECTIONS * CONNECTIONS))
        return min(seconds) * 1e6


async def slow_stream(connection: Connection) -> tuple[int, float]:
    """Read a slow stream; return its events and the longest wait for one, in seconds."""
    reader, writer = connection
    writer.write(head(stream=True))
    events, longest, last, rest = 0, 0.0, time.monotonic(), b""
    while not rest.endswith(END):
        chunk = await reader.read(65536)
        if not chunk:
            raise SystemExit("a stream was cut")
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        events += (rest + chunk).count(b"\nevent:result") - rest.count(b"\nevent:result")
        rest = (rest + chunk)[-64:]
    return events, longest


async def slow_streams(port: int) -> list[tuple[int, float]]:
    """Read all the slow streams at once."""
    async with connections(port, STREAMS) as opened:
        return await asyncio.gather(*map(slow_stream, opened))


def crowd() -> str:
    """Return what a thousand slow streams cost."""
    with server("slow") as running:
        asyncio.run(load(running.port, CONNECTIONS, stream=False))
        cpu, idle = running.used()
        streams = asyncio.run(slow_streams(running.port))
        busy, peak = running.used()
    events, waits = zip(*streams, strict=True)
    return (
        f"{STREAMS} streams, an event each 0.5 s: {peak - idle:.0f} MB above idle ({idle:.0f} MB), "
        f"{min(events)} to {max(events)} events each, longest wait for one "
        f"{max(waits):.2f} s, {(busy - cpu) / sum(events) * 1e6:.0f} us of CPU "
        "an event"
    )


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, calls, stream, allowed in (
        ("JSON call", 3200, False, 200),
        ("stream of 100 events", 1600, True, 400),
    ):
        bare = cost("bare stream" if stream else "bare json", calls, rounds, stream=stream)
        own = cost("gateway", calls, rounds, stream=stream)
        print(f"{name}: {own:.0f} us of CPU (bare server {bare:.0f}); allowed: {allowed} us")
    print(crowd())


if __name__ == "__main__":
    main()
