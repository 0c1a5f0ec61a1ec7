"""The profile that agents and middleware read: limits and abilities, from the model's record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashscope_oss import find_model

from .calling import THINKER, offline


def test_the_profile_has_the_records_limits_and_abilities():
    profile = offline(model="kimi-k2.5").profile
    assert profile["name"] == "kimi-k2.5"
    assert profile["max_input_tokens"] == 258_048
    assert profile["max_output_tokens"] == 32_768
    assert profile["tool_calling"] is True
    assert profile["reasoning_output"] is True
    assert profile["image_inputs"] is False
    assert profile["status"] == "active"


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


def test_a_profile_that_was_given_stays():
    llm = offline(profile={"max_input_tokens": 5})
    llm.model = THINKER
    assert llm.profile == {"max_input_tokens": 5}
    assert llm.model_copy(update={"model": "glm-5"}).profile == {"max_input_tokens": 5}
    given = {"max_input_tokens": 6}
    assert llm.model_copy(update={"model": "glm-5", "profile": given}).profile == given
