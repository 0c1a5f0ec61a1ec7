"""Dumps, pickles and copies of a model object."""

import copy
import os
import pickle
from dataclasses import replace

import httpx2
import pytest
from llama_index.core.prompts import PromptTemplate
from pydantic import SecretStr, ValidationError

from dashscope_oss import (
    ConfigurationError,
    find_model,
)
from llama_index_dashscope_oss import DashScopeOSS, RateLimits
from tests.llama_index.examples import CHAT, KEY, LOCAL, PROMPT_ONLY, WITH_TOOLS

ROUND_TRIPS = {
    "dict": lambda llm: DashScopeOSS.from_dict(llm.to_dict()),
    "json": lambda llm: DashScopeOSS.from_json(llm.to_json()),
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("form", ROUND_TRIPS)
@pytest.mark.parametrize("model", [PROMPT_ONLY, WITH_TOOLS])
def test_a_stored_object_comes_back_and_calls(make, model, form):
    """Also one that has called before, with a record of its own."""
    llm = make(model, temperature=0.5, stop=["x"], model_info=find_model(model))
    llm.complete("hi")
    again = ROUND_TRIPS[form](llm)
    assert again.complete("hi").text == "You said: hi"
    assert (again.temperature, again.model_info) == (0.5, find_model(model))
    assert llm.complete("hi").text == "You said: hi"
    again.close()


def test_a_client_of_the_callers_is_shared_by_copies_and_left_out_of_pickles():
    with httpx2.Client() as client:
        llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, http_client=client)
        assert copy.deepcopy(llm).http_client is client
        assert pickle.loads(pickle.dumps(llm)).http_client is None
        assert llm.http_client is client


@pytest.mark.parametrize("model", [CHAT, PROMPT_ONLY])
def test_a_model_is_made_again_of_its_dump(model):
    """LlamaIndex writes the class's name into it."""
    info = replace(find_model(model), max_input=1000)
    settings = {"temperature": 0.5, "stop": ["x"], "timeout": (1.0, 2.0, None, None)}
    llm = DashScopeOSS(model=model, base_url=LOCAL, model_info=info, **settings)
    again = DashScopeOSS(**llm.model_dump())
    assert again.model_dump() == llm.model_dump()
    assert again.metadata == llm.metadata
    assert again.complete.__self__ is again


def test_a_copy_knows_a_setting_by_all_its_names(make):
    copied = make(CHAT).model_copy(update={"model_name": PROMPT_ONLY})
    assert copied.model == PROMPT_ONLY
    assert pickle.loads(pickle.dumps(copied)).metadata.context_window == 2048


def test_a_copy_refuses_what_is_no_setting(make):
    """A slip of the pen is not swallowed."""
    with pytest.raises(
        ConfigurationError, match=r"no setting temprature\. Did you mean temperature"
    ):
        make(CHAT).model_copy(update={"temprature": 0.5})


def test_a_pickle_keeps_a_function_that_gives_the_key():
    """It holds no secret itself."""
    llm = DashScopeOSS(model=CHAT, base_url=LOCAL, api_key=os.getlogin)
    assert pickle.loads(pickle.dumps(llm)).api_key is os.getlogin


def test_a_changed_setting_counts_from_then_on(make):
    """Address, key and model: for later calls, and for the prompt that is written."""
    llm, elsewhere = make(CHAT, api_key="sk-1"), make(PROMPT_ONLY).base_url
    llm.base_url, llm.api_key, llm.model = elsewhere, SecretStr("sk-2"), PROMPT_ONLY
    llm.predict(PromptTemplate("hi"))
    (request,) = make.requests
    assert request.headers["authorization"] == "Bearer sk-2"
    assert request.body["input"]["prompt"] == "<human>:hi\n<bot>:"


class WithEncode:
    def encode(self, text: str) -> list[str]:
        return list(text)


CHANGES = {
    "attribute": setattr,
    "copy": lambda llm, name, value: llm.model_copy(update={name: value}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_set_later_is_checked_as_in_the_constructor(change):
    llm = DashScopeOSS(CHAT, base_url=LOCAL)
    for name, value in {"temperature": "hot", "max_tokens": 0, "timeout": -1}.items():
        with pytest.raises(ValidationError, match=name):
            change(llm, name, value)
    assert (llm.temperature, llm.max_tokens, llm.timeout) == (None, None, None)
    for name, value in {"dashscope_api_key": KEY, "tokenizer": WithEncode()}.items():
        llm = change(llm, name, value) or llm
    assert KEY not in repr(vars(llm))
    assert len(llm.tokenizer("four")) == 4


def test_settings_that_belong_together_change_together_in_a_copy():
    """None is read before all are there."""
    llm = DashScopeOSS(CHAT, region="cn-beijing", workspace="w", api_key=KEY)
    copied = llm.model_copy(update={"workspace": None, "region": "singapore"})
    assert copied.region == "singapore"
    with pytest.raises(ConfigurationError, match="workspace"):
        llm.model_copy(update={"workspace": None})


@pytest.mark.skipif(
    "rate_limiter" not in DashScopeOSS.model_fields, reason="llama-index-core 0.14.0 has none"
)
def test_a_copy_draws_on_the_same_limits_and_a_pickle_has_none():
    """A limiter holds a lock, which can be neither copied nor stored."""
    limits = RateLimits(requests_per_minute=60)
    llm = DashScopeOSS(model=CHAT, base_url=LOCAL, rate_limiter=limits)
    assert copy.deepcopy(llm).rate_limiter is limits
    assert pickle.loads(pickle.dumps(llm)).rate_limiter is None
    assert "rate_limiter" not in llm.to_dict()
