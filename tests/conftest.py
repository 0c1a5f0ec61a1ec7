"""Fixtures for every test: no key, no outside network, a scripted gateway on a real socket."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest

from dashscope_oss import models
from dashscope_oss.gateway import Gateway, ScriptedEngine, serving, weights

# Read before any test changes HOME.
CACHE = weights.cache_folder()


@pytest.fixture(autouse=True)
def clean_settings(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No test sees the settings of the machine it runs on, or another test's registry."""
    for name in (
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_API_KEY_FILE_PATH",
        "DASHSCOPE_HTTP_BASE_URL",
        "DASHSCOPE_WORKSPACE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(models, "_registry", dict(models._registry))


@pytest.fixture
def gateway() -> Iterator[Callable[..., ScriptedEngine]]:
    """Start scripted gateways: ``engine = gateway(*script)``, then ``engine.base_url``."""
    running = []

    def start(*script) -> ScriptedEngine:
        engine = ScriptedEngine(script)
        server = serving(Gateway(engine, on_request=engine.requests.append))
        engine.base_url = server.__enter__()
        running.append(server)
        return engine

    yield start
    with warnings.catch_warnings():
        for server in running:
            server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def small_model() -> Iterator[None]:
    """The embedded model's file, which `make test` has fetched: no test fetches anything."""
    if not (CACHE / weights.FILE).exists():
        pytest.fail("the small model is missing: run `make test`, which fetches it first")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(weights.CACHE_VARIABLE, str(CACHE))
        yield
