"""From messages, options and a record to the exact request, or to a clear refusal.

Nothing here touches the network. What the record says a model cannot carry is refused before
anything is sent. Body and headers follow the vendor's pages: ``model``, ``input``,
``parameters``; a stream is asked for by header, never in the body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pydantic_core import PydanticSerializationError, to_json

from dashscope_oss import templates, tokens
from dashscope_oss.errors import ContextLengthError, UnsupportedInputError
from dashscope_oss.messages import OPTION_NAMES, ROLES, Message, Options
from dashscope_oss.record import ModelInfo

SERVICE_PATH = "services/aigc/{endpoint}/generation"

_NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, ready to be sent.

    Attributes:
        record: the model asked.
        body: the JSON body.
        content: the body as bytes of UTF-8.
        stream: whether the caller wants the answer in pieces.
        prompt: the prompt as sent, ``None`` if messages were sent; an echo is compared with it.
    """

    record: ModelInfo
    body: dict[str, object]
    content: bytes
    stream: bool
    prompt: str | None = None

    @property
    def path(self) -> str:
        """Path below the base URL."""
        return SERVICE_PATH.format(endpoint=self.record.endpoint)

    @property
    def must_stream(self) -> bool:
        """Whether the service takes this call only as a stream."""
        return _must_stream(self.record, self.parameters)

    @property
    def parameters(self) -> Mapping[str, object]:
        """What the body asks for beside the input."""
        found = self.body["parameters"]
        return found if isinstance(found, Mapping) else {}


def chat(
    record: ModelInfo,
    messages: Sequence[Message],
    options: Options = _NO_OPTIONS,
    *,
    stream: bool = False,
) -> Request:
    """Return the request for a conversation: messages, or the record's template filled in.

    Raises:
        UnsupportedInputError: for what this model cannot carry.
        ContextLengthError: for an input that is surely over its limit.
    """
    _check_messages(record, messages)
    if record.takes_messages:
        return _request(record, _messages_input(record, messages), options, stream=stream)
    prompt = _template_of(record).render(messages)
    return _request(record, {"prompt": prompt}, options, stream=stream, prompt=prompt)


def complete(
    record: ModelInfo,
    prompt: str,
    options: Options = _NO_OPTIONS,
    *,
    stream: bool = False,
    formatted: bool | None = None,
) -> Request:
    """Return the request for one string.

    A model that takes messages and prompts gets it as it is. A model of messages only gets it
    as one user message. A prompt-only model gets it in its family's template, unless it is
    ``formatted``.

    Args:
        formatted: ``True``: it stands as the model expects it. ``False``: it is plain text.
            ``None``: it is taken as formatted if the template's own parser can read all of it.

    Raises:
        UnsupportedInputError: for an empty prompt or one that is no text.
        ContextLengthError: for an input that is surely over the model's limit.
    """
    turn = Message("user", prompt)
    _check_messages(record, [turn])
    if not record.takes_prompt:
        return chat(record, [turn], options, stream=stream)
    if not record.takes_messages and not _is_formatted(record, prompt, formatted):
        return chat(record, [turn], options, stream=stream)
    return _request(record, {"prompt": prompt}, options, stream=stream, prompt=prompt)


def headers(
    *, stream: bool, key: str | None, workspace: str | None, extra: Mapping[str, str], agent: str
) -> dict[str, str]:
    """Return the headers of a call; ``extra`` wins."""
    found = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        "User-Agent": agent,
    }
    if stream:
        found["X-DashScope-SSE"] = "enable"
    if key:
        found["Authorization"] = f"Bearer {key}"
    if workspace:
        found["X-DashScope-WorkSpace"] = workspace
    return {**found, **extra}


def _request(
    record: ModelInfo,
    given: dict[str, object],
    options: Options,
    *,
    stream: bool,
    prompt: str | None = None,
) -> Request:
    parameters = _sampling(record, options)
    if "messages" in given and record.endpoint == "text-generation":
        parameters = {"result_format": "message", **parameters}
    if (stream or _must_stream(record, parameters)) and record.incremental != "no":
        parameters.setdefault("incremental_output", True)
    body: dict[str, object] = {"model": record.id, "input": given, "parameters": parameters}
    return Request(
        record=record,
        body=body,
        content=_content(record, body, parameters),
        stream=stream,
        prompt=prompt,
    )


def _content(record: ModelInfo, body: dict[str, object], parameters: Mapping[str, object]) -> bytes:
    try:
        return to_json(body)
    except (PydanticSerializationError, ValueError) as error:
        culprit = _culprit(parameters)
        _refuse(record, f"{culprit or 'the input'} cannot be written as JSON: {error}")


def _culprit(parameters: Mapping[str, object]) -> str | None:
    for name, value in parameters.items():
        try:
            to_json(value)
        except (PydanticSerializationError, ValueError):
            return name
    return None


def _must_stream(record: ModelInfo, parameters: Mapping[str, object]) -> bool:
    switch = parameters.get("enable_thinking")
    thinks = record.thinks(switch if isinstance(switch, bool) else None)
    return record.stream_only or (thinks and record.thinking_streams)


