"""A memory for chat engines and agents that leaves room in a small window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata, MessageRole
from llama_index.core.memory import ChatMemoryBuffer

Tokenize: TypeAlias = Callable[[str], list[Any]]
"""From a text to its tokens."""

# Of what the model takes as input; the rest is for the documents and the question.
_MEMORY_SHARE = 3


class WindowMemory(ChatMemoryBuffer):
    """A memory that never gives more than its limit, except a question that is longer by itself.

    LlamaIndex's own gives the newest message whatever its length, so that after one long answer
    of the model the next turn would find no room.
    """

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's serialized form."""
        return "WindowMemory"

    def get(
        self,
        input: str | None = None,
        initial_token_count: int = 0,
        **kwargs: Any,  # noqa: ANN401 - LlamaIndex's own signature
    ) -> list[ChatMessage]:
        """Return as much of the newest history as fits."""
        messages = super().get(input, initial_token_count, **kwargs)
        if not messages or messages[-1].role == MessageRole.USER:
            return messages
        used = self._token_count_for_messages(messages) + initial_token_count
        return messages if used <= self.token_limit else []


def chat_memory(metadata: LLMMetadata, tokenize: Tokenize) -> ChatMemoryBuffer:
    """Return a memory of at most a third of the input that LlamaIndex gives the model."""
    room = metadata.context_window - metadata.num_output
    limit = max(room // _MEMORY_SHARE, 1)
    return WindowMemory.from_defaults(token_limit=limit, tokenizer_fn=tokenize)
