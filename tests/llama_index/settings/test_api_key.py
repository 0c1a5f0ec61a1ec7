"""Where the API key comes from, and that nothing shows or stores it."""

import logging
import pickle

import pytest
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, SecretStr

from dashscope_oss import (
    ConfigurationError,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import ALL_METHODS, CHAT, KEY, WITH_TOOLS


def test_a_missing_key_names_the_variable():
    """At once, not at the first call."""
    with pytest.raises(ConfigurationError, match="set the environment variable DASHSCOPE_API_KEY"):
        DashScopeOSS(model=WITH_TOOLS)


def test_a_key_given_as_an_argument_wins(make, ask, monkeypatch):
    """Over that of the environment: as text, as a secret, or from a function."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-environment")
    for key in (KEY, SecretStr(KEY), lambda: KEY):
        ask(make(WITH_TOOLS, api_key=key), "hi")
        assert make.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_key_of_the_environment_is_read_anew_for_every_call(make, run, monkeypatch):
    """One that was changed or set after the object was made counts."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-first")
    llm = make(WITH_TOOLS)
    llm.complete("hi")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-second")
    run(llm, llm.acomplete("hi"))
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    llm.complete("hi")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-third")
    llm.complete("hi")
    sent = [request.headers.get("authorization") for request in make.requests]
    assert sent == ["Bearer sk-first", "Bearer sk-second", None, "Bearer sk-third"]


def test_the_key_comes_from_the_environment_and_stays_there(gateway, monkeypatch):
    engine = gateway()
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    llm = DashScopeOSS(model=WITH_TOOLS, base_url=engine.base_url)
    llm.complete("hi")
    llm.close()
    assert engine.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert llm.api_key is None
    assert KEY.encode() not in pickle.dumps(llm)


def test_the_key_is_in_nothing_that_is_shown_or_stored(make, events):
    llm = make(WITH_TOOLS, api_key=KEY, default_headers={"x-proxy-key": KEY})
    llm.complete("hi")
    shown = (llm, llm.to_dict(), llm.to_json(), llm.model_dump(), llm.to_payload(), llm.metadata)
    for thing in (*shown, *events, str(llm)):
        assert KEY not in repr(thing)
    assert KEY.encode() not in pickle.dumps(llm)
    assert make.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(ValueError, match="model") as refused:
        DashScopeOSS(api_key=KEY)
    assert KEY not in str(refused.value)


@ALL_METHODS
def test_a_key_for_a_call_is_told_to_nobody(make, ask, events, caplog):
    """Neither in the error nor in an event, of all eight methods."""
    caplog.set_level("DEBUG")
    with pytest.raises(ConfigurationError, match=r"api_key .* llm.model_copy\(update=") as refused:
        ask(make(CHAT), "hi", api_key=KEY)
    assert KEY not in str(refused.value)
    assert not events
    assert KEY not in caplog.text


class Sum(BaseModel):
    """A sum."""

    a: int


def test_a_key_for_a_structured_answer_is_refused_too(make, events):
    llm = make(CHAT)
    with pytest.raises(ConfigurationError, match="api_key"):
        llm.structured_predict(Sum, PromptTemplate("q"), {"api_key": KEY})
    assert KEY not in "".join(map(str, events))


def test_no_prompt_and_no_key_are_logged(make, ask, caplog):
    """At the most talkative level."""
    caplog.set_level(logging.DEBUG)
    ask(make(WITH_TOOLS, Answer("an answer"), api_key=KEY), "secret prompt")
    messages = [r.getMessage() for r in caplog.records if "gateway" not in r.name]
    assert not [text for text in messages if "secret prompt" in text or KEY in text]
