"""The facts of an answer in LangChain's words: usage, finish reason, ids, log probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias, cast

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from dashscope_oss.messages import Delta, Reply, Usage

PROVIDER = "dashscope_oss"
"""The ``model_provider`` of our messages, and the ``ls_provider`` of our models in traces.

LangChain finds our translator of content blocks by it, and takes a message for one of this model's
only if both are the same: else it does not believe the usage in it. It is this package's own name,
so that no other integration of DashScope is affected.
"""

Info: TypeAlias = dict[str, Any]

_COUNTS = tuple(field.name for field in fields(Usage) if field.name != "estimated")

# LangChain's words -> ours. Images and videos are the service's own: LangChain has no words for
# them, and leaves room for further ones.
_INPUT_DETAILS = {
    "audio": "audio_tokens",
    "cache_creation": "cache_creation_tokens",
    "cache_read": "cached_tokens",
    "image": "image_tokens",
    "video": "video_tokens",
}
_NORMALIZED_FINISH_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_call"}


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
    """Return ``info`` as the metadata of a message of ``model``.

    ``normalized_finish_reason`` is what langchain-core 1.8.4 and later read.
    """
    metadata = {"model_name": model, "model_provider": PROVIDER, **info}
    if normalized := _NORMALIZED_FINISH_REASONS.get(info.get("finish_reason") or ""):
        metadata["normalized_finish_reason"] = normalized
    return metadata


def additional_kwargs(part: Reply | Delta) -> Info:
    """Return the reasoning and the web pages of an answer, nothing if there are none.

    They stand where LangChain keeps what it has no field for; our content blocks read them there.
    """
    kwargs: Info = {"reasoning_content": part.reasoning} if part.reasoning else {}
    if part.search_results:
        kwargs["search_results"] = [asdict(page) for page in part.search_results]
    return kwargs


def message_content(part: Reply | Delta) -> str | list[str | Info]:
    """Return the text, or blocks if the answer holds images."""
    if not part.images:
        return part.text
    text: list[str | Info] = [{"type": "text", "text": part.text}] if part.text else []
    return [*text, *({"type": "image", "url": address} for address in part.images)]


def logprobs_info(part: Delta) -> Info:
    """Return the log probabilities of a piece, nothing if there are none."""
    return {} if part.logprobs is None else {"logprobs": part.logprobs}


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return the counts in LangChain's words; it has no word for a count that is missing."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    counts = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=cast("int", usage.total_tokens),  # known where both others are
    )
    details = {word: getattr(usage, name) for word, name in _INPUT_DETAILS.items()}
    if known := {word: count for word, count in details.items() if count is not None}:
        counts["input_token_details"] = cast("InputTokenDetails", known)
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
    counts = {name: getattr(usage, name) for name in _COUNTS}
    return {name: count for name, count in counts.items() if count is not None}


def _summed(usages: Sequence[Mapping[str, int]]) -> dict[str, int] | None:
    if len(usages) == 1:
        return dict(usages[0])
    names = dict.fromkeys(name for usage in usages for name in usage)
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names} or None
