"""From a request to the call of an OpenAI-compatible server: path and body. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.gateway.engines.openai.upstream import Api, Upstream
from dashscope_oss.gateway.interface.api_error import (
    APIError,
    InvalidParameter,
    UnsupportedByUpstream,
)
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import MediaKind, Message, Part, TextPart
from dashscope_oss.protocol.conversation import adapt_conversation
from dashscope_oss.protocol.conversation.native_content import has_media
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
_TEMPLATE_ARGUMENTS = ("preserve_thinking", "clear_thinking")
# What the hosted service itself does: no server that runs weights can.
_OF_THE_SERVICE = ("enable_search", "vl_high_resolution_images")
_OSS_ADDRESS = (
    "Addresses that begin with oss:// are known to the hosted service only; this gateway cannot "
    "resolve them. Send the file itself, as a data: URL."
)
_NO_AUDIO_ADDRESS = (
    "The server behind this gateway takes audio as base64 only. Send the file itself, as a data: "
    "URL."
)
_AUDIO_FORMATS = {"mpeg": "mp3"}
_SAME_NAMES_IN_CHAT = ("response_format", "logprobs", "top_logprobs")
# The service draws from all tokens if top_k is 0 or above this.
_MAX_TOP_K = 100
_ALL_TOKENS = -1
_DEFAULT_WINDOW = 2048
_DEFAULT_MAX_TOKENS = 1024
_MIN_MAX_TOKENS = 64


def build_upstream_request(
    request: EngineRequest, upstream: Upstream, *, weights: str, messages: Sequence[Message]
) -> tuple[str, dict[str, object]]:
    """Return the path, below the upstream's base URL, and the body.

    Args:
        request: what the caller wants.
        upstream: the server that is to answer.
        weights: the server's name for the weights.
        messages: the conversation, for a server that writes the prompt itself.

    Raises:
        APIError: if this server or this model cannot do what the request asks for.
    """
    for name in _OF_THE_SERVICE:
        if request.parameters.get(name):
            _unsupported(name, upstream)
    body = {"model": weights, **_common_fields(request, upstream)}
    if choose_api(request.model_info, upstream) == "completions":
        return "completions", {**body, **_completion_fields(request, upstream)}
    return "chat/completions", {**body, **_chat_fields(request, upstream, messages)}


def choose_api(model_info: ModelInfo, upstream: Upstream) -> Api:
    """Return which of the server's two APIs answers for this model."""
    api = upstream.apis.get(model_info.id, upstream.api)
    if api != "auto":
        return api
    return "chat" if model_info.takes_messages else "completions"


def conversation(request: EngineRequest) -> list[Message]:
    """Return the request's messages as the model takes them.

    A prompt in its family's form is read back into messages. The thoughts of earlier answers all
    go along: the server's template decides which of them the model sees.
    """
    template, prompt = request.model_info.template, request.prompt
    messages: Sequence[Message] | None = request.messages
    if messages is None and template is not None and prompt is not None:
        messages = template.parse(prompt)
    messages = messages or [Message("user", prompt or "")]
    return adapt_conversation(request.model_info, messages, send_reasoning=True)


def _common_fields(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    same = {name: request.parameters.get(name) for name in _SAME_NAMES}
    return {
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in same.items() if value is not None},
        **_max_tokens(request),
        **_sampling(request, upstream),
        **_tools(request, upstream),
        **_thinking(request, upstream),
        **upstream.dialect.running_usage,
    }


def _chat_fields(
    request: EngineRequest, upstream: Upstream, messages: Sequence[Message]
) -> dict[str, object]:
    same = {name: request.parameters.get(name) for name in _SAME_NAMES_IN_CHAT}
    return {
        **{name: value for name, value in same.items() if value is not None},
        **_stop(request, upstream),
        **_continuation(messages, upstream),
        "messages": [_wire_message(message, upstream) for message in messages],
    }


def _continuation(messages: Sequence[Message], upstream: Upstream) -> Mapping[str, object]:
    """The fields that make the server go on with the last answer instead of beginning one."""
    if not (messages and messages[-1].partial):
        return {}
    fields = upstream.dialect.continuation
    return _unsupported("partial (of a message)", upstream) if fields is None else fields


