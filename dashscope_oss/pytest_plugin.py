"""A pytest fixture that stands for the service: test your own chains without an account.

pytest finds it by itself wherever ``dashscope-oss[gateway]`` is installed::

    def test_my_chain(dashscope_gateway):
        engine = dashscope_gateway({"text": "Hello!"}, {"status": 429})
        llm = ChatDashScopeOSS(
            model="llama3-8b-instruct", base_url=engine.base_url, api_key="any", max_retries=0
        )
        assert llm.invoke("Hi").content == "Hello!"
        assert engine.requests[0].body["input"]["messages"][0]["content"] == "Hi"

Every run of pytest loads this module: what it needs is imported by the fixture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from dashscope_oss.gateway.engines.scripted import ScriptedEngine, ScriptEntry

Start: TypeAlias = "Callable[..., ScriptedEngine]"


@pytest.fixture
def dashscope_gateway(_dashscope_gateways_leaving: list[threading.Thread]) -> Iterator[Start]:
    """Start gateways that answer from a script, each on a free port of 127.0.0.1.

    Call it with what is to be answered, one entry a request; the last repeats, and without any
    the question comes back. An entry is an ``Answer``, a ``Fault``, a function of the job that
    returns one, or a dict of the form of ``serve --script``: ``{"text": "…"}``,
    ``{"status": 429, "code": "…"}``. The engine that comes back has ``base_url``, where to point
    a model, and ``requests``, what arrived: ``path``, ``headers`` and ``body`` of each.
    """
    with started_gateways(_dashscope_gateways_leaving) as start:
        yield start


@pytest.fixture(scope="session")
def _dashscope_gateways_leaving() -> Iterator[list[threading.Thread]]:
    """Gateways that are on their way out: no test waits for the end of its own."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@contextmanager
def started_gateways(leaving: list[threading.Thread]) -> Iterator[Start]:
    """Give a function that starts scripted gateways; at the end they stop in the background.

    Args:
        leaving: takes the threads in which they stop, for somebody to join.
    """
    running = ExitStack()

    def start(*script: ScriptEntry | Mapping[str, object]) -> ScriptedEngine:
        # Here, for it needs the extra, and takes time that other tests would pay.
        from dashscope_oss.gateway import Gateway, ScriptedEngine, serve_in_thread  # noqa: PLC0415
        from dashscope_oss.gateway.engines.script import to_script_entry  # noqa: PLC0415

        engine = ScriptedEngine([to_script_entry(entry) for entry in script])
        app = Gateway(engine, on_request=engine.requests.append)
        engine.base_url = running.enter_context(serve_in_thread(app))
        return engine

    try:
        yield start
    finally:
        leaving.append(threading.Thread(target=running.close))
        leaving[-1].start()
