"""The profile that agents and middleware read: limits and abilities, from the model's record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.language_models import ModelProfile
from langchain_core.runnables import ConfigurableField

from dashscope_oss import find_model
from langchain_dashscope_oss._convert.profile import model_profile

from .calling import THINKER, offline

PROMPT = "ziya-llama-13b-v1"


def test_the_profile_has_the_records_limits_and_abilities():
    assert offline(model="kimi-k2.5").profile == {
        "name": "kimi-k2.5",
        "status": "active",
        "release_date": "2026-01-27",
        "open_weights": True,
        "max_input_tokens": 229_376,
        "max_output_tokens": 16_384,
        "text_inputs": True,
        "image_inputs": True,
        "image_url_inputs": True,
        "video_inputs": True,
        "audio_inputs": False,
        "pdf_inputs": False,
        "image_tool_message": False,
        "pdf_tool_message": False,
        "attachment": True,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": True,
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "mid_conversation_system_messages": True,
        "mid_conversation_tools": False,
        "structured_output": False,
        "temperature": True,
    }


def test_levels_of_effort_are_in_the_profile_of_models_that_have_them():
    profile = offline(model="deepseek-v4-pro").profile
    assert profile["reasoning_effort_levels"] == ["high", "max"]
    assert profile["reasoning_effort_default"] == "high"
    assert "reasoning_effort_levels" not in offline(model="glm-5").profile


@pytest.mark.parametrize(
    ("model", "late"),
    [("glm-5", True), ("MiniMax-M2.5", False), ("llama3-8b-instruct", False), (PROMPT, False)],
)
def test_whether_a_late_system_message_stays_where_it_is(model, late):
    assert offline(model=model).profile["mid_conversation_system_messages"] is late


def test_a_model_of_fixed_sampling_takes_no_temperature():
    assert offline(model="kimi/kimi-k2.6").profile["temperature"] is False


def test_fields_that_the_installed_core_does_not_have_are_left_out(monkeypatch):
    monkeypatch.setattr(ModelProfile, "__annotations__", {"name": str})
    assert model_profile(find_model(THINKER)) == {"name": THINKER}


def test_a_retired_model_is_deprecated():
    profile = offline().profile
    assert profile["status"] == "deprecated"
    assert profile["tool_calling"] is False


def test_what_the_record_does_not_know_is_left_out():
    record = find_model(THINKER)
    unknown = replace(
        record,
        status="unknown",
        max_input=None,
        context_window=None,
        max_output=None,
        thinking="unknown",
    )
    profile = offline(model=THINKER, model_info=unknown).profile
    names = {"status", "max_input_tokens", "max_output_tokens", "reasoning_output"}
    assert not names & profile.keys()


@pytest.mark.parametrize(
    ("structured", "able"), [("json_schema", True), ("json_object", False), ("none", False)]
)
def test_structured_output_means_that_the_service_follows_a_schema(structured, able):
    info = replace(find_model(THINKER), structured=structured)
    assert offline(model=THINKER, model_info=info).profile["structured_output"] is able


def test_the_profile_follows_the_model():
    llm = offline()
    assert llm.model_copy(update={"model": THINKER}).profile["name"] == THINKER
    assert llm.model_copy().profile["name"] == "llama3-8b-instruct"
    llm.model = THINKER
    assert llm.profile["name"] == THINKER


@pytest.mark.parametrize("own", [None, replace(find_model("glm-5"), max_output=7)])
def test_the_profile_follows_a_model_that_langchain_configures(own):
    """It hands the old model's profile to the new object."""
    llm = offline(model_info=own) if own else offline()
    chain = llm.configurable_fields(model=ConfigurableField(id="m"))
    configured, _ = chain.prepare({"configurable": {"m": THINKER}})
    assert configured.profile["name"] == THINKER
    assert configured.profile == offline(model=THINKER, model_info=own).profile
    given = offline(profile={"name": "mine"}).configurable_fields(model=ConfigurableField(id="m"))
    assert given.prepare({"configurable": {"m": THINKER}})[0].profile == {"name": "mine"}


def test_a_profile_that_was_given_stays():
    llm = offline(profile={"max_input_tokens": 5})
    llm.model = THINKER
    assert llm.profile == {"max_input_tokens": 5}
    assert llm.model_copy(update={"model": "glm-5"}).profile == {"max_input_tokens": 5}
    given = {"max_input_tokens": 6}
    assert llm.model_copy(update={"model": "glm-5", "profile": given}).profile == given
