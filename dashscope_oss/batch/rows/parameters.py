"""The parameters that a run sets, as its settings name them."""

from __future__ import annotations

from dataclasses import fields

from dashscope_oss.messages import Options


def stated_parameters(options: Options) -> dict[str, object]:
    """Return what ``options`` sets; all that is left out has the service's default."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    extra = dict(values.pop("extra"))
    return {name: value for name, value in values.items() if value not in (None, False)} | extra
