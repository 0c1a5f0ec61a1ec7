"""JSON schemas of objects in the form that every server reads."""

from __future__ import annotations

from collections.abc import Mapping

from dashscope_oss.messages import Json

DEFINITIONS = "#/$defs/"
"""What references in the schemas of pydantic begin with."""


def with_root_written_out(schema: Json) -> Json:
    """Return ``schema`` with its own properties at the root.

    At the root of a class that holds itself pydantic writes only a reference, as in
    ``{"$defs": {"Family": ...}, "$ref": "#/$defs/Family"}``. Servers want an object there.
    """
    reference, definitions = schema.get("$ref"), schema.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return schema
    root = definitions.get(reference.removeprefix(DEFINITIONS))
    if not isinstance(root, Mapping):
        return schema
    others = {name: value for name, value in schema.items() if name != "$ref"}
    return {**root, **others}
