"""Fixtures that run a test with several callers (:mod:`.matrix` says when to take which)."""

from __future__ import annotations

import pytest
import trustme
from pydantic import SecretStr

from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import ASYNC_HTTP, KEY, MODEL, NOWHERE, Caller, return_key
from .matrix import ASYNC, BLOCKING, STREAMING, WHOLE, caller_id, in_core, in_frameworks


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Over aiohttp, run only what makes async calls."""
    if ASYNC_HTTP == "httpx2":
        return
    is_async = {item: any(mode in item.name for mode in ASYNC) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not is_async[item]])
    items[:] = [item for item in items if is_async[item]]


def _caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(*request.param)


def _fixture(name: str, callers: list[tuple[str, str]]):
    return pytest.fixture(_caller, params=callers, ids=caller_id, name=name)


caller = _fixture("caller", in_frameworks())
whole = _fixture("whole", in_frameworks(WHOLE))
streaming = _fixture("streaming", in_frameworks(STREAMING))
blocking = _fixture("blocking", in_frameworks(BLOCKING))
async_caller = _fixture("async_caller", in_frameworks(ASYNC))
core = _fixture("core", in_core())
streaming_core = _fixture("streaming_core", in_core(STREAMING))


@pytest.fixture
def plain_environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", "model.example")


@pytest.fixture
def trusted(authority: trustme.CA, plain_environment, monkeypatch, tmp_path) -> None:
    """Let the environment name the authority of these tests."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.fixture(params=["text", "secret", "function", "environment", "file"])
def key_setting(request, monkeypatch, tmp_path) -> dict[str, object]:
    """The settings that give a model the key, in every way there is, with white space around."""
    if request.param == "environment":
        monkeypatch.setenv("DASHSCOPE_API_KEY", f" {KEY}\n")
        return {}
    if request.param == "file":
        (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
        monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(tmp_path / "key"))
        return {}
    return {
        "text": {"api_key": f" {KEY}\n"},
        "secret": {"api_key": SecretStr(f"{KEY} ")},
        "function": {"api_key": return_key},
    }[request.param]


@pytest.fixture(
    params=[ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS], ids=lambda cls: cls.__name__
)
def model(request, key_setting):
    """A model of each class that has the key in each way."""
    return request.param(model=MODEL, base_url=NOWHERE, **key_setting)
