"""An OpenAI-compatible server behind the gateway: its address, and its kind's names for things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dashscope_oss.messages import MediaKind

Api: TypeAlias = Literal["auto", "chat", "completions"]
Kind: TypeAlias = Literal["vllm", "sglang", "llama.cpp", "ollama"]

DEFAULT_TIMEOUT = 300.0
"""Seconds that may pass between two pieces of an answer, unless the upstream sets its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How an upstream is checked in the background: it is healthy while it answers with a 2xx.

    Attributes:
        path: what to GET, below the base URL; with a leading slash, from the server's root.
        interval: seconds between two checks.
        timeout: seconds that the whole answer may take.
    """

    path: str = "models"
    interval: float = 5.0
    timeout: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An OpenAI-compatible server.

    Attributes:
        url: its base URL, which ends in ``/v1``.
        name: its name in logs, metrics and on the status page.
        kind: which server it is; decides the names of parameters. If ``None``, only parameters
            that all kinds know under one name are sent.
        api_key: the key that the server asks for, if it asks for one.
        names: served model id -> the server's own name for the weights.
        default: the server's name for every id that ``names`` lacks; if ``None``, only the ids in
            ``names`` are served.
        api: ``chat`` or ``completions`` for every model; ``auto`` decides by the model's record.
        apis: the same for single models.
        timeout: seconds that may pass between two pieces of an answer.
        health_check: how the server is checked; ``None`` switches the checks off.
    """

    url: str
    name: str = "upstream"
    kind: Kind | None = None
    api_key: str | None = field(default=None, repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    api: Api = "auto"
    apis: Mapping[str, Api] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT
    health_check: HealthCheck | None = None

    @property
    def dialect(self) -> Dialect:
        """What servers of this kind call things."""
        return _DIALECTS[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of server calls things; ``None`` where the kind lacks them.

    Read in the sources of vLLM, SGLang and Ollama (2026) and of llama.cpp's server; llama.cpp's
    names are also tested on a real one.

    Attributes:
        top_k: how many of the likeliest tokens to draw from; -1 is all.
        repetition_penalty: penalty for tokens that were already written.
        stop_tokens: ids of tokens at which to stop.
        thinking_budget: limit for the tokens of thinking; "template" passes it to the chat
            template.
        effort: whether ``reasoning_effort`` switches thinking, rather than the chat template.
        running_usage: fields that make every piece carry the token counts so far.
        raw_schema: raw completions take a JSON schema as ``json_schema``, or, if
            "response_format", in the same form as chat completions.
        keep_alive: whether its connections are kept for further requests. llama.cpp closes them a
            tenth of a second after a streamed answer, though it announces five seconds.
        forced_tool: how one function is forced: "named" takes the caller's ``tool_choice``;
            "only" offers that function alone and requires a call.
        continuation: fields that make it go on with a last answer that is marked as partial.
            llama.cpp and Ollama do so whenever an answer stands last.
        reasoning: the field of a message that holds the thoughts of an earlier answer.
        media: kinds of files that a message may hold, and the type of a part of that kind.
    """

    top_k: str | None = "top_k"
    repetition_penalty: str | None = "repetition_penalty"
    stop_tokens: str | None = None
    thinking_budget: str | None = "template"
    effort: bool = False
    running_usage: Mapping[str, object] = field(default_factory=dict)
    raw_schema: str | None = "response_format"
    keep_alive: bool = True
    forced_tool: Literal["named", "only"] | None = "named"
    continuation: Mapping[str, object] | None = None
    reasoning: str = "reasoning_content"
    media: Mapping[MediaKind, str] = field(default_factory=lambda: {"image": "image_url"})


_CONTINUOUS_USAGE: Mapping[str, object] = {
    "stream_options": {"include_usage": True, "continuous_usage_stats": True}
}
_ALL_MEDIA: Mapping[MediaKind, str] = {
    "image": "image_url",
    "video": "video_url",
    "audio": "audio_url",
}
_DIALECTS: dict[Kind | None, Dialect] = {
    None: Dialect(keep_alive=False),
    "vllm": Dialect(
        stop_tokens="stop_token_ids",
        thinking_budget="thinking_token_budget",
        running_usage=_CONTINUOUS_USAGE,
        continuation={"continue_final_message": True, "add_generation_prompt": False},
        media=_ALL_MEDIA,
    ),
    "sglang": Dialect(
        stop_tokens="stop_token_ids",
        running_usage=_CONTINUOUS_USAGE,
        continuation={"continue_final_message": True},
        media=_ALL_MEDIA,
    ),
    "llama.cpp": Dialect(
        repetition_penalty="repeat_penalty",
        thinking_budget="thinking_budget_tokens",
        running_usage={"timings_per_token": True},
        raw_schema="json_schema",
        keep_alive=False,
        forced_tool="only",
        continuation={},
        media={"image": "image_url", "audio": "input_audio"},
    ),
    "ollama": Dialect(
        top_k=None,
        repetition_penalty=None,
        thinking_budget=None,
        effort=True,
        raw_schema=None,
        forced_tool=None,
        continuation={},
        reasoning="reasoning",
    ),
}
