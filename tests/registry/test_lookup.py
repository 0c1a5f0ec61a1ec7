"""Finding a model's record, and adding one's own."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from dashscope_oss import (
    ConfigurationError,
    UnknownModelWarning,
    all_models,
    find_model,
    register_model,
)
from dashscope_oss.registry import lookup
from dashscope_oss.registry.lookup import known_model, similar_ids


@pytest.fixture(autouse=True)
def _nobody_was_warned(monkeypatch):
    monkeypatch.setattr(lookup, "_warned", set())


def test_an_unknown_id_is_a_chat_model_with_tools_and_gets_one_warning():
    with pytest.warns(UnknownModelWarning, match="no record of the model 'my-model'") as caught:
        model = find_model("my-model")
    assert caught[0].filename == __file__
    assert "guessed" not in str(caught[0].message)
    assert (model.id, model.inputs, model.tools) == ("my-model", ("messages",), True)
    assert (model.status, model.thinking, model.input_limit) == ("unknown", "unknown", None)
    assert (model.endpoint, model.guessed) == ("text-generation", ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_model("my-model") == model


# id: the series that it is guessed to be of, endpoint, thinking, what messages hold
GUESSES = {
    "qwen3.8-max": ("qwen3.8", "multimodal-generation", "hybrid", ("text", "image", "video")),
    "kimi-k3-0901": ("kimi", "multimodal-generation", "always", ("text", "image")),
    "deepseek-v4-flash-9999": ("deepseek-v4", "text-generation", "hybrid", ("text",)),
    "deepseek-v4.1-pro": ("deepseek-v4", "multimodal-generation", "hybrid", ("text", "image")),
    "glm-5.4": ("glm", "text-generation", "hybrid", ("text",)),
    "MiniMax/MiniMax-M2.9": ("minimax", "text-generation", "always", ("text",)),
}


@pytest.mark.parametrize("id", GUESSES)
def test_the_name_of_an_unknown_model_gives_a_guess_that_the_warning_states(id):
    series, endpoint, thinking, modalities = GUESSES[id]
    with pytest.warns(UnknownModelWarning) as caught:
        model = find_model(id)
    stated = f"guessed to be of the series {series}: endpoint {endpoint}, thinking {thinking}"
    assert stated in str(caught[0].message)
    assert (model.endpoint, model.thinking, model.modalities) == (endpoint, thinking, modalities)
    assert (model.status, model.tools, model.input_limit) == ("unknown", True, None)
    assert {"endpoint", "thinking", "modalities"} <= {*model.guessed}


def test_a_known_model_is_found_and_an_unknown_one_is_none():
    assert known_model("glm-5") is find_model("glm-5")
    assert known_model("my-model") is None


def test_white_space_around_an_id_counts_for_nothing():
    assert find_model(" glm-5\n").id == "glm-5"


@pytest.mark.parametrize("id", ["", "  ", None, 3])
def test_what_is_no_id_is_refused(id):
    with pytest.raises(ConfigurationError, match="dashscope-oss models"):
        find_model(id)


def test_a_registered_record_is_found_and_does_not_warn():
    mine = replace(find_model("llama3-8b-instruct"), id="my-llama", status="self-hosted")
    assert register_model(mine) is mine
    assert find_model("my-llama") is mine
    assert all_models()[-1] is mine


def test_a_registered_record_replaces_the_one_of_the_same_id():
    register_model(replace(find_model("glm-5"), max_output=7))
    assert find_model("glm-5").max_output == 7
    assert len(all_models()) == 169


@pytest.mark.parametrize(
    ("id", "similar"),
    [
        ("llama3-8b", ["llama3-8b-instruct"]),
        ("GLM-5.1", ["glm-5.1", "ZHIPU/GLM-5.1"]),
        ("glm5.1", ["glm-5.1", "glm-5.3", "glm-5.2"]),
        ("minimax-m2.7", ["MiniMax/MiniMax-M2.7"]),
        ("something-else-altogether", []),
    ],
)
def test_ids_that_look_alike_are_found(id, similar):
    assert similar_ids(id) == similar
