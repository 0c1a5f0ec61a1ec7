"""Whether an input is too long for its model: surely, or by estimate.

No tokenizer is shipped, so a limit can only be checked with counts that may err. Both checks
lean to letting an input pass: the service has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized

from dashscope_oss.errors import ContextLengthError, DashScopeWarning, warn
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates

SMALL_WINDOW = 8192
"""Input limit, in tokens, up to which the prompts of RAG soon fill a model's window."""
_MOST_TOKENS_A_CHARACTER = 4
"""Its bytes in UTF-8, each a token of its own."""


def check_least_length(model_info: ModelInfo, texts: Iterable[str]) -> None:
    """Raise if ``texts`` are too long together, by a count that is never too high.

    Raises:
        ContextLengthError: with the count and the limit.
    """
    limit, parts = model_info.input_limit, list(texts)
    if limit is None or sum(map(len, parts)) <= limit:
        return  # a character is one token at most in this count
    least = sum(estimates.at_least(text, model_info.tokenizer) for text in parts)
    if least > limit:
        text = f"the input is at least {least} tokens long, the model takes {limit}"
        _raise_too_long(model_info, text)


def check_length(
    model_info: ModelInfo,
    text: str,
    *,
    tokenizer: Callable[[str], Sized] | None = None,
) -> None:
    """Raise if ``text`` is too long for the model, by the caller's tokenizer or by estimate.

    An estimate must be over the limit even if it is too high by as much as it may err: 20 per
    cent, or twice the truth where no rate was measured. Of those without a measured rate only
    small windows are checked.

    Args:
        model_info: the model that the input is for.
        text: all text of the input.
        tokenizer: the model's own, if the caller has it: the count is exact then.

    Raises:
        ContextLengthError: with the count and the limit.
    """
    limit = model_info.input_limit
    if limit is None:
        return
    count = len(tokenizer(text)) if tokenizer else _estimate_over(limit, text, model_info)
    if count > limit:
        measure = "" if tokenizer else "some "
        by_estimate = "" if tokenizer else " by estimate"
        text = f"the input is {measure}{count} tokens long{by_estimate}, the model takes {limit}"
        _raise_too_long(model_info, text)


def warn_of_doubt(model_info: ModelInfo, text: str, doubt: str) -> None:
    """Warn of what a record rules out without being certain of it."""
    warn(
        f"{model_info.id}: {text}; {doubt}, so the request is sent and the service decides",
        DashScopeWarning,
    )


def _raise_too_long(model_info: ModelInfo, text: str) -> None:
    if doubt := model_info.doubt(model_info.input_limit_field):
        warn_of_doubt(model_info, f"{text} by its record", doubt)
        return
    raise ContextLengthError(text, model=model_info.id)


def _estimate_over(limit: int, text: str, model_info: ModelInfo) -> int:
    """Return the estimate if it is surely over ``limit``, else 0."""
    if len(text) * _MOST_TOKENS_A_CHARACTER <= limit:
        return 0
    family = model_info.tokenizer
    if limit > SMALL_WINDOW and not estimates.is_measured(family):
        return 0
    if estimates.low_estimate(text, family) <= limit:
        return 0
    return estimates.estimate(text, family)
