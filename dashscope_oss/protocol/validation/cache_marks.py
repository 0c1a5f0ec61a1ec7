"""Marks for the service's context cache: who gets them, and how many there may be.

A mark keeps everything from the first message, the tools included, up to its own place; see the
vendor's page ``model-studio/context-cache``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from dashscope_oss.errors import DashScopeWarning, UnsupportedInputError, warn_once
from dashscope_oss.messages import Message
from dashscope_oss.registry.model_info import ModelInfo

MAX_CACHE_MARKS = 4
"""Most marks of one call. The service itself would heed the last four only."""


def is_cache_mark(cache_control: object, model: str) -> bool:
    """Whether ``cache_control`` of a part marks it; the service knows one form, for five minutes.

    Raises:
        UnsupportedInputError: for any other form.
    """
    if cache_control is None:
        return False
    if not isinstance(cache_control, Mapping) or cache_control.get("type") != "ephemeral":
        raise UnsupportedInputError(
            f"cache_control is {cache_control!r:.100}; write {{'type': 'ephemeral'}}", model=model
        )
    if cache_control.get("ttl") not in (None, "5m"):
        warn_once(
            f"{model}: the service keeps a cache for five minutes after its last use, whatever ttl "
            "a cache_control states",
            DashScopeWarning,
        )
    return True


def with_cache_marks(
    model_info: ModelInfo, messages: Sequence[Message], *, mark_system_prompt: bool
) -> list[Message]:
    """Return ``messages`` with the marks that are sent.

    A model whose record says that it has no explicit cache gets none, with one warning.

    Args:
        model_info: the model.
        messages: the conversation.
        mark_system_prompt: mark the last leading system message, or without any the first message.

    Raises:
        UnsupportedInputError: for more than four marks.
    """
    marked = list(messages)
    if mark_system_prompt and marked:
        leading = sum(1 for _ in takewhile(lambda message: message.role == "system", marked))
        last = max(leading - 1, 0)
        marked[last] = _with_mark(marked[last])
    if not any(_count_marks(message) for message in marked):
        return marked
    if not _has_cache(model_info):
        return [_without_marks(message) for message in marked]
    _check_count(model_info, marked)
    return marked


def _has_cache(model_info: ModelInfo) -> bool:
    if model_info.takes_messages and model_info.context_cache in ("explicit", "unknown"):
        return True
    warn_once(
        f"{model_info.id}: the record of the model says that parts cannot be marked for the "
        "context cache; the marks are left out. If it can, say so in model_info: "
        "context_cache='explicit'.",
        DashScopeWarning,
    )
    return False


def _check_count(model_info: ModelInfo, messages: Sequence[Message]) -> None:
    count = 0
    for place, message in enumerate(messages):
        count += _count_marks(message)
        if count > MAX_CACHE_MARKS:
            error = UnsupportedInputError(
                f"it holds the fifth cache mark; a call may have at most {MAX_CACHE_MARKS}, so "
                "take marks off earlier messages"
            )
            raise error.at_message(place, message.role, model_info.id)


def _count_marks(message: Message) -> int:
    return sum(part.cache_mark for part in message.parts)


def _with_mark(message: Message) -> Message:
    parts = message.all_parts
    if not parts:
        return message
    return replace(message, parts=(*parts[:-1], replace(parts[-1], cache_mark=True)))


def _without_marks(message: Message) -> Message:
    parts = (replace(part, cache_mark=False) for part in message.parts)
    unmarked = Message.of_parts(message.role, parts)
    return replace(message, parts=unmarked.parts)
