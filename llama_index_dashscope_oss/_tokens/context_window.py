"""What of a model's window is for the answer, and what for the input."""

from __future__ import annotations

from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW

from dashscope_oss import DashScopeWarning, ModelInfo, Reply
from dashscope_oss.errors import warn
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import estimates
from dashscope_oss.tokens.input_length import SMALL_WINDOW

_warned: set[str] = set()


def num_output(model_info: ModelInfo, max_tokens: int | None) -> int:
    """Tokens to leave for the answer: as asked, else the model's most, a quarter of its window.

    A quarter of a million too: nothing is sent as ``max_tokens``, so an answer may be as long as
    the model's limit, thoughts included, and what is left for input exceeds any retrieval. It is
    always less than half the window, or LlamaIndex would find no room for its prompts.
    """
    quarter = _total(model_info) // 4
    asked = min(quarter, model_info.max_output or quarter) if max_tokens is None else max_tokens
    return max(min(asked, _most(model_info)), 0)


def window(model_info: ModelInfo, output: int) -> int:
    """Tokens of input and answer together, if ``output`` are left for the answer."""
    if model_info.max_input is None:
        return _total(model_info)
    total = model_info.max_input + output
    return total if model_info.context_window is None else min(total, model_info.context_window)


def warn_of_overrun(request: Request, reply: Reply) -> None:
    """Warn, once for a model, of an answer longer than what was left for it in a small window.

    Nothing is sent that the caller did not set, so without ``max_tokens`` it may be of any length.
    """
    model_info = request.model_info
    limit = model_info.input_limit
    if limit is None or limit > SMALL_WINDOW or "max_tokens" in request.parameters:
        return
    left, took = num_output(model_info, None), _taken(request, reply)
    if took <= left or model_info.id in _warned:
        return
    _warned.add(model_info.id)
    warn(
        f"{model_info.id}: the answer took {took} tokens, LlamaIndex leaves {left} of the model's "
        f"{window(model_info, left)} for it; set max_tokens={left} so that long prompts and their "
        "answers fit",
        DashScopeWarning,
    )


def _total(model_info: ModelInfo) -> int:
    """The window as stated, or the closest to it that is known."""
    known = (model_info.context_window, model_info.max_input)
    return next((limit for limit in known if limit is not None), DEFAULT_CONTEXT_WINDOW)


def _most(model_info: ModelInfo) -> int:
    """Most tokens of the answer that are less than half of :func:`window`."""
    half = (_total(model_info) - 1) // 2
    if model_info.max_input is None:
        return half
    above = model_info.max_input - 1
    return above if model_info.context_window is None else min(above, half)


def _taken(request: Request, reply: Reply) -> int:
    """Tokens of the answer as reported, else as few as they may be by estimate."""
    if reply.usage and reply.usage.output_tokens is not None and not reply.usage.estimated:
        return reply.usage.output_tokens
    return estimates.low_estimate(reply.reasoning + reply.text, request.model_info.tokenizer)
