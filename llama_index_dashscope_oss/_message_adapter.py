"""Conversations that LlamaIndex makes, for models that were not trained on every kind of turn.

An agent with tools may hand over to a model without, agents add system turns at the end, and a
memory that was cut may begin with an answer. Nothing of it is left out: it is told in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from dashscope_oss import Message, ModelInfo
from dashscope_oss.prompts.templates import PromptTemplate
from dashscope_oss.prompts.turn_order import fold_system_turns
from llama_index_dashscope_oss import _convert

_RESULTS = (MessageRole.TOOL, MessageRole.FUNCTION)
_NOTHING = TextBlock(text="")


def suited(messages: Sequence[ChatMessage], model_info: ModelInfo) -> list[Message]:
    """Return the neutral form of ``messages``, as ``record`` takes them.

    Raises:
        UnsupportedInputError: as :func:`_convert.to_messages` does.
    """
    if not model_info.tools:
        messages = _without_tools(messages)
    turns = _convert.to_messages(messages, model_info.id)
    return _in_order(turns) if model_info.strict_turns or not model_info.takes_messages else turns


@dataclass(frozen=True, slots=True)
class MessagesToPrompt:
    """A family's template as LlamaIndex's ``messages_to_prompt``."""

    template: PromptTemplate
    model: str

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt for ``messages``."""
        turns = _convert.to_messages(_without_tools(messages), self.model)
        return self.template.render(_in_order(turns))


@dataclass(frozen=True, slots=True)
class CompletionToPrompt:
    """A family's template as LlamaIndex's ``completion_to_prompt``."""

    template: PromptTemplate

    def __call__(self, prompt: str) -> str:
        """Return the prompt for one question."""
        return self.template.render([Message("user", prompt)])


def _without_tools(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Tell calls of tools, and what these gave, in words."""
    names = {call.id: call.name for message in messages for call in _convert.tool_calls(message)}
    return [_told(message, names) for message in messages]


def _told(message: ChatMessage, names: Mapping[str, str]) -> ChatMessage:
    given = message.additional_kwargs
    if message.role in _RESULTS:
        name = given.get("name") or names.get(given.get("tool_call_id") or "") or "the tool"
        said = TextBlock(text=f"Result of {name}:")
        return ChatMessage(role=MessageRole.USER, blocks=[said, *message.blocks])
    calls = _convert.tool_calls(message)
    if not calls:
        return message
    plain = [b for b in message.blocks if b.block_type != "tool_call" and b != _NOTHING]
    words = [TextBlock(text=f"Call of {call.name}: {call.arguments}") for call in calls]
    return ChatMessage(role=message.role, blocks=[*plain, *words])


def _in_order(turns: Sequence[Message]) -> list[Message]:
    """Let the user say what stands where strict models take a user's turn only.

    These are answers before the first question, and system turns after the first other turn.
    """
    first = list(takewhile(lambda turn: turn.role == "system", turns))
    rest = fold_system_turns(turns[len(first) :])
    early = list(takewhile(lambda turn: turn.role == "assistant", rest))
    asked = rest[len(early) :]
    told = [_earlier(answer) for answer in early if answer.content.strip()]
    return [*first, *told, *asked] if asked else [*first, *early]


def _earlier(answer: Message) -> Message:
    return replace(answer, role="user", content=f"Your earlier answer: {answer.content}")
