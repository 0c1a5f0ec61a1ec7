"""Between LlamaIndex's values and neutral ones: messages, answers, tools.

The keys are those that LlamaIndex's own readers look for: its token counter reads
``raw["usage"]``, its agents ``additional_kwargs["thinking_delta"]``, its structured streams the
list ``message.additional_kwargs["tool_calls"]``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar

import dirtyjson  # type: ignore[import-untyped]
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from dashscope_oss import (
    DashScopeWarning,
    Delta,
    Message,
    Reply,
    ToolCall,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.errors import shortened, warn
from dashscope_oss.messages import Role
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import extend_reply
from dashscope_oss.protocol.streaming.model_cloner import ModelCloner
from dashscope_oss.protocol.tools import has_function, read_tool_call, write_tool_calls
from llama_index_dashscope_oss import _context_window

Response = TypeVar("Response", ChatResponse, CompletionResponse)
Convert: TypeAlias = Callable[[Request, Reply, Delta | None], Response]
"""From the call, the answer so far, and what the last event added (``None``: it came whole)."""

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
}
# Thoughts are not sent back, tool calls go their own way, a cache point is only a hint.
_NO_TEXT = ("thinking", "tool_call", "cache")
_TEXTS = ModelCloner(TextBlock(text=""))
_MESSAGES = ModelCloner(ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")]))


def to_messages(
    messages: Sequence[ChatMessage], model: str, *, in_words: bool = False
) -> list[Message]:
    """Return the neutral form of ``messages``; text blocks are joined by line breaks.

    Args:
        messages: the conversation.
        model: its id, for errors.
        in_words: results of tools will be told in words, so they need not name their call, and
            the role ``function`` is taken for ``tool``.

    Raises:
        UnsupportedInputError: for a block that is no text, the role ``function``, or a tool's
            result without ``additional_kwargs["tool_call_id"]``.
    """
    return [_to_message(message, model, in_words=in_words) for message in messages]


def chat_response(request: Request, reply: Reply, delta: Delta | None = None) -> ChatResponse:
    """Return the response for an answer, or for what there is of it while it streams."""
    reply, delta = _answered(request, reply, delta)
    return ChatResponse(
        message=ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=_blocks(reply, whole=delta is None or delta.last),
            additional_kwargs={**_listed_calls(reply.tool_calls), **_told_thoughts(reply)},
        ),
        raw=_raw(reply),
        delta=delta.text if delta else None,
        additional_kwargs=_facts(request, reply, delta),
    )


def completion_response(
    request: Request, reply: Reply, delta: Delta | None = None
) -> CompletionResponse:
    """Return the completion for an answer; what the model thought is in additional_kwargs."""
    reply, delta = _answered(request, reply, delta)
    return CompletionResponse(
        text=reply.text,
        raw=_raw(reply),
        delta=delta.text if delta else None,
        additional_kwargs={**_facts(request, reply, delta), **_reasoning(reply)},
    )


def streamed(
    request: Request, deltas: Generator[Delta, None, None], convert: Convert[Response]
) -> Generator[Response, None, None]:
    """Yield a response for each delta; closing the iterator closes ``deltas``."""
    answer = _Growing(request, convert)
    with closing(deltas):
        for delta in deltas:
            yield answer.push(delta)


async def astreamed(
    request: Request, deltas: AsyncGenerator[Delta, None], convert: Convert[Response]
) -> AsyncGenerator[Response, None]:
    """Yield a response for each delta; see :func:`streamed`."""
    answer = _Growing(request, convert)
    async with aclosing(deltas):
        async for delta in deltas:
            yield answer.push(delta)


class _Growing(Generic[Response]):
    """An answer while it comes: each delta makes the response of all there is so far.

    A piece of mere text, as most are, differs from the one before it in little; it is cast.
    """

    def __init__(self, request: Request, convert: Convert[Response]) -> None:
        self._request = request
        self._convert: Convert[Response] = convert
        self._reply = Reply(text="")
        self._text = ""
        self._cast: ModelCloner[Response] | None = None

    def push(self, delta: Delta) -> Response:
        """Return the response for the answer with ``delta``."""
        if self._cast is not None and delta.is_plain:
            self._text += delta.text
            return self._like_the_last(self._cast, delta)
        self._reply = extend_reply(replace(self._reply, text=self._text), delta)
        self._text = self._reply.text
        made: Response = self._convert(self._request, self._reply, delta)
        alike = delta.is_plain and not (self._reply.reasoning or self._reply.tool_calls)
        self._cast = ModelCloner(made) if alike else None
        return made

    def _like_the_last(self, mould: ModelCloner[Response], delta: Delta) -> Response:
        raw = {name: value for name, value in delta.raw.items() if name != "usage"}
        if mould.makes(CompletionResponse):
            return mould.cast(text=self._text, delta=delta.text, raw=raw)
        message = _MESSAGES.cast(blocks=[_TEXTS.cast(text=self._text)])
        return mould.cast(message=message, delta=delta.text, raw=raw)


def tool_calls(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Return the calls in a message: its blocks, else the older list in OpenAI's form."""
    blocks = [block for block in message.blocks if block.block_type == "tool_call"]
    if blocks:
        return tuple(
            ToolCall(block.tool_call_id or "", block.tool_name, _json(block.tool_kwargs))
            for block in blocks
        )
    return tuple(map(_listed_call, message.additional_kwargs.get("tool_calls") or ()))


