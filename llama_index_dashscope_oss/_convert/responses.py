"""From an answer to LlamaIndex's response.

The keys are those that LlamaIndex's own readers look for: its token counter reads
``raw["usage"]``, its agents ``additional_kwargs["thinking_delta"]``, its structured streams the
list ``message.additional_kwargs["tool_calls"]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)

from dashscope_oss import DashScopeWarning, Delta, Reply, ToolCall
from dashscope_oss.errors import warn
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.tools import write_tool_calls
from llama_index_dashscope_oss._convert.logprobs import token_logprobs
from llama_index_dashscope_oss._convert.tool_calls import parse_arguments
from llama_index_dashscope_oss._tokens import context_window

_FURTHER_COUNTS = (
    "cached_tokens",
    "cache_creation_tokens",
    "image_tokens",
    "video_tokens",
    "audio_tokens",
)


def chat_response(request: Request, reply: Reply, delta: Delta | None = None) -> ChatResponse:
    """Return the response for an answer, or for what there is of it while it streams.

    Args:
        request: the call.
        reply: the answer so far.
        delta: what the last event of a stream added; ``None``: the answer came whole.
    """
    reply, delta = _finished(request, reply, delta)
    return ChatResponse(
        message=ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=_blocks(reply, whole=delta is None or delta.last),
            additional_kwargs={**_listed_calls(reply.tool_calls), **_thoughts_without_block(reply)},
        ),
        raw=_raw(reply),
        delta=delta.text if delta else None,
        logprobs=token_logprobs(delta.logprobs if delta else reply.logprobs),
        additional_kwargs=_facts(request, reply, delta),
    )


def completion_response(
    request: Request, reply: Reply, delta: Delta | None = None
) -> CompletionResponse:
    """Return the completion for an answer; thoughts and calls of tools are in additional_kwargs.

    The arguments are those of :func:`chat_response`.
    """
    reply, delta = _finished(request, reply, delta)
    return CompletionResponse(
        text=reply.text,
        raw=_raw(reply),
        delta=delta.text if delta else None,
        logprobs=token_logprobs(delta.logprobs if delta else reply.logprobs),
        additional_kwargs={
            **_facts(request, reply, delta),
            **_thoughts(reply),
            **_listed_calls(reply.tool_calls),
        },
    )


def _finished(request: Request, reply: Reply, delta: Delta | None) -> tuple[Reply, Delta | None]:
    """Return reply and delta; of a whole answer, warn of its length and find its text.

    Some models write their answer where thoughts belong; if there is nothing else, it is the text.
    """
    if delta is not None and not delta.last:
        return reply, delta
    if reply.finish_reason == "length":
        _warn_of_cut(request)
        return reply, delta
    context_window.warn_of_overrun(request, reply)
    if reply.text or reply.tool_calls or not reply.reasoning:
        return reply, delta
    return replace(reply, text=reply.reasoning), delta and replace(delta, text=reply.reasoning)


def _warn_of_cut(request: Request) -> None:
    names = [n for n in ("max_tokens", "max_completion_tokens") if n in request.parameters]
    limits = [f"{name}={request.parameters[name]}" for name in names]
    limit = " or ".join(limits) or "the model's limit; max_tokens is not set"
    thoughts = ", in which thoughts count," if _counts_thoughts(request) else ","
    warn(
        f"{request.model_info.id}: the answer is cut off at {limit} (finish_reason 'length'); "
        f"raise {names[0] if names else 'max_tokens'}{thoughts} or ask for a shorter answer",
        DashScopeWarning,
    )


def _counts_thoughts(request: Request) -> bool:
    """Whether the limit that a call set holds for thoughts and answer together."""
    model_info = request.model_info
    switch = request.parameters.get("enable_thinking")
    if not model_info.thinks(switch if isinstance(switch, bool) else None):
        return False
    return "max_completion_tokens" in request.parameters or model_info.max_tokens_counts_thoughts


def _blocks(reply: Reply, *, whole: bool) -> list[ContentBlock]:
    blocks: list[ContentBlock] = []
    if reply.reasoning and _has_thinking_block():
        tokens = reply.usage.reasoning_tokens if reply.usage else None
        blocks.append(types.ThinkingBlock(content=reply.reasoning, num_tokens=tokens))
    if reply.text or not reply.tool_calls:
        blocks.append(TextBlock(text=reply.text))
    blocks.extend(ImageBlock(url=address) for address in reply.images)
    if hasattr(types, "ToolCallBlock"):  # younger than llama-index-core 0.14.0
        blocks.extend(_call_block(call, whole=whole) for call in reply.tool_calls)
    return blocks


def _call_block(call: ToolCall, *, whole: bool) -> types.ToolCallBlock:
    arguments = parse_arguments(call.arguments, partial=not whole)
    return types.ToolCallBlock(
        tool_call_id=call.id,
        tool_name=call.name,
        tool_kwargs=call.arguments if arguments is None else arguments,
    )


def _has_thinking_block() -> bool:
    return hasattr(types, "ThinkingBlock")  # younger than llama-index-core 0.14.0


def _thoughts_without_block(reply: Reply) -> dict[str, Any]:
    return {} if _has_thinking_block() else _thoughts(reply)


def _thoughts(reply: Reply) -> dict[str, Any]:
    return {"reasoning_content": reply.reasoning} if reply.reasoning else {}


def _listed_calls(calls: Sequence[ToolCall]) -> dict[str, Any]:
    if not calls:
        return {}  # the service refuses an empty list in the next request
    return {"tool_calls": write_tool_calls(calls)}


def _raw(reply: Reply) -> dict[str, Any]:
    """Return the wire reply; ``usage`` only where counts were reported: a 0 would be believed."""
    raw = dict(reply.raw)
    wire_usage = raw.pop("usage", None)
    if reply.usage:
        counts = {
            "input_tokens": reply.usage.input_tokens,
            "output_tokens": reply.usage.output_tokens,
            "total_tokens": reply.usage.total_tokens,
        }
        raw["usage"] = {**(wire_usage if isinstance(wire_usage, dict) else {}), **_known(counts)}
    return raw


def _facts(request: Request, reply: Reply, delta: Delta | None) -> dict[str, Any]:
    usage = reply.usage
    facts = {
        "prompt_tokens": usage and usage.input_tokens,
        "completion_tokens": usage and usage.output_tokens,
        "total_tokens": usage and usage.total_tokens,
        **{name: usage and getattr(usage, name) for name in _FURTHER_COUNTS},
        "usage_estimated": (usage and usage.estimated) or None,
        "model": request.model_info.id,
        "finish_reason": reply.finish_reason,
        "request_id": reply.request_id,
        "served_by": reply.served_by,
        "thinking_delta": (delta.reasoning or None) if delta else None,
    }
    return _known(facts)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
