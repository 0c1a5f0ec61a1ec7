"""The record of a model, which alone answers every question about it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal, TypeAlias

from dashscope_oss.messages import html_table
from dashscope_oss.prompts.echo import Echo
from dashscope_oss.prompts.prompt_template import PromptTemplate

Status: TypeAlias = Literal["hosted", "retired", "self-hosted", "unknown"]
ServiceEndpoint: TypeAlias = Literal["text-generation", "multimodal-generation"]
Input: TypeAlias = Literal["prompt", "messages"]
Incremental: TypeAlias = Literal["yes", "no", "forced", "unknown"]
Thinking: TypeAlias = Literal["none", "hybrid", "always", "unknown"]
SystemTurns: TypeAlias = Literal["any", "first"]
ReasoningInHistory: TypeAlias = Literal["never", "tool_turns", "always"]
Structured: TypeAlias = Literal["none", "json_object", "json_schema", "unknown"]
Modality: TypeAlias = Literal["text", "image", "video", "audio"]
ContextCache: TypeAlias = Literal["none", "implicit", "explicit", "unknown"]
Tokenizer: TypeAlias = Literal["llama2", "llama2-zh", "llama3", "baichuan", "qwen", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Everything that is known about one model; ``dataclasses.replace`` overrides fields.

    Attributes:
        id: the name by which calls ask for it.
        family: models that share template and behaviour.
        maker: who trained it.
        status: ``hosted``, ``retired`` (taken off the hosted service), ``self-hosted`` (yours),
            or ``unknown``.
        released: the day on which its maker published it, where a source states it.
        retired_on: the day on which the hosted service took it off.
        successors: what the vendor names in its place.
        endpoint: which of the service's two endpoints takes it.
        inputs: ``prompt`` (one string), ``messages``, or both.
        modalities: what a message may hold: ``text``, ``image``, ``video``, ``audio``.
        max_image_bytes: most bytes of one image file.
        max_video_bytes: most bytes of one video file.
        max_audio_bytes: most bytes of one audio file.
        template: how its family writes a conversation into a prompt. The client needs it for a
            prompt-only model, the gateway to serve the weights.
        strict_turns: user and assistant must alternate, one system message first.
        system_turns: where system messages may stand: ``any`` place, or one ``first`` only, as
            the model's chat template wants it.
        reasoning_in_history: which earlier answers go back with their thoughts: ``never``,
            ``tool_turns`` (those that called tools), ``always``.
        text_reply: answers as ``output.text`` unless ``result_format`` asks for a message, as the
            client does whenever it sends messages.
        reports_usage: whether replies carry token counts.
        reports_finish: whether replies carry a finish reason.
        echo: how an answer to a prompt repeats the prompt, see ``prompts.echo.EchoFilter``.
        context_window: tokens of input and output together.
        max_input: most input tokens.
        max_output: most output tokens.
        max_tokens_counts_thoughts: ``max_tokens`` limits thoughts and answer together; elsewhere
            it limits the answer alone.
        max_completion_tokens: takes this parameter, which limits thoughts and answer together.
        incremental: what the events of a stream hold. ``yes``: new text, if asked for;
            ``forced``: always new text; ``no``: all the text so far; ``unknown``: new text is
            asked for, and the events show what comes.
        stream_only: refuses calls that do not stream.
        thinking: ``none``, ``hybrid`` (can be switched), ``always``.
        thinks_by_default: whether a hybrid model thinks if the caller does not set it.
        thinking_streams: thinks only in streaming calls.
        reasoning_efforts: levels that ``reasoning_effort`` takes, weakest first; empty: it does
            not take the parameter.
        reasoning_effort_default: the level if the caller sets none, where a source states it.
        preserve_thinking: takes this parameter, which keeps earlier thoughts in the conversation.
        tools: takes tool definitions.
        structured: strongest ``response_format`` it takes.
        context_cache: ``implicit``: the service finds repeated beginnings by itself;
            ``explicit``: that, and content may be marked with ``cache_control``.
        web_search: takes ``enable_search`` and ``search_options``; a hosted model that does not
            is refused them.
        tokenizer: family of its tokenizer, for offline counts.
        weights: where the open weights are, as the vendor page names them.
        price_in: CNY per 1,000 input tokens, where a page states it; 0 is a free trial.
        price_out: CNY per 1,000 output tokens.
        priced_on: the day of the page that states the price.
        free_quota: what the vendor page grants.
        requests_per_minute: most calls an account may make of the hosted model, where the
            vendor's rate-limit page of 2026-02-24 states it (Beijing); all keys and workspaces
            count together. ``None`` for what it does not list, or lists as retired.
        tokens_per_minute: most tokens, in and out, from the same page.
        documented_parameters: all that the vendor page lists, ``None`` if unknown.
        unsupported_parameters: what the model refuses though others take it.
        source: where the facts were read.
        checked: when they were read.
        notes: contradictions in the sources and what was decided.
        disputed: fields on which the sources differ; ``notes`` holds every figure. A figure that
            is disputed warns and refuses nothing.
        guessed: fields that no source states for this model: they follow from its series. They
            warn and refuse nothing either.
    """

    id: str
    family: str
    maker: str
    status: Status = "self-hosted"
    released: date | None = None
    retired_on: date | None = None
    successors: tuple[str, ...] = ()
    endpoint: ServiceEndpoint = "text-generation"
    inputs: tuple[Input, ...] = ("messages",)
    modalities: tuple[Modality, ...] = ("text",)
    max_image_bytes: int | None = None
    max_video_bytes: int | None = None
    max_audio_bytes: int | None = None
    template: PromptTemplate | None = None
    strict_turns: bool = False
    system_turns: SystemTurns = "any"
    reasoning_in_history: ReasoningInHistory = "never"
    text_reply: bool = True
    reports_usage: bool = True
    reports_finish: bool = True
    echo: Echo = "none"
    context_window: int | None = None
    max_input: int | None = None
    max_output: int | None = None
    max_tokens_counts_thoughts: bool = False
    max_completion_tokens: bool = False
    incremental: Incremental = "unknown"
    stream_only: bool = False
    thinking: Thinking = "none"
    thinks_by_default: bool = False
    thinking_streams: bool = True
    reasoning_efforts: tuple[str, ...] = ()
    reasoning_effort_default: str | None = None
    preserve_thinking: bool = False
    tools: bool = False
    structured: Structured = "none"
    context_cache: ContextCache = "unknown"
    web_search: bool = False
    tokenizer: Tokenizer = "other"
    weights: str | None = None
    price_in: float | None = None
    price_out: float | None = None
    priced_on: date | None = None
    free_quota: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    documented_parameters: tuple[str, ...] | None = None
    unsupported_parameters: tuple[str, ...] = ()
    source: str = ""
    checked: date | None = None
    notes: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        facts["template"] = self.template and self.template.name
        return html_table(facts, unknown="not stated")

    @property
    def takes_messages(self) -> bool:
        """Whether a conversation can be sent as it is."""
        return "messages" in self.inputs

    @property
    def takes_prompt(self) -> bool:
        """Whether one plain string can be sent."""
        return "prompt" in self.inputs

    @property
    def input_limit(self) -> int | None:
        """Most input tokens: the stated limit, else the whole window."""
        return self.max_input if self.max_input is not None else self.context_window

    def doubt(self, field: str) -> str:
        """Return why a field is not certain; empty if it is."""
        if field in self.disputed:
            return "public sources disagree on this"
        if field in self.guessed:
            return "no public source states this; it follows from similar models"
        return ""

    @property
    def input_limit_field(self) -> str:
        """The field that states the most input tokens."""
        return "max_input" if self.max_input is not None else "context_window"

    def settled(self, **certain: Any) -> ModelInfo:  # noqa: ANN401 - the values of fields
        """Return a copy in which somebody has decided on these fields."""
        disputed = tuple(name for name in self.disputed if name not in certain)
        guessed = tuple(name for name in self.guessed if name not in certain)
        return replace(self, **certain, disputed=disputed, guessed=guessed)

    def thinks(self, enable_thinking: bool | None) -> bool:
        """Whether a call with this switch (``None``: not set) will think."""
        if self.thinking == "hybrid":
            return self.thinks_by_default if enable_thinking is None else enable_thinking
        return self.thinking == "always"

    def can_be_forced(self, enable_thinking: bool | None) -> bool:
        """Whether a call with this switch can be made to call a tool or to write JSON.

        The service forces nothing while a model thinks. A hybrid model whose switch is not set
        is told not to think in such a call.
        """
        switched_off = self.thinking == "hybrid" and enable_thinking is None
        return switched_off or not self.thinks(enable_thinking)
