"""Scripts for the scripted engine from a JSON file."""

from __future__ import annotations

import json
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
        return [_entry(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"cannot use the script {file}: {error}. {_FORM}") from error


def _entry(entry: object) -> Answer | Fault:
    if isinstance(entry, dict) and not entry.keys().isdisjoint(("status", "code", "cut")):
        return Fault(**_Fault.model_validate(entry).model_dump())
    return Answer(**_Answer.model_validate(entry).model_dump())
