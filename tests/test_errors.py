"""Errors and warnings: their text and facts, which may be tried again, where a warning points."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest

import dashscope_oss
from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    DashScopeError,
    DashScopeWarning,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.errors import did_you_mean, shortened, similar_names, warn

ERRORS = sorted(
    (
        value
        for value in vars(dashscope_oss).values()
        if isinstance(value, type) and issubclass(value, DashScopeError)
    ),
    key=lambda error: error.__name__,
)


def test_the_text_names_model_reason_facts_and_advice():
    error = AuthenticationError(
        "Invalid API-key provided",
        status_code=401,
        code="InvalidApiKey",
        request_id="fb53c4ec",
        retry_after=1.23456,
        model="belle-llama-13b-2m-v1",
        hint="Ask your administrator.",
    )
    assert str(error) == (
        "belle-llama-13b-2m-v1: Invalid API-key provided. "
        "[status 401, code InvalidApiKey, request_id fb53c4ec, retry_after 1.235] "
        "Check DASHSCOPE_API_KEY: a key belongs to one region. Ask your administrator."
    )


def test_a_sentence_that_has_its_end_gets_no_other():
    sentences = ["No.", "No!", "No?", "不行。", "(no.)"]
    assert [str(DashScopeError(sentence)) for sentence in sentences] == sentences


def test_a_misspelt_name_is_answered_with_those_that_look_like_it():
    known = ["model", "models", "timeout"]
    assert similar_names("modle", known) == ["model", "models"]
    assert similar_names("modle", known, likeness=0.85) == []
    assert did_you_mean(["a", "b", "c"]) == " Did you mean a, b or c?"
    assert (did_you_mean(["a"]), did_you_mean([])) == (" Did you mean a?", "")


def test_control_characters_are_not_shown():
    """The text may end in a terminal or a log; line breaks and tabs are kept."""
    assert str(DashScopeError("a\x1b[31m\x00b\nc\td\x9f.")) == "a\ufffd[31m\ufffdb\nc\td\ufffd."


def test_the_text_stays_short_whatever_was_sent():
    long = "x" * 100_000
    for facts in ({"code": long}, {"request_id": long}, {"model": long}, {"code": long * 2}):
        assert len(str(AuthenticationError(long, **facts))) < 4000
    assert shortened("x" * 20, 10) == "x" * 10 + " … (cut)"
    assert shortened("x" * 10, 10) == "x" * 10


def test_only_what_waiting_can_cure_is_retryable():
    retryable = {error for error in ERRORS if error.retryable}
    assert retryable == {RateLimitError, ServerError, APIConnectionError, APITimeoutError}


def test_what_is_wrong_with_the_callers_values_is_a_value_error_too():
    for error in (UnsupportedInputError, ConfigurationError, UnreadableAnswerError):
        assert issubclass(error, ValueError)


def test_every_error_survives_pickling_with_all_it_holds(subtests):
    facts = {
        "status_code": 429,
        "code": "Throttling",
        "request_id": "r-1",
        "retry_after": 2.5,
        "partial_text": "so far",
        "model": "glm-5",
        "hint": "a hint",
    }
    for error in [error_class("reason", **facts) for error_class in ERRORS]:
        with subtests.test(type(error).__name__):
            for copied in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
                assert type(copied) is type(error)
                assert vars(copied) == vars(error)
                assert (str(copied), copied.args) == (str(error), error.args)


def test_the_tree_is_drawn_in_full():
    drawn = dashscope_oss.errors.__doc__
    assert [error.__name__ for error in ERRORS if error.__name__ not in drawn] == []
    assert str(ModelNotFoundError("m")).endswith("`dashscope-oss models` lists the known ids.")


def test_a_warning_points_at_the_line_outside_of_this_package():
    """Functions of the package and of the frameworks are passed over."""
    namespace: dict[str, object] = {"__name__": "langchain_core.anything", "warn": warn}
    exec("def call(*args):\n    warn(*args)\n", namespace)
    with pytest.warns(DashScopeWarning, match="look") as caught:
        namespace["call"]("look", DashScopeWarning)
    assert caught[0].filename == __file__


def test_a_warning_is_found_without_any_line_outside():
    """As at the top of a program that is itself part of a framework."""
    code = compile("warn('look', category)", "top.py", "exec")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(code, {"__name__": "pydantic", "warn": warn, "category": DashScopeWarning})
    assert len(caught) == 1
