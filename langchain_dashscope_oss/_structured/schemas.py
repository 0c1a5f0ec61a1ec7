"""Schemas in the forms that the service takes: JSON schema, a tool, ``response_format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

from dashscope_oss.protocol import structured_output

Schema: TypeAlias = "Mapping[str, Any] | type | Callable[..., Any]"


def json_schema(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return ``schema`` as a JSON schema."""
    # Its signature has no Mapping, which it takes.
    return convert_to_json_schema(schema, strict=strict)  # type: ignore[arg-type]


def tool_name(schema: Schema | None) -> str:
    """Return the name of the tool that is made of ``schema``."""
    tool = convert_to_openai_tool(schema)  # type: ignore[arg-type]  # as above
    return str(tool["function"]["name"])


def response_format(schema: Schema | None, *, strict: bool | None = None) -> dict[str, Any]:
    """Return the parameter that makes the service follow ``schema``; ``None`` is any object."""
    if schema is None:
        return structured_output.response_format(None)
    form = json_schema(schema, strict=strict)
    return structured_output.response_format(
        form,
        name=form.pop("title", "answer"),
        description=form.pop("description", None),
        strict=strict,
    )


def instructions(schema: Schema | None) -> str:
    """Return the words that ask for an object of ``schema``."""
    return structured_output.instructions(None if schema is None else json_schema(schema))
