"""Scripts for the scripted engine as JSON: a file of entries, or a single entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
)

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.engines.scripted import Answer, Fault, ScriptEntry

_FORM = (
    'A script is a JSON list of answers {"text": "…"} and faults {"status": 429, "code": "…", '
    '"message": "…"}.'
)
_FAULT_FIELDS = ("status", "code", "cut")
_DEFAULT = Fault()


class _JsonEntry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _JsonAnswer(_JsonEntry):
    text: str = ""
    reasoning: str = ""
    finish_reason: str = "stop"
    pause: NonNegativeFloat = 0.0


class _JsonFault(_JsonEntry):
    status: int = Field(default=_DEFAULT.status, ge=400, le=599)
    code: str = _DEFAULT.code
    message: str = _DEFAULT.message
    after: NonNegativeInt | None = None
    cut: bool = False


def load_script(file: Path) -> list[ScriptEntry]:
    """Return the answers and faults that a JSON file lists.

    Raises:
        ConfigurationError: if the file cannot be read, or an entry is neither of the two.
    """
    try:
        return _parse_script(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"cannot use the script {file}: {_reason(error)}. {_FORM}"
        ) from error


def to_script_entry(entry: ScriptEntry | Mapping[str, object]) -> ScriptEntry:
    """Return an entry of a script; a dict has the form of an entry in a file.

    Raises:
        ConfigurationError: if a dict is neither an answer nor a fault.
    """
    if not isinstance(entry, Mapping):
        return entry
    try:
        return _parse_entry(entry)
    except ValueError as error:
        raise ConfigurationError(
            f"cannot use the entry {dict(entry)}: {_reason(error)}. {_FORM}"
        ) from error


def _parse_script(entries: object) -> list[ScriptEntry]:
    if not isinstance(entries, list):
        raise TypeError(f"{entries!r:.100} is not a list")
    return [_parse_entry(entry) for entry in entries]


def _parse_entry(entry: object) -> Answer | Fault:
    if not isinstance(entry, Mapping):
        raise TypeError(f"{entry!r:.100} is not an object")
    if entry.keys().isdisjoint(_FAULT_FIELDS):
        return Answer(**_JsonAnswer.model_validate(entry).model_dump())
    return Fault(**_JsonFault.model_validate(entry).model_dump())


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
