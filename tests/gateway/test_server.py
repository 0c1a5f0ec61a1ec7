"""Start and end of a gateway: calls under way are finished, or end in an error that says why."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway import (
    Gateway,
    OpenAIEngine,
    ScriptedEngine,
    Upstream,
    build_load_balancer,
    serve,
    serve_in_thread,
)
from dashscope_oss.gateway.config import parse_config
from tests.gateway.fake_upstream import (
    SSE,
    FakeUpstream,
    chunk,
    events,
)

pytestmark = pytest.mark.versions

PATH = "/services/aigc/text-generation/generation"
BODY = {"model": "llama3-8b-instruct", "input": {"messages": [{"role": "user", "content": "hi"}]}}
STREAM = {"X-DashScope-SSE": "enable"}

# Says "one ", then waits for SIGUSR1, then says "two". With "stuck" it also has a thread that
# never ends.
CHILD = """
import asyncio, signal, sys, threading
from dashscope_oss.gateway import Gateway, ScriptedEngine, serve
from dashscope_oss.messages import Delta

class Slow(ScriptedEngine):
    async def start(self):
        self.go_on = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.go_on.set)

    async def generate(self, request):
        yield Delta(text="one ")
        if "stuck" in sys.argv:
            await asyncio.to_thread(threading.Event().wait)
        await self.go_on.wait()
        yield Delta(text="two", last=True, finish_reason="stop")

    async def aclose(self):
        print("closed", flush=True)

serve(Gateway(Slow()), host="127.0.0.1", port=0, grace=int(sys.argv[1]),
    on_ready=lambda url: print(url, flush=True))
"""


@contextlib.contextmanager
def child(*arguments):
    """Run a gateway in a process of its own; the value is the process and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def begun(url):
    """A stream whose first event is there; the value reads the rest of its lines."""
    with (
        httpx.Client(timeout=20) as client,
        client.stream("POST", url + PATH, json=BODY, headers=STREAM) as reply,
    ):
        lines = reply.iter_lines()
        for line in lines:
            if line.startswith("data:"):
                break
        yield lines


def last(lines):
    """The last event of a stream: its name and its data."""
    fields = [line.partition(":") for line in lines if line]
    data = [json.loads(value) for name, _, value in fields if name == "data"]
    names = [value for name, _, value in fields if name == "event"]
    return names[-1], data[-1]


def refuses(url):
    """Wait until nobody listens there any more."""
    place = httpx.URL(url)
    for _ in range(200):
        try:
            with socket.create_connection((place.host, place.port), timeout=5) as connection:
                connection.settimeout(0.05)
                with contextlib.suppress(TimeoutError, ConnectionResetError):
                    connection.recv(1)
        except ConnectionRefusedError:
            return True
    return False


def test_on_sigterm_streams_are_finished_and_no_connection_is_accepted():
    """The stream under way comes whole, new connections are refused, the exit status is 0."""
    with child("20") as (process, url), begun(url) as lines:
        process.send_signal(signal.SIGTERM)
        assert refuses(url)
        time.sleep(0.4)  # by when a server that does not wait has given the call up
        process.send_signal(signal.SIGUSR1)
        name, data = last(lines)

        assert (name, data["output"]["text"]) == ("result", "one two")
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == "closed\n"


def test_a_call_that_outlasts_the_grace_ends_in_an_error():
    """The stream ends in an error that says why, not in a cut."""
    with child("0") as (process, url), begun(url) as lines:
        process.send_signal(signal.SIGTERM)
        name, data = last(lines)

        assert (name, data["code"]) == ("error", "ModelUnavailable")
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second):
    """Though calls are under way and a thread of the engine never ends."""
    with child("600", "stuck") as (process, url), begun(url):
        process.send_signal(signal.SIGTERM)
        assert refuses(url)
        assert process.poll() is None
        process.send_signal(second)

        assert process.wait(timeout=10) == -second


FILE = """
[upstreams.gpu1]
url = "{url}"
[models."llama3-8b-instruct"]
name = "llama"
"""


def fleet(url):
    return build_load_balancer(parse_config(FILE.format(url=url), "test"))


def single(url):
    return OpenAIEngine(Upstream(url=url, default="llama"))


@pytest.mark.parametrize("engine_of", [single, fleet])
@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_ends_the_work_of_the_upstream(engine_of, stream):
    """The connection to the upstream is closed, so that it stops to generate."""
    upstream = FakeUpstream(
        (200, SSE, events(chunk(content="one "), done=False), threading.Event())
    )
    try:
        with serve_in_thread(Gateway(engine_of(upstream.url))) as url:
            if stream:
                with begun(url):
                    pass
            else:
                leave_while_waiting(url, upstream)
            assert upstream.left.wait(10)
    finally:
        upstream.close()


def leave_while_waiting(url, upstream):
    """Send a plain call, and go as soon as the upstream has it."""
    place = httpx.URL(url)
    content = json.dumps(BODY).encode()
    with socket.create_connection((place.host, place.port)) as connection:
        head = f"POST /api/v1{PATH} HTTP/1.1\r\nhost: localhost\r\n"
        size = f"content-length: {len(content)}\r\n\r\n"
        connection.sendall((head + size).encode() + content)
        while not upstream.calls:
            os.sched_yield()


class Unable(ScriptedEngine):
    async def start(self):
        raise ConfigurationError("no weights here")


async def returns(server, sockets=None):
    """The start of uvicorn up to 0.38, which returned where a newer one raises SystemExit."""
    await server.lifespan.startup()
    server.should_exit = True


@pytest.mark.parametrize("startup", [uvicorn.Server.startup, returns], ids=["newer", "older"])
def test_an_engine_that_does_not_start_is_an_error_and_nothing_is_announced(startup, monkeypatch):
    """The command ends with the engine's reason, on any supported uvicorn."""
    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    announced = []

    with pytest.raises(ConfigurationError, match="did not start: no weights here"):
        serve(Gateway(Unable()), host="127.0.0.1", port=0, on_ready=announced.append)

    assert announced == []
