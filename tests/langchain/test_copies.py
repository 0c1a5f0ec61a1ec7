"""Copies of a model object: what they share, and what they make anew."""

from __future__ import annotations

import copy

import httpx2
import pytest

from dashscope_oss.gateway import Answer
from langchain_dashscope_oss.errors import ConfigurationError

from .calling import CLASSES, KEY, NOWHERE, offline, text_of


@CLASSES
def test_a_copy_with_another_address_calls_that(made, cls, gateway):
    llm, _ = made(cls, Answer("first"))
    llm.invoke("Hi")
    copied = llm.model_copy(update={"base_url": gateway(Answer("second")).base_url})
    assert text_of(copied.invoke("Hi")) == "second"
    assert text_of(llm.invoke("Hi")) == "first"
    copied.close()


@CLASSES
async def test_closing_a_copy_leaves_the_original_working(made, cls):
    llm, _ = made(cls, Answer("ok"))
    await llm.ainvoke("Hi")
    llm.invoke("Hi")
    for copied in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy()):
        assert text_of(copied.invoke("Hi")) == "ok"
        copied.close()
        await copied.aclose()
        assert text_of(llm.invoke("Hi")) == "ok"
        assert text_of(await llm.ainvoke("Hi")) == "ok"


@CLASSES
def test_a_deep_copy_shares_the_callers_clients_and_nothing_else(cls, gateway):
    with httpx2.Client() as client:
        url = gateway(Answer("ok")).base_url
        llm = cls(model="qwen3-8b", base_url=url, http_client=client, model_kwargs={})
        llm.invoke("Hi")
        copied = copy.deepcopy(llm)
        assert copied.http_client is client
        assert copied.model_kwargs is not llm.model_kwargs
        assert text_of(copied.invoke("Hi")) == "ok"


CHANGES = {
    "model_name": ("model", "llama3-70b-instruct"),
    "api_base": ("base_url", f"{NOWHERE}/2"),
    "stop_sequences": ("stop", ["x"]),
    "dashscope_api_key": ("api_key", KEY),
}


@CLASSES
def test_a_setting_is_changed_under_its_other_name_too(cls):
    """In a copy and in the object itself; the profile of a chat model follows."""
    for name, (field, value) in CHANGES.items():
        llm = offline(cls)
        copied = llm.model_copy(update={name: value})
        setattr(llm, name, value)
        for changed in (copied, llm):
            kept = getattr(changed, field)
            assert (kept.get_secret_value() if field == "api_key" else kept) == value
            profile = getattr(changed, "profile", {"name": changed.model})
            assert profile["name"] == changed.model


@CLASSES
def test_a_copy_with_a_misspelt_setting_is_refused(cls):
    with pytest.raises(ConfigurationError, match="Did you mean temperature"):
        offline(cls).model_copy(update={"temprature": 0})


@CLASSES
def test_a_setting_that_is_changed_is_checked_as_the_constructor_does(cls, subtests):
    for name, value in [("max_retries", -1), ("temperature", "hot"), ("model_info", KEY)]:
        with subtests.test(name):
            llm = offline(cls)
            with pytest.raises(ConfigurationError, match=f"bad {name}: Input should") as caught:
                llm.model_copy(update={name: value})
            assert str(value) not in str(caught.value)
            with pytest.raises(ConfigurationError, match=f"bad {name}: Input should"):
                setattr(llm, name, value)
            assert getattr(llm, name) == getattr(offline(cls), name)
    llm.temperature = "0.5"
    assert llm.temperature == 0.5


NO_PARAMETER = r"is a setting|looks like a secret"


@CLASSES
def test_settings_and_keys_are_no_parameters_that_are_set_later(cls):
    for parameters in ({"max_retries": 5}, {"api_base": NOWHERE}, {"other_api_key": KEY}):
        llm = offline(cls)
        with pytest.raises(ConfigurationError, match=NO_PARAMETER):
            llm.model_kwargs = parameters
        with pytest.raises(ConfigurationError, match=NO_PARAMETER):
            llm.model_copy(update={"model_kwargs": parameters})
        assert llm.model_kwargs == {}


@CLASSES
def test_an_object_keeps_its_model_when_it_is_given_none(cls):
    llm = offline(cls)
    model = llm.model
    with pytest.raises(ConfigurationError, match="model must be a model's id"):
        llm.model = " "
    assert llm.model == model
