"""From an answer to the object in it: the arguments of a tool call, or JSON in a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from dashscope_oss.protocol.structured_output import read_object, read_partial_object

Schema: TypeAlias = "Mapping[str, Any] | type | Callable[..., Any]"


class Reader(Protocol):
    """Makes an object of an answer."""

    def __call__(self, message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        """Return the object; of a part of an answer also ``None``.

        Raises:
            OutputParserException: if the whole answer holds none.
        """
        ...


def tool_reader(schema: Schema, *, optional: bool) -> Reader:
    """Return what reads the arguments of the call of ``schema``.

    Args:
        schema: what the tool was made of.
        optional: other tools may be called in its place; the object is ``None`` then.
    """
    name = str(tool_of(schema)["name"])
    parser: JsonOutputKeyToolsParser | PydanticToolsParser
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = PydanticToolsParser(tools=[schema], first_tool_only=True)
    else:
        parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)

    def read(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        calls = [call for call in message.tool_calls if call["name"] == name]
        if not partial:
            _check_calls(message, name, found=bool(calls), optional=optional)
        only = message.model_copy(update={"tool_calls": calls})
        try:
            found = parser.parse_result([ChatGeneration(message=only)], partial=partial)
            if isinstance(found, dict) and not partial:
                _check_names(found, schema)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error
        return found

    return read


def text_reader(schema: Schema | None) -> Reader:
    """Return what reads the JSON object in a text; fences and words around it are passed over.

    A pydantic class checks all of it; of any other schema only the required names are.
    """
    form = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None

    def read(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        if partial:
            return read_partial_object(message.text, lambda found: _validated(form, found))
        try:
            return read_object(message.text, make)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error

    def make(found: dict[str, Any]) -> Any:  # noqa: ANN401 - the schema's
        if form is None:
            _check_names(found, schema)
        return _validated(form, found)

    return read


def json_schema(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return ``schema`` as a JSON schema."""
    return convert_to_json_schema(schema, strict=strict)  # type: ignore[arg-type]


def tool_of(schema: Schema | None) -> dict[str, Any]:
    """Return ``schema`` as the function that a tool is made of."""
    found: dict[str, Any] = convert_to_openai_tool(schema)["function"]  # type: ignore[arg-type]
    return found


def _check_calls(message: AIMessage, name: str, *, found: bool, optional: bool) -> None:
    """Raise if the call is missing or its arguments broke off, which LangChain passes over."""
    broken = [c for c in message.invalid_tool_calls if c["name"] == name]
    if isinstance(message, AIMessageChunk):
        pieces = [c for c in message.tool_call_chunks if c["name"] == name]
        broken += [c for c in pieces if not _is_json(c["args"])]  # type: ignore[misc]
    if broken:
        raise _unreadable(f"the arguments of {name} are no JSON", str(broken[0]["args"]))
    if not found and not (optional and message.tool_calls):
        raise _unreadable(f"the model did not call {name}", message.text)


def _check_names(found: Mapping[str, Any], schema: Schema | None) -> None:
    required = () if schema is None else json_schema(schema).get("required", ())
    if missing := [name for name in required if name not in found]:
        raise ValueError(f"the object lacks {', '.join(missing)}")


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "{}", strict=False)
    except ValueError:
        return False
    return True


def _validated(form: type | None, found: dict[str, Any]) -> Any:  # noqa: ANN401
    if form is None:
        return found
    make = getattr(form, "model_validate", None) or form.parse_obj  # type: ignore[attr-defined]
    return make(found)


def _unreadable(why: str, text: str) -> OutputParserException:
    return OutputParserException(why, llm_output=text)
