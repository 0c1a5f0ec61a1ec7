"""Where the key comes from, that copies and pickles keep or lose it, and which key is refused."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dashscope_oss import AsyncClient, Client, ConfigurationError, Endpoint
from dashscope_oss.transport.endpoint import KEY_FILE_VARIABLE, KEY_VARIABLE
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, NOWHERE, Caller, return_key
from .key_search import places_of_key
from .matrix import table
from .server import RawServer, answer, text_reply

CLASSES = [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS]


def key_sent_by(model) -> str:
    """Return the key that a model object sends to the server it calls."""
    with RawServer(answer(text_reply("hello"))) as server:
        model.base_url = server.base_url
        call = model.complete if isinstance(model, DashScopeOSS) else model.invoke
        call("question")
        model.close()
    return server.requests[0].headers["authorization"].removeprefix("Bearer ")


def test_copies_have_the_key(model):
    changed = model.model_copy(update={"temperature": 0.5})
    for copied in (copy.copy(model), copy.deepcopy(model), model.model_copy(), changed):
        assert key_sent_by(copied) == KEY


@pytest.mark.parametrize("cls", CLASSES)
def test_a_pickle_holds_no_key_and_the_environment_of_its_reader_gives_one(cls, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-here")
    pickles = [
        pickle.dumps(cls(model=MODEL, base_url=NOWHERE, **settings))
        for settings in ({}, {"api_key": KEY}, {"api_key": SecretStr(KEY)})
    ]
    assert not [data for data in pickles if KEY.encode() in data or b"sk-here" in data]
    monkeypatch.setenv(KEY_VARIABLE, "sk-there")
    assert [key_sent_by(pickle.loads(data)) for data in pickles] == ["sk-there"] * 3


@pytest.mark.parametrize("cls", CLASSES)
def test_a_function_for_the_key_stays_in_a_pickle(cls):
    data = pickle.dumps(cls(model=MODEL, base_url=NOWHERE, api_key=return_key))
    assert key_sent_by(pickle.loads(data)) == KEY


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_of_the_core_shows_its_key_nowhere_and_a_copy_has_it(kind, key_setting):
    endpoint = Endpoint.resolve(base_url=NOWHERE, **key_setting)
    client = kind(endpoint)
    for shown in (endpoint, client):
        assert KEY not in f"{shown!r} {shown} {getattr(shown, '__dict__', '')}"
        assert KEY.encode() not in pickle.dumps(shown)
        assert copy.deepcopy(shown) is not None
    assert copy.deepcopy(client).endpoint.key() == KEY


def test_a_pickled_endpoint_reads_the_environment_where_it_is_read(monkeypatch):
    data = pickle.dumps(Endpoint.resolve(base_url=NOWHERE, api_key=KEY))
    monkeypatch.setenv(KEY_VARIABLE, "sk-there")
    assert pickle.loads(data).key() == "sk-there"


# A key that cannot be one


def _set_key(kind: str, key: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if kind == "environment":
        monkeypatch.setenv(KEY_VARIABLE, key)
        return {}
    return {"api_key": SecretStr(key) if kind == "secret" else key}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("kind", ["text", "secret", "environment"])
def test_a_bad_key_is_refused_at_once_and_not_shown(cls, kind, monkeypatch):
    bad_keys = [f"{KEY}\nX", f"{KEY} X", f"{KEY}é", f"{KEY}\r\nA: b"]
    for bad in bad_keys if kind == "environment" else [*bad_keys, f"{KEY}\0"]:
        settings = _set_key(kind, bad, monkeypatch)
        with pytest.raises(ConfigurationError) as caught:
            cls(model=MODEL, **settings)
        assert not list(places_of_key(caught.value))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_key_of_a_wrong_type_is_refused_and_not_shown(cls):
    for value in (7, ["list"], {"a": KEY}):
        with pytest.raises(ValueError, match="api_key") as caught:
            cls(model=MODEL, base_url=NOWHERE, api_key=value)
        assert not list(places_of_key(caught.value))


@table({"number": 7, "empty": "", "two-lines": f"{KEY}\nX"}, "two-lines")
def test_a_function_that_returns_no_key_is_an_error_before_any_request(caller: Caller, case):
    with RawServer(caller.hello) as server:
        error = caller.fails(server, ConfigurationError, "api_key", api_key=lambda: case)
    assert server.requests == []
    assert not list(places_of_key(error))


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A remote endpoint, and no key anywhere."""
    for name in (KEY_VARIABLE, KEY_FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return Endpoint(base_url="https://dashscope.example/api/v1")


def test_a_user_without_a_home_is_told_that_the_key_is_missing(keyless, monkeypatch):
    """Containers run programs as users of whom the system knows nothing."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigurationError, match="no API key"):
        keyless.key()


@pytest.mark.parametrize(
    ("host", "instead"),
    [
        ("dashscope.aliyuncs.com", "A gateway on this machine needs none"),
        ("gateway.lan", "gateway.lan is not this machine: if it asks for no key, set any text"),
    ],
)
def test_where_a_key_is_missing_it_is_told_what_needs_none(keyless, monkeypatch, host, instead):
    monkeypatch.setattr(Path, "home", lambda: Path("/nowhere"))
    with pytest.raises(ConfigurationError, match=re.escape(instead)):
        replace(keyless, base_url=f"https://{host}/api/v1").key()


def test_a_key_file_that_is_missing_is_named(keyless, monkeypatch, tmp_path):
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="nothing' of DASHSCOPE_API_KEY_FILE_PATH"):
        keyless.key()
