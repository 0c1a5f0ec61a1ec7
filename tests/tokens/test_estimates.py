"""Token counts without a tokenizer: estimates, and a count that is never too high."""

import pytest

from dashscope_oss.tokens import estimates
from dashscope_oss.tokens.llama2_vocabulary import wide_character, wide_tokens

CHINESE = "守塔人擦灯在本子里写道海面平静" * 100
ENGLISH = "The keeper lights the lamp. " * 100
FAMILIES = ("llama2", "llama2-zh", "llama3", "qwen", "baichuan", "other")


@pytest.mark.parametrize(
    ("family", "text", "tokens"),
    [
        ("llama2", ENGLISH, 625),
        ("llama3", ENGLISH, 541),
        ("qwen", ENGLISH, 541),
        ("baichuan", ENGLISH, 625),
        ("llama2-zh", CHINESE, 2085),
        ("llama3", CHINESE, 1215),
        ("qwen", CHINESE, 975),
        ("other", CHINESE, 1215),
        ("llama2", "", 0),
    ],
)
def test_an_estimate_is_made_of_a_rate_for_each_kind_of_character(family, text, tokens):
    assert estimates.estimate(text, family) == tokens


def test_chinese_is_counted_exactly_for_llama_2():
    """A character is one token if the vocabulary has it, else one for each of its bytes."""
    assert wide_tokens(wide_character().findall("人大中山")) == 4
    assert wide_tokens(wide_character().findall("魑魅魍魉")) == 12
    assert estimates.estimate("人大中山魑魅魍魉", "llama2") == 16


def test_other_scripts_of_east_asia_and_their_punctuation_are_counted_with_it():
    assert wide_character().findall("aあ가、!") == ["あ", "가", "、"]


@pytest.mark.parametrize(
    ("family", "error"), [("llama3", 1.2), ("qwen", 1.2), ("baichuan", 2.0), ("llama2", 1.0)]
)
def test_a_low_estimate_is_the_estimate_less_as_much_as_it_may_err(family, error):
    """What is counted exactly is not made smaller."""
    low, estimate = (f(CHINESE, family) for f in (estimates.low_estimate, estimates.estimate))
    assert low == pytest.approx(estimate / error, abs=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_least_count_is_below_every_estimate(family):
    for text in (CHINESE, ENGLISH, CHINESE + ENGLISH):
        assert 0 < estimates.at_least(text, family) <= estimates.estimate(text, family)


def test_a_word_is_at_least_one_token_and_a_very_long_one_several():
    assert estimates.at_least("one two  three", "qwen") == 3
    assert estimates.at_least("x" * 1000, "qwen") == 1 + 1000 // 128


def test_which_rates_were_measured():
    assert [family for family in FAMILIES if estimates.is_measured(family)] == [
        "llama2",
        "llama3",
        "qwen",
    ]
