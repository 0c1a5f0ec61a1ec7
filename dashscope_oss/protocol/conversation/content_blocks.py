"""Blocks of content that frameworks and other providers write: what is read of them.

A conversation that another model began, or that was saved, holds blocks of its maker. Text is
text, whatever the block is called. What only the maker can read is left out, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from dashscope_oss.errors import DashScopeWarning, warn
from dashscope_oss.messages import Json, ToolCall
from dashscope_oss.protocol.conversation.tool_turns import write_arguments

BlockUse: TypeAlias = Literal["text", "thoughts", "call", "result", "file"]

BLOCK_TYPES: Mapping[BlockUse, tuple[str | None, ...]] = {
    "text": ("text", "input_text", "output_text", "text-plain", "refusal", None),
    "thoughts": ("reasoning", "thinking", "reasoning_content"),
    "call": (
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "tool_use",
        "function_call",
        "custom_tool_call",
    ),
    "result": ("tool_result", "function_call_output", "custom_tool_call_output"),
    "file": (
        "image",
        "image_url",
        "input_image",
        "video",
        "video_url",
        "audio",
        "input_audio",
        "file",
        "input_file",
        "document",
        "media",
    ),
}
"""What blocks are by their ``type``; ``None`` stands for a block without one."""
_USES = {block_type: use for use, types in BLOCK_TYPES.items() for block_type in types}

_CALL_IDS = ("call_id", "callId", "id", "toolUseId", "tool_use_id", "tool_call_id")
_RESULT_IDS = ("tool_use_id", "call_id", "tool_call_id")
_CALL_ARGUMENTS = ("args", "input", "arguments", "parameters", "tool_kwargs")
_warned_types: set[object] = set()


def block_use(block: Json) -> BlockUse | None:
    """Return what a block is; ``None`` if only its maker can read it."""
    block_type = block.get("type")
    use = _USES.get(block_type) if isinstance(block_type, str | None) else None
    return "text" if use is None and isinstance(block.get("text"), str) else use


def block_text(block: Json) -> str | None:
    """Return the text of a block, ``None`` if it has none."""
    text = block.get("refusal" if block.get("type") == "refusal" else "text")
    return text if isinstance(text, str) else None


def block_thoughts(block: Json) -> str:
    """Return the thoughts in a block; empty if they are encrypted, or there are none."""
    names = ("reasoning", "thinking", "reasoning_content", "summary")
    return "".join(_all_text(block.get(name)) for name in names)


def block_call(block: Json) -> ToolCall | None:
    """Return the call of a tool in a block, ``None`` if it names no tool."""
    name = block.get("name")
    if not isinstance(name, str) or not name:
        return None
    id = next((block[key] for key in _CALL_IDS if isinstance(block.get(key), str)), "")
    arguments = next((block[key] for key in _CALL_ARGUMENTS if key in block), None)
    return ToolCall(str(id), name, write_arguments(arguments))


def block_result(block: Json) -> tuple[str, object]:
    """Return the id of the call that a result in a block answers, and the result's content."""
    id = next((block[key] for key in _RESULT_IDS if isinstance(block.get(key), str)), "")
    return str(id), block.get("content", block.get("output", ""))


def unlisted_calls(calls: Iterable[ToolCall], listed: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Return those of ``calls`` that are not among ``listed``, for messages that hold both.

    Each of ``listed`` stands for one: two calls may be the same in all but their ids.
    """
    unmatched: list[ToolCall | None] = [*listed]
    unlisted: list[ToolCall] = []
    for place, call in enumerate(calls):
        if (same := _place_of(call, place, unmatched)) is None:
            unlisted.append(call)
        else:
            unmatched[same] = None
    return tuple(unlisted)


def warn_of_left_out(block_type: object, model: str) -> None:
    """Warn that blocks of this type are left out, once for each type."""
    if block_type in _warned_types:
        return
    _warned_types.add(block_type)
    warn(
        f"{model}: content blocks of type {block_type!r} in earlier answers are left out; only the "
        "provider that made them can read them",
        DashScopeWarning,
    )


def _place_of(call: ToolCall, place: int, listed: Sequence[ToolCall | None]) -> int | None:
    """Return where a call stands in ``listed``: by its id, its words, or the same place and name.

    Some makers give a call another id in each place. One that is still streaming may have neither
    its id nor all of its arguments.
    """
    tests: tuple[Callable[[int, ToolCall], bool], ...] = (
        lambda _, other: bool(call.id) and call.id == other.id,
        lambda _, other: (call.name, call.arguments) == (other.name, other.arguments),
        lambda at, other: at == place and call.name == other.name and not (call.id and other.id),
    )
    candidates = [(at, other) for at, other in enumerate(listed) if other is not None]
    return next((at for test in tests for at, other in candidates if test(at, other)), None)


def _all_text(value: object) -> str:
    """Return the text of a field: makers write it plain, in an object, or in a list of these."""
    if isinstance(value, Mapping):
        return _all_text(value.get("text"))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return "".join(map(_all_text, value))
    return value if isinstance(value, str) else ""
