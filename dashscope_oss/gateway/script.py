"""Scripts for the scripted engine from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.gateway.scripted import Answer, Entry, Fault

_FORM = (
    'It is a JSON list of answers {"text": "…"} and faults {"status": 429, "code": "…", '
    '"message": "…"}.'
)

_DEFAULT = Fault()


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    text: str = ""
    reasoning: str = ""
    finish_reason: str = "stop"
    pause: float = 0.0


class _Fault(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    status: int = _DEFAULT.status
    code: str = _DEFAULT.code
    message: str = _DEFAULT.message
    after: int | None = None
    cut: bool = False


def load_script(file: Path) -> list[Entry]:
    """Return the answers and faults that ``file`` lists.

    Raises:
        ConfigurationError: if it cannot be read, or an entry is neither.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return [_entry(_object(entry)) for entry in entries]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"cannot use the script {file}: {error}. {_FORM}") from error


def scripted_entry(entry: Entry | Mapping[str, object]) -> Entry:
    """Return an entry of a script; a dict has the form of the file's.

    Raises:
        ConfigurationError: if a dict is neither an answer nor a fault.
    """
    if not isinstance(entry, Mapping):
        return entry
    try:
        return _entry(entry)
    except ValueError as error:
        raise ConfigurationError(f"cannot use the entry {dict(entry)}: {error}. {_FORM}") from error


def _entry(entry: Mapping[str, object]) -> Answer | Fault:
    if entry.keys().isdisjoint(("status", "code", "cut")):
        return Answer(**_Answer.model_validate(entry).model_dump())
    return Fault(**_Fault.model_validate(entry).model_dump())


def _object(entry: object) -> Mapping[str, object]:
    if not isinstance(entry, Mapping):
        raise TypeError(f"{entry!r:.100} is no object")
    return entry
