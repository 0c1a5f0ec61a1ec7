"""Variants of a model's record under which a gateway serves it."""

from __future__ import annotations

from dataclasses import replace

from dashscope_oss.registry.model_info import ModelInfo


def modernize(model_info: ModelInfo) -> ModelInfo:
    """Return the record without the early models' habits: no echo, and usage in every reply."""
    return replace(model_info, echo="none", reports_usage=True)


def with_tools(model_info: ModelInfo) -> ModelInfo:
    """Return the record as one of a model that takes tools: the server decides whether it does.

    What the record says is true of the hosted service; the same weights behind a server of today
    may call tools.
    """
    return replace(model_info, tools=True)


def unregistered_model(id: str) -> ModelInfo:
    """Return a record for an id that the registry lacks; the server decides what it can do."""
    return ModelInfo(
        id=id,
        family="unknown",
        maker="unknown",
        status="unknown",
        modalities=("text", "image", "video", "audio"),
        tools=True,
        thinking="unknown",
        source="--model",
    )
