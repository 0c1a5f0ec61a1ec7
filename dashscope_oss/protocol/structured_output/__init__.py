"""Answers that are one JSON object: how a model is asked for it, and which one in a text it is.

- :mod:`.asking`: the methods, and the words for a model that has none of them.
- :mod:`.schemas`: JSON schemas as every server reads them.
- :mod:`.reading`: the object in a text, whole or as far as it has come.
- :mod:`.loose_json`: objects that are not written quite as JSON.

All names below may be imported from here.
"""

from dashscope_oss.protocol.structured_output.asking import (
    REPAIR_REFUSALS,
    JsonMode,
    Method,
    best_method,
    instructions,
    json_mode,
    known_methods,
    nearest_method,
    repair,
    response_format,
    why_unreadable,
)
from dashscope_oss.protocol.structured_output.loose_json import read_loose_object
from dashscope_oss.protocol.structured_output.reading import Make, read_object, read_partial_object
from dashscope_oss.protocol.structured_output.schemas import DEFINITIONS, with_root_written_out

__all__ = [
    "DEFINITIONS",
    "REPAIR_REFUSALS",
    "JsonMode",
    "Make",
    "Method",
    "best_method",
    "instructions",
    "json_mode",
    "known_methods",
    "nearest_method",
    "read_loose_object",
    "read_object",
    "read_partial_object",
    "repair",
    "response_format",
    "why_unreadable",
    "with_root_written_out",
]
