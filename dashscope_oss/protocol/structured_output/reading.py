"""Which JSON object in the text of a model is its answer.

Small models write around it: thoughts, an example or a draft before the final object, the schema
once more, code fences, single quotes, trailing commas, comments, Python's words. What can be read
without guessing is read; whatever else is left to a second question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic_core import from_json

Object = TypeVar("Object")
Make: TypeAlias = Callable[[dict[str, object]], Object]
"""Makes the caller's object of a JSON object; raises ``ValueError`` if it does not fit."""

_MAX_UNCLOSED = 20
"""Braces that close nowhere, as in words, after which no further object is looked for."""
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_END_OF_THOUGHTS = re.compile(r"</think(?:ing)?>")
_COMMENT = r"//[^\n]*|/\*.*?\*/|\#[^\n]*"
_STRING = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_BRACES_AND_STRINGS = re.compile(rf"{_STRING}|{_COMMENT}|[{{}}]", re.DOTALL)
_LOOSE_TOKENS = re.compile(
    rf"(?P<string>{_STRING})|(?P<comment>{_COMMENT})"
    r"|(?P<comma>,(?=\s*[}\]]))|(?P<word>\b(?:True|False|None)\b)"
    r"|(?P<key>(?<=[{,])\s*[A-Za-z_]\w*(?=\s*:))",
    re.DOTALL,
)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_OPENING = re.compile(
    rf"\{{(?:(?P<member>\s*(?:{_STRING}|[A-Za-z_]\w*)\s*:)|\s*[}}/#])?", re.DOTALL
)
_UNFINISHED_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def read_object(text: str, make: Make[Object]) -> Object:
    """Return the object that a whole answer gives: the last one that ``make`` takes.

    Args:
        text: the answer. Thoughts between tags, or before a closing tag, are no part of it.
        make: makes the caller's object.

    Raises:
        ValueError: if there is none, or ``make`` refuses every one.
    """
    refusal: ValueError | None = None
    for candidate in reversed([span.value for span in _objects(_without_thoughts(text))]):
        try:
            return make(candidate)
        except ValueError as error:
            refusal = refusal or error
    raise refusal or ValueError("the answer holds no whole JSON object")


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
    at, unclosed = 0, 0
    while (opening := _OPENING.search(text, at)) and unclosed <= _MAX_UNCLOSED:
        start = opening.start()
        end = _closing_brace(text, start)
        value = _loose_object(text[start:end]) if end else None
        if value is not None:
            yield _Span(value, end)
        is_object = opening["member"] is not None
        if is_object and not end:
            return
        unclosed += not end
        at = end if is_object or value is not None else start + 1


def _closing_brace(text: str, start: int) -> int:
    """Return the place behind the brace that closes the one at ``start``, 0 if none does."""
    depth = 0
    for token in _BRACES_AND_STRINGS.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return token.end()
    return 0


def _loose_object(text: str) -> dict[str, object] | None:
    """Return the object in ``text``, which begins and ends with its braces."""
    for form in (text, _LOOSE_TOKENS.sub(_strict, text)):
        try:
            value = json.loads(form, strict=False)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) else None
    return None


def _strict(token: re.Match[str]) -> str:
    """Return a token of a loosely written object as JSON has it."""
    text = token[0]
    if token["string"]:
        return text if text.startswith('"') else _double_quoted(text)
    if token["word"]:
        return _WORDS[text]
    if token["key"]:
        return json.dumps(text.strip())
    return ""  # a comment, or a comma behind the last item


def _double_quoted(text: str) -> str:
    inner = re.sub(r"\\'", "'", text[1:-1])
    return '"' + re.sub(r'(?<!\\)"', r"\"", inner) + '"'


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
