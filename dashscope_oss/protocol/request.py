"""From messages, options and a model's record to the exact request, or to a clear refusal.

What the record says that the model cannot take is refused here, before anything is sent. Body and
headers follow the vendor's pages: ``model``, ``input``, ``parameters``; a stream is asked for by
header, never in the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_core import PydanticSerializationError, to_json

from dashscope_oss.errors import DashScopeWarning, warn_once
from dashscope_oss.messages import OPTION_NAMES, Message, Options
from dashscope_oss.prompts.prompt_template import PromptTemplate
from dashscope_oss.protocol.conversation import adapt_conversation, native_content
from dashscope_oss.protocol.tools import write_tool_calls
from dashscope_oss.protocol.validation import (
    check_messages,
    check_parameters,
    check_prompt,
    check_turns,
    refuse,
    wants_json,
    warn_of_written_prompt,
    with_cache_marks,
    with_sendable_media,
)
from dashscope_oss.registry.model_info import ModelInfo, ServiceEndpoint
from dashscope_oss.tokens.input_length import check_least_length

SERVICE_PATH = "services/aigc/{endpoint}/generation"

_NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, ready to be sent.

    Attributes:
        model_info: the model asked.
        body: the JSON body.
        content: the body as bytes of UTF-8.
        stream: whether the caller wants the answer in pieces.
        prompt: the prompt as sent, ``None`` if messages were sent; an echo is compared with it.
        split_think: take thoughts between ``<think>`` and ``</think>`` out of the text.
        estimate_usage: give an estimate, marked as one, where the service reports no usage.
    """

    model_info: ModelInfo
    body: dict[str, object]
    content: bytes
    stream: bool
    prompt: str | None = None
    estimate_usage: bool = False
    split_think: bool = False

    @property
    def path(self) -> str:
        """Path below the base URL."""
        return SERVICE_PATH.format(endpoint=self.model_info.endpoint)

    @property
    def must_stream(self) -> bool:
        """Whether the service takes this call only as a stream."""
        return _must_stream(self.model_info, self.parameters)

    @property
    def may_think(self) -> bool:
        """Whether the model thinks in this call, or nobody knows."""
        switch = self.parameters.get("enable_thinking")
        enable_thinking = switch if isinstance(switch, bool) else None
        return self.model_info.thinking == "unknown" or self.model_info.thinks(enable_thinking)

    @property
    def parameters(self) -> Mapping[str, object]:
        """What the body asks for beside the input."""
        parameters = self.body["parameters"]
        return parameters if isinstance(parameters, dict) else {}

    @property
    def own_stops(self) -> tuple[str, ...]:
        """Texts at which the client ends the answer: the model's page promises no ``stop``."""
        documented = self.model_info.documented_parameters
        if documented is None or "stop" in documented:
            return ()
        stop = self.parameters.get("stop")
        stops = stop if isinstance(stop, list | tuple) else [stop]
        return tuple(text for text in stops if isinstance(text, str) and text)

    @property
    def text(self) -> str:
        """All text of the input, for estimates."""
        if self.prompt is not None:
            return self.prompt
        return "\n".join(_text_of(turn) for turn in self._turns)

    @property
    def has_oss_addresses(self) -> bool:
        """Whether the service must resolve addresses of files in its own temporary storage."""
        contents = [
            content for turn in self._turns if isinstance(content := turn.get("content"), list)
        ]
        parts = (part for content in contents for part in content)
        addresses = (address for part in parts for address in native_content.addresses(part))
        return any(address[:6].lower() == "oss://" for address in addresses)

    @property
    def _turns(self) -> Sequence[Mapping[str, object]]:
        body_input = self.body["input"]
        turns = body_input.get("messages") if isinstance(body_input, dict) else None
        return turns or ()


def chat_request(
    model_info: ModelInfo,
    messages: Sequence[Message],
    options: Options = _NO_OPTIONS,
    *,
    stream: bool = False,
) -> Request:
    """Return the request for a conversation: as messages, or as a prompt by the model's template.

    Raises:
        UnsupportedInputError: for what this model cannot take.
        ContextLengthError: for an input that is surely over its limit.
    """
    check_messages(model_info, messages)
    if options.check_length:
        check_least_length(model_info, (message.content for message in messages))
    warn_of_written_prompt(model_info, messages)
    if options.cache_system_prompt or any(message.parts for message in messages):
        messages = with_sendable_media(model_info, messages, options.media_options)
        messages = with_cache_marks(
            model_info, messages, mark_system_prompt=options.cache_system_prompt
        )
    turns = adapt_conversation(model_info, messages, send_reasoning=options.send_reasoning)
    check_turns(model_info, turns)
    options = _for_continuation(model_info, turns, options)
    return _conversation(model_info, turns, options, stream=stream)


