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
        outcomes: what becomes of which kind of message, one of :data:`OUTCOMES`. The
            documentation shows them.
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
    if not _needs_no_step(model_info, turns):
        for step in STEPS:
            if step.is_for(model_info):
                turns = step.change(turns)
    rule = model_info.reasoning_in_history
    if send_reasoning is not None:
        rule = "always" if send_reasoning else "never"
    turns = [_with_reasoning_by(rule, turn) if turn.reasoning else turn for turn in turns]
    last = len(turns) - 1
    # An earlier answer that was continued keeps its mark in a conversation that goes on.
    return [
        replace(turn, partial=False) if turn.partial and place < last else turn
        for place, turn in enumerate(turns)
    ]


def _needs_no_step(model_info: ModelInfo, messages: Sequence[Message]) -> bool:
    """Whether words of user and assistant take turns, perhaps behind those of the system."""
    has_system = messages[0].role == "system"
    if has_system and (len(messages) == 1 or _has_no_place_for_system(model_info)):
        return False
    expected = "system" if has_system else "user"
    for message in messages:
        if message.role != expected or message.tool_calls or not message.content.strip():
            return False
        expected = "assistant" if expected == "user" else "user"
    return True


def _with_reasoning_by(rule: ReasoningInHistory, turn: Message) -> Message:
    if turn.role == "assistant" and REASONING_RULES[rule].keeps(turn):
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


def _has_no_place_for_system(model_info: ModelInfo) -> bool:
    template = model_info.template
    return not model_info.takes_messages and template is not None and template.system is None


def _wants_system_first(model_info: ModelInfo) -> bool:
    return model_info.system_turns == "first" and not _wants_strict_turns(model_info)


@dataclass(frozen=True, slots=True)
class ReasoningRule:
    """Which earlier answers go back with their thoughts.

    Attributes:
        keeps: whether an answer does.
        outcome: the same in words, for the documentation.
    """

    keeps: Callable[[Message], bool]
    outcome: str


REASONING_RULES: Mapping[ReasoningInHistory, ReasoningRule] = {
    "never": ReasoningRule(lambda _: False, "left out"),
    "tool_turns": ReasoningRule(
        lambda turn: bool(turn.tool_calls), "sent with answers that call tools, else left out"
    ),
    "always": ReasoningRule(lambda _: True, "sent with every answer"),
}
"""What becomes of the thoughts of earlier answers, by the record's ``reasoning_in_history``."""

LEFT_OUT = "left out"
ONE_TURN = "one turn"
USERS_WORDS = "the user's words"
TOLD = "told in words"
BEHIND_CALL = "behind its call"
NO_RESULT = "told that none is known"
OWN_ID = "gets an id"
WRAPPED = "wrapped"

OUTCOMES: Mapping[str, str] = {
    LEFT_OUT: "It says nothing, and services refuse it. Thoughts before such an answer go too.",
    ONE_TURN: "It is joined with the turn beside it, by a blank line.",
    USERS_WORDS: "It is a turn of the user's at the same place, or a part of the one beside it.",
    TOLD: (
        "A call becomes `Call of NAME: ARGUMENTS` in the answer. A result becomes the user's: "
        "`Result of NAME:` and its text. An early answer becomes the user's too: "
        "`Your earlier answer:` and its text."
    ),
    BEHIND_CALL: "It stands right behind its call; what stood between the two follows.",
    NO_RESULT: f"It gets the result `{tool_turns.NO_RESULT}`",
    OWN_ID: (
        "The id is the same each time. Results without one belong to the open calls of their "
        "tool, or to all open calls, in their order."
    ),
    WRAPPED: (
        f'They are sent as text in a JSON object, `{{"{tool_turns.RAW_ARGUMENTS}": "…"}}`; none '
        "at all as `{}`."
    ),
}
"""What the outcomes of steps mean."""

STEPS: tuple[Step, ...] = (
    Step(
        _every,
        turn_order.leave_out_empty_turns,
        {"system turn without words": LEFT_OUT, "answer without words and calls": LEFT_OUT},
    ),
    Step(
        _every,
        turn_order.let_system_turns_ask,
        {"system turn without a question": USERS_WORDS},
    ),
    Step(
        _every,
        tool_turns.pair_calls_with_results,
        {
            "result after other turns": BEHIND_CALL,
            "result whose call is missing or later": TOLD,
            "second result of a call": TOLD,
            "call without a result": NO_RESULT,
            "call without an id": OWN_ID,
            "calls in neighbouring answers": ONE_TURN,
        },
    ),
    Step(
        _reads_no_tools,
        tool_turns.tell_tools_in_words,
        {
            "call of a tool": TOLD,
            "result of a tool": TOLD,
            "result after other turns": TOLD,
            "result whose call is missing or later": TOLD,
            "second result of a call": TOLD,
            "call without a result": TOLD,
            "call without an id": TOLD,
            "calls in neighbouring answers": TOLD,
            "arguments that are no JSON object": TOLD,
        },
    ),
    Step(
        _reads_tools,
        tool_turns.make_calls_sendable,
        {"arguments that are no JSON object": WRAPPED},
    ),
    Step(
        _wants_strict_turns,
        turn_order.fold_stray_turns,
        {"system turn after other turns": USERS_WORDS, "answer before the first question": TOLD},
    ),
    Step(
        _wants_strict_turns,
        turn_order.merge_turns,
        {"several system turns at the beginning": ONE_TURN, "two turns of one role": ONE_TURN},
    ),
    Step(
        _has_no_place_for_system,
        turn_order.fold_system_turns,
        {
            "system turn": USERS_WORDS,
            "several system turns at the beginning": USERS_WORDS,
            "system turn after other turns": USERS_WORDS,
            "system turn before a tool's result, without a question": USERS_WORDS,
        },
    ),
    Step(
        _wants_system_first,
        turn_order.move_system_first,
        {
            "several system turns at the beginning": ONE_TURN,
            "system turn after other turns": USERS_WORDS,
            "system turn before a tool's result, without a question": USERS_WORDS,
        },
    ),
)
"""What is done to a conversation, in this order; of two outcomes the later one holds."""
