"""Fixtures for every test: no key, no outside network, a scripted gateway on a real socket."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from dashscope_oss.gateway import ScriptedEngine
from dashscope_oss.gateway.engines import weights
from dashscope_oss.pytest_plugin import started_gateways
from dashscope_oss.registry import lookup
from dashscope_oss.tokens import rate_limits
from tests.clock import Clock

# A busy machine may be slow: no example of hypothesis has a deadline.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# Read before any test changes HOME.
CACHE = weights.cache_folder()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers run the tests: coverage need not measure the process that counts their results."""
    from coverage import Coverage

    if measuring := Coverage.current():
        measuring.stop()


def pytest_collection_finish() -> None:
    """Set aside what is there before the first test: it need not be looked at each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test sees the settings of the machine it runs on, or another test's registry."""
    for name in (
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_API_KEY_FILE_PATH",
        "DASHSCOPE_HTTP_BASE_URL",
        "DASHSCOPE_WORKSPACE",
    ):
        monkeypatch.delenv(name, raising=False)
    # One for all tests: a folder of its own would cost each of them a millisecond.
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))
    monkeypatch.setattr(lookup, "_registry", dict(lookup._registry))


@pytest.fixture(scope="session", autouse=True)
def no_implicit_event_loop() -> None:
    """LlamaIndex asks for the thread's event loop; asyncio would make one that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time for rate limits that passes only while a call waits for its turn."""
    clock = Clock()
    monkeypatch.setattr(rate_limits, "time", clock)
    monkeypatch.setattr(rate_limits, "_sleep", clock.asleep)
    return clock


@pytest.fixture(scope="session")
def leaving() -> Iterator[list[threading.Thread]]:
    """Gateways that are on their way out: no test waits for the end of its own."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@pytest.fixture
def gateway(leaving: list[threading.Thread]) -> Iterator[Callable[..., ScriptedEngine]]:
    """Start scripted gateways: ``engine = gateway(*script)``, then ``engine.base_url``.

    It is the fixture ``dashscope_gateway`` that users get, under a shorter name.
    """
    with started_gateways(leaving) as start:
        yield start


@pytest.fixture(scope="session")
def small_model() -> Iterator[None]:
    """The embedded model's file, which `make test` has fetched: no test fetches anything."""
    if not (CACHE / weights.FILE).exists():
        pytest.fail("the small model is missing: run `make test`, which fetches it first")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(weights.CACHE_VARIABLE, str(CACHE))
        yield
