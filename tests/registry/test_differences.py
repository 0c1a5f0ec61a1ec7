"""In what the saved samples of other lists differ from the registry, and from what it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dashscope_oss import ConfigurationError, ModelInfo, all_models
from dashscope_oss.registry.catalog import not_rows
from dashscope_oss.registry.differences import differences, not_listed
from dashscope_oss.registry.public_lists import (
    ListedModel,
    PublicList,
    read_list,
    service_list,
)

SAMPLES = Path(__file__).parent / "samples"
SERVICE = ("service-1.json", "service-2.json")


def sample(name: str):
    return json.loads((SAMPLES / name).read_text("utf-8"))


def the_service() -> PublicList:
    return service_list(map(sample, SERVICE))


LISTS = {
    "models.dev": lambda: read_list(sample("models.dev.json")),
    "litellm": lambda: read_list(sample("litellm.json")),
    "service": the_service,
}


def as_of_2026_11_21() -> list[ModelInfo]:
    return [ModelInfo(**row) for row in sample("rows-2026-11-21.json")]


def named(records, public) -> dict[str, set[str]]:
    """The models that differ, by the aspect that does."""
    by_aspect: dict[str, set[str]] = {}
    for difference in differences(records, public, not_rows()):
        by_aspect.setdefault(difference.aspect, set()).add(difference.id)
    return by_aspect


# What was wrong with the rows of 2026-11-21: the aspect, and the list that tells.
WRONG = {
    ("tools", "service"): "glm-4.7 MiniMax-M2.1 Moonshot-Kimi-K2-Instruct kimi-k2-thinking",
    ("tools", "models.dev"): "kimi-k2-thinking qwq-32b deepseek-r1-distill-llama-70b",
    ("holds", "service"): """kimi-k2.5 kimi-k2.6 kimi-k2.7-code kimi/kimi-k2.6""",
    ("holds", "models.dev"): "qwen3.5-397b-a17b kimi/kimi-k2.5",
    ("window", "models.dev"): "deepseek-v3 glm-5.1 glm-5.2 MiniMax-M2.5",
    ("output", "models.dev"): "deepseek-v3 MiniMax-M2.5 deepseek-v4-flash",
    ("output", "litellm"): "qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-thinking",
    ("input", "service"): "kimi-k2.5 glm-5 MiniMax-M2.1 MiniMax-M2.5",
    ("output", "service"): "kimi-k2.5",
    ("new", "service"): """qwen3.8-27b qwen3.8-2.4t-a95b deepseek-v4-flash-0731
        deepseek-v4-pro-0813 deepseek-v4.1-flash glm-5.3 ZHIPU/GLM-5.3 kimi-k3 kimi/kimi-k3
        kimi/kimi-k2.7-code kimi/kimi-k2.7-code-highspeed MiniMax/MiniMax-M2.1
        siliconflow/deepseek-r1-0528 siliconflow/deepseek-v3-0324
        siliconflow/deepseek-v3.1-terminus""",
    ("gone", "service"): "kimi/kimi-k2.5 qwen3.5-27b",
    ("back", "service"): "deepseek-v3 glm-4.6",
}


@pytest.mark.parametrize(("aspect", "name"), WRONG)
def test_what_was_wrong_in_the_registry_is_named(aspect, name):
    ids = set(WRONG[aspect, name].split())
    assert ids - named(as_of_2026_11_21(), LISTS[name]())[aspect] == set()


@pytest.mark.parametrize("name", ["models.dev", "litellm"])
def test_all_in_which_these_lists_differ_from_the_registry_is_known_to_it(name):
    found = differences(all_models(), LISTS[name](), not_rows())
    assert [difference for difference in found if not difference.is_known] == []
    assert len(found) >= 5


def test_the_figures_of_a_difference_are_those_of_both_sides():
    found = differences(all_models(), LISTS["litellm"](), not_rows())
    shown = {(d.id, d.aspect): (d.ours, d.theirs) for d in found}
    assert shown["glm-5.2", "input"] == ("1,000,000", "1,048,576")


def test_closed_models_and_those_without_conversation_are_not_new():
    for read in LISTS.values():
        ids = named(all_models(), read()).get("new", set())
        assert {id for id in ids if "max" in id or "plus" in id or "voice" in id} == set()


def test_a_list_that_need_not_be_complete_makes_no_model_gone():
    public = LISTS["litellm"]()
    assert "gone" not in named(all_models(), public)
    assert "kimi-k3" in not_listed(all_models(), public)
    assert not_listed(all_models(), the_service()) == []


def test_one_page_of_several_is_not_taken_for_all():
    assert the_service().is_complete
    assert not read_list(sample(SERVICE[0])).is_complete


def _one(**fields) -> PublicList:
    listed = ListedModel(**{"id": "m", "modalities": {}, **fields})
    return PublicList("a list", {"m": listed})


ROW = ModelInfo(id="m", family="f", maker="x", status="hosted", tools=True, context_window=10)


@pytest.mark.parametrize(
    ("public", "aspect"),
    [
        (_one(is_retired=True), "gone"),
        (replace(_one(), is_complete=True, models={}), "gone"),
        (_one(tools=False), "tools"),
        (_one(context_window=11), "window"),
        (_one(max_input=9), "input"),
        (_one(max_output=9), "output"),
        (_one(modalities={"image": True}), "holds"),
    ],
)
def test_each_thing_that_may_differ(public, aspect):
    (difference,) = differences([ROW], public)
    assert (difference.id, difference.aspect) == ("m", aspect)
    assert differences([ROW], _one(tools=True, context_window=10, max_input=10)) == []


def test_a_difference_in_what_is_guessed_is_news():
    guessed = replace(ROW, guessed=("context_window",))
    found = differences([guessed], _one(context_window=11, max_input=9))
    assert [d.is_known for d in found] == [False, False]


def test_the_draft_of_a_new_row_holds_what_the_list_says():
    public = _one(context_window=5, tools=True, modalities={"text": True, "image": True})
    (difference,) = differences([], public)
    assert difference.theirs == "window 5, tools yes, holds text+image"


@pytest.mark.parametrize("data", [[], "text", {}, {"alibaba": {}}, {"a": {"b": 1}}])
def test_what_is_no_list_is_refused(data):
    with pytest.raises(ConfigurationError, match="none of the lists that can be compared"):
        read_list(data)


def test_what_answers_without_text_is_no_chat_model():
    image = {"modalities": {"output": ["image"]}}
    chat = {"modalities": {"output": ["text"]}}
    read = read_list({"alibaba": {"models": {"image": image, "chat": chat}}})
    assert read.models.keys() == {"chat"}


def test_an_answer_of_the_service_that_says_little_is_read_as_far_as_it_goes():
    """Its older form: no limits, no inputs."""
    old = {"output": {"models": [{"model": "glm-5", "opensource": True}, {"provider": "x"}]}}
    assert service_list([old]).models == {
        "glm-5": ListedModel(id="glm-5", modalities={}, is_open=True)
    }
