"""A model's record as LangChain's profile: limits and abilities that agents and middleware read."""

from __future__ import annotations

from typing import cast

from langchain_core.language_models import ModelProfile

from dashscope_oss.registry.model_info import ModelInfo

_STATUS = {"hosted": "active", "retired": "deprecated", "self-hosted": "active"}


def model_profile(model_info: ModelInfo) -> ModelProfile:
    """Return what the record knows; what it does not know is left out.

    So is what the installed langchain-core has no field for: it warns of such fields.
    """
    known = {**_limits(model_info), **_contents(model_info), **_abilities(model_info)}
    declared = {name: known[name] for name in ModelProfile.__annotations__ if name in known}
    return cast("ModelProfile", declared)


def _limits(model_info: ModelInfo) -> dict[str, object]:
    released = model_info.released
    stated = {
        "name": model_info.id,
        "status": _STATUS.get(model_info.status),
        "release_date": released.isoformat() if released else None,
        "max_input_tokens": model_info.input_limit,
        "max_output_tokens": model_info.max_output,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _contents(model_info: ModelInfo) -> dict[str, object]:
    inputs = model_info.modalities
    return {
        "text_inputs": True,
        "image_inputs": "image" in inputs,
        "image_url_inputs": "image" in inputs,
        "video_inputs": "video" in inputs,
        "audio_inputs": "audio" in inputs,
        "pdf_inputs": False,
        "image_tool_message": False,
        "pdf_tool_message": False,
        "attachment": len(inputs) > 1,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
    }


def _abilities(model_info: ModelInfo) -> dict[str, object]:
    abilities: dict[str, object] = {
        "open_weights": True,
        "tool_calling": model_info.tools,
        "tool_choice": model_info.tools,
        "tool_call_streaming": model_info.tools,
        "mid_conversation_system_messages": _takes_late_system_turns(model_info),
        "mid_conversation_tools": False,
        "structured_output": model_info.structured == "json_schema",
        "temperature": "temperature" not in model_info.unsupported_parameters,
    }
    if model_info.thinking != "unknown":
        abilities["reasoning_output"] = model_info.thinking != "none"
    if model_info.reasoning_efforts:
        abilities["reasoning_effort_levels"] = list(model_info.reasoning_efforts)
    if model_info.reasoning_effort_default:
        abilities["reasoning_effort_default"] = model_info.reasoning_effort_default
    return abilities


def _takes_late_system_turns(model_info: ModelInfo) -> bool:
    """Whether a system message is sent where it stands, not moved to the beginning."""
    is_strict = model_info.strict_turns or model_info.system_turns == "first"
    return model_info.takes_messages and not is_strict
