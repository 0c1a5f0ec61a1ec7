"""The arguments of a tool call: what is a JSON object, and what must not be taken for one."""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_core.utils.json import parse_partial_json

# Tried in this order: a bracket that closes nothing, within a string or behind one, after an
# escape or not.
_BREAKERS = ("", "]", "}", '"]', '"}', ' "]', ' "}')

_SPECIAL = re.compile(r'\\.?|["\x00-\x1f]', re.DOTALL)
"""What may not stand for itself: a quote, a control character, a backslash and what it escapes."""


def parse_arguments(text: str) -> dict[str, Any]:
    """Return the arguments that a model wrote; none at all for a function without parameters.

    Raises:
        ValueError: if they are no JSON object, or one that could not be sent back.
    """
    try:
        arguments = json.loads(text, strict=False) if text.strip() else {}
        json.dumps(arguments, allow_nan=False)  # NaN and 1e999 are read, but cannot be written
    except RecursionError:
        raise ValueError("the arguments are nested too deeply") from None
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are not a JSON object")  # noqa: TRY004 - as json.loads does
    return arguments


class StrictStrings:
    """Escapes the control characters in the strings of JSON that arrives in pieces.

    Models write line breaks as they are. LangChain's reader of calls lets them pass, but that of
    its event streams of version 3 takes the call for a broken one.
    """

    def __init__(self) -> None:
        self._in_string = False
        self._ended_in_backslash = False

    def push(self, piece: str) -> str:
        """Return the next piece as strict JSON has it."""
        if self._ended_in_backslash and piece:
            self._ended_in_backslash = False
            return piece[0] + self.push(piece[1:])
        return _SPECIAL.sub(self._in_strict_json, piece)

    def _in_strict_json(self, match: re.Match[str]) -> str:
        special = match[0]
        if special == '"':
            self._in_string = not self._in_string
        elif special == "\\":
            self._ended_in_backslash = True
        elif self._in_string and special < " ":
            return json.dumps(special)[1:-1]
        return special


def closing_mark(text: str) -> str:
    """Return what to add to streamed arguments so that LangChain judges them as we do.

    LangChain completes JSON that broke off and takes the call for a valid one: half a file name
    would be a file name. It never completes what a wrong bracket closes.
    """
    try:
        parse_arguments(text)
    except ValueError:
        return next((mark for mark in _BREAKERS if not _is_completed(text + mark)), "")
    return "{}" if text and not text.strip() else ""


def _is_completed(text: str) -> bool:
    """Whether LangChain makes an object of ``text``."""
    try:
        return isinstance(parse_partial_json(text), dict)
    except (ValueError, RecursionError):
        return False
