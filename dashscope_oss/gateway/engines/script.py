"""Scripts for the scripted engine from a JSON file."""

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
    'It is a JSON list of answers {"text": "…"} and faults {"status": 429, "code": "…", '
    '"message": "…"}.'
)

_DEFAULT = Fault()


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Answer(_Form):
    text: str = ""
    reasoning: str = ""
    finish_reason: str = "stop"
    pause: NonNegativeFloat = 0.0


class _Fault(_Form):
    status: int = Field(default=_DEFAULT.status, ge=400, le=599)
    code: str = _DEFAULT.code
    message: str = _DEFAULT.message
    after: NonNegativeInt | None = None
    cut: bool = False


def load_script(file: Path) -> list[ScriptEntry]:
    """Return the answers and faults that ``file`` lists.

    Raises:
        ConfigurationError: if it cannot be read, or an entry is neither.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return [_entry(_object(entry)) for entry in _list(entries)]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"cannot use the script {file}: {_why(error)}. {_FORM}") from error


def to_script_entry(entry: ScriptEntry | Mapping[str, object]) -> ScriptEntry:
    """Return an entry of a script; a dict has the form of the file's.

    Raises:
        ConfigurationError: if a dict is neither an answer nor a fault.
    """
    if not isinstance(entry, Mapping):
        return entry
    try:
        return _entry(entry)
    except ValueError as error:
        raise ConfigurationError(
            f"cannot use the entry {dict(entry)}: {_why(error)}. {_FORM}"
        ) from error


def _entry(entry: Mapping[str, object]) -> Answer | Fault:
    if entry.keys().isdisjoint(("status", "code", "cut")):
        return Answer(**_Answer.model_validate(entry).model_dump())
    return Fault(**_Fault.model_validate(entry).model_dump())


def _list(entries: object) -> list[object]:
    if not isinstance(entries, list):
        raise TypeError(f"{entries!r:.100} is no list")
    return entries


def _object(entry: object) -> Mapping[str, object]:
    if not isinstance(entry, Mapping):
        raise TypeError(f"{entry!r:.100} is no object")
    return entry


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
