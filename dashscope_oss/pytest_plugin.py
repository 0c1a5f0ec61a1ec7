"""A pytest fixture that stands in for the service: test your own chains without an account.

pytest finds it by itself wherever ``dashscope-oss[gateway]`` is installed::

    def test_my_chain(dashscope_gateway):
        engine = dashscope_gateway({"text": "Hello!"}, {"status": 429})
        llm = ChatDashScopeOSS(
            model="llama3-8b-instruct", base_url=engine.base_url, api_key="any", max_retries=0
        )
        assert llm.invoke("Hi").content == "Hello!"
        assert engine.requests[0].body["input"]["messages"][0]["content"] == "Hi"

Every run of pytest loads this module, so the fixture itself imports what it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from dashscope_oss.gateway.engines.scripted import ScriptedEngine, ScriptEntry

StartGateway: TypeAlias = "Callable[..., ScriptedEngine]"


@pytest.fixture
def dashscope_gateway(
    _dashscope_stopping_gateways: list[threading.Thread],
) -> Iterator[StartGateway]:
    """Start gateways that answer from a script, each on a free port of 127.0.0.1.

    Call it with the answers, one a request. The last answer repeats; without any, the question
    comes back. An answer is an ``Answer``, a ``Fault``, a function of the engine's request that
    returns one, or a dict in the form of ``serve --script``: ``{"text": "…"}`` or
    ``{"status": 429, "code": "…"}``. The returned engine has ``base_url``, to which a model is
    pointed, and ``requests``: ``path``, ``headers`` and ``body`` of each request.
    """
    with started_gateways(_dashscope_stopping_gateways) as start:
        yield start


@pytest.fixture(scope="session")
def _dashscope_stopping_gateways() -> Iterator[list[threading.Thread]]:
    """Threads in which gateways stop: no test has to wait for its own."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@contextmanager
def started_gateways(stopping: list[threading.Thread]) -> Iterator[StartGateway]:
    """Give a function that starts scripted gateways; at the end they stop in the background.

    Args:
        stopping: gets the thread in which they stop, for the caller to join.
    """
    running = ExitStack()

    def start(*script: ScriptEntry | Mapping[str, object]) -> ScriptedEngine:
        # Imported here: it needs the extra `gateway`, and its time is for those who use it.
        from dashscope_oss.gateway import Gateway, ScriptedEngine, serve_in_thread  # noqa: PLC0415
        from dashscope_oss.gateway.engines.script import to_script_entry  # noqa: PLC0415

        engine = ScriptedEngine([to_script_entry(entry) for entry in script])
        app = Gateway(engine, on_request=engine.requests.append)
        engine.base_url = running.enter_context(serve_in_thread(app))
        return engine

    try:
        yield start
    finally:
        stopping.append(threading.Thread(target=running.close))
        stopping[-1].start()