def completion_request(
    model_info: ModelInfo,
    prompt: str,
    options: Options = _NO_OPTIONS,
    *,
    stream: bool = False,
    formatted: bool | None = None,
) -> Request:
    """Return the request for one string.

    A model that takes messages and prompts gets it as it is. A model that takes messages only
    gets it as one user message. A prompt-only model gets it in its family's template, unless it
    is ``formatted``.

    Args:
        model_info: the model.
        prompt: the text.
        options: what the caller sets for this call.
        stream: ask for the answer in pieces.
        formatted: ``True``: it is written as the model expects it. ``False``: it is plain text.
            ``None``: it is taken for formatted if it begins and ends as the template does.

    Raises:
        UnsupportedInputError: for an empty prompt or one that is no text.
        ContextLengthError: for an input that is surely over the model's limit.
    """
    check_prompt(model_info, prompt)
    if options.check_length:
        check_least_length(model_info, (prompt,))
    turn = Message("user", prompt)
    if not model_info.takes_prompt:
        warn_of_written_prompt(model_info, [turn])
        return _conversation(model_info, [turn], options, stream=stream)
    if not model_info.takes_messages and not _is_formatted(model_info, prompt, formatted):
        return _conversation(model_info, [turn], options, stream=stream)
    return _request(model_info, {"prompt": prompt}, options, stream=stream, prompt=prompt)


def at_other_endpoint(request: Request) -> Request | None:
    """Return the same call for the service's other endpoint; ``None`` if it cannot be made there.

    A prompt has a place at one of them only, and so have images, video and audio.
    """
    body_input = request.body["input"]
    turns = body_input.get("messages") if isinstance(body_input, Mapping) else None
    if not turns:
        return None
    parts = request.model_info.endpoint == "text-generation"
    contents = [
        native_content.as_parts(turn) if parts else native_content.as_text(turn) for turn in turns
    ]
    if None in contents:
        return None
    parameters = {name: v for name, v in request.parameters.items() if name != "result_format"}
    if not parts:
        parameters = {"result_format": "message", **parameters}
    messages = [{**turn, "content": content} for turn, content in zip(turns, contents, strict=True)]
    body = {**request.body, "input": {"messages": messages}, "parameters": parameters}
    endpoint: ServiceEndpoint = "multimodal-generation" if parts else "text-generation"
    model_info = replace(request.model_info, endpoint=endpoint)
    return replace(request, model_info=model_info, body=body, content=to_json(body))


def headers(
    *,
    stream: bool,
    key: str | None,
    workspace: str | None,
    extra: Mapping[str, str],
    agent: str,
    oss_addresses: bool = False,
) -> dict[str, str]:
    """Return the headers of a call; those of ``extra`` win, whatever their case."""
    standard = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": agent,
    }
    if stream:
        standard["X-DashScope-SSE"] = "enable"
    if oss_addresses:
        standard["X-DashScope-OssResourceResolve"] = "enable"
    if key:
        standard["Authorization"] = f"Bearer {key}"
    if workspace:
        standard["X-DashScope-WorkSpace"] = workspace
    if not extra:
        return standard
    overridden = {name.lower() for name in extra}
    kept = {name: value for name, value in standard.items() if name.lower() not in overridden}
    return {**kept, **extra}


def _conversation(
    model_info: ModelInfo, messages: Sequence[Message], options: Options, *, stream: bool
) -> Request:
    """Return the request for messages that were checked."""
    if model_info.takes_messages:
        model_info = _at_its_endpoint(model_info, messages)
        return _request(model_info, _messages_input(model_info, messages), options, stream=stream)
    prompt = _template_of(model_info).render(messages)
    return _request(model_info, {"prompt": prompt}, options, stream=stream, prompt=prompt)


def _at_its_endpoint(model_info: ModelInfo, messages: Sequence[Message]) -> ModelInfo:
    """Return the record; that of an unknown model has the endpoint that takes what is sent."""
    if model_info.status == "unknown" and any(
        native_content.has_media(message) for message in messages
    ):
        return replace(model_info, endpoint="multimodal-generation")
    return model_info


def _request(
    model_info: ModelInfo,
    body_input: dict[str, object],
    options: Options,
    *,
    stream: bool,
    prompt: str | None = None,
) -> Request:
    parameters = _parameters(model_info, options)
    if "messages" in body_input and model_info.endpoint == "text-generation":
        parameters = {"result_format": "message", **parameters}
    if not stream and not _must_stream(model_info, parameters):
        parameters.pop("incremental_output", None)  # the service refuses it where nothing streams
    elif _asks_for_new_text(model_info, options):
        parameters.setdefault("incremental_output", True)
    body: dict[str, object] = {
        "model": model_info.id,
        "input": body_input,
        "parameters": parameters,
    }
    return Request(
        model_info=model_info,
        body=body,
        content=_content(model_info, body, parameters),
        stream=stream,
        prompt=prompt,
        estimate_usage=options.estimate_usage,
        split_think=options.split_think,
    )


