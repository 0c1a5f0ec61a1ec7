"""A model's record as LangChain's profile: limits and abilities that agents and middleware read."""

from __future__ import annotations

from langchain_core.language_models import ModelProfile

from dashscope_oss.registry.model_info import ModelInfo

_STATUS = {"hosted": "active", "retired": "deprecated", "self-hosted": "active"}


def model_profile(model_info: ModelInfo) -> ModelProfile:
    """Return what the record knows; what it does not know is left out."""
    profile = ModelProfile(
        name=model_info.id,
        open_weights=True,
        text_inputs=True,
        text_outputs=True,
        image_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        tool_calling=model_info.tools,
        tool_choice=model_info.tools,
        tool_call_streaming=model_info.tools,
        structured_output=model_info.structured == "json_schema",
    )
    if model_info.status in _STATUS:
        profile["status"] = _STATUS[model_info.status]
    if model_info.input_limit is not None:
        profile["max_input_tokens"] = model_info.input_limit
    if model_info.max_output is not None:
        profile["max_output_tokens"] = model_info.max_output
    if model_info.thinking != "unknown":
        profile["reasoning_output"] = model_info.thinking != "none"
    return profile
