"""From a job to the call of an OpenAI-compatible server: path and body. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.api_error import APIError, UnsupportedByUpstream
from dashscope_oss.gateway.engines.engine_request import EngineRequest
from dashscope_oss.gateway.engines.openai.upstream import Api, Upstream, dialect_of
from dashscope_oss.messages import Message
from dashscope_oss.protocol.tools import function_name, write_tool_calls
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.tokens import estimates

_SAME_NAMES = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "reasoning_effort",
    "parallel_tool_calls",
)
# The service draws from all tokens at 0 and above this.
_MOST_TOP_K = 100


def call_for(
    job: EngineRequest, upstream: Upstream, *, weights: str, turns: Sequence[Message]
) -> tuple[str, dict[str, object]]:
    """Return path and body for ``job``.

    Args:
        weights: the server's name for them.
        turns: the conversation, in case the server is to write the prompt.

    Raises:
        APIError: if this server or this model cannot carry what was asked.
    """
    body = {"model": weights, **_common(job, upstream)}
    if api_for(job.model_info, upstream) == "completions":
        return "completions", {**body, **_completion(job, upstream)}
    asked = job.parameters.get("response_format")
    if asked is not None:
        body["response_format"] = asked
    return "chat/completions", {
        **body,
        **_stops(job, upstream),
        "messages": [_wire_message(message) for message in turns],
    }


def api_for(model_info: ModelInfo, upstream: Upstream) -> Api:
    """Return which of the server's two APIs answers for this model."""
    asked = upstream.apis.get(model_info.id, upstream.api)
    if asked != "auto":
        return asked
    return "chat" if model_info.takes_messages else "completions"


def turns_of(job: EngineRequest) -> list[Message]:
    """Return the turns of the job; a prompt in its family's form is turned back into turns."""
    if job.messages is not None or job.prompt is None:
        return list(job.messages or ())
    template = job.model_info.template
    turns = template.parse(job.prompt) if template is not None else None
    return turns or [Message("user", job.prompt)]


def _refuse(text: str) -> NoReturn:
    raise APIError(400, "InvalidParameter", text)


def _untakable(name: str, upstream: Upstream) -> NoReturn:
    said = upstream.kind or "a server of an unknown kind"
    text = f"The parameter {name} cannot be passed on: behind this gateway stands {said}."
    raise UnsupportedByUpstream(400, "InvalidParameter", text)


def _common(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    given = {name: job.parameters.get(name) for name in _SAME_NAMES}
    return {
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in given.items() if value is not None},
        **_length(job),
        **_sampling(job, upstream),
        **_tools(job, upstream),
        **_thinking(job, upstream),
        **dialect_of(upstream.kind).running_usage,
    }


def _length(job: EngineRequest) -> dict[str, object]:
    """How long the answer may be, by the older of two names: raw completions know no other."""
    said = (job.parameters.get(name) for name in ("max_tokens", "max_completion_tokens"))
    most = next((value for value in said if value is not None), None)
    return {} if most is None else {"max_tokens": most}


