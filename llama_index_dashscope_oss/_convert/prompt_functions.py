"""A family's template as LlamaIndex's ``messages_to_prompt`` and ``completion_to_prompt``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import default_completion_to_prompt

from dashscope_oss import Message
from dashscope_oss.prompts.prompt_template import PromptTemplate
from llama_index_dashscope_oss._convert.message_adapter import adapt_to_prompt

_DEFAULTS = (messages_to_prompt, default_completion_to_prompt)


@dataclass(frozen=True, slots=True)
class MessagesToPrompt:
    """Writes a conversation as the prompt of a model that takes no messages."""

    template: PromptTemplate
    model: str

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt for ``messages``."""
        return self.template.render(adapt_to_prompt(messages, self.model))


@dataclass(frozen=True, slots=True)
class CompletionToPrompt:
    """Writes one question as the prompt of a model that takes no messages."""

    template: PromptTemplate

    def __call__(self, prompt: str) -> str:
        """Return the prompt for one question."""
        return self.template.render([Message("user", prompt)])


def is_users_own(prompt_function: object) -> bool:
    """Whether a prompt function is neither LlamaIndex's default nor a family's template."""
    templates = (MessagesToPrompt, CompletionToPrompt)
    return prompt_function not in _DEFAULTS and not isinstance(prompt_function, templates)
