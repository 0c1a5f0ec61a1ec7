"""Conversations that LlamaIndex makes, for models that were not trained on every kind of turn.

An agent with tools may hand over to a model without, agents add system turns at the end, and a
memory that was cut may begin with an answer. Nothing of it is left out: it is told in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.types import ChatMessage

from dashscope_oss import Message, ModelInfo
from dashscope_oss.prompts.templates import PromptTemplate
from dashscope_oss.prompts.turn_order import fold_stray_turns, tell_tools_in_words
from llama_index_dashscope_oss import _convert


def suited(messages: Sequence[ChatMessage], model_info: ModelInfo) -> list[Message]:
    """Return the neutral form of ``messages``, as ``record`` takes them.

    Raises:
        UnsupportedInputError: as :func:`_convert.to_messages` does.
    """
    if model_info.tools:
        turns = _convert.to_messages(messages, model_info.id)
    else:
        turns = _told_in_words(messages, model_info.id)
    strict = model_info.strict_turns or not model_info.takes_messages
    return fold_stray_turns(turns) if strict else turns


@dataclass(frozen=True, slots=True)
class MessagesToPrompt:
    """A family's template as LlamaIndex's ``messages_to_prompt``."""

    template: PromptTemplate
    model: str

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt for ``messages``."""
        return self.template.render(fold_stray_turns(_told_in_words(messages, self.model)))


@dataclass(frozen=True, slots=True)
class CompletionToPrompt:
    """A family's template as LlamaIndex's ``completion_to_prompt``."""

    template: PromptTemplate

    def __call__(self, prompt: str) -> str:
        """Return the prompt for one question."""
        return self.template.render([Message("user", prompt)])


def _told_in_words(messages: Sequence[ChatMessage], model: str) -> list[Message]:
    return tell_tools_in_words(_convert.to_messages(messages, model, in_words=True))
