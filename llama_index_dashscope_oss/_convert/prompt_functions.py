"""A family's template as LlamaIndex's ``messages_to_prompt`` and ``completion_to_prompt``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import default_completion_to_prompt

from dashscope_oss import Message, ModelInfo
from dashscope_oss.prompts.prompt_template import PromptTemplate
from dashscope_oss.protocol.conversation import adapt_conversation
from dashscope_oss.protocol.validation import check_modalities
from llama_index_dashscope_oss._convert.messages import to_messages

_DEFAULTS = (messages_to_prompt, default_completion_to_prompt)


@dataclass(frozen=True, slots=True)
class MessagesToPrompt:
    """Writes a conversation as the prompt of a model that takes no messages."""

    template: PromptTemplate
    model_info: ModelInfo

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt for ``messages``.

        Raises:
            UnsupportedInputError: as ``to_messages`` does.
        """
        info = self.model_info
        turns = to_messages(messages, info.id)
        check_modalities(info, turns)
        return self.template.render(adapt_conversation(info, turns))


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
