"""LangChain's objects to this package's neutral ones, and back. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, NoReturn, TypeAlias

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
)
from langchain_core.utils.json import parse_partial_json

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import ROLES, Delta, Message, Reply, Role, ToolCall, Usage
from dashscope_oss.protocol.streaming.model_cloner import ModelCloner

PROVIDER = "dashscope"
"""What LangChain's metadata and traces call the service."""

Info: TypeAlias = dict[str, Any]

_ROLES: dict[type[BaseMessage], Role] = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
}
_NAMED_ROLES: dict[str, Role] = {role: role for role in ROLES}
_CALL_BLOCKS = ("tool_call", "tool_use", "tool_call_chunk", "invalid_tool_call")
_THOUGHT_BLOCKS = ("reasoning", "thinking")


def to_messages(
    messages: Sequence[BaseMessage], model: str, *, reasoning: bool = False
) -> list[Message]:
    """Return ``messages`` as neutral ones for ``model``.

    Text and tool calls are carried. A message's ``name`` is not: the protocol has no place for
    it, so it stays LangChain's own label; who speaks must stand in the text.

    Args:
        messages: the conversation.
        model: named in errors.
        reasoning: carry the thoughts of earlier answers too.

    Raises:
        UnsupportedInputError: for a role or a block of content that is neither.
    """
    return [_to_message(message, model, reasoning=reasoning) for message in messages]


def to_chat_result(reply: Reply, model: str) -> ChatResult:
    """Return a whole answer of ``model`` as LangChain's result."""
    calls, invalid = _parsed_calls(reply.tool_calls)
    info = _info(reply)
    message = AIMessage(
        content=reply.text,
        additional_kwargs=_thoughts(reply),
        response_metadata=_metadata(info, model),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage_metadata(reply.usage),
    )
    return ChatResult(
        generations=[ChatGeneration(message=message, generation_info=info)],
        llm_output=llm_output([info], model),
    )


_MESSAGES = ModelCloner(AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER}))
_GENERATIONS = ModelCloner(ChatGenerationChunk(message=_MESSAGES.cast()))


class Chunks:
    """Makes LangChain's chunks of the deltas of one answer of ``model``.

    Usage and metadata come with the last one only: LangChain adds the metadata of chunks up, so
    what came twice would be doubled. Log probabilities come with the piece that they are of.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._arguments: dict[int, list[str]] = {}
        self._newest = -1

    def push(self, delta: Delta) -> ChatGenerationChunk:
        """Return the next piece of the answer."""
        if delta.is_plain:
            message = _MESSAGES.cast(content=delta.text)
            return _GENERATIONS.cast(message=message, text=delta.text)
        return self._with_facts(delta)

    def _with_facts(self, delta: Delta) -> ChatGenerationChunk:
        info = _info(delta) if delta.last else _logprobs(delta)
        position: Literal["last"] | None = "last" if delta.last else None
        about = _metadata(info, self._model) if delta.last else {"model_provider": PROVIDER, **info}
        message = AIMessageChunk(
            content=delta.text,
            additional_kwargs=_thoughts(delta),
            response_metadata=about,
            tool_call_chunks=self._call_chunks(delta),
            usage_metadata=_usage_metadata(delta.usage),
            chunk_position=position,
        )
        return ChatGenerationChunk(message=message, generation_info=info or None)

    def _call_chunks(self, delta: Delta) -> list[ToolCallChunk]:
        chunks = [self._call_chunk(call) for call in delta.tool_calls]
        if not delta.last:
            return chunks
        for index, pieces in self._arguments.items():
            if mark := _mark("".join(pieces)):
                _extend(chunks, index, mark)
        return chunks

    def _call_chunk(self, call: ToolCall) -> ToolCallChunk:
        index = self._index(call)
        self._newest = max(self._newest, index)
        self._arguments.setdefault(index, []).append(call.arguments)
        return tool_call_chunk(
            name=call.name or None, args=call.arguments, id=call.id or None, index=index
        )

    def _index(self, call: ToolCall) -> int:
        if call.index is not None:
            return call.index
        begins = self._newest < 0 or bool(call.id or call.name)
        return self._newest + 1 if begins else self._newest


def to_generation(reply: Reply, model: str) -> Generation:
    """Return a whole answer of ``model`` as plain text with its facts."""
    info = {**_thoughts(reply), "model_name": model, **_info(reply)}
    return Generation(text=reply.text, generation_info=info)


def to_generation_chunk(delta: Delta, model: str) -> GenerationChunk:
    """Return a piece of plain text; its facts come with the last one only."""
    facts = {"model_name": model, **_info(delta)} if delta.last else _logprobs(delta)
    return GenerationChunk(text=delta.text, generation_info={**_thoughts(delta), **facts} or None)


def llm_output(infos: Iterable[Mapping[str, Any] | None], model: str | None) -> Info:
    """Return what callbacks read of several answers together: their summed usage, the model."""
    known = [info for info in infos if info]
    reported = [info["token_usage"] for info in known if info.get("token_usage")]
    estimated = any(info.get("usage_estimated") for info in known)
    more = {"usage_estimated": True} if estimated else {}
    return {"token_usage": _summed(reported), "model_name": model, **more}


def _to_message(message: BaseMessage, model: str, *, reasoning: bool) -> Message:
    return Message(
        role=_role(message, model),
        content=_text(message, model),
        tool_calls=_calls(message, model) if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        reasoning=_reasoning(message) if reasoning else None,
        partial=bool(message.additional_kwargs.get("partial")),
    )


def _reasoning(message: BaseMessage) -> str | None:
    """Return what an earlier answer's model thought, in whichever form LangChain keeps it."""
    if not isinstance(message, AIMessage):
        return None
    said = message.additional_kwargs.get("reasoning_content")
    if isinstance(said, str):
        return said or None
    blocks = message.content if isinstance(message.content, list) else ()
    thoughts = (
        str(block.get("reasoning") or block.get("thinking") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") in _THOUGHT_BLOCKS
    )
    return "".join(thoughts) or None


def _role(message: BaseMessage, model: str) -> Role:
    if isinstance(message, ChatMessage):
        if message.role in _NAMED_ROLES:
            return _NAMED_ROLES[message.role]
        _refuse(f"unknown role {message.role!r}; use one of {', '.join(ROLES)}", model)
    role = next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)
    if role is None:
        _refuse(f"a {type(message).__name__} cannot be sent; use a message of another kind", model)
    return role


