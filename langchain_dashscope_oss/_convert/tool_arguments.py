"""The arguments of a tool call: what is a JSON object, and what must not be taken for one."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.utils.json import parse_partial_json

# Tried in this order: a bracket that closes nothing, within a string or behind one, after an
# escape or not.
_BREAKERS = ("", "]", "}", '"]', '"}', ' "]', ' "}')


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