def _sampling(record: ModelInfo, options: Options) -> dict[str, object]:
    _check_options(record, options)
    said = {name: getattr(options, name) for name in OPTION_NAMES}
    found = {name: value for name, value in said.items() if value is not None}
    if record.thinking == "none":
        found.pop("enable_thinking", None)
    if isinstance(found.get("stop"), Sequence) and not found["stop"]:
        del found["stop"]
    found.update({name: value for name, value in options.extra.items() if value is not None})
    if isinstance(found.get("tool_choice"), Mapping):
        found.update(_unthinking(record, found))
    _check_numbers(record, found)
    return found


def _unthinking(record: ModelInfo, parameters: Mapping[str, object]) -> dict[str, object]:
    """What makes forcing a tool possible: the service forces none while a model thinks."""
    switch = parameters.get("enable_thinking")
    if not record.thinks(switch if isinstance(switch, bool) else None):
        return {}
    if record.thinking != "hybrid" or switch is not None:
        _refuse(
            record,
            "no tool can be forced while the model thinks; turn enable_thinking off, choose "
            "another model, or do not force a tool",
        )
    return {"enable_thinking": False}


def _messages_input(record: ModelInfo, messages: Sequence[Message]) -> dict[str, object]:
    turns = list(messages)
    if record.strict_turns:
        turns = templates.merged(turns)
        _check_order(record, turns)
    return {"messages": [_wire_message(record, turn) for turn in turns]}


def _wire_message(record: ModelInfo, message: Message) -> dict[str, object]:
    parts = record.endpoint == "multimodal-generation"
    found: dict[str, object] = {
        "role": message.role,
        "content": [{"text": message.content}] if parts else message.content,
    }
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
                "index": call.index if call.index is not None else index,
            }
            for index, call in enumerate(message.tool_calls)
        ]
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        found["reasoning_content"] = message.reasoning
    if message.partial:
        found["partial"] = True
    return found


def _is_formatted(record: ModelInfo, prompt: str, formatted: bool | None) -> bool:
    if formatted is not None:
        return formatted
    return _template_of(record).parse(prompt) is not None


def _template_of(record: ModelInfo) -> templates.PromptTemplate:
    if record.template is None:
        _refuse(record, "its record takes prompts only and names no template; give it one")
    return record.template


def _check_messages(record: ModelInfo, messages: Sequence[Message]) -> None:
    if not messages:
        _refuse(record, "the list of messages is empty; add a user message")
    for message in messages:
        _check_message(record, message)
    _check_length(record, messages)
    if not record.takes_messages:
        turns = templates.merged(templates.folded(messages))
        _check_order(record, turns)


def _check_message(record: ModelInfo, message: Message) -> None:
    if message.role not in ROLES:
        _refuse(record, f"unknown role {message.role!r}; use one of {', '.join(ROLES)}")
    if not isinstance(message.content, str):
        _refuse(record, f"content must be text, not {type(message.content).__name__}")
    if message.role == "user" and not message.content.strip():
        _refuse(record, "the prompt or user message is empty; give it some text")
    if _has_surrogate(message.content):
        _refuse(
            record,
            "the text holds a lone surrogate, which UTF-8 cannot carry; decode the text anew",
        )
    if not record.tools and (message.role == "tool" or message.tool_calls):
        _refuse(record, "this model knows no tools; put the tool's result into a user message")


def _check_length(record: ModelInfo, messages: Iterable[Message]) -> None:
    limit = record.input_limit
    if limit is None:
        return
    least = sum(tokens.at_least(m.content, record.tokenizer) for m in messages)
    if least > limit:
        raise ContextLengthError(
            f"the input is at least {least} tokens long, the model takes {limit}", model=record.id
        )


def _check_options(record: ModelInfo, options: Options) -> None:
    if options.tools and not record.tools:
        _refuse(
            record,
            "this model knows no tools; choose one that does, or say so in model_info",
        )
    if options.enable_thinking and record.thinking == "none":
        _refuse(record, "this model cannot think; leave enable_thinking out")
    if options.enable_thinking is False and record.thinking == "always":
        _refuse(record, "this model always thinks; leave enable_thinking out")
    if options.max_tokens is not None and options.max_tokens < 1:
        _refuse(record, f"max_tokens must be at least 1, not {options.max_tokens}")
    if options.max_tokens and record.max_output and options.max_tokens > record.max_output:
        _refuse(
            record,
            f"max_tokens is {options.max_tokens}, the model gives at most {record.max_output}",
        )


def _check_numbers(record: ModelInfo, parameters: Mapping[str, object]) -> None:
    for name, value in parameters.items():
        if not _is_finite(value):
            verb = "is" if isinstance(value, float) else "holds"
            _refuse(record, f"{name} {verb} {value!s:.100}; give finite numbers")


def _refuse(record: ModelInfo, text: str) -> NoReturn:
    raise UnsupportedInputError(text, model=record.id)


def _check_order(record: ModelInfo, turns: Sequence[Message]) -> None:
    try:
        templates.check_order(turns)
    except UnsupportedInputError as error:
        error.model = record.id
        raise


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
