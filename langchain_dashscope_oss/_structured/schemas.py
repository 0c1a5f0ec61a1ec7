"""Schemas in the forms that the service takes: JSON schema, a tool, ``response_format``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from dashscope_oss.protocol import structured_output
from langchain_dashscope_oss._structured.recursion import recursive_schema

Schema: TypeAlias = "Mapping[str, Any] | type | Callable[..., Any]"


def json_schema(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return ``schema`` as a JSON schema."""
    # Its signature has no Mapping, which it takes.
    form = recursive_schema(schema) or schema
    return convert_to_json_schema(form, strict=strict)  # type: ignore[arg-type]


def tool_form(
    tool: Mapping[str, Any] | type | Callable[..., Any] | BaseTool, *, strict: bool | None = None
) -> dict[str, Any]:
    """Return a tool in the form that the service takes, which is OpenAI's."""
    form = convert_to_openai_tool(tool, strict=strict)
    arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if recursive := recursive_schema(arguments):
        whole = convert_to_openai_tool(recursive, strict=strict)
        form["function"]["parameters"] = whole["function"]["parameters"]
    return form


def object_type(schema: Schema | None) -> Any:  # noqa: ANN401 - a class, or what typing writes
    """Return what the objects are: of a pydantic class themselves, else dicts."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema
    return dict[str, Any]


def in_json(arguments: Mapping[str, Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the arguments of a call with the classes and functions among them as JSON."""
    json_arguments = dict(arguments)
    wanted = arguments.get("response_format")
    if callable(wanted):
        json_arguments["response_format"] = response_format(wanted, strict=strict)
    if tools := arguments.get("tools"):
        json_arguments["tools"] = [
            tool if isinstance(tool, Mapping) else tool_form(tool) for tool in tools
        ]
    return json_arguments


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
