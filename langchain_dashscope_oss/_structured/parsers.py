"""From an answer to the object in it: the arguments of a tool call, or JSON in a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
    """Return what makes the object of an answer to ``method``; it can be pickled.

    Args:
        method: how the object was asked for.
        schema: of the object.
        optional: other tools may be called in its place; the object is ``None`` then.
    """
    if method == "function_calling" and schema is not None:
        return _ToolCallParser(schema, optional)
    return _TextParser(schema, optional)


@dataclass(frozen=True)
class _ToolCallParser:
    """Reads the arguments of the call of ``schema``; see :func:`object_parser`."""

    schema: Schema
    optional: bool

    def __call__(self, message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        name = self._name
        calls = [call for call in message.tool_calls if call["name"] == name]
        if not partial:
            _check_calls(message, name, is_called=bool(calls), optional=self.optional)
        own_calls = message.model_copy(update={"tool_calls": calls})
        try:
            answer = ChatGeneration(message=own_calls)
            parsed = self._parser.parse_result([answer], partial=partial)
            if isinstance(parsed, dict) and not partial:
                _check_required_names(parsed, self.schema)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error
        return parsed

    @cached_property
    def _name(self) -> str:
        return tool_name(self.schema)

    @cached_property
    def _parser(self) -> JsonOutputKeyToolsParser | PydanticToolsParser:
        if form := _pydantic_class(self.schema):
            return PydanticToolsParser(tools=[form], first_tool_only=True)
        return JsonOutputKeyToolsParser(key_name=self._name, first_tool_only=True)


@dataclass(frozen=True)
class _TextParser:
    """Reads the JSON object in a text; fences and words around it are passed over.

    A pydantic class checks all of it; of any other schema only the required names are.
    """

    schema: Schema | None
    optional: bool

    def __call__(self, message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401 - the schema's
        if self.optional and message.tool_calls:
            return None
        if partial:
            form = _pydantic_class(self.schema)
            return read_partial_object(message.text, lambda values: _validated(form, values))
        try:
            return read_object(message.text, self._make)
        except ValueError as error:
            raise _unreadable(str(error), message.text) from error

    def _make(self, values: dict[str, Any]) -> Any:  # noqa: ANN401 - the schema's
        form = _pydantic_class(self.schema)
        if form is None:
            _check_required_names(values, self.schema)
        return _validated(form, values)


def _pydantic_class(schema: Schema | None) -> type | None:
    return schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None


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
