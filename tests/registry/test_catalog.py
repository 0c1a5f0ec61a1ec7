"""The catalog: the ten models of the vendor's pages in full, and every other id with its facts."""

from __future__ import annotations

from datetime import date

import pytest

from dashscope_oss import all_models, find_model
from dashscope_oss.prompts.templates import BAICHUAN2, BELLE, BILLA, LLAMA2, LLAMA3, PLAIN, ZIYA
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


def test_the_ids_of_the_pages():
    assert set(SEED_IDS) == set(SEEDS)
    assert len(SEED_IDS) == 10


@pytest.mark.parametrize("id", SEEDS)
def test_what_the_page_of_a_model_says(id):
    model = find_model(id)
    facts = (model.inputs, model.template, model.context_window, model.max_input, model.max_output)
    assert (*facts, model.reports_usage, model.echo, model.price_in) == SEEDS[id]
    assert model.price_out == model.price_in
    assert (model.thinking, model.tools, model.structured) == ("none", False, "none")
    assert (model.status, model.endpoint) == ("retired", "text-generation")


@pytest.mark.parametrize("id", SEEDS)
def test_the_record_of_a_model_with_a_page_is_complete(id):
    model = find_model(id)
    for fact in (model.successors, model.input_limit, model.checked, model.notes):
        assert fact
    assert model.family not in ("", "unknown")
    assert model.tokenizer != "other"
    assert model.documented_parameters is not None
    assert "page" in model.source


def test_what_the_pages_say_of_weights_and_free_quota():
    assert {model.id: model.weights for model in all_models() if model.weights} == {
        "ziya-llama-13b-v1": "Fengshenbang/Ziya-LLaMA-13B-v1 v1.0.3",
        "belle-llama-13b-2m-v1": "AI-ModelScope/BELLE-LLaMA-13B-2M v1.0.1",
        "billa-7b-sft-v1": "AI-ModelScope/BiLLa-7B-SFT v1.0.5",
    }
    free = {id for id in SEEDS if "1,000,000 tokens" in (find_model(id).free_quota or "")}
    assert free == {id for id in SEEDS if "baichuan" in id or "llama2" in id or "llama3" in id}


def test_requests_and_tokens_a_minute_as_the_vendors_page_lists_them():
    """A model that had left when the page was read, or is not on it, has no limits."""
    rates = {
        "llama-4-scout-17b-16e-instruct": (10, 20_000),
        "kimi-k2.5": (60, 100_000),
        "glm-5": (60, 1_000_000),
        "qwen3.5-27b": (600, 1_000_000),
        "qwen2.5-7b-instruct": (1200, 1_000_000),
        "qwen3-32b": (2400, 1_000_000),
        "deepseek-r1": (15_000, 1_200_000),
        "llama2-7b-chat-v2": (None, None),
        "deepseek-v4-pro": (None, None),
    }
    models = {id: find_model(id) for id in rates}
    assert rates == {
        id: (model.requests_per_minute, model.tokens_per_minute) for id, model in models.items()
    }
    rated = [model for model in all_models() if model.requests_per_minute]
    assert len(rated) == 39
    assert all(model.tokens_per_minute for model in rated)


@pytest.mark.parametrize("day", RETIRED, ids=str)
def test_which_models_were_retired_on_a_day(day):
    models = [model for model in all_models() if model.retired_on == day]
    assert {model.id for model in models} == set(RETIRED[day].split())
    assert {model.status for model in models} == {"retired"}


def test_hosted_models_and_what_they_can_do():
    models = {id: find_model(id) for id in CURRENT}
    assert {
        id: (
            model.endpoint.removesuffix("-generation"),
            model.context_window,
            model.max_output,
            model.thinking,
        )
        for id, model in models.items()
    } == CURRENT
    assert {(model.status, model.tools) for model in models.values()} == {("hosted", True)}


def test_there_are_no_other_ids():
    retired = {id for ids in RETIRED.values() for id in ids.split()}
    ids = [model.id for model in all_models()]
    assert set(ids) == {*retired, *CURRENT, *SUPPLIED, *UNCERTAIN}
    assert len(ids) == len(set(ids)) == 105


def test_status_of_what_makers_supply_and_of_what_nobody_mentions_any_more():
    assert {find_model(id).status for id in SUPPLIED} == {"hosted"}
    assert {find_model(id).status for id in UNCERTAIN} == {"unknown"}


def test_every_record_names_its_source_and_fits_together():
    wrong = [
        model.id
        for model in all_models()
        if not (model.source and model.checked and model.maker)
        or (model.retired_on is None) == (model.status == "retired")
        or not (model.takes_messages or (model.takes_prompt and model.template))
        or model.input_limit == 0
    ]
    assert wrong == []