def _sampling(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    dialect = dialect_of(upstream.kind)
    top_k = job.parameters.get("top_k")
    if isinstance(top_k, int) and not 0 < top_k <= _MOST_TOP_K:
        top_k = -1
    values = {"top_k": top_k, "repetition_penalty": job.parameters.get("repetition_penalty")}
    names = {"top_k": dialect.top_k, "repetition_penalty": dialect.repetition_penalty}
    return _named(values, names, upstream)


def _named(
    values: Mapping[str, object], names: Mapping[str, str | None], upstream: Upstream
) -> dict[str, object]:
    """The values that were given, under the server's names for them."""
    found: dict[str, object] = {}
    for asked, value in values.items():
        if value is not None:
            found[names[asked] or _untakable(asked, upstream)] = value
    return found


def _tools(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """The functions, and which to call: llama.cpp and Ollama overlook that one is named."""
    tools, choice = job.parameters.get("tools"), job.parameters.get("tool_choice")
    forced = dialect_of(upstream.kind).forced_tool
    if not isinstance(tools, list) or not tools:
        return {}
    if not isinstance(choice, Mapping) or forced == "named":
        return {"tools": tools, **({} if choice is None else {"tool_choice": choice})}
    if forced is None:
        _untakable("tool_choice (a function)", upstream)
    only = [tool for tool in tools if function_name(tool) == function_name(choice)]
    if not only:
        _refuse("tool_choice names a function that is not among the tools.")
    return {"tools": only, "tool_choice": "required"}


def _thinking(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    dialect = dialect_of(upstream.kind)
    switch, budget = (job.parameters.get(n) for n in ("enable_thinking", "thinking_budget"))
    found: dict[str, object] = {}
    template: dict[str, object] = {}
    if switch is not None and dialect.effort:
        found["reasoning_effort"] = (
            job.parameters.get("reasoning_effort") or "medium" if switch else "none"
        )
    elif switch is not None:
        template["enable_thinking"] = switch
    if budget is not None and dialect.thinking_budget == "template":
        template["thinking_budget"] = budget
    elif budget is not None:
        found[dialect.thinking_budget or _untakable("thinking_budget", upstream)] = budget
    return {**found, **({"chat_template_kwargs": template} if template else {})}


def _stops(job: EngineRequest, upstream: Upstream, own: Sequence[str] = ()) -> dict[str, object]:
    """Where to stop: texts as they are, ids of tokens where the server takes them."""
    asked = job.parameters.get("stop")
    given = asked if isinstance(asked, list) else [asked] if asked is not None else []
    if any(isinstance(stop, list) for stop in given):
        _refuse("Sequences of tokens cannot be passed on as stop; pass texts.")
    ids = [stop for stop in given if isinstance(stop, int)]
    texts = [*(stop for stop in given if isinstance(stop, str)), *own]
    found: dict[str, object] = {"stop": texts} if texts else {}
    if ids:
        found[dialect_of(upstream.kind).stop_tokens or _untakable("stop (ids)", upstream)] = ids
    return found


def _completion(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    template = job.model_info.template
    prompt = _prompt(job)
    found: dict[str, object] = {
        "prompt": prompt,
        **_stops(job, upstream, template.stop if template else ()),
        **_raw_format(job, upstream),
    }
    if job.parameters.get("tools"):
        _refuse("The tool call is not supported: this model is served by raw completions.")
    if not _length(job):
        found["max_tokens"] = _room(job.model_info, prompt)
    return found


def _prompt(job: EngineRequest) -> str:
    """The text for raw completions: a prompt-only model's as it was sent, else in its form."""
    template = job.model_info.template
    written = job.prompt is not None and (
        not job.model_info.takes_messages or template is None or template.is_in(job.prompt)
    )
    if job.prompt is not None and written:
        return job.prompt
    if template is None:
        _refuse("No template is known to write messages for this model.")
    turns = job.messages or [Message("user", job.prompt or "")]
    try:
        # The engine's tokenizer opens the text with this mark by itself.
        return template.render(turns).removeprefix(template.bos)
    except UnsupportedInputError as error:
        raise APIError(400, "InvalidParameter", error.message) from error


def _raw_format(job: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """A wanted form of the answer; a server that takes none must not ignore it in silence."""
    asked = job.parameters.get("response_format")
    if not isinstance(asked, Mapping) or asked.get("type") in (None, "text"):
        return {}
    name = dialect_of(upstream.kind).raw_schema or _untakable("response_format", upstream)
    if name == "response_format":
        return {name: asked}
    inner = asked.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return {name: schema or {"type": "object"}}


def _room(model_info: ModelInfo, prompt: str) -> int:
    """Tokens for an answer of which no length was asked: servers' own default is sixteen."""
    window = model_info.context_window or 2048
    used = estimates.estimate(prompt, model_info.tokenizer) * 6 // 5
    return max(64, min(model_info.max_output or 1024, window - used))


def _wire_message(message: Message) -> dict[str, object]:
    found: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = write_tool_calls(message.tool_calls)
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found