def selections(message: ChatMessage, model: str, *, whole: bool) -> list[ToolSelection]:
    """Return the tools to call. No arguments at all are none, and so are those still to come.

    Args:
        message: what the model said.
        model: id for errors.
        whole: whether that is all of it.

    Raises:
        UnreadableAnswerError: if arguments are no JSON object, and no more of them will come.
    """
    return [
        ToolSelection(
            tool_id=call.id, tool_name=call.name, tool_kwargs=_selected(call, model, whole=whole)
        )
        for call in tool_calls(message)
    ]


def _selected(call: ToolCall, model: str, *, whole: bool) -> dict[str, Any]:
    found = _arguments(call.arguments)
    if found is None and whole and call.arguments.strip() not in ("", "null"):
        found = _untidy(call.arguments)
    else:
        found = found or {}
    if found is None:
        # An agent would run the tool with its defaults, which nobody asked for.
        raise UnreadableAnswerError(
            f"the model called {call.name} with arguments that are no whole JSON object: "
            f"{shortened(call.arguments)!r}",
            model=model,
            hint="If the answer was cut off, raise max_tokens.",
        )
    return found


def _to_message(message: ChatMessage, model: str, *, in_words: bool) -> Message:
    role = _ROLES.get(message.role)
    if in_words and message.role is MessageRole.FUNCTION:
        role = "tool"
    if role is None:
        raise UnsupportedInputError(
            f"unknown role {message.role.value!r}; use one of "
            + ", ".join(known.value for known in _ROLES),
            model=model,
        )
    known = message.additional_kwargs if role == "tool" else {}
    call_id = known.get("tool_call_id")
    if role == "tool" and not (call_id or in_words):
        raise UnsupportedInputError(
            "a tool's result must name its call in additional_kwargs['tool_call_id']", model=model
        )
    return Message(
        role=role,
        content="\n".join(_texts(message.blocks, model)),
        tool_calls=tool_calls(message),
        tool_call_id=call_id,
        tool_name=known.get("name"),
    )


def _texts(blocks: Iterable[ContentBlock], model: str) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, CitableBlock):
            yield from _texts(block.content, model)
        elif isinstance(block, CitationBlock):
            yield from _texts([block.cited_content], model)
        elif block.block_type not in _NO_TEXT:
            raise UnsupportedInputError(
                f"{type(block).__name__} cannot be sent, text only; leave it out", model=model
            )


def _listed_call(call: Any) -> ToolCall:  # noqa: ANN401 (a dict, or an object of OpenAI's package)
    data = call if isinstance(call, dict) else call.model_dump()
    if not has_function(data):
        raise UnsupportedInputError("additional_kwargs['tool_calls'] is not in OpenAI's form")
    function = data["function"]
    return read_tool_call(
        {**data, "function": {**function, "arguments": _json(function.get("arguments"))}}
    )


def _listed_calls(calls: Sequence[ToolCall]) -> dict[str, Any]:
    if not calls:
        return {}
    return {"tool_calls": write_tool_calls(calls)}


