"""The key and other secrets: in no representation, dump, pickle, log, trace or error."""

from __future__ import annotations

import json
import logging
import pickle
import traceback

import httpx2
import pytest
from langchain_core.exceptions import ModelAuthenticationError, ModelInvalidRequestError
from langchain_core.load import dumpd, dumps, load
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from pydantic import SecretStr

from dashscope_oss.gateway import Answer, Fault

from .calling import CLASSES, KEY, PATHS, Seen, call, offline

pytestmark = pytest.mark.versions


@CLASSES
@pytest.mark.parametrize("key", [KEY, SecretStr(KEY), lambda: KEY])
def test_the_key_is_neither_shown_nor_serialised(cls, key):
    llm = offline(cls, api_key=key)
    dumps_of_it = [dumps(llm), json.dumps(dumpd(llm)), llm.model_dump_json()]
    shown = [repr(llm), str(llm), str(llm.bind(seed=1)), *dumps_of_it]
    assert not any(KEY in text for text in shown)
    if not callable(key):
        assert dumpd(llm)["kwargs"]["api_key"]["id"] == ["DASHSCOPE_API_KEY"]


@CLASSES
@pytest.mark.parametrize("name", ["api_key", "dashscope_api_key"])
def test_a_key_that_is_set_later_is_not_shown_either(cls, name):
    """On the object or in a copy of it."""
    changed = offline(cls)
    setattr(changed, name, KEY)
    for llm in (changed, offline(cls).model_copy(update={name: KEY})):
        assert llm.api_key.get_secret_value() == KEY
        assert KEY not in repr(llm) + str(llm.model_dump()) + dumps(llm)
        assert KEY.encode() not in pickle.dumps(llm)


@CLASSES
def test_headers_are_neither_shown_nor_serialised(cls):
    """They may hold a secret of a proxy."""
    llm = offline(cls, default_headers={"proxy-authorization": KEY})
    assert KEY not in repr(llm) + dumps(llm)


@CLASSES
@PATHS
async def test_the_key_is_in_no_log_trace_or_error(made, cls, path, caplog):
    """Neither of a call that works nor of one that fails."""
    caplog.set_level(logging.DEBUG)
    answers = (Answer("ok"), Fault(status=401, code="InvalidApiKey"))
    llm, engine = made(cls, *answers, api_key=KEY, default_headers={"x-mine": f"{KEY}-too"})
    runs, seen = RunCollectorCallbackHandler(), Seen()
    config = {"callbacks": [runs, seen]}
    await call(llm, path, config=config)
    with pytest.raises(ModelAuthenticationError) as caught:
        await call(llm, path, config=config)
    assert engine.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    shown = [
        caplog.text,
        str(seen.starts),
        *(repr(vars(run)) for run in runs.traced_runs),
        *traceback.format_exception(caught.value),
        repr(vars(caught.value)),
        pickle.dumps(caught.value).decode("latin-1"),
    ]
    assert not any(KEY in text for text in shown)


@PATHS
async def test_a_failed_run_holds_what_the_service_answered_and_no_key(chat, path):
    fault = Fault(status=400, code="DataInspectionFailed", message="Inappropriate content.")
    llm, _ = chat(fault, api_key=KEY)
    seen, runs = Seen(), RunCollectorCallbackHandler()
    with pytest.raises(ModelInvalidRequestError) as caught:
        await call(llm, path, config={"callbacks": [seen, runs]})
    error = caught.value
    assert error.response.status_code == 400
    assert error.response.json()["code"] == "DataInspectionFailed"
    metadata = seen.error_response.generations[0][0].message.response_metadata
    assert metadata["body"]["message"] == "Inappropriate content."
    assert metadata["status_code"] == 400
    assert metadata["request_id"] == error.request_id
    assert KEY not in repr(metadata) + runs.traced_runs[0].error


@CLASSES
async def test_a_pickled_model_works_and_takes_the_key_of_its_new_home(made, cls, monkeypatch):
    llm, engine = made(cls, Answer("ok"), api_key=KEY)
    llm.invoke("Hi")
    data = pickle.dumps(llm)
    assert KEY.encode() not in data
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-new-home")
    again = pickle.loads(data)
    again.invoke("Hi")
    again.close()
    assert engine.requests[-1].headers["authorization"] == "Bearer sk-of-the-new-home"


@CLASSES
def test_a_pickle_has_neither_headers_nor_clients(cls):
    """Headers may hold secrets; connections belong to a process."""
    clients = {"http_client": httpx2.Client(), "http_async_client": httpx2.AsyncClient()}
    llm = offline(cls, default_headers={"X-Key": "hidden"}, **clients)
    packed = pickle.dumps(llm)
    assert b"hidden" not in packed
    again = pickle.loads(packed)
    assert (again.default_headers, again.http_client, again.http_async_client) == (None,) * 3
    assert llm.default_headers == {"X-Key": "hidden"}


@CLASSES
@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_serialised_model_is_loaded_with_the_key_of_the_environment(cls, monkeypatch):
    """LangChain loads a class of another package if it is named."""
    llm = offline(cls, api_key=KEY, temperature=0.5, stop=["x"], model_kwargs={"a": 1})
    written = dumpd(llm)
    assert KEY not in json.dumps(written)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    again = load(
        written,
        allowed_objects=[cls],
        valid_namespaces=["langchain_dashscope_oss"],
        secrets_from_env=True,
    )
    assert again == llm
    assert again.api_key.get_secret_value() == KEY