def _text(message: BaseMessage, model: str) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_block_text(block, message, model) for block in message.content)


def _block_text(block: str | dict[str, Any], message: BaseMessage, model: str) -> str:
    if isinstance(block, str):
        return block
    if isinstance(message, AIMessage) and _stands_elsewhere(block, message):
        return ""
    text = block.get("text")
    if block.get("type") != "text" or not isinstance(text, str):
        _refuse(f"a content block of type {block.get('type')!r} cannot be sent, only text", model)
    return text


def _stands_elsewhere(block: Mapping[str, Any], message: AIMessage) -> bool:
    if block.get("type") in _CALL_BLOCKS:
        return bool(message.tool_calls or message.invalid_tool_calls)
    return block.get("type") in _THOUGHT_BLOCKS


def _calls(message: AIMessage, model: str) -> tuple[ToolCall, ...]:
    good = (
        ToolCall(call["id"] or "", call["name"], _json(call["args"], model))
        for call in message.tool_calls
    )
    bad = (
        ToolCall(call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    )
    return (*good, *bad)


def _json(arguments: dict[str, Any], model: str) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"the arguments of a tool call cannot be written as JSON: {error}", model)


def _refuse(text: str, model: str) -> NoReturn:
    raise UnsupportedInputError(text, model=model)


def _parsed_calls(
    calls: Iterable[ToolCall],
) -> tuple[list[LangChainToolCall], list[InvalidToolCall]]:
    good: list[LangChainToolCall] = []
    bad: list[InvalidToolCall] = []
    for call in calls:
        try:
            args = _arguments(call.arguments)
        except ValueError as error:
            bad.append(
                invalid_tool_call(
                    name=call.name, args=call.arguments, id=call.id or None, error=str(error)
                )
            )
        else:
            good.append(tool_call(name=call.name, args=args, id=call.id or None))
    return good, bad


def _arguments(text: str) -> dict[str, Any]:
    # A function without parameters is called with nothing at all.
    try:
        found = json.loads(text, strict=False) if text.strip() else {}
        json.dumps(found, allow_nan=False)  # NaN and 1e999 are read, but could not be sent back
    except RecursionError:
        raise ValueError("the arguments are nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("the arguments are no JSON object")  # noqa: TRY004 - as json.loads does
    return found


# Whichever fits: a bracket that closes nothing, in or behind a string, after an escape or not.
_MARKS = ("", "]", "}", '"]', '"}', ' "]', ' "}')


def _mark(text: str) -> str:
    """Return what to add to arguments so that LangChain reads them as ``_arguments`` does.

    It completes JSON that broke off and takes the call for a good one: a file name cut in half
    would be a file name. It never completes what a wrong bracket closes.
    """
    try:
        _arguments(text)
    except ValueError:
        return next((mark for mark in _MARKS if not _passes(text + mark)), "")
    return "{}" if text and not text.strip() else ""


def _passes(text: str) -> bool:
    try:
        return isinstance(parse_partial_json(text), dict)
    except (ValueError, RecursionError):
        return False


def _extend(chunks: list[ToolCallChunk], index: int, text: str) -> None:
    """Add ``text`` to the arguments of a call, in its newest piece if that is among ``chunks``."""
    for chunk in reversed(chunks):
        if chunk["index"] == index:
            chunk["args"] = f"{chunk['args'] or ''}{text}"
            return
    chunks.append(tool_call_chunk(args=text, index=index))


def _logprobs(part: Delta) -> Info:
    return {} if part.logprobs is None else {"logprobs": part.logprobs}


def _thoughts(part: Reply | Delta) -> Info:
    return {"reasoning_content": part.reasoning} if part.reasoning else {}


def _info(part: Reply | Delta) -> Info:
    more: Info = {"served_by": part.served_by, "logprobs": part.logprobs}
    if part.usage is not None and part.usage.estimated:
        more["usage_estimated"] = True
    return {
        "finish_reason": part.finish_reason,
        "request_id": part.request_id,
        "token_usage": _token_usage(part.usage),
        **{name: value for name, value in more.items() if value is not None},
    }


def _metadata(info: Info, model: str) -> Info:
    return {"model_name": model, "model_provider": PROVIDER, **info}


def _token_usage(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    counts = {name: count for name, count in asdict(usage).items() if name != "estimated"}
    return {name: count for name, count in counts.items() if count is not None}


def _usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return the counts in LangChain's words; it has no word for a count that is missing."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    total = usage.total_tokens
    found = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens if total is None else total,
    )
    if usage.cached_tokens is not None:
        found["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        found["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return found


def _summed(usages: Sequence[Mapping[str, int]]) -> dict[str, int] | None:
    names = dict.fromkeys(name for usage in usages for name in usage)
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names} or None
