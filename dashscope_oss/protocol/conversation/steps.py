"""What a model is sent of a conversation: the one rule for both adapters and the gateway.

Nothing is dropped that can be told. What the model has no turn for, it reads in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dashscope_oss.messages import Message
from dashscope_oss.prompts import turn_order
from dashscope_oss.protocol.conversation import tool_turns
from dashscope_oss.registry.model_info import ModelInfo, ReasoningInHistory


@dataclass(frozen=True, slots=True)
class Step:
    """One change to a conversation, for the models that need it.

    Attributes:
        is_for: whether a model needs it.
        change: returns the turns as such a model takes them.
        outcomes: what becomes of which kind of message, in words; the documentation shows them.
    """

    is_for: Callable[[ModelInfo], bool]
    change: Callable[[Sequence[Message]], list[Message]]
    outcomes: Mapping[str, str]


def adapt_conversation(
    model_info: ModelInfo, messages: Sequence[Message], *, send_reasoning: bool | None = None
) -> list[Message]:
    """Return ``messages`` as the turns that the model takes; :data:`STEPS` says how.

    Args:
        model_info: the model.
        messages: the conversation.
        send_reasoning: send the thoughts of all earlier answers, or of none; ``None`` leaves it
            to the record.
    """
    turns = list(messages)
    for step in STEPS:
        if step.is_for(model_info):
            turns = step.change(turns)
    rule = model_info.reasoning_in_history
    if send_reasoning is not None:
        rule = "always" if send_reasoning else "never"
    return [_with_reasoning_by(rule, turn) for turn in turns]


def _with_reasoning_by(rule: ReasoningInHistory, turn: Message) -> Message:
    if not turn.reasoning or (turn.role == "assistant" and _KEEPS_REASONING[rule](turn)):
        return turn
    return replace(turn, reasoning=None)


def _every(_model_info: ModelInfo) -> bool:
    return True


def _wants_strict_turns(model_info: ModelInfo) -> bool:
    return model_info.strict_turns or not model_info.takes_messages


def _reads_tools(model_info: ModelInfo) -> bool:
    return model_info.tools and not _wants_strict_turns(model_info)


def _reads_no_tools(model_info: ModelInfo) -> bool:
    return not _reads_tools(model_info)


def _wants_system_first(model_info: ModelInfo) -> bool:
    return model_info.system_turns == "first" and not _wants_strict_turns(model_info)


_KEEPS_REASONING: Mapping[ReasoningInHistory, Callable[[Message], bool]] = {
    "never": lambda _: False,
    "tool_turns": lambda turn: bool(turn.tool_calls),
    "always": lambda _: True,
}

_JOINED = "one turn, joined by a blank line"
_USERS_WORDS = "words of the user at the same place"

STEPS: tuple[Step, ...] = (
    Step(
        _every,
        turn_order.leave_out_empty_turns,
        {"system turn without words": "left out", "answer without words and calls": "left out"},
    ),
    Step(
        _reads_no_tools,
        tool_turns.tell_tools_in_words,
        {
            "call of a tool": "told in words: `Call of NAME: ARGUMENTS` in the answer",
            "result of a tool": "told in words: `Result of NAME:` and the text, as the user's",
        },
    ),
    Step(
        _reads_tools,
        tool_turns.pair_calls_with_results,
        {
            "result after other turns": "put right behind its call; the other turns follow",
            "result whose call is missing or later, or the second of a call": (
                "told in words: `Result of NAME:` and the text, as the user's"
            ),
            "call without a result": f"its result is `{tool_turns.NO_RESULT}`",
            "call without an id": "gets one; results without an id belong to calls by their order",
        },
    ),
    Step(
        _reads_tools,
        tool_turns.make_calls_sendable,
        {
            "arguments that are no JSON object": (
                f"sent as text under the key `{tool_turns.RAW_ARGUMENTS}`; none at all as `{{}}`"
            )
        },
    ),
    Step(
        _wants_strict_turns,
        turn_order.fold_stray_turns,
        {
            "system turn after other turns": _USERS_WORDS,
            "answer before the first question": (
                "told in words: `Your earlier answer:` and the text, as the user's"
            ),
        },
    ),
    Step(
        _wants_strict_turns,
        turn_order.merge_turns,
        {"several system turns at the beginning": _JOINED, "two turns of one role": _JOINED},
    ),
    Step(
        _wants_system_first,
        turn_order.move_system_first,
        {
            "several system turns at the beginning": _JOINED,
            "system turn after other turns": _USERS_WORDS,
            "system turn in a conversation without a question": "words of the user",
        },
    ),
)
"""What is done to a conversation, in this order."""
