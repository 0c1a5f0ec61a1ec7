"""Pydantic classes that hold themselves, as JSON schemas.

LangChain's converter writes a schema out in full and cuts off where it would come round: the model
would learn nothing of the inner objects. A schema with references it leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from dashscope_oss.protocol.structured_output import DEFINITIONS, with_root_written_out


def recursive_schema(schema: object) -> dict[str, Any] | None:
    """Return the JSON schema of a pydantic class that holds itself; ``None`` of all others."""
    if not isinstance(schema, type) or not issubclass(schema, BaseModel):
        return None
    if not _holds_itself(schema):
        return None
    return dict(with_root_written_out(schema.model_json_schema()))


# An agent binds its tools anew for each call.
@lru_cache(maxsize=256)
def _holds_itself(schema: type[BaseModel]) -> bool:
    """Whether the class, or one that it refers to, refers to itself."""
    definitions = schema.model_json_schema().get("$defs", {})
    return any(name in _reachable(definitions, name) for name in definitions)


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
            yield reference.removeprefix(DEFINITIONS)
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
