"""The parameters that a run sets, as its settings name them."""

from __future__ import annotations

from dataclasses import fields

from dashscope_oss.messages import Options

_NOTHING_SET = Options()


def stated_parameters(options: Options) -> dict[str, object]:
    """Return what ``options`` sets; all that is left out has the service's default."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    extra = values.pop("extra")
    set_here = {name: v for name, v in values.items() if v != getattr(_NOTHING_SET, name)}
    return {**set_here, **extra}
