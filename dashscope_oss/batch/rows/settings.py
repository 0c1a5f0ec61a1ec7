"""The settings that make a run: with others the same rows are another run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields

from dashscope_oss.messages import Options

_NOTHING_SET = Options()


def stated_parameters(options: Options) -> dict[str, object]:
    """Return what ``options`` sets; all that is left out has the service's default."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    extra = values.pop("extra")
    set_here = {name: v for name, v in values.items() if v != getattr(_NOTHING_SET, name)}
    return {**set_here, **extra}


def settings_text(settings: Mapping[str, object]) -> str:
    """Return settings as the text by which a run is found again; their order does not matter."""
    return json.dumps(settings, ensure_ascii=False, sort_keys=True)


def differences(
    before: Mapping[str, object], after: Mapping[str, object], within: str = ""
) -> list[str]:
    """Return in words how the settings of two runs differ: ``temperature: 0.2, now 0.7``."""
    words: list[str] = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            words += differences(old, new, f"{within}{name}.")
        elif old != new:
            words.append(f"{within}{name}: {_shown(old)}, now {_shown(new)}")
    return words


def _shown(value: object) -> str:
    return "not set" if value is None else f"{value!s:.60}"
