"""What a model is sent of a conversation: the one rule for both adapters and the gateway.

Nothing is dropped that can be told. What the model has no turn for, it reads in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dashscope_oss.messages import Message
from dashscope_oss.prompts.turn_order import (
    fold_stray_turns,
    merge_turns,
    move_system_first,
    tell_tools_in_words,
)
from dashscope_oss.protocol.tools import with_sendable_arguments
from dashscope_oss.registry.model_info import ModelInfo


def adapt_conversation(
    model_info: ModelInfo, messages: Sequence[Message], *, send_reasoning: bool | None = None
) -> list[Message]:
    """Return ``messages`` as the turns that the model takes.

    - System turns without words are left out.
    - Calls of tools and their results become text for a model that knows no tools.
    - System turns come first and as one where the model's template wants that; the words of later
      ones are the user's.
    - An answer before the first question is told as an earlier answer to strict models.
    - Thoughts go along with the answers that the record names.
    - Arguments of earlier calls that are no JSON object are wrapped into one.

    Args:
        model_info: the model.
        messages: the conversation.
        send_reasoning: send the thoughts of all earlier answers, or of none; ``None`` leaves it
            to the record.
    """
    turns = [turn for turn in messages if turn.role != "system" or turn.content.strip()]
    if not model_info.tools:
        turns = tell_tools_in_words(turns)
    if model_info.strict_turns or not model_info.takes_messages:
        turns = fold_stray_turns(turns)
    elif model_info.system_turns == "first":
        turns = move_system_first(turns)
    if model_info.strict_turns and model_info.takes_messages:
        turns = merge_turns(turns)
    return [_as_sent(model_info, turn, send_reasoning) for turn in turns]


def _as_sent(model_info: ModelInfo, turn: Message, send_reasoning: bool | None) -> Message:
    if turn.reasoning and not _sends_reasoning(model_info, turn, send_reasoning):
        turn = replace(turn, reasoning=None)
    if turn.tool_calls:
        turn = replace(turn, tool_calls=tuple(map(with_sendable_arguments, turn.tool_calls)))
    return turn


def _sends_reasoning(model_info: ModelInfo, turn: Message, send_reasoning: bool | None) -> bool:
    if turn.role != "assistant":
        return False
    if send_reasoning is not None:
        return send_reasoning
    rule = model_info.reasoning_in_history
    return rule == "always" or (rule == "tool_turns" and bool(turn.tool_calls))
