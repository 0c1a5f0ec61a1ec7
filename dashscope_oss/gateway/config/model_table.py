"""The table of one served model, and the record under which it is served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveInt, field_validator

from dashscope_oss.errors import did_you_mean
from dashscope_oss.gateway.config.field_types import Line
from dashscope_oss.gateway.engines.openai.upstream import Api
from dashscope_oss.gateway.interface.served_models import modernize, unregistered_model, with_tools
from dashscope_oss.gateway.security.config import ConfigTable
from dashscope_oss.prompts.templates import TEMPLATES
from dashscope_oss.registry import lookup
from dashscope_oss.registry.model_info import (
    Input,
    Modality,
    ModelInfo,
    Structured,
    Thinking,
    Tokenizer,
)

# Keys that are fields of the record under the same name.
_RECORD_FIELDS = (
    "context_window",
    "max_input",
    "max_output",
    "tokenizer",
    "tools",
    "thinking",
    "structured",
)


class ModelConfig(ConfigTable):
    """One served model: the table ``[models."ID"]``.

    Attributes:
        name: the servers' name for the weights; by default the id.
        names: the same for single upstreams that call them differently.
        upstreams: which upstreams serve it; by default all.
        api: ``chat`` or ``completions``; ``auto`` decides by the record.
        like: the known model whose record it has; by default the one with its own id.
        template: how its family writes a conversation, by the template's name.
        inputs: ``prompt``, ``messages`` or both.
        modalities: what messages may hold: ``text``, ``image``, ``video``, ``audio``.
        context_window: tokens of input and output together.
        max_input: most input tokens.
        max_output: most output tokens.
        tokenizer: family of its tokenizer, for estimates.
        tools: whether it takes tool definitions; by default the server decides.
        thinking: ``none``, ``hybrid``, ``always`` or ``unknown``.
        structured: strongest ``response_format`` it takes.
        echo: ``false`` switches off the echo that the hosted model had.
        usage: ``true`` reports token counts where the hosted model did not.
        modern: both of these.
    """

    name: Line | None = None
    names: dict[str, Line] = Field(default_factory=dict)
    upstreams: list[str] | None = Field(default=None, min_length=1)
    api: Api = "auto"
    like: str | None = None
    template: str | None = None
    inputs: list[Input] | None = Field(default=None, min_length=1)
    modalities: list[Modality] | None = Field(default=None, min_length=1)
    context_window: PositiveInt | None = None
    max_input: PositiveInt | None = None
    max_output: PositiveInt | None = None
    tokenizer: Tokenizer | None = None
    tools: bool | None = None
    thinking: Thinking | None = None
    structured: Structured | None = None
    echo: bool | None = None
    usage: bool | None = None
    modern: bool = False

    @field_validator("template")
    @classmethod
    def _check_template(cls, name: str | None) -> str | None:
        if name is not None and name not in TEMPLATES:
            raise ValueError(f"no template {name!r}; there are {', '.join(sorted(TEMPLATES))}")
        return name

    @field_validator("like")
    @classmethod
    def _check_like(cls, id: str | None) -> str | None:
        if id is not None and lookup.known_model(id) is None:
            raise ValueError(f"no record of a model {id!r}.{did_you_mean(lookup.similar_ids(id))}")
        return id

    def model_info(self, id: str) -> ModelInfo:
        """Return the record under which ``id`` is served."""
        known = lookup.known_model(self.like or id)
        original = with_tools(replace(known, id=id) if known else unregistered_model(id))
        model_info = modernize(original) if self.modern else original
        return replace(model_info, **self._overrides(original))

    def _overrides(self, original: ModelInfo) -> dict[str, Any]:
        overrides: dict[str, Any] = {
            "template": TEMPLATES[self.template] if self.template else None,
            "inputs": tuple(self.inputs) if self.inputs else None,
            "modalities": tuple(self.modalities) if self.modalities else None,
            "echo": self._echo(original),
            "reports_usage": self.usage,
            **{name: getattr(self, name) for name in _RECORD_FIELDS},
        }
        return {name: value for name, value in overrides.items() if value is not None}

    def _echo(self, original: ModelInfo) -> str | None:
        if self.echo is None:
            return None
        return original.echo if self.echo else "none"

    def name_at(self, upstream: str, id: str) -> str:
        """Return the upstream's name for the weights."""
        return self.names.get(upstream) or self.name or id
