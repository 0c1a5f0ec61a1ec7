"""What calls cost, in yuan, where a dated source states the price."""

from __future__ import annotations

from dashscope_oss.messages import Usage
from dashscope_oss.registry.model_info import ModelInfo

_PRICED_TOKENS = 1000
# The vendor's page on the context cache, 2026: shares of the price of input. A call with marks has
# an explicit cache, which is written for more and read for less than the implicit one.
_WRITING = 1.25
_READING_EXPLICIT = 0.1
_READING_IMPLICIT = 0.2


def cost(model_info: ModelInfo, usage: Usage) -> float | None:
    """Return what a call cost, in yuan; ``None`` if its price or its tokens are not known.

    Tokens read from the context cache or written into it count at the share that the vendor
    states; discounts, free quotas and prices that rise with the length of the input are not known.
    """
    price_in, price_out = model_info.price_in, model_info.price_out
    if price_in is None or price_out is None or model_info.priced_on is None:
        return None
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return (_full_tokens(usage) * price_in + usage.output_tokens * price_out) / _PRICED_TOKENS


def _full_tokens(usage: Usage) -> float:
    """Return how many tokens of the full price the input is worth."""
    is_explicit = usage.cache_creation_tokens is not None
    written, read = usage.cache_creation_tokens or 0, usage.cached_tokens or 0
    uncached = max(0, (usage.input_tokens or 0) - written - read)
    share = _READING_EXPLICIT if is_explicit else _READING_IMPLICIT
    return uncached + written * _WRITING + read * share