def _content(
    model_info: ModelInfo, body: dict[str, object], parameters: Mapping[str, object]
) -> bytes:
    try:
        return to_json(body)
    except (PydanticSerializationError, ValueError) as error:
        name = _unwritable_parameter(parameters)
        refuse(model_info, f"{name or 'the input'} cannot be written as JSON: {error}")


def _unwritable_parameter(parameters: Mapping[str, object]) -> str | None:
    for name, value in parameters.items():
        try:
            to_json(value)
        except (PydanticSerializationError, ValueError):
            return name
    return None


def _must_stream(model_info: ModelInfo, parameters: Mapping[str, object]) -> bool:
    thinks = model_info.thinks(_thinking_switch(parameters))
    return model_info.stream_only or (thinks and model_info.thinking_streams)


def _parameters(model_info: ModelInfo, options: Options) -> dict[str, object]:
    """Return what the caller set, and whatever that makes necessary."""
    named = {name: getattr(options, name) for name in OPTION_NAMES}
    values = (*named.items(), *options.extra.items())
    parameters = {name: value for name, value in values if value is not None}
    check_parameters(model_info, parameters, strict=options.strict)
    if model_info.thinking == "none" and not parameters.get("enable_thinking"):
        parameters.pop("enable_thinking", None)  # it is off as it is
    for name in ("stop", "tools"):
        if name in parameters and isinstance(parameters[name], Sequence) and not parameters[name]:
            del parameters[name]
    if _forces(parameters):
        parameters.update(_thinking_off(model_info, parameters))
    return parameters


def _asks_for_new_text(model_info: ModelInfo, options: Options) -> bool:
    """Whether a stream asks for new text only; a strict caller sends what the page documents."""
    documented = model_info.documented_parameters
    is_undocumented = documented is not None and "incremental_output" not in documented
    return model_info.incremental != "no" and not (options.strict and is_undocumented)


def _text_of(turn: Mapping[str, object]) -> str:
    content = turn.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content)


def _forces(parameters: Mapping[str, object]) -> bool:
    """Whether the answer must be a call of one tool, or JSON."""
    choice = parameters.get("tool_choice")
    return wants_json(parameters) or (choice is not None and isinstance(choice, Mapping))


def _thinking_off(model_info: ModelInfo, parameters: Mapping[str, object]) -> dict[str, object]:
    """Return what lets the service force a tool or JSON, which it does not while a model thinks."""
    switch = _thinking_switch(parameters)
    if not model_info.can_be_forced(switch):
        refuse(
            model_info,
            "neither a tool nor JSON can be forced while the model thinks; turn enable_thinking "
            "off, choose another model, or do not force it",
        )
    return {"enable_thinking": False} if model_info.thinks(switch) else {}


def _for_continuation(model_info: ModelInfo, turns: Sequence[Message], options: Options) -> Options:
    """Return options with which a last answer that is partial is continued, if there is one.

    The service does that only while a model does not think: such an answer is behind its thoughts.
    """
    if turns[-1].partial and model_info.thinking == "always":
        warn_once(
            f"{model_info.id}: the service continues no answer of a model that thinks, and this "
            "one always does; it is sent as partial, and the service decides",
            DashScopeWarning,
        )
    if not turns[-1].partial or model_info.thinking != "hybrid":
        return options
    if options.enable_thinking:
        refuse(
            model_info,
            "an answer cannot be continued while the model thinks; turn enable_thinking off, or "
            "leave partial out",
        )
    return replace(options, enable_thinking=False)


def _thinking_switch(parameters: Mapping[str, object]) -> bool | None:
    switch = parameters.get("enable_thinking")
    return switch if isinstance(switch, bool) else None


def _messages_input(model_info: ModelInfo, turns: Sequence[Message]) -> dict[str, object]:
    return {"messages": [_wire_message(model_info, turn) for turn in turns]}


def _wire_message(model_info: ModelInfo, message: Message) -> dict[str, object]:
    wire: dict[str, object] = {
        "role": message.role,
        "content": native_content.write_content(model_info, message),
    }
    if message.tool_calls:
        wire["tool_calls"] = [
            {**written, "index": call.index if call.index is not None else place}
            for place, (call, written) in enumerate(
                zip(message.tool_calls, write_tool_calls(message.tool_calls), strict=True)
            )
        ]
    if message.tool_call_id and message.role == "tool":
        wire["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        wire["reasoning_content"] = message.reasoning
    if message.partial:
        wire["partial"] = True
    return wire


def _is_formatted(model_info: ModelInfo, prompt: str, formatted: bool | None) -> bool:
    if formatted is not None:
        return formatted
    return _template_of(model_info).is_in(prompt)


def _template_of(model_info: ModelInfo) -> PromptTemplate:
    if model_info.template is None:
        refuse(
            model_info,
            "its record says that it takes prompts only, and names no template to write messages "
            "with; set template in model_info",
        )
    return model_info.template