def _completion_fields(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    if request.parameters.get("tools"):
        raise InvalidParameter(
            "The tool call is not supported: this model is served by raw completions."
        )
    if request.parameters.get("logprobs"):
        raise InvalidParameter(
            "logprobs is not supported: this model is served by raw completions."
        )
    if any(map(has_media, request.messages or ())):
        raise InvalidParameter("Only text is supported: this model is served by raw completions.")
    template = request.model_info.template
    prompt = _prompt(request)
    fields = {
        "prompt": prompt,
        **_stop(request, upstream, template.stop if template else ()),
        **_raw_response_format(request, upstream),
    }
    if not _max_tokens(request):
        fields["max_tokens"] = _default_max_tokens(request.model_info, prompt)
    return fields


def _max_tokens(request: EngineRequest) -> dict[str, object]:
    """The limit of the answer's length, by its older name: raw completions know no other."""
    for name in ("max_tokens", "max_completion_tokens"):
        limit = request.parameters.get(name)
        if limit is not None:
            return {"max_tokens": limit}
    return {}


def _default_max_tokens(model_info: ModelInfo, prompt: str) -> int:
    """A limit where the caller set none: the servers' own default for completions is sixteen."""
    window = model_info.context_window or _DEFAULT_WINDOW
    used = estimates.estimate(prompt, model_info.tokenizer) * 6 // 5
    limit = min(model_info.max_output or _DEFAULT_MAX_TOKENS, window - used)
    return max(_MIN_MAX_TOKENS, limit)


def _sampling(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    dialect = upstream.dialect
    fields: dict[str, object] = {}
    top_k = request.parameters.get("top_k")
    if isinstance(top_k, int) and not 0 < top_k <= _MAX_TOP_K:
        top_k = _ALL_TOKENS
    if top_k is not None:
        fields[dialect.top_k or _unsupported("top_k", upstream)] = top_k
    penalty = request.parameters.get("repetition_penalty")
    if penalty is not None:
        fields[dialect.repetition_penalty or _unsupported("repetition_penalty", upstream)] = penalty
    return fields


def _tools(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """The tools, and which of them to call: llama.cpp and Ollama ignore a named function."""
    tools, choice = request.parameters.get("tools"), request.parameters.get("tool_choice")
    if not isinstance(tools, list) or not tools:
        return {}
    must_call = isinstance(choice, Mapping) or choice == "required"
    if must_call and upstream.dialect.forced_tool is None:
        _unsupported("tool_choice (a call that must be made)", upstream)
    if not isinstance(choice, Mapping) or upstream.dialect.forced_tool == "named":
        return {"tools": tools, **({} if choice is None else {"tool_choice": choice})}
    chosen = [tool for tool in tools if function_name(tool) == function_name(choice)]
    if not chosen:
        raise InvalidParameter("tool_choice names a function that is not among the tools.")
    return {"tools": chosen, "tool_choice": "required"}


def _thinking(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """The switch for thinking and its budget, each where this kind of server reads it."""
    switch = request.parameters.get("enable_thinking")
    if switch is None and request.is_partial and request.model_info.thinking == "hybrid":
        switch = False  # an answer that has begun is behind its thoughts
    budget = request.parameters.get("thinking_budget")
    fields: dict[str, object] = {}
    template_arguments = _template_arguments(request, upstream)
    if switch is not None and upstream.dialect.effort:
        effort = request.parameters.get("reasoning_effort") or "medium"
        fields["reasoning_effort"] = effort if switch else "none"
    elif switch is not None:
        template_arguments["enable_thinking"] = switch
    if budget is not None and upstream.dialect.thinking_budget == "template":
        template_arguments["thinking_budget"] = budget
    elif budget is not None:
        name = upstream.dialect.thinking_budget or _unsupported("thinking_budget", upstream)
        fields[name] = budget
    if template_arguments:
        fields["chat_template_kwargs"] = template_arguments
    return fields


def _template_arguments(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """Which earlier thoughts the model reads: arguments of its family's chat template."""
    values = {name: request.parameters.get(name) for name in _TEMPLATE_ARGUMENTS}
    arguments = {name: value for name, value in values.items() if value is not None}
    if arguments and upstream.dialect.effort:
        _unsupported(next(iter(arguments)), upstream)
    return arguments


def _stop(
    request: EngineRequest, upstream: Upstream, template_stop: Sequence[str] = ()
) -> dict[str, object]:
    """Where to stop: texts as they are, token ids where the server takes them."""
    stop = request.parameters.get("stop")
    stops = stop if isinstance(stop, list) else [] if stop is None else [stop]
    if any(isinstance(item, list) for item in stops):
        raise InvalidParameter("Sequences of token ids are not supported in stop; pass texts.")
    token_ids = [item for item in stops if isinstance(item, int)]
    texts = [*(item for item in stops if isinstance(item, str)), *template_stop]
    fields: dict[str, object] = {"stop": texts} if texts else {}
    if token_ids:
        fields[upstream.dialect.stop_tokens or _unsupported("stop (ids)", upstream)] = token_ids
    return fields


def _prompt(request: EngineRequest) -> str:
    """The text for raw completions.

    The prompt of a prompt-only model goes as it was sent; all else is written by the template. The
    mark of the beginning is left out, because the server's tokenizer adds it.
    """
    model_info, template = request.model_info, request.model_info.template
    bos = template.bos if template is not None else ""
    if request.prompt is not None and (
        not model_info.takes_messages or template is None or template.is_in(request.prompt)
    ):
        return request.prompt.removeprefix(bos)
    if template is None:
        raise InvalidParameter("No template is known to write messages for this model.")
    # No prompt has a place for tools: earlier calls are told in words.
    request = replace(request, model_info=replace(model_info, tools=False))
    try:
        return template.render(conversation(request)).removeprefix(bos)
    except UnsupportedInputError as error:
        raise APIError(400, "InvalidParameter", error.message) from error


def _raw_response_format(request: EngineRequest, upstream: Upstream) -> dict[str, object]:
    """The form of a raw completion; a server that knows none must not ignore it in silence."""
    response_format = request.parameters.get("response_format")
    if not isinstance(response_format, Mapping) or response_format.get("type") in (None, "text"):
        return {}
    name = upstream.dialect.raw_schema or _unsupported("response_format", upstream)
    if name == "response_format":
        return {name: response_format}
    json_schema = response_format.get("json_schema")
    schema = json_schema.get("schema") if isinstance(json_schema, Mapping) else None
    return {name: schema or {"type": "object"}}


def _wire_message(message: Message, upstream: Upstream) -> dict[str, object]:
    wire: dict[str, object] = {"role": message.role, "content": _wire_content(message, upstream)}
    if message.tool_calls:
        wire["tool_calls"] = write_tool_calls(message.tool_calls)
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        wire[upstream.dialect.reasoning] = message.reasoning
    return wire


def _wire_content(message: Message, upstream: Upstream) -> str | list[dict[str, object]]:
    """Return the text, or parts if there are files: marks for a cache are the hosted service's."""
    if not has_media(message):
        return message.content
    return [wire for part in message.parts for wire in _wire_parts(part, upstream)]


def _wire_parts(part: Part, upstream: Upstream) -> list[dict[str, object]]:
    """Return a part in OpenAI's form; the frames of a video become images."""
    if isinstance(part, TextPart):
        return [{"type": "text", "text": part.text}]
    if part.options:
        _unsupported(f"{next(iter(part.options))} (of {part.kind})", upstream)
    if isinstance(part.source, tuple):
        return [_wire_file("image", str(frame), upstream) for frame in part.source]
    return [_wire_file(part.kind, str(part.source), upstream)]


def _wire_file(kind: MediaKind, address: str, upstream: Upstream) -> dict[str, object]:
    name = upstream.dialect.media.get(kind) or _unsupported(f"{kind} (of a message)", upstream)
    if address[:6].lower() == "oss://":
        raise InvalidParameter(_OSS_ADDRESS)
    if name != "input_audio":
        return {"type": name, name: {"url": address}}
    media_type, is_inline, data = address.partition(";base64,")
    if not is_inline:
        raise InvalidParameter(_NO_AUDIO_ADDRESS)
    subtype = media_type.rpartition("/")[2].removeprefix("x-")
    return {"type": name, name: {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


def _unsupported(name: str, upstream: Upstream) -> NoReturn:
    kind = upstream.kind or "its kind is not configured"
    text = f"The parameter {name} is not supported by the server behind this gateway ({kind})."
    raise UnsupportedByUpstream(400, "InvalidParameter", text)
