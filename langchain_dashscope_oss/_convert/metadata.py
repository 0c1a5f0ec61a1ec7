"""The facts of an answer in LangChain's words: usage, finish reason, ids, log probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from dashscope_oss.messages import Delta, Reply, Usage

SERVICE = "dashscope"
"""What LangChain's traces call the service."""
PROVIDER = "dashscope_oss"
"""The ``model_provider`` of our messages: LangChain finds our translator of content blocks by it.

It is this package's own name, so that no other integration of DashScope is affected.
"""

Info: TypeAlias = dict[str, Any]


def generation_info(part: Reply | Delta) -> Info:
    """Return all that is known of an answer beside its text."""
    optional: Info = {"served_by": part.served_by, "logprobs": part.logprobs}
    if part.usage is not None and part.usage.estimated:
        optional["usage_estimated"] = True
    return {
        "finish_reason": part.finish_reason,
        "request_id": part.request_id,
        "token_usage": _token_usage(part.usage),
        **{name: value for name, value in optional.items() if value is not None},
    }


def response_metadata(info: Info, model: str) -> Info:
    """Return ``info`` as the metadata of a message of ``model``."""
    return {"model_name": model, "model_provider": PROVIDER, **info}


def reasoning_kwargs(part: Reply | Delta) -> Info:
    """Return the reasoning where LangChain keeps it, nothing if there is none."""
    return {"reasoning_content": part.reasoning} if part.reasoning else {}


def logprobs_info(part: Delta) -> Info:
    """Return the log probabilities of a piece, nothing if there are none."""
    return {} if part.logprobs is None else {"logprobs": part.logprobs}


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return the counts in LangChain's words; it has no word for a count that is missing."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    total = usage.total_tokens
    counts = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens if total is None else total,
    )
    if usage.cached_tokens is not None:
        counts["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        counts["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return counts


def llm_output(infos: Iterable[Mapping[str, Any] | None], model: str | None) -> Info:
    """Return what callbacks read of several answers together: their summed usage, the model."""
    known = [info for info in infos if info]
    reported = [info["token_usage"] for info in known if info.get("token_usage")]
    estimated = any(info.get("usage_estimated") for info in known)
    mark = {"usage_estimated": True} if estimated else {}
    return {"token_usage": _summed(reported), "model_name": model, **mark}


def _token_usage(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    counts = {name: count for name, count in asdict(usage).items() if name != "estimated"}
    return {name: count for name, count in counts.items() if count is not None}


def _summed(usages: Sequence[Mapping[str, int]]) -> dict[str, int] | None:
    names = dict.fromkeys(name for usage in usages for name in usage)
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names} or None
