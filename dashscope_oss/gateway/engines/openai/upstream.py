"""An OpenAI-compatible server behind the gateway: where it is, and what its kind calls things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Api: TypeAlias = Literal["auto", "chat", "completions"]
Kind: TypeAlias = Literal["vllm", "sglang", "llama.cpp", "ollama"]

DEFAULT_TIMEOUT = 300.0
"""Seconds between two pieces of an answer, if nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How a server is watched in the background: it is well while it answers with a 2xx.

    Attributes:
        path: what to GET: below the base URL, or with a leading slash from the server's root.
        interval: seconds between two looks.
        timeout: seconds that an answer may take.
    """

    path: str = "models"
    interval: float = 5.0
    timeout: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An OpenAI-compatible server.

    Attributes:
        url: its base, ending in ``/v1``.
        name: what logs, metrics and the status page call it.
        kind: what it is; decides names of parameters. Unset, only what all know is translated.
        api_key: what it asks for, if anything.
        names: served model id -> the server's own name for the weights.
        default: the server's name for every id that ``names`` lacks; ``None`` serves only those.
        api: ``chat`` or ``completions`` for every model; ``auto`` decides by the record.
        apis: the same for single models.
        timeout: seconds between two pieces of an answer.
        health: how to watch it; ``None`` does not.
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
    health: HealthCheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamState:
    """What is known of a server now.

    Attributes:
        name: what the settings call it.
        url: its base; it holds no key.
        kind: what it is, if that was said.
        healthy: whether its last look or call went well; ``None`` before the first.
        last_error: what the last look or call found wrong; "" if nothing.
        under_way: calls that it answers now.
        calls: calls sent to it so far.
        failures: those that failed by its fault.
    """

    name: str
    url: str
    kind: str | None = None
    healthy: bool | None = None
    last_error: str = ""
    under_way: int = 0
    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a kind of server calls things; ``None``: it has no such thing.

    Read in the sources of vLLM, SGLang and Ollama (2026) and of llama.cpp's server, whose
    spellings are tried on a real one.

    Attributes:
        top_k: how many of the likeliest tokens to draw from; -1 is all.
        repetition_penalty: what already-written tokens lose.
        stop_tokens: ids of tokens at which to stop.
        thinking_budget: most tokens of thinking; "template" hands it to the chat template.
        effort: thinking is switched by ``reasoning_effort``, not by the chat template.
        running_usage: what to ask for, so that each piece brings the counts so far.
        raw_schema: raw completions take a JSON schema as ``json_schema``; ``None``: not at all;
            "response_format": in the same form as chat completions.
        forced_tool: how to force one function: "named" as the caller does, "only" by offering no
            other and calling for any.
    """

    top_k: str | None = "top_k"
    repetition_penalty: str | None = "repetition_penalty"
    stop_tokens: str | None = None
    thinking_budget: str | None = "template"
    effort: bool = False
    running_usage: Mapping[str, object] = field(default_factory=dict)
    raw_schema: str | None = "response_format"
    forced_tool: Literal["named", "only"] | None = "named"


_USAGE: Mapping[str, object] = {
    "stream_options": {"include_usage": True, "continuous_usage_stats": True}
}
_DIALECTS: dict[Kind | None, Dialect] = {
    None: Dialect(),
    "vllm": Dialect(
        stop_tokens="stop_token_ids",
        thinking_budget="thinking_token_budget",
        running_usage=_USAGE,
    ),
    "sglang": Dialect(stop_tokens="stop_token_ids", running_usage=_USAGE),
    "llama.cpp": Dialect(
        repetition_penalty="repeat_penalty",
        thinking_budget="thinking_budget_tokens",
        running_usage={"timings_per_token": True},
        raw_schema="json_schema",
        forced_tool="only",
    ),
    "ollama": Dialect(
        top_k=None,
        repetition_penalty=None,
        thinking_budget=None,
        effort=True,
        raw_schema=None,
        forced_tool=None,
    ),
}


def dialect_of(kind: Kind | None) -> Dialect:
    """Return what servers of this kind call things."""
    return _DIALECTS[kind]
