"""LangChain's messages as the core's neutral ones; what cannot be sent is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from dashscope_oss.errors import UnsupportedInputError
from dashscope_oss.messages import ROLES, Message, Part, Role, TextPart, ToolCall
from dashscope_oss.protocol.conversation import write_arguments
from dashscope_oss.protocol.conversation.content_blocks import (
    BlockUse,
    block_call,
    block_result,
    block_text,
    block_thoughts,
    block_use,
    unlisted_calls,
    warn_of_left_out,
)
from dashscope_oss.protocol.conversation.media_blocks import has_cache_mark, media_part
from dashscope_oss.protocol.conversation.roles import ROLES_BY_NAME

_ROLES: dict[type[BaseMessage], Role] = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
    FunctionMessage: "tool",
}


def to_messages(messages: Sequence[BaseMessage], model: str) -> list[Message]:
    """Return ``messages`` as neutral ones for ``model``.

    Text, images, videos, recordings, thoughts and tool calls are carried. What another provider
    put into an earlier answer and alone can read, such as a search by its own tool, is left out
    with one warning. A message's ``name`` is not carried: the protocol has no place for it, so it
    stays LangChain's own label; who speaks must stand in the text.

    Args:
        messages: the conversation.
        model: named in errors.

    Raises:
        UnsupportedInputError: for a role or a content block that the protocol cannot carry.
    """
    turns: list[Message] = []
    for place, message in enumerate(messages):
        try:
            turns.extend(_to_turns(message, model))
        except UnsupportedInputError as error:
            raise error.at_message(place, type(message).__name__, model) from error.__cause__
    return turns


def _to_turns(message: BaseMessage, model: str) -> list[Message]:
    """Return the turn of a message, behind the results of tools that the user's may hold."""
    results = _blocks(message, "result") if isinstance(message, HumanMessage) else []
    if not results:
        return [_to_message(message, model)]
    rest = [block for block in message.content if block not in results]
    turns = [_result_message(block) for block in results]
    if rest:
        turns.append(message.model_copy(update={"content": rest}))
    return [_to_message(turn, model) for turn in turns]


def _result_message(block: dict[str, Any]) -> BaseMessage:
    """Return a result as Anthropic and OpenAI write it among the user's blocks."""
    id, content = block_result(block)
    text = content if isinstance(content, str | list) else write_arguments(content)
    return ToolMessage(text, tool_call_id=id)


def _to_message(message: BaseMessage, model: str) -> Message:
    role = _role(message)
    if _is_plain(message):
        return Message(role, str(message.content))
    content, parts = _content(message, role, model)
    return Message(
        role=role,
        content=content,
        parts=parts,
        tool_calls=_tool_calls(message) if isinstance(message, AIMessage) else (),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
        tool_name=message.name if role == "tool" else None,
        reasoning=_reasoning(message),
        partial=bool(message.additional_kwargs.get("partial")),
    )


def _is_plain(message: BaseMessage) -> bool:
    """Whether it is its text and nothing else."""
    if message.additional_kwargs or not isinstance(message.content, str):
        return False
    if isinstance(message, AIMessage):
        return not (message.tool_calls or message.invalid_tool_calls)
    return isinstance(message, HumanMessage | SystemMessage)


def _role(message: BaseMessage) -> Role:
    if type(message) in _ROLES:
        return _ROLES[type(message)]
    if isinstance(message, ChatMessage):
        role = ROLES_BY_NAME.get(message.role)
        if role is None:
            _refuse(f"unknown role {message.role!r}; use one of {', '.join(ROLES)}")
        return role
    role = next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)
    if role is None:
        _refuse(f"a {type(message).__name__} cannot be sent; use a message of another kind")
    return role


def _content(message: BaseMessage, role: Role, model: str) -> tuple[str, tuple[Part, ...]]:
    """Return the text, and the parts if there is more than text."""
    if isinstance(message.content, str):
        return message.content, ()
    turn = Message.of_parts(role, _parts(message, model))
    return turn.content, turn.parts


def _parts(message: BaseMessage, model: str) -> Iterator[Part]:
    for block in message.content:
        part = TextPart(block) if isinstance(block, str) else _part(block, message, model)
        if part is not None:
            yield part


def _part(block: dict[str, Any], message: BaseMessage, model: str) -> Part | None:
    """Return what is sent of a block, ``None`` for what stands elsewhere or is left out."""
    use, text = block_use(block), block_text(block)
    if use == "text" and text is not None:
        return TextPart(text, cache_mark=has_cache_mark(block, model))
    if use in ("file", "text") and (media := media_part(block, model)):
        return media
    if not isinstance(message, AIMessage) or use in ("text", "file"):
        _refuse_block(block)
    if use in (None, "result"):
        warn_of_left_out(block.get("type"), model)
    elif use == "thoughts" and not block_thoughts(block):
        warn_of_left_out(f"{block['type']} (encrypted)", model)
    return None


def _reasoning(message: BaseMessage) -> str | None:
    """Return the reasoning of an earlier answer, in either form that LangChain keeps it in."""
    if not isinstance(message, AIMessage):
        return None
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str):
        return reasoning or None
    return "".join(map(block_thoughts, _blocks(message, "thoughts"))) or None


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    """Return the calls of an earlier answer.

    Its content may hold some that it does not list; OpenAI's older form keeps one elsewhere.
    """
    valid = (
        ToolCall(call["id"] or "", call["name"], write_arguments(call["args"]))
        for call in message.tool_calls
    )
    invalid = (
        ToolCall(call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    )
    listed = (*valid, *invalid)
    blocks = _blocks(message, "call")
    if isinstance(older := message.additional_kwargs.get("function_call"), dict):
        blocks.append(older)
    calls = [call for block in blocks if (call := _call_in(block, listed))]
    return (*listed, *unlisted_calls(calls, listed))


def _call_in(block: dict[str, Any], listed: Sequence[ToolCall]) -> ToolCall | None:
    """Return the call in a block; ``None`` for a piece of one that the message lists."""
    call = block_call(block)
    if call is None and not listed:
        _refuse_block(block)
    return call


def _blocks(message: BaseMessage, use: BlockUse) -> list[dict[str, Any]]:
    blocks = message.content if isinstance(message.content, list) else ()
    return [block for block in blocks if isinstance(block, dict) and block_use(block) == use]


def _refuse_block(block: dict[str, Any]) -> NoReturn:
    _refuse(
        f"a content block of type {block.get('type')!r} cannot be sent, only text, images, "
        "videos and audio"
    )


def _refuse(text: str) -> NoReturn:
    raise UnsupportedInputError(text)
