"""Reading the configuration file, and naming file, table and key of what is wrong in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dashscope_oss.errors import ConfigurationError, did_you_mean, similar_names
from dashscope_oss.gateway.config.tables import GatewayConfig
from dashscope_oss.gateway.security.config import ConfigTable

# What pydantic says in words of Python.
_IN_TOML = {
    "missing": "this key is needed",
    "dict_type": "it must be a table",
    "model_type": "it must be a table",
    "list_type": "it must be a list: [...]",
    "bool_type": "it must be true or false",
}


def load_config(file: Path) -> GatewayConfig:
    """Return the configuration in ``file``.

    Raises:
        ConfigurationError: if it cannot be used; the text names file, table and key.
    """
    try:
        return parse_config(file.read_text(encoding="utf-8-sig"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"cannot read the configuration file {file}: {reason}") from error


def parse_config(text: str, name: str) -> GatewayConfig:
    """Return the configuration in ``text``.

    Args:
        text: TOML.
        name: the file's name, for errors.

    Raises:
        ConfigurationError: if the text is not TOML, or a table or key is wrong.
    """
    try:
        return GatewayConfig.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{name} is not valid TOML: {error}") from error
    except ValidationError as error:
        faults = map(_describe_fault, error.errors())
        raise ConfigurationError(f"{name}: {'; '.join(faults)}") from error


def _describe_fault(fault: ErrorDetails) -> str:
    """Return a fault with the table and the key where it is."""
    text = _IN_TOML.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    *tables, key = map(str, fault["loc"]) if fault["loc"] else ("",)
    if fault["type"] == "extra_forbidden":
        meant = _did_you_mean(key)
        text = f"there is no such {'key' if tables else 'table'}{meant}"
        if not meant and len(tables) > 1 and isinstance(fault["input"], dict):
            text += f'. A name with a dot needs quotes: [{tables[0]}."{tables[1]}.{key}"]'
    if not tables:
        return f"[{key}]: {text}" if key else text
    table = ".".join(part if part.isidentifier() else f'"{part}"' for part in tables)
    return f"[{table}] {key}: {text}"


def _did_you_mean(key: str) -> str:
    keys: set[str] = set()
    tables: list[type[ConfigTable]] = [ConfigTable]
    while tables:
        table = tables.pop()
        keys.update(table.model_fields)
        tables += table.__subclasses__()
    meant = did_you_mean(similar_names(key, keys - {key})[:1])
    return meant and f".{meant}"
