"""Which JSON object in the text of a model is its answer.

Small models write around it: thoughts, an example or a draft before the final object, the schema
once more, code fences, single quotes, trailing commas, comments, Python's words. What can be read
without guessing is read; whatever else is left to a second question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic_core import from_json

from dashscope_oss.protocol.structured_output.loose_json import read_loose_object

Object = TypeVar("Object")
Make: TypeAlias = Callable[[dict[str, object]], Object]
"""Makes the caller's object of a JSON object; raises ``ValueError`` if it does not fit."""

_MAX_UNCLOSED = 20
"""Braces that close nowhere, as in words, after which no further object is looked for."""
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_END_OF_THOUGHTS = re.compile(r"</think(?:ing)?>")
_STRING = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_BRACES_AND_STRINGS = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/|\#[^\n]*|[{{}}]", re.DOTALL)
_OPENING = re.compile(rf"\{{(?:(?P<member>\s*(?:{_STRING}|[^\W\d]\w*)\s*:)|\s*[}}/#])?", re.DOTALL)
_SCHEMA_MEMBERS = ("properties", "$defs", "definitions", "items")
_DECODER = json.JSONDecoder(strict=False)
_UNFINISHED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def read_object(text: str, make: Make[Object]) -> Object:
    """Return the object that a whole answer gives: the last one that ``make`` takes.

    If it takes none, the object may be wrapped, as in the call of a tool: it is the only member
    that ``make`` takes.

    Args:
        text: the answer. Thoughts between tags, or before a closing tag, are no part of it.
        make: makes the caller's object.

    Raises:
        ValueError: if there is none, or ``make`` refuses every one.
    """
    refusal: ValueError | None = None
    objects = [span.value for span in _objects(_decoded(_without_thoughts(text)))]
    for candidate in reversed(objects):
        try:
            return make(candidate)
        except ValueError as error:
            refusal = refusal or error
    for candidate in reversed(objects):
        if len(wrapped := [*_made_of_members(candidate, make)]) == 1:
            return wrapped[0]
    raise refusal or ValueError("the answer holds no whole JSON object")


def _made_of_members(outer: dict[str, object], make: Make[Object]) -> Iterator[Object]:
    """Yield what ``make`` makes of the members of an object; those of a schema are none."""
    for name, member in outer.items():
        if isinstance(member, dict) and name not in _SCHEMA_MEMBERS:
            with suppress(ValueError):
                yield make(member)


def _decoded(text: str) -> str:
    """Return the text in an answer that is one JSON string."""
    if not (text.lstrip().startswith('"') and text.rstrip().endswith('"')):
        return text
    try:
        decoded: object = json.loads(text)
    except ValueError:
        return text
    return decoded if isinstance(decoded, str) else text


def read_partial_object(text: str, make: Make[Object]) -> Object | None:
    """Return the newest object as far as it has come; ``None`` if there is nothing to show yet."""
    text = _without_thoughts(text)
    spans = list(_objects(text))
    begun = text[spans[-1].end :] if spans else text
    partial = _unfinished(begun, make) if "{" in begun else None
    if partial is not None or not spans:
        return partial
    try:
        return make(spans[-1].value)
    except ValueError:
        return None


class _Span(NamedTuple):
    """An object in a text, and where it ends."""

    value: dict[str, object]
    end: int


def _without_thoughts(text: str) -> str:
    """Take thoughts out; a closing tag alone ends thoughts whose opening stood in the prompt."""
    text = _THOUGHTS.sub("", text)
    *_, answer = _END_OF_THOUGHTS.split(text)
    return answer


def _objects(text: str) -> Iterator[_Span]:
    """Yield the outermost objects in a text, in their order.

    What is inside of an object that cannot be read, or that breaks off, is no answer.
    """
    at, unclosed, last_brace = 0, 0, text.rfind("}")
    while (opening := _OPENING.search(text, at)) and unclosed <= _MAX_UNCLOSED:
        start = opening.start()
        may_close = start < last_brace
        if may_close and (span := _object_at(text, start)):
            yield span
            at = span.end
            continue
        end = _closing_brace(text, start) if may_close else 0
        is_object = opening["member"] is not None
        if is_object and not end:
            return
        unclosed += not end
        at = end if is_object else start + 1


def _object_at(text: str, start: int) -> _Span | None:
    """Return the object that begins with the brace at ``start``, ``None`` if it cannot be read."""
    for read in (_DECODER.raw_decode, read_loose_object):
        try:
            value, end = read(text, start)
        except (ValueError, RecursionError):
            continue
        return _Span(value, end)
    return None


def _closing_brace(text: str, start: int) -> int:
    """Return the place behind the brace that closes the one at ``start``, 0 if none does."""
    depth = 0
    for token in _BRACES_AND_STRINGS.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return token.end()
    return 0


def _unfinished(text: str, make: Make[Object]) -> Object | None:
    begun = _UNFINISHED_STRING.sub(_escaped, text[text.index("{") :].partition("```")[0])
    try:
        value = from_json(begun, allow_partial="trailing-strings")
        return make(value) if isinstance(value, dict) else None
    except ValueError:
        return None


def _escaped(string: re.Match[str]) -> str:
    """Models write line breaks into strings; JSON wants them escaped."""
    return string[0].replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
