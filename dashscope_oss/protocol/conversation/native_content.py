"""The content of a message as the native protocol has it, at either of its endpoints.

At the text endpoint content is text; only marks for the context cache make it a list. At the other
one it is a list of parts that are keyed by their kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from dashscope_oss.messages import Message, Part, TextPart
from dashscope_oss.registry.model_info import ModelInfo


def write_content(model_info: ModelInfo, message: Message) -> str | list[dict[str, object]]:
    """Return the content of a turn."""
    if model_info.endpoint == "text-generation" and not message.parts:
        return message.content
    parts = message.parts or (TextPart(message.content),)
    return [_write_part(model_info, part) for part in parts]


def _write_part(model_info: ModelInfo, part: Part) -> dict[str, object]:
    """Return a part keyed by its kind; at the text endpoint text has a type too."""
    wire: dict[str, object] = {}
    if isinstance(part, TextPart):
        if model_info.endpoint == "text-generation":
            wire["type"] = "text"
        wire["text"] = part.text
    else:
        wire = {part.kind: part.source, **part.options}
    if part.cache_mark:
        wire["cache_control"] = {"type": "ephemeral"}
    return wire


def has_media(message: Message) -> bool:
    """Whether a turn holds anything but text."""
    return not all(isinstance(part, TextPart) for part in message.parts)


def addresses(part: Mapping[str, object]) -> Sequence[str]:
    """Return where the file of a part is, or those of its frames; nothing for text."""
    source = part.get("image") or part.get("video") or part.get("audio") or ()
    return (source,) if isinstance(source, str) else cast("tuple[str, ...]", source)


def as_parts(turn: Mapping[str, object]) -> object:
    """Return the content of a written turn as the other endpoint has it: parts."""
    content = turn.get("content")
    if not isinstance(content, list):
        return [{"text": content}]
    return [{name: value for name, value in part.items() if name != "type"} for part in content]


def as_text(turn: Mapping[str, object]) -> object:
    """Return the content of a written turn as the text endpoint has it; ``None`` if it cannot."""
    content = turn.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    if not all("text" in part for part in parts):
        return None
    if any("cache_control" in part for part in parts):
        return [{"type": "text", **part} for part in parts]
    return "".join(str(part["text"]) for part in parts)
