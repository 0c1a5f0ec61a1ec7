"""Pydantic classes that hold themselves, as JSON schemas.

LangChain's converter writes a schema out in full and cuts off where it would come round: the model
would learn nothing of the inner objects. A schema with references it leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_PREFIX = "#/$defs/"


def recursive_schema(schema: object) -> dict[str, Any] | None:
    """Return the JSON schema of a pydantic class that holds itself; ``None`` of all others."""
    if not isinstance(schema, type) or not issubclass(schema, BaseModel):
        return None
    form = schema.model_json_schema()
    definitions = form.get("$defs", {})
    if not any(name in _reachable(definitions, name) for name in definitions):
        return None
    root = definitions[form["$ref"].removeprefix(_PREFIX)] if "$ref" in form else form
    return {**root, "$defs": definitions}


def _reachable(definitions: Mapping[str, Any], start: str) -> set[str]:
    """Return the definitions that ``start`` refers to, itself or through others."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        found = set(_references(definitions[waiting.pop()])) - reached
        reached |= found
        waiting.extend(found)
    return reached


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
