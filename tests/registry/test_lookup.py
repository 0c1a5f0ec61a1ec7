"""The registry: the ten seed rows in full, every known id, and what callers may add."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import date

import pytest

from dashscope_oss import (
    ConfigurationError,
    ModelInfo,
    UnknownModelWarning,
    all_models,
    find_model,
    register_model,
)
from dashscope_oss.prompts.templates import BAICHUAN2, BELLE, BILLA, LLAMA2, LLAMA3, PLAIN, ZIYA
from dashscope_oss.registry import lookup
from dashscope_oss.registry.catalog import SEED_IDS

BOTH, PROMPT, MESSAGES = ("prompt", "messages"), ("prompt",), ("messages",)

# id: inputs, template, window, most input, most output, usage, echo, price of 1,000 tokens
SEEDS = {
    "llama2-7b-chat-v2": (BOTH, LLAMA2, 4096, 2048, None, True, "none", 0.0),
    "llama2-13b-chat-v2": (BOTH, LLAMA2, 4096, 4096, None, True, "none", 0.0),
    "llama3-8b-instruct": (MESSAGES, LLAMA3, 8000, 6500, 1500, True, "none", 0.0),
    "llama3-70b-instruct": (MESSAGES, LLAMA3, 8000, 6500, 1500, True, "none", 0.0),
    "ziya-llama-13b-v1": (PROMPT, ZIYA, 2048, None, None, False, "spaced", None),
    "belle-llama-13b-2m-v1": (PROMPT, BELLE, 2048, None, None, False, "none", None),
    "billa-7b-sft-v1": (PROMPT, BILLA, 2048, None, None, False, "none", None),
    "baichuan-7b-v1": (PROMPT, PLAIN, 4096, None, None, False, "line", 0.0),
    "baichuan2-7b-chat-v1": (BOTH, BAICHUAN2, 4096, None, None, True, "line", 0.006),
    "baichuan2-13b-chat-v1": (BOTH, BAICHUAN2, 4096, None, None, True, "line", 0.008),
}

RETIRED = {
    date(2025, 5, 8): """qwen-72b-chat qwen-14b-chat qwen-7b-chat qwen-1.8b-chat
        qwen-1.8b-longcontext-chat""",
    date(2025, 7, 2): """llama2-7b-chat-v2 llama2-13b-chat-v2 llama3-8b-instruct
        llama3-70b-instruct llama3.1-8b-instruct llama3.1-70b-instruct llama3.1-405b-instruct
        llama3.2-1b-instruct llama3.2-3b-instruct llama3.3-70b-instruct ziya-llama-13b-v1
        belle-llama-13b-2m-v1 billa-7b-sft-v1 baichuan-7b-v1 baichuan2-7b-chat-v1
        baichuan2-13b-chat-v1 chatglm-6b-v2 chatglm3-6b""",
    date(2026, 3, 30): """llama-4-scout-17b-16e-instruct llama-4-maverick-17b-128e-instruct
        qwen1.5-110b-chat qwen1.5-72b-chat qwen1.5-32b-chat qwen1.5-14b-chat qwen1.5-7b-chat
        qwen1.5-1.8b-chat qwen1.5-0.5b-chat qwen2-57b-a14b-instruct qwen2-72b-instruct
        qwen2-7b-instruct qwen2-1.5b-instruct qwen2-0.5b-instruct""",
    date(2026, 5, 13): """qwen2.5-72b-instruct qwen2.5-32b-instruct qwen2.5-14b-instruct
        qwen2.5-7b-instruct qwen2.5-3b-instruct qwen2.5-1.5b-instruct qwen2.5-0.5b-instruct
        qwen2.5-14b-instruct-1m qwen2.5-7b-instruct-1m qwq-32b qwq-32b-preview qwen3-4b qwen3-1.7b
        qwen3-0.6b""",
    date(2026, 10, 10): """qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b
        qwen3-235b-a22b-instruct-2507 qwen3-235b-a22b-thinking-2507 qwen3-30b-a3b-instruct-2507
        qwen3-30b-a3b-thinking-2507 qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-thinking
        qwen3-coder-next qwen3-coder-30b-a3b-instruct qwen3-coder-480b-a35b-instruct deepseek-v3
        deepseek-v3.1 deepseek-v3.2 deepseek-v3.2-exp deepseek-r1 deepseek-r1-0528
        deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b
        glm-4.5 glm-4.5-air glm-4.6 glm-4.7 MiniMax-M2.1 Moonshot-Kimi-K2-Instruct
        kimi-k2-thinking""",
}

# id: endpoint, window, most output, thinking
CURRENT = {
    "qwen3.5-397b-a17b": ("multimodal", 262_144, 65_536, "hybrid"),
    "qwen3.5-122b-a10b": ("multimodal", 262_144, 65_536, "hybrid"),
    "qwen3.5-35b-a3b": ("multimodal", 262_144, 65_536, "hybrid"),
    "qwen3.5-27b": ("multimodal", 262_144, 65_536, "hybrid"),
    "qwen3.6-35b-a3b": ("multimodal", 262_144, 65_536, "hybrid"),
    "qwen3.6-27b": ("multimodal", 262_144, 65_536, "hybrid"),
    "deepseek-v4-pro": ("text", 1_000_000, 393_216, "hybrid"),
    "deepseek-v4-flash": ("text", 1_000_000, 393_216, "hybrid"),
    "glm-5": ("text", 202_752, 16_384, "hybrid"),
    "glm-5.1": ("text", 202_752, 131_072, "hybrid"),
    "glm-5.2": ("text", None, 131_072, "hybrid"),
    "kimi-k2.5": ("multimodal", 262_144, 32_768, "hybrid"),
    "kimi-k2.6": ("multimodal", 262_144, 16_384, "hybrid"),
    "kimi-k2.7-code": ("multimodal", None, 16_384, "always"),
    "MiniMax-M2.5": ("text", 196_608, 32_768, "always"),
}
SUPPLIED = [
    "MiniMax/MiniMax-M2.5",
    "MiniMax/MiniMax-M2.7",
    "kimi/kimi-k2.6",
    "kimi/kimi-k2.5",
    "vanchin/deepseek-v4-pro",
    "siliconflow/deepseek-v3.2",
]
UNCERTAIN = [
    "deepseek-r1-distill-qwen-1.5b",
    "deepseek-r1-distill-llama-8b",
    "deepseek-r1-distill-llama-70b",
]


def test_the_seed_ids_are_those_of_the_pages():
    assert set(SEED_IDS) == set(SEEDS)
    assert len(SEED_IDS) == 10


@pytest.mark.parametrize(("id", "expected"), SEEDS.items(), ids=SEEDS)
def test_what_a_seed_row_says(id, expected):
    row = find_model(id)
    said = (row.inputs, row.template, row.context_window, row.max_input, row.max_output)
    assert (*said, row.reports_usage, row.echo, row.price_in) == expected
    assert row.price_out == row.price_in


@pytest.mark.parametrize("id", SEEDS)
def test_a_seed_row_is_complete(id):
    row = find_model(id)
    assert (row.status, row.retired_on) == ("retired", date(2025, 7, 2))
    assert row.successors
    assert row.maker
    assert row.family not in ("", "unknown")
    assert row.endpoint == "text-generation"
    assert (row.thinking, row.tools, row.structured) == ("none", False, "none")
    assert row.tokenizer != "other"
    assert row.input_limit
    assert row.documented_parameters is not None
    assert "page" in row.source
    assert row.checked
    assert row.notes


def test_what_the_pages_say_of_weights_and_free_quota():
    weights = {row.id: row.weights for row in all_models() if row.weights}
    assert weights == {
        "ziya-llama-13b-v1": "Fengshenbang/Ziya-LLaMA-13B-v1 v1.0.3",
        "belle-llama-13b-2m-v1": "AI-ModelScope/BELLE-LLaMA-13B-2M v1.0.1",
        "billa-7b-sft-v1": "AI-ModelScope/BiLLa-7B-SFT v1.0.5",
    }
    for id in SEEDS:
        if "baichuan" in id or "llama2" in id:
            assert "1,000,000 tokens" in (find_model(id).free_quota or "")


@pytest.mark.parametrize(
    ("id", "rate"),
    [
        ("llama-4-scout-17b-16e-instruct", (10, 20_000)),
        ("kimi-k2.5", (60, 100_000)),
        ("glm-5", (60, 1_000_000)),
        ("qwen3.5-27b", (600, 1_000_000)),
        ("qwen2.5-7b-instruct", (1200, 1_000_000)),
        ("qwen3-32b", (2400, 1_000_000)),
        ("deepseek-r1", (15_000, 1_200_000)),
        ("llama2-7b-chat-v2", (None, None)),
        ("deepseek-v4-pro", (None, None)),
    ],
)
def test_requests_and_tokens_a_minute_as_the_vendors_page_lists_them(id, rate):
    """A model that had left when the page was read, or is not on it, has no limits."""
    row = find_model(id)
    assert (row.requests_per_minute, row.tokens_per_minute) == rate


def test_as_many_models_have_a_rate_as_the_page_lists():
    rated = [row for row in all_models() if row.requests_per_minute]
    assert len(rated) == 39
    assert all(row.tokens_per_minute for row in rated)


@pytest.mark.parametrize("when", RETIRED, ids=str)
def test_retired_ids_and_their_day(when):
    rows = {row.id: row for row in all_models() if row.retired_on == when}
    assert set(rows) == set(RETIRED[when].split())
    assert {row.status for row in rows.values()} == {"retired"}


@pytest.mark.parametrize(("id", "expected"), CURRENT.items(), ids=CURRENT)
def test_hosted_ids_and_what_they_can_do(id, expected):
    row = find_model(id)
    endpoint = row.endpoint.removesuffix("-generation")
    assert (endpoint, row.context_window, row.max_output, row.thinking) == expected
    assert (row.status, row.retired_on, row.tools) == ("hosted", None, True)


def test_there_are_no_other_ids():
    retired = {id for ids in RETIRED.values() for id in ids.split()}
    assert {row.id for row in all_models()} == {*retired, *CURRENT, *SUPPLIED, *UNCERTAIN}
    assert len(all_models()) == len({row.id for row in all_models()}) == 105


@pytest.mark.parametrize("id", SUPPLIED)
def test_ids_that_their_makers_supply_are_hosted(id):
    assert find_model(id).status == "hosted"


@pytest.mark.parametrize("id", UNCERTAIN)
def test_ids_of_which_nobody_said_anything_lately_are_unknown(id):
    assert find_model(id).status == "unknown"


@pytest.mark.parametrize("row", all_models(), ids=lambda row: row.id)
def test_every_row_names_its_source_and_fits_together(row):
    assert row.source
    assert row.checked
    assert row.maker
    assert (row.retired_on is not None) == (row.status == "retired")
    assert row.takes_messages or row.template
    assert row.takes_messages or row.takes_prompt
    assert row.input_limit is None or row.input_limit > 0


def test_an_unknown_id_gets_careful_defaults_and_one_warning(monkeypatch):
    monkeypatch.setattr(lookup, "_warned", set())
    with pytest.warns(UnknownModelWarning, match="no record of the model 'my-model'"):
        row = find_model("my-model")
    assert (row.id, row.inputs, row.tools) == ("my-model", ("messages",), False)
    assert (row.status, row.thinking, row.input_limit) == ("unknown", "unknown", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_model("my-model") == row


def test_the_warning_points_at_the_callers_line(monkeypatch):
    monkeypatch.setattr(lookup, "_warned", set())
    with pytest.warns(UnknownModelWarning) as caught:
        find_model("my-model")
    assert caught[0].filename == __file__


def test_a_registered_record_is_found_and_does_not_warn():
    mine = replace(find_model("llama3-8b-instruct"), id="my-llama", status="self-hosted")
    assert register_model(mine) is mine
    assert find_model("my-llama") is mine
    assert all_models()[-1] is mine


def test_a_registered_record_replaces_the_one_of_the_same_id():
    mine = replace(find_model("glm-5"), max_output=7)
    register_model(mine)
    assert find_model("glm-5").max_output == 7
    assert len(all_models()) == 105


@pytest.mark.parametrize("id", ["", "  ", None, 3])
def test_an_empty_id_is_refused(id):
    with pytest.raises(ConfigurationError, match="dashscope-oss models"):
        find_model(id)


def test_white_space_around_an_id_counts_for_nothing():
    assert find_model(" glm-5\n").id == "glm-5"


@pytest.mark.parametrize(
    ("thinking", "by_default", "switch", "thinks"),
    [
        ("none", False, None, False),
        ("none", False, True, False),
        ("unknown", False, None, False),
        ("always", False, None, True),
        ("hybrid", True, None, True),
        ("hybrid", False, None, False),
        ("hybrid", True, False, False),
        ("hybrid", False, True, True),
    ],
)
def test_whether_a_call_thinks(thinking, by_default, switch, thinks):
    row = replace(find_model("glm-5"), thinking=thinking, thinks_by_default=by_default)
    assert row.thinks(switch) is thinks


@pytest.mark.parametrize(
    ("thinking", "by_default", "switch", "can"),
    [
        ("none", False, None, True),
        ("unknown", False, None, True),
        ("always", False, None, False),
        ("hybrid", True, None, True),
        ("hybrid", True, False, True),
        ("hybrid", False, True, False),
    ],
)
def test_nothing_is_forced_while_a_model_thinks(thinking, by_default, switch, can):
    """A hybrid model that nobody told to think is told not to, and can be forced."""
    model_info = ModelInfo(
        id="m", family="f", maker="x", thinking=thinking, thinks_by_default=by_default
    )
    assert model_info.can_be_forced(switch) is can
