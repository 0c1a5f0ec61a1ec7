"""How a model's window is shared by input and answer."""

from __future__ import annotations

from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW

from dashscope_oss import DashScopeWarning, ModelInfo, Reply
from dashscope_oss.errors import warn
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import estimates
from dashscope_oss.tokens.input_length import SMALL_WINDOW

_warned_models: set[str] = set()


def num_output(model_info: ModelInfo, max_tokens: int | None) -> int:
    """Return the tokens to leave for the answer; always less than half of the window.

    That is ``max_tokens``, else the longest answer of the model, but at most a quarter of its
    window. With half of the window or more LlamaIndex would find no room for its prompts. Windows
    of a million tokens are shared by the same rule: without ``max_tokens`` nothing limits an
    answer with its thoughts, and three quarters hold more than any retrieval finds.
    """
    quarter = _known_window(model_info) // 4
    longest = min(quarter, model_info.max_output or quarter)
    output = longest if max_tokens is None else max_tokens
    return max(min(output, _max_output(model_info)), 0)


def window(model_info: ModelInfo, output: int) -> int:
    """Return the tokens of input and answer together, if ``output`` are left for the answer."""
    if model_info.max_input is None:
        return _known_window(model_info)
    total = model_info.max_input + output
    return total if model_info.context_window is None else min(total, model_info.context_window)


def warn_of_overrun(request: Request, reply: Reply) -> None:
    """Warn, once for a model, of an answer longer than what was left for it in a small window.

    Nothing is sent that the caller did not set, so without ``max_tokens`` an answer may be of any
    length.
    """
    model_info = request.model_info
    limit = model_info.input_limit
    if limit is None or limit > SMALL_WINDOW or "max_tokens" in request.parameters:
        return
    left, taken = num_output(model_info, None), _answer_tokens(request, reply)
    if taken <= left or model_info.id in _warned_models:
        return
    _warned_models.add(model_info.id)
    warn(
        f"{model_info.id}: the answer took {taken} tokens, LlamaIndex leaves {left} of the model's "
        f"{window(model_info, left)} for it; set max_tokens={left} so that long prompts and their "
        "answers fit",
        DashScopeWarning,
    )


def _known_window(model_info: ModelInfo) -> int:
    """Return the window as stated, or the closest to it that is known."""
    if model_info.context_window is not None:
        return model_info.context_window
    return DEFAULT_CONTEXT_WINDOW if model_info.max_input is None else model_info.max_input


def _max_output(model_info: ModelInfo) -> int:
    """Return the most tokens of an answer that are less than half of :func:`window`."""
    half = (_known_window(model_info) - 1) // 2
    if model_info.max_input is None:
        return half
    below_input = model_info.max_input - 1
    return below_input if model_info.context_window is None else min(below_input, half)


def _answer_tokens(request: Request, reply: Reply) -> int:
    """Return the tokens of the answer as reported, else as few as they may be by estimate."""
    if reply.usage and reply.usage.output_tokens is not None and not reply.usage.estimated:
        return reply.usage.output_tokens
    return estimates.low_estimate(reply.reasoning + reply.text, request.model_info.tokenizer)
