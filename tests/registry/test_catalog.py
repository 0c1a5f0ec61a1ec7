"""The rows: the ten models of the vendor's pages in full, and every other id with its facts."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import date

import pytest

from dashscope_oss import ConfigurationError, ModelInfo, all_models, find_model
from dashscope_oss.prompts.templates import BAICHUAN2, BELLE, BILLA, LLAMA2, LLAMA3, PLAIN, ZIYA
from dashscope_oss.registry import catalog
from dashscope_oss.registry.catalog import SEED_IDS

BOTH, PROMPT, MESSAGES = ("prompt", "messages"), ("prompt",), ("messages",)

# id: inputs, template, window, most input, most output, usage, echo, price of 1,000 tokens
SEEDS = {
    "llama2-7b-chat-v2": (BOTH, LLAMA2, 4096, 2048, None, True, "none", None),
    "llama2-13b-chat-v2": (BOTH, LLAMA2, 4096, 4096, None, True, "none", None),
    "llama3-8b-instruct": (MESSAGES, LLAMA3, 8000, 6500, 1500, True, "none", None),
    "llama3-70b-instruct": (MESSAGES, LLAMA3, 8000, 6500, 1500, True, "none", None),
    "ziya-llama-13b-v1": (PROMPT, ZIYA, 2048, None, None, False, "spaced", None),
    "belle-llama-13b-2m-v1": (PROMPT, BELLE, 2048, None, None, False, "none", None),
    "billa-7b-sft-v1": (PROMPT, BILLA, 2048, None, None, False, "none", None),
    "baichuan-7b-v1": (PROMPT, PLAIN, 4096, None, None, False, "line", 0.0),
    "baichuan2-7b-chat-v1": (BOTH, BAICHUAN2, 4096, None, None, True, "line", 0.006),
    "baichuan2-13b-chat-v1": (BOTH, BAICHUAN2, 4096, None, None, True, "line", 0.008),
}

RETIRED = {
    date(2025, 5, 8): """qwen-72b-chat qwen-14b-chat qwen-7b-chat qwen-1.8b-chat
        qwen-1.8b-longcontext-chat qwen2-math-72b-instruct qwen2-math-7b-instruct
        qwen2-math-1.5b-instruct""",
    date(2025, 7, 2): """llama2-7b-chat-v2 llama2-13b-chat-v2 llama3-8b-instruct
        llama3-70b-instruct llama3.1-8b-instruct llama3.1-70b-instruct llama3.1-405b-instruct
        llama3.2-1b-instruct llama3.2-3b-instruct llama3.3-70b-instruct ziya-llama-13b-v1
        belle-llama-13b-2m-v1 billa-7b-sft-v1 baichuan-7b-v1 baichuan2-7b-chat-v1
        baichuan2-13b-chat-v1 chatglm-6b-v2 chatglm3-6b llama3.2-90b-vision-instruct
        llama3.2-11b-vision chatyuan-large-v2""",
    date(2025, 7, 30): "dolly-12b-v2",
    date(2026, 3, 30): """llama-4-scout-17b-16e-instruct llama-4-maverick-17b-128e-instruct
        qwen1.5-110b-chat qwen1.5-72b-chat qwen1.5-32b-chat qwen1.5-14b-chat qwen1.5-7b-chat
        qwen1.5-1.8b-chat qwen1.5-0.5b-chat qwen2-57b-a14b-instruct qwen2-72b-instruct
        qwen2-7b-instruct qwen2-1.5b-instruct qwen2-0.5b-instruct qwen2-vl-72b-instruct
        qwen2-vl-7b-instruct qwen2-vl-2b-instruct qwen-vl-v1 qwen-vl-chat-v1 qwen-audio-chat
        qwen2-audio-instruct""",
    date(2026, 5, 13): """qwen2.5-72b-instruct qwen2.5-32b-instruct qwen2.5-14b-instruct
        qwen2.5-7b-instruct qwen2.5-3b-instruct qwen2.5-1.5b-instruct qwen2.5-0.5b-instruct
        qwen2.5-14b-instruct-1m qwen2.5-7b-instruct-1m qwq-32b qwq-32b-preview qwen3-4b qwen3-1.7b
        qwen3-0.6b qvq-72b-preview qwen2.5-coder-32b-instruct qwen2.5-coder-14b-instruct
        qwen2.5-coder-7b-instruct qwen2.5-coder-3b-instruct qwen2.5-coder-1.5b-instruct
        qwen2.5-coder-0.5b-instruct qwen2.5-math-72b-instruct qwen2.5-math-7b-instruct
        qwen2.5-math-1.5b-instruct qwen2.5-vl-72b-instruct qwen2.5-vl-32b-instruct
        qwen2.5-vl-7b-instruct qwen2.5-vl-3b-instruct""",
    date(2026, 10, 10): """qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b
        qwen3-235b-a22b-instruct-2507 qwen3-235b-a22b-thinking-2507 qwen3-30b-a3b-instruct-2507
        qwen3-30b-a3b-thinking-2507 qwen3-next-80b-a3b-instruct qwen3-next-80b-a3b-thinking
        qwen3-coder-next qwen3-coder-30b-a3b-instruct qwen3-coder-480b-a35b-instruct deepseek-v3
        deepseek-v3.1 deepseek-v3.2 deepseek-v3.2-exp deepseek-r1 deepseek-r1-0528
        deepseek-r1-distill-qwen-7b deepseek-r1-distill-qwen-14b deepseek-r1-distill-qwen-32b
        glm-4.5 glm-4.5-air glm-4.6 glm-4.7 MiniMax-M2.1 Moonshot-Kimi-K2-Instruct
        kimi-k2-thinking codeqwen1.5-7b-chat qwen2.5-omni-7b qwen3-vl-235b-a22b-instruct
        qwen3-vl-235b-a22b-thinking qwen3-vl-32b-instruct qwen3-vl-32b-thinking
        qwen3-vl-30b-a3b-instruct qwen3-vl-30b-a3b-thinking qwen3-vl-8b-instruct
        qwen3-vl-8b-thinking""",
}

# id: endpoint, what messages hold, window, most output, thinking
TEXT, IMAGE, VIDEO = ("text",), ("text", "image"), ("text", "image", "video")
CURRENT = {
    "qwen3.5-397b-a17b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.5-122b-a10b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.5-35b-a3b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.5-27b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.6-35b-a3b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.6-27b": ("multimodal", VIDEO, 262_144, 65_536, "hybrid"),
    "qwen3.8-27b": ("multimodal", VIDEO, 1_000_000, 131_072, "hybrid"),
    "qwen3.8-2.4t-a95b": ("multimodal", TEXT, 1_000_000, 131_072, "hybrid"),
    "deepseek-v4-pro": ("text", TEXT, 1_000_000, 393_216, "hybrid"),
    "deepseek-v4-pro-0813": ("text", TEXT, 1_000_000, 393_216, "hybrid"),
    "deepseek-v4-flash": ("text", TEXT, 1_000_000, 393_216, "hybrid"),
    "deepseek-v4-flash-0731": ("text", TEXT, 1_000_000, 393_216, "hybrid"),
    "deepseek-v4.1-flash": ("multimodal", IMAGE, 1_000_000, 393_216, "hybrid"),
    "glm-5": ("text", TEXT, 202_752, 16_384, "hybrid"),
    "glm-5.1": ("text", TEXT, 202_752, 131_072, "hybrid"),
    "glm-5.2": ("text", TEXT, 1_000_000, 131_072, "hybrid"),
    "glm-5.2-fast-preview": ("text", TEXT, 1_000_000, 131_072, "hybrid"),
    "glm-5.3": ("text", TEXT, 1_000_000, 131_072, "always"),
    "glm-5.3-prime": ("text", TEXT, 1_000_000, 131_072, "always"),
    "kimi-k2.5": ("multimodal", VIDEO, 262_144, 16_384, "hybrid"),
    "kimi-k2.6": ("multimodal", VIDEO, 262_144, 16_384, "hybrid"),
    "kimi-k2.7-code": ("multimodal", VIDEO, 262_144, 16_384, "always"),
    "kimi-k3": ("multimodal", IMAGE, 1_000_000, 1_048_576, "always"),
    "MiniMax-M2.5": ("text", TEXT, 204_800, 32_768, "always"),
}
SUPPLIED = {
    "MiniMax/MiniMax-M2.1": ("text", TEXT, 204_800, 131_072, "always"),
    "MiniMax/MiniMax-M2.5": ("text", TEXT, 204_800, 131_072, "always"),
    "MiniMax/MiniMax-M2.7": ("text", TEXT, 204_800, 131_072, "always"),
    "kimi/kimi-k2.6": ("multimodal", VIDEO, 262_144, 262_144, "hybrid"),
    "kimi/kimi-k2.7-code": ("multimodal", VIDEO, 262_144, 262_144, "always"),
    "kimi/kimi-k2.7-code-highspeed": ("multimodal", VIDEO, 262_144, 262_144, "always"),
    "kimi/kimi-k3": ("multimodal", VIDEO, 1_000_000, 1_048_576, "always"),
    "ZHIPU/GLM-5": ("text", TEXT, None, None, "hybrid"),
    "ZHIPU/GLM-5.1": ("text", TEXT, None, None, "hybrid"),
    "ZHIPU/GLM-5.2": ("text", TEXT, None, None, "hybrid"),
    "ZHIPU/GLM-5.3": ("text", TEXT, None, None, "always"),
    "vanchin/deepseek-v4-pro": ("text", TEXT, None, None, "unknown"),
    "vanchin/deepseek-v4-pro-0813": ("text", TEXT, None, None, "unknown"),
    "vanchin/deepseek-v4.1-flash": ("multimodal", IMAGE, None, None, "unknown"),
    "vanchin/deepseek-v3": ("text", TEXT, None, None, "none"),
    "vanchin/deepseek-v3.1-terminus": ("text", TEXT, None, None, "unknown"),
    "vanchin/deepseek-v3.2-think": ("text", TEXT, None, None, "unknown"),
    "vanchin/deepseek-r1": ("text", TEXT, None, None, "always"),
    "siliconflow/deepseek-v3.2": ("text", TEXT, 163_840, 65_536, "unknown"),
    "siliconflow/deepseek-v3.1-terminus": ("text", TEXT, None, None, "unknown"),
    "siliconflow/deepseek-v3-0324": ("text", TEXT, None, None, "none"),
    "siliconflow/deepseek-r1-0528": ("text", TEXT, None, None, "always"),
}
UNCERTAIN = [
    "kimi/kimi-k2.5",
    "deepseek-r1-distill-qwen-1.5b",
    "deepseek-r1-distill-llama-8b",
    "deepseek-r1-distill-llama-70b",
]


# What else the record says that calls, prices and profiles are made from.
FIELDS = {
    ("tools", True): """glm-4.5 glm-4.5-air glm-4.6 glm-4.7 MiniMax-M2.1 Moonshot-Kimi-K2-Instruct
        kimi-k2-thinking qwq-32b qwen3-coder-next deepseek-r1-distill-llama-70b""",
    ("structured", "json_object"): """qwen2.5-7b-instruct qwen3-coder-next deepseek-v3.2
        deepseek-v4-pro glm-5.3 kimi-k3 kimi/kimi-k2.6 qwen3.8-27b""",
    ("structured", "none"): "kimi-k2.5 kimi-k2.6 MiniMax-M2.5",
    ("reasoning_efforts", ("high", "max")): "deepseek-v4-pro deepseek-v4-flash glm-5.2",
    ("reasoning_efforts", ("low", "high", "max")): """deepseek-v4-pro-0813 deepseek-v4-flash-0731
        deepseek-v4.1-flash glm-5.3 kimi/kimi-k3""",
    ("reasoning_efforts", ()): "kimi-k3 qwen3.5-27b MiniMax-M2.5",
    ("preserve_thinking", True): "kimi-k2.6 kimi-k2.7-code kimi/kimi-k3 qwen3.6-27b",
    ("context_cache", "explicit"): """kimi-k2.5 kimi-k2.6 kimi-k2.7-code qwen3.8-27b
        qwen3.8-2.4t-a95b deepseek-v3.2 glm-5.1""",
    ("context_cache", "implicit"): "deepseek-v4-pro glm-5.2 kimi-k3 MiniMax-M2.5",
    ("web_search", True): "deepseek-v4-pro deepseek-v4.1-flash kimi-k3 qwen3.5-27b",
    ("web_search", False): "glm-5.3 kimi-k2.6 MiniMax-M2.5",
    ("max_tokens_counts_thoughts", True): "deepseek-v4-pro deepseek-v4.1-flash",
    ("max_completion_tokens", True): "deepseek-v4-pro deepseek-v4.1-flash",
    ("thinks_by_default", False): "kimi-k2.5 kimi-k2.6 deepseek-v3.2",
    ("price_in", 0.012): "deepseek-v4-pro qwen3.8-2.4t-a95b",
    ("price_in", None): "llama2-7b-chat-v2 deepseek-v4-pro-0813",
}
# The fields on which the sources differ, and a word of the note that holds every figure.
DISPUTED = {
    "glm-5.1": (("context_window", "max_output"), "131,072, others 128,000 or 16,384"),
    "glm-5.2": (("context_window", "max_output"), "1,048,576"),
    "glm-5": (("max_input",), "169,984, page-glm 202,752"),
    "deepseek-v3": (("context_window", "max_input", "max_output"), "131,072"),
    "qwen3-next-80b-a3b-instruct": (("context_window", "max_output"), "262,144 and 65,536"),
    "kimi-k2-thinking": (("retired_on", "structured"), "2026-07-09"),
    "deepseek-v4-pro": (("max_output", "reasoning_efforts"), "384,000"),
    "qwen3.8-27b": (("context_window", "max_input", "max_output"), "262,144"),
}


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
        "qwen3.8-27b": (5000, 5_000_000),
        "deepseek-r1": (15_000, 1_200_000),
        "llama2-7b-chat-v2": (None, None),
        "deepseek-v4-pro": (None, None),
    }
    models = {id: find_model(id) for id in rates}
    assert rates == {
        id: (model.requests_per_minute, model.tokens_per_minute) for id, model in models.items()
    }
    rated = [model for model in all_models() if model.requests_per_minute]
    assert len(rated) == 41
    assert all(model.tokens_per_minute for model in rated)


@pytest.mark.parametrize("day", RETIRED, ids=str)
def test_which_models_were_retired_on_a_day(day):
    models = [model for model in all_models() if model.retired_on == day]
    assert {model.id for model in models} == set(RETIRED[day].split())
    assert {model.status for model in models} == {"retired"}


def test_hosted_models_and_what_they_can_do():
    models = {id: find_model(id) for id in (*CURRENT, *SUPPLIED)}
    assert {
        id: (
            model.endpoint.removesuffix("-generation"),
            model.modalities,
            model.context_window,
            model.max_output,
            model.thinking,
        )
        for id, model in models.items()
    } == {**CURRENT, **SUPPLIED}
    assert {(model.status, model.tools) for model in models.values()} == {("hosted", True)}


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_what_the_sources_say_of_a_field(field, value):
    ids = FIELDS[field, value].split()
    assert {id: getattr(find_model(id), field) for id in ids} == dict.fromkeys(ids, value)


@pytest.mark.parametrize("id", DISPUTED)
def test_where_sources_differ_both_figures_stand_in_the_record(id):
    disputed, figures = DISPUTED[id]
    assert find_model(id).disputed == disputed
    assert figures in " ".join(find_model(id).notes)


def test_there_are_no_other_ids():
    retired = {id for ids in RETIRED.values() for id in ids.split()}
    ids = [model.id for model in all_models()]
    assert set(ids) == {*retired, *CURRENT, *SUPPLIED, *UNCERTAIN}
    assert len(ids) == len(set(ids)) == 169


def test_status_of_what_nobody_mentions_any_more():
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


def test_every_record_tells_what_it_guesses_and_where_sources_differ():
    """By names of fields; a dispute is explained in the notes, and a dated price has its day."""
    names = {field.name for field in fields(ModelInfo)}
    wrong = [
        model.id
        for model in all_models()
        if not {*model.disputed, *model.guessed} <= names
        or (model.disputed and not model.notes)
        or (model.price_in is not None and not (model.priced_on or model.id in SEED_IDS))
    ]
    assert wrong == []


def test_every_source_of_a_record_stands_in_the_list_of_sources():
    named = {re.split(r" \(", word)[0] for m in all_models() for word in m.source.split("; ")}
    assert named == catalog.sources().keys()


def test_the_files_of_rows_are_short():
    lengths = [len(file.read_text("utf-8").splitlines()) for file in catalog.DATA.iterdir()]
    assert max(lengths) <= 450


def test_a_look_up_parses_only_the_file_that_has_the_model():
    for cached in (catalog.record, catalog._series, catalog._family):
        cached.cache_clear()
    assert find_model("glm-5").family == "glm"
    assert catalog._series.cache_info().currsize == 1


def test_every_file_of_rows_is_read():
    files = {file.stem for file in catalog.DATA.iterdir()}
    assert files == {*catalog.FILES, "sources", "not_rows"}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"max_ouput": 1}, r"kimi.toml, kimi-x: a record has no field 'max_ouput'"),
        ({"max_output": "many"}, r"kimi.toml, kimi-x: max_output cannot be 'many'"),
        ({"thinking": "often"}, r"kimi.toml, kimi-x: thinking cannot be 'often'"),
        ({"tools": 1}, r"kimi.toml, kimi-x: tools cannot be 1"),
        ({"modalities": ["smell"]}, r"kimi.toml, kimi-x: modalities cannot be \['smell'\]"),
        ({"template": "latin"}, r"kimi.toml, kimi-x: template cannot be 'latin'"),
    ],
)
def test_a_wrong_field_of_a_row_is_an_error_that_names_file_and_model(row, complaint):
    series = {"family": "kimi", "maker": "Moonshot", "models": {"kimi-x": row}}
    with pytest.raises(ConfigurationError, match=complaint):
        list(catalog.read_series(series, "kimi"))


def test_a_model_has_the_notes_of_its_series_and_its_own():
    series = {"family": "f", "maker": "m", "notes": ["a"], "models": {"x": {"notes": ["b"]}}}
    (model,) = catalog.read_series(series, "file")
    assert (model.notes, model.disputed) == (("a", "b"), ())


# Their makers answer 400 to a call of a tool that comes back without its thoughts, or ask for them.
WANT_THOUGHTS = (
    *("deepseek-v4", "kimi-k2", "minimax-m2", "qwen3.5", "qwen3.6"),
    *("glm-4.5", "glm-4.6", "glm-4.7", "glm-5"),
)


def test_thinkers_that_want_their_thoughts_back_get_them_whoever_serves_them():
    names = {model: model.id.rpartition("/")[2].lower() for model in all_models()}
    thinkers = [m for m, name in names.items() if name.startswith(WANT_THOUGHTS)]
    assert [m.id for m in thinkers if m.reasoning_in_history == "never"] == []


def test_templates_that_want_the_system_turn_first_get_it_so_whoever_serves_them():
    names = {model: model.id.rpartition("/")[2].lower() for model in all_models()}
    families = ("qwen3.5", "qwen3.6", "minimax-m2")
    models = [m for m, name in names.items() if name.startswith(families)]
    assert {m.system_turns for m in models} == {"first"}
