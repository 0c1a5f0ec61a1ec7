"""Inputs that are too long are refused before a request, surely too long or by estimate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashscope_oss import ContextLengthError, DashScopeWarning, find_model
from dashscope_oss.tokens import estimates
from dashscope_oss.tokens.input_length import SMALL_WINDOW, check_least_length, check_length

LLAMA2 = replace(find_model("llama2-7b-chat-v2"), max_input=100)
UNMEASURED = replace(find_model("baichuan-7b-v1"), max_input=100)


def test_an_input_is_refused_if_all_texts_together_are_surely_too_long():
    check_least_length(LLAMA2, ["word " * 50, "word " * 50])
    with pytest.raises(ContextLengthError, match="at least 101 tokens long, the model takes 100"):
        check_least_length(LLAMA2, ["word " * 50, "word " * 51])


def test_a_model_without_a_known_limit_takes_any_length():
    endless = replace(LLAMA2, max_input=None, context_window=None)
    check_least_length(endless, ["word " * 1000])
    check_length(endless, "word " * 1000)


@pytest.mark.parametrize(("model_info", "error"), [(LLAMA2, 1.2), (UNMEASURED, 2.0)])
def test_an_estimate_is_forgiven_as_much_as_it_may_err(model_info, error):
    """English has 0.223 tokens a character in both families."""
    limit = int(100 * error / 0.223)
    check_length(model_info, "a" * limit)
    with pytest.raises(ContextLengthError, match=r"some \d+ tokens long by estimate"):
        check_length(model_info, "a" * (limit + 12))


def test_a_large_window_without_a_measured_rate_is_not_checked():
    large = replace(UNMEASURED, max_input=SMALL_WINDOW + 1)
    check_length(large, "a" * SMALL_WINDOW * 100)


def test_a_text_that_is_short_enough_in_any_language_passes(monkeypatch):
    """It is not even estimated, which would cost each call something."""
    monkeypatch.setattr(estimates, "low_estimate", None)
    check_length(LLAMA2, "宫" * 20)


def test_the_callers_tokenizer_is_exact():
    check_length(LLAMA2, "a" * 100, tokenizer=list)
    with pytest.raises(ContextLengthError, match="is 101 tokens long, the model takes 100"):
        check_length(LLAMA2, "a" * 101, tokenizer=list)


def test_the_error_names_the_model_and_says_what_to_do():
    with pytest.raises(ContextLengthError, match=f"{LLAMA2.id}: .*Shorten the input") as caught:
        check_length(LLAMA2, "a" * 1000)
    assert caught.value.model == LLAMA2.id


@pytest.mark.parametrize(
    ("limits", "refuses"),
    [
        ({"disputed": ("max_input",)}, False),
        ({"disputed": ("context_window",), "max_input": None, "context_window": 100}, False),
        ({"disputed": ("context_window", "max_output")}, True),
        ({"guessed": ("max_input",)}, False),
        ({"guessed": ("context_window",)}, True),
    ],
)
def test_a_limit_that_is_not_certain_warns_and_refuses_nothing(limits, refuses):
    model_info = replace(LLAMA2, **limits)
    for check in (
        lambda: check_least_length(model_info, ["word " * 200]),
        lambda: check_length(model_info, "word " * 400),
    ):
        with (
            pytest.raises(ContextLengthError)
            if refuses
            else pytest.warns(DashScopeWarning, match="the service decides")
        ):
            check()
