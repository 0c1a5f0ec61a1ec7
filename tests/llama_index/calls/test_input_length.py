"""An input that is too long is refused before it is sent; one that may fit is not."""

import pytest

from dashscope_oss import (
    ContextLengthError,
    find_model,
)
from dashscope_oss.gateway import Answer
from dashscope_oss.tokens import estimates
from tests.llama_index.examples import PROMPT_ONLY

LONG = "守塔人擦灯在本子里写道海面平静" * 125  # 1,875 characters: 2,625 tokens to Llama 2


def test_a_long_prompt_is_refused_with_estimate_and_advice(make, ask):
    """Before anything is sent."""
    llm = make(PROMPT_ONLY)
    with pytest.raises(ContextLengthError, match=r"26\d\d tokens.*takes 2048.*use_tokenizer") as e:
        ask(llm, LONG)
    assert e.value.model == PROMPT_ONLY
    assert not make.requests


@pytest.mark.parametrize(
    ("model", "text", "settings"),
    [
        (PROMPT_ONLY, LONG, {"check_length": False}),
        (PROMPT_ONLY, "Implementation " * 680, {}),
        ("billa-7b-sft-v1", LONG, {}),
    ],
)
def test_what_may_fit_is_sent(make, model, text, settings):
    """Within the error of the estimate the service decides."""
    make(model, Answer("ok"), **settings).complete(text)
    assert len(make.requests) == 1


@pytest.mark.parametrize("model", ["billa-7b-sft-v1", "baichuan-7b-v1", "baichuan2-7b-chat-v1"])
@pytest.mark.parametrize("text", ["守塔人擦灯", "Implementation "])
def test_a_prompt_far_too_long_is_refused_without_a_measured_rate_too(make, model, text):
    """With the estimate and the limit."""
    limit = find_model(model).input_limit
    with pytest.raises(ContextLengthError, match=rf"some \d+ tokens.*takes {limit}"):
        make(model).complete(text * (limit * 4 // 5))
    assert not make.requests


def test_what_is_counted_exactly_is_not_forgiven(make):
    """Chinese to Llama 2, 1 per cent over the limit."""
    text = ("守塔人擦灯在本子里写道海面平静" * 100)[:1477]
    assert 2048 < estimates.estimate(text, "llama2") < 2048 * 1.02
    with pytest.raises(ContextLengthError, match="takes 2048"):
        make(PROMPT_ONLY).complete(text)
    make(PROMPT_ONLY, Answer("ok")).complete(text[:1440])


def test_a_prompt_that_is_surely_too_long_is_sent_with_the_check_turned_off_only(make):
    """A server may run the weights with a larger window than the hosted model had."""
    with pytest.raises(ContextLengthError, match=r"at least .* takes 2048.* check_length=False"):
        make(PROMPT_ONLY).complete("很" * 3000)
    assert not make.requests
    with pytest.raises(ContextLengthError, match="status 400"):
        make(PROMPT_ONLY, check_length=False).complete("很" * 3000)
    assert len(make.requests) == 1


def test_a_tokenizer_of_the_users_own_decides(make):
    """It counts exactly, so that one token too many is refused, and none before."""
    llm = make(PROMPT_ONLY, Answer("ok"), tokenizer=list)
    prompt_marks = len("<human>:\n<bot>:")
    llm.complete("x" * (2048 - prompt_marks))
    with pytest.raises(ContextLengthError, match="is 2049 tokens long, the model takes 2048"):
        llm.complete("x" * (2049 - prompt_marks))
    assert len(make.requests) == 1
