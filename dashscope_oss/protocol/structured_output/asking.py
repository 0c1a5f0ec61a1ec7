"""Answers that are one JSON object: how a model is asked for it.

All of it is decided here, for both adapters. They make the caller's object of the JSON object,
and their framework's errors.
"""

from __future__ import annotations

import json
from typing import Literal, TypeAlias, get_args

from dashscope_oss.errors import ContextLengthError, UnsupportedInputError
from dashscope_oss.messages import Json
from dashscope_oss.protocol.structured_output.schemas import with_root_written_out
from dashscope_oss.registry.model_info import ModelInfo

Method: TypeAlias = Literal["tool", "json_schema", "json_object", "words"]
"""How an object is asked for: a tool that is forced, one of the service's two JSON modes
(``response_format``), or the schema in the prompt, which every model takes."""

JsonMode: TypeAlias = Literal["json_schema", "json_object"]
"""What ``response_format`` can ask for: an object of a schema, or any object."""

REPAIR_REFUSALS = (UnsupportedInputError, ContextLengthError)
"""What a second question raises if the model cannot be shown its own answer again, say because it
is too long. What was wrong with that answer is the better error then."""

_METHODS: tuple[Method, ...] = get_args(Method)
_JSON_MODES: dict[str, JsonMode] = {"json_schema": "json_schema", "json_object": "json_object"}
_INSTRUCTIONS = (
    "Answer with one JSON object that follows this JSON schema, and with nothing else. "
    "Do not repeat the schema.\n{schema}"
)
_ANY_OBJECT = "Answer with one JSON object and with nothing else."
_REPAIR = "That answer cannot be used: {reason}\nAnswer again, with nothing but the JSON object."
_MAX_REASON = 500


def known_methods(model_info: ModelInfo, *, thinking: bool = False) -> tuple[Method, ...]:
    """Return the methods that work with this model, or with ``thinking``, that work meanwhile.

    While a model thinks, it cannot be forced to call the tool that it is given, but may call it.
    """
    works = {
        "tool": model_info.tools,
        "json_schema": not thinking and model_info.structured in ("json_schema", "unknown"),
        "json_object": not thinking and model_info.structured != "none",
        "words": True,
    }
    return tuple(method for method in _METHODS if works[method])


def best_method(model_info: ModelInfo, enable_thinking: bool | None) -> Method:
    """Return the surest method for a call with this switch (``None``: not set)."""
    if not model_info.can_be_forced(enable_thinking):
        return "words"
    if model_info.tools:
        return "tool"
    return json_mode(model_info, enable_thinking) or "words"


def json_mode(model_info: ModelInfo, enable_thinking: bool | None) -> JsonMode | None:
    """Return the stronger of the service's JSON modes that the record promises for this call."""
    if not model_info.can_be_forced(enable_thinking):
        return None
    return _JSON_MODES.get(model_info.structured)


def nearest_method(method: Method, known: tuple[Method, ...]) -> Method:
    """Return ``method`` if it is among the ``known`` ones, else the one to fall back to."""
    if method in known:
        return method
    return "json_object" if method == "json_schema" and "json_object" in known else "words"


def response_format(
    schema: Json | None,
    *,
    name: str = "answer",
    description: str | None = None,
    strict: bool | None = None,
) -> dict[str, object]:
    """Return the parameter that turns on a JSON mode; without ``schema`` any object will do."""
    if schema is None:
        return {"type": "json_object"}
    optional = {"description": description, "strict": strict}
    stated = {key: value for key, value in optional.items() if value is not None}
    whole = with_root_written_out(schema)
    return {"type": "json_schema", "json_schema": {"name": name, **stated, "schema": whole}}


def instructions(schema: Json | None) -> str:
    """Return the words that ask for an object of ``schema``; of ``None``, for any object."""
    if schema is None:
        return _ANY_OBJECT
    return _INSTRUCTIONS.format(
        schema=json.dumps(with_root_written_out(schema), ensure_ascii=False)
    )


def why_unreadable(reason: str, finish_reason: object) -> str:
    """Return why an answer holds no object; of one that was cut off also that, and what to do."""
    if finish_reason != "length":
        return reason
    return f"{reason}; the answer was cut off at the limit of its length, so raise max_tokens"


def repair(reason: str) -> str:
    """Return the words that ask once more, with the reason why the answer cannot be used."""
    return _REPAIR.format(reason=reason[:_MAX_REASON])