def _blocks(reply: Reply, *, whole: bool) -> list[ContentBlock]:
    found: list[ContentBlock] = []
    if reply.reasoning and _has_thoughts():
        found.append(types.ThinkingBlock(content=reply.reasoning, num_tokens=_thought(reply)))
    if reply.text or not reply.tool_calls:
        found.append(TextBlock(text=reply.text))
    if hasattr(types, "ToolCallBlock"):
        found.extend(_call_block(call, whole=whole) for call in reply.tool_calls)
    return found


def _has_thoughts() -> bool:
    return hasattr(types, "ThinkingBlock")  # younger than llama-index-core 0.14.0


def _told_thoughts(reply: Reply) -> dict[str, Any]:
    """Thoughts as messages carry them where there is no block for them."""
    return {} if _has_thoughts() else _reasoning(reply)


def _reasoning(reply: Reply) -> dict[str, Any]:
    return {"reasoning_content": reply.reasoning} if reply.reasoning else {}


def _call_block(call: ToolCall, *, whole: bool) -> types.ToolCallBlock:
    arguments = _arguments(call.arguments, partial=not whole)
    return types.ToolCallBlock(
        tool_call_id=call.id,
        tool_name=call.name,
        tool_kwargs=call.arguments if arguments is None else arguments,
    )


def _thought(reply: Reply) -> int | None:
    return reply.usage.reasoning_tokens if reply.usage else None


def _raw(reply: Reply) -> dict[str, Any]:
    """The wire reply; ``usage`` only where counts were reported, for a 0 would be believed."""
    raw = dict(reply.raw)
    wire = raw.pop("usage", None)
    if reply.usage:
        raw["usage"] = {
            **(wire if isinstance(wire, dict) else {}),
            **_said(
                input_tokens=reply.usage.input_tokens,
                output_tokens=reply.usage.output_tokens,
                total_tokens=reply.usage.total_tokens,
            ),
        }
    return raw


def _facts(request: Request, reply: Reply, delta: Delta | None) -> dict[str, Any]:
    usage = reply.usage
    return _said(
        prompt_tokens=usage and usage.input_tokens,
        completion_tokens=usage and usage.output_tokens,
        total_tokens=usage and usage.total_tokens,
        usage_estimated=(usage and usage.estimated) or None,
        model=request.model_info.id,
        finish_reason=reply.finish_reason,
        request_id=reply.request_id,
        served_by=reply.served_by,
        thinking_delta=(delta.reasoning or None) if delta else None,
    )


def _answered(request: Request, reply: Reply, delta: Delta | None) -> tuple[Reply, Delta | None]:
    """Warn of an answer of wrong length; move one that stands among the thoughts to its place."""
    if delta is not None and not delta.last:
        return reply, delta
    if reply.finish_reason == "length":
        _warn_of_cut(request)
    else:
        _context_window.warn_of_overrun(request, reply)
    if reply.text or reply.tool_calls or not reply.reasoning or reply.finish_reason == "length":
        return reply, delta
    return replace(reply, text=reply.reasoning), delta and replace(delta, text=reply.reasoning)


def _warn_of_cut(request: Request) -> None:
    most = request.parameters.get("max_tokens")
    limit = f"max_tokens={most}" if most is not None else "the model's limit; max_tokens is not set"
    warn(
        f"{request.model_info.id}: the answer is cut off at {limit} (finish_reason 'length'); "
        "raise max_tokens, or ask for a shorter answer",
        DashScopeWarning,
    )


def _said(**given: object) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _arguments(text: str, *, partial: bool = False) -> dict[str, Any] | None:
    """The JSON object in ``text``, or as much as there is of it; ``None`` if it is none."""
    try:
        found = from_json(
            text or "{}",
            allow_partial="trailing-strings" if partial else "off",
            allow_inf_nan=False,
        )
    except ValueError:
        return {} if partial else None
    return found if isinstance(found, dict) else None


def _untidy(text: str) -> dict[str, Any] | None:
    """The object in ``text`` for all its loose commas and quotes; ``None`` if it broke off."""
    if not text.rstrip().endswith("}"):
        return None
    try:
        found = dirtyjson.loads(text)
        plain: object = json.loads(json.dumps(found, allow_nan=False))
    except (ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) else None


def _json(arguments: dict[str, Any] | str | None) -> str:
    if not isinstance(arguments, dict):
        return arguments or "{}"
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedInputError(
            f"the arguments of a tool call cannot be written as JSON: {error}"
        ) from error
