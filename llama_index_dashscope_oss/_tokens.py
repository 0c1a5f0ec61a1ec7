"""Offline token counts where LlamaIndex asks for them: splitters, prompt helper, memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from llama_index.core import Settings
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer

from dashscope_oss import ConfigurationError, ContextLengthError, tokens
from dashscope_oss.llama2_vocabulary import wide_character, wide_tokens
from dashscope_oss.record import Tokenizer
from dashscope_oss.request import Request

# Families whose rate was measured, and by how much an estimate may err: prompts of RAG are up to
# 1.11 times their estimate to Llama 2's own tokenizer.
_MEASURED: tuple[Tokenizer, ...] = ("llama2", "llama3", "qwen")
_ERROR = 1.2
# One token each; rates are those of text with few of them.
_MARK = re.compile(r"([^\w\s])\1*|\d|\n")
_KNOWN_CHARACTERS: tuple[Tokenizer, ...] = ("llama2", "llama2-zh")
# Of what the model takes as input; the rest is for the documents and the question.
_MEMORY_SHARE = 3


@dataclass(frozen=True, slots=True)
class TokenEstimator:
    """A tokenizer to LlamaIndex, which only asks how long its list is.

    It counts rather too many than too few, by some 10 to 20 per cent in English, so that what
    LlamaIndex packs into a window fits; Chinese is counted exactly for the Llama 2 family.

    Attributes:
        family: whose rates are used.
    """

    family: Tokenizer

    def __call__(self, text: str) -> list[int]:
        """Return as many numbers as ``text`` has tokens; they mean nothing."""
        wide = 0
        if self.family in _KNOWN_CHARACTERS:
            wide = wide_tokens(wide_character().findall(text))
            text = wide_character().sub("", text)
        words, marks = _MARK.subn("", text)
        begin = 1 if text or wide else 0  # Llama 2 puts a space before any text
        return [0] * (
            begin + wide + marks + math.ceil(tokens.estimate(words, self.family) * _ERROR)
        )


class WindowMemory(ChatMemoryBuffer):
    """A memory that never gives more than its limit, but for a question that is longer itself.

    LlamaIndex's own gives the newest message whatever its length; after one long answer of the
    model the next turn would find no room.
    """

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's serialised form."""
        return "WindowMemory"

    def get(
        self,
        input: str | None = None,
        initial_token_count: int = 0,
        **kwargs: Any,  # noqa: ANN401 - LlamaIndex's own signature
    ) -> list[ChatMessage]:
        """Return as much of the newest history as fits."""
        found = super().get(input, initial_token_count, **kwargs)
        if not found or found[-1].role == MessageRole.USER:
            return found
        used = self._token_count_for_messages(found) + initial_token_count
        return found if used <= self.token_limit else []


def use_tokenizer(llm: LLM) -> None:
    """Make LlamaIndex count tokens as this model's family does: sets ``Settings.tokenizer``.

    Call it before splitters, memories and engines are made, for they keep what they find. Without
    it LlamaIndex counts as GPT-3.5 does, a fifth too few for Chinese text on the Llama 2 family.

    Raises:
        ConfigurationError: for a model that is not a ``DashScopeOSS``.
    """
    tokenizer = getattr(llm, "tokenizer", None)
    if not isinstance(tokenizer, TokenEstimator):
        raise ConfigurationError(f"pass a DashScopeOSS, not a {type(llm).__name__}")
    Settings.tokenizer = tokenizer


def chat_memory(llm: LLM, tokenizer: TokenEstimator) -> ChatMemoryBuffer:
    """Return a memory of at most a third of the input that LlamaIndex gives ``llm``."""
    room = llm.metadata.context_window - llm.metadata.num_output
    limit = max(room // _MEMORY_SHARE, 1)
    return WindowMemory.from_defaults(token_limit=limit, tokenizer_fn=tokenizer)


def check_length(request: Request) -> None:
    """Raise if the input is too long by more than the estimate may err.

    Families without a measured rate are let through; what is surely too long, the core refuses.

    Raises:
        ContextLengthError: with the estimate and the limit.
    """
    record = request.record
    limit, family = record.input_limit, record.tokenizer
    if limit is None or family not in _MEASURED:
        return
    about = tokens.estimate(request.text, family)
    if about > limit * _ERROR:
        raise ContextLengthError(
            f"the input is some {about} tokens long by estimate, the model takes {limit}",
            model=record.id,
            hint="In RAG, call use_tokenizer(llm) before building index and engine, lower "
            "similarity_top_k, or shorten the memory (llm.chat_memory()); check_length=False "
            "sends it all the same.",
        )
