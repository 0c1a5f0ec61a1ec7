"""Token counts without a tokenizer: an estimate, and a count that is never too high.

Rates were fitted to one Chinese paragraph and one English text, counted with the families' real
tokenizers (Llama 2: 1.39 tokens a Chinese character and 0.22 a Latin one, Llama 3: 0.81 and 0.19,
Qwen: 0.65 and 0.19). Baichuan and unknown families have no measured rate and take the nearest
higher one. Expect errors of some 20 per cent; Chinese is exact for Llama 2.

For the count that is never too high: Llama 2 has no token of two Chinese characters; the other
vocabularies hold a few of up to some five.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from dashscope_oss.messages import Usage
from dashscope_oss.registry.model_info import Tokenizer
from dashscope_oss.tokens.llama2_vocabulary import wide_character, wide_tokens

# Tokens for a character of Chinese, Japanese or Korean; for any other character; at the least for
# one of the former.
_RATES: dict[Tokenizer, tuple[float, float, float]] = {
    "llama2": (1.39, 0.223, 1.0),
    "llama2-zh": (1.39, 0.223, 0.2),
    "llama3": (0.81, 0.193, 0.2),
    "qwen": (0.65, 0.193, 0.2),
    "baichuan": (0.81, 0.223, 0.2),
    "other": (0.81, 0.223, 0.2),
}
# What counts the former exactly.
_EXACT: dict[Tokenizer, Callable[[Iterable[str]], int]] = {"llama2": wide_tokens}
# How many times the truth an estimate may be. Of prompts of RAG it was up to 1.11 times the count
# of Llama 2's own tokenizer. Where no rate was measured, it may be twice the truth.
_MAX_ERRORS: dict[Tokenizer, float] = {"llama2": 1.2, "llama3": 1.2, "qwen": 1.2}
_MAX_UNMEASURED_ERROR = 2.0
_MAX_TOKEN_LENGTH = 128


def estimate(text: str, family: Tokenizer) -> int:
    """Return about how many tokens a tokenizer of ``family`` makes of ``text``."""
    exact, estimated = _counts(text, family)
    return math.ceil(exact + estimated)


def estimate_usage(question: str, answer: str, family: Tokenizer) -> Usage:
    """Return about how many tokens a call has, all of its input and the text of its answer."""
    return Usage(estimate(question, family), estimate(answer, family), estimated=True)


def low_estimate(text: str, family: Tokenizer) -> int:
    """Return the tokens of ``text`` if its estimate is too high by as much as it may err.

    What is counted exactly, Chinese for Llama 2, is not made smaller.
    """
    exact, estimated = _counts(text, family)
    return math.floor(exact + estimated / _MAX_ERRORS.get(family, _MAX_UNMEASURED_ERROR))


def is_measured(family: Tokenizer) -> bool:
    """Whether the rates of ``family`` were measured with its own tokenizer."""
    return family in _MAX_ERRORS


def at_least(text: str, family: Tokenizer) -> int:
    """Return how many tokens ordinary ``text`` has at the least.

    No token spans two words, and tokens of very many characters are rare.
    """
    spaced, wide = wide_character().subn(" ", text)
    words = spaced.split()
    long_words = sum(len(word) // _MAX_TOKEN_LENGTH for word in words)
    return len(words) + long_words + math.floor(wide * _RATES[family][2])


def _counts(text: str, family: Tokenizer) -> tuple[int, float]:
    """Return the tokens that were counted exactly, and an estimate of the others."""
    wide_rate, other_rate, _ = _RATES[family]
    wide = wide_character().findall(text)
    other_tokens = (len(text) - len(wide)) * other_rate
    count_exactly = _EXACT.get(family)
    if count_exactly:
        return count_exactly(wide), other_tokens
    return 0, len(wide) * wide_rate + other_tokens
