"""From an answer to the object in it: the arguments of a tool call, or JSON in a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration
from langchain_core.utils.pydantic import is_basemodel_subclass

from dashscope_oss.protocol.structured_output import read_object, read_partial_object
from langchain_dashscope_oss._structured.methods import Method
from langchain_dashscope_oss._structured.schemas import Schema, json_schema, tool_name


class ObjectParser(Protocol):
    """Makes an object of an answer."""

    def __call__(self, message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        """Return the object; of a part of an answer also ``None``.

        Raises:
            OutputParserException: if the whole answer holds none.
        """
        ...


def object_parser(method: Method, schema: Schema | None, *, optional: bool) -> ObjectParser:
    """Return what makes the object of an answer to ``method``.

    Args:
        method: how the object was asked for.
        schema: of the object.
        optional: other tools may be called in its place; the object is ``None`` then.
    """
    if method == "function_calling" and schema is not None:
        return tool_call_parser(schema, optional=optional)
    parse_text = text_parser(schema)

    def parse(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        if optional and message.tool_calls:
            return None
        return parse_text(message, partial=partial)

    return parse


def tool_call_parser(schema: Schema, *, optional: bool) -> ObjectParser:
    """Return what reads the arguments of the call of ``schema``; see :func:`object_parser`."""
    name = tool_name(schema)
    parser: JsonOutputKeyToolsParser | PydanticToolsParser
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = PydanticToolsParser(tools=[schema], first_tool_only=True)
    else:
        parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)

    def parse(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        calls = [call for call in message.tool_calls if call["name"] == name]
        if not partial:
            _check_calls(message, name, is_called=bool(calls), optional=optional)
        own_calls = message.model_copy(update={"tool_calls": calls})
        try:
            parsed = parser.parse_result([ChatGeneration(message=own_calls)], partial=partial)
            if isinstance(parsed, dict) and not partial:
                _check_required_names(parsed, schema)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error
        return parsed

    return parse


def text_parser(schema: Schema | None) -> ObjectParser:
    """Return what reads the JSON object in a text; fences and words around it are passed over.

    A pydantic class checks all of it; of any other schema only the required names are.
    """
    form = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None

    def parse(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        if partial:
            return read_partial_object(message.text, lambda values: _validated(form, values))
        try:
            return read_object(message.text, make)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error

    def make(values: dict[str, Any]) -> Any:  # noqa: ANN401 - the schema's
        if form is None:
            _check_required_names(values, schema)
        return _validated(form, values)

    return parse


def _check_calls(message: AIMessage, name: str, *, is_called: bool, optional: bool) -> None:
    """Raise if the call is missing or its arguments broke off, which LangChain passes over."""
    broken = [str(call["args"]) for call in message.invalid_tool_calls if call["name"] == name]
    if isinstance(message, AIMessageChunk):
        pieces = [piece["args"] for piece in message.tool_call_chunks if piece["name"] == name]
        broken += [str(arguments) for arguments in pieces if not _is_json(arguments)]
    if broken:
        raise _unreadable(f"the arguments of {name} are not JSON", broken[0])
    if not is_called and not (optional and message.tool_calls):
        raise _unreadable(f"the model did not call {name}", message.text)


def _check_required_names(values: Mapping[str, Any], schema: Schema | None) -> None:
    required = () if schema is None else json_schema(schema).get("required", ())
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"the object lacks {', '.join(missing)}")


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "{}", strict=False)
    except ValueError:
        return False
    return True


def _validated(form: type | None, values: dict[str, Any]) -> Any:  # noqa: ANN401 - the schema's
    if form is None:
        return values
    make = getattr(form, "model_validate", None) or form.parse_obj  # type: ignore[attr-defined]  # pydantic 1
    return make(values)


def _unreadable(reason: str, text: str) -> OutputParserException:
    return OutputParserException(reason, llm_output=text)
