"""Offline token counts where LlamaIndex asks for them: splitters, prompt helper, memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from llama_index.core import Settings
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer

from dashscope_oss import ConfigurationError
from dashscope_oss.protocol.request import Request
from dashscope_oss.registry.model_info import Tokenizer
from dashscope_oss.tokens import estimates, input_length
from dashscope_oss.tokens.llama2_vocabulary import wide_character, wide_tokens

# Prompts of RAG are up to 1.11 times their estimate to Llama 2's own tokenizer.
_ERROR = 1.2
# One token each; rates are those of text with few of them.
_MARK = re.compile(r"([^\w\s])\1*|\d|\n")
_KNOWN_CHARACTERS: tuple[Tokenizer, ...] = ("llama2", "llama2-zh")
# Letters of other scripts, symbols and emoji. Tokens a character to Llama 2, which has most letters
# but hardly a word of them: 0.4 to 0.5 in Cyrillic, 1 to 1.6 in most scripts, up to 3.6 for an
# accent, because it breaks the word, and one for each byte of an emoji.
_FOREIGN = re.compile("[\u00c0-\u200f\u205f-\u2e7f\ua000-\uabff\ufb00-\ufeff\U00010000-\U0001ffff]")
_ACCENTED, _CYRILLIC, _EMOJI, _OTHER = 3.0, 0.6, 4.0, 2.0
# Of what the model takes as input; the rest is for the documents and the question.
_MEMORY_SHARE = 3


@dataclass(frozen=True, slots=True)
class TokenEstimator:
    """A tokenizer to LlamaIndex, which only asks how long its list is.

    It counts rather too many than too few, so that what LlamaIndex packs into a window fits.
    Against Llama 2's own tokenizer: Chinese is exact; English some 10 to 20 per cent too many,
    with accents up to 60 per cent, other scripts 30 to 90. It counts too few, which nobody can
    tell without the tokenizer, in Markdown and code (a tenth), text all in capitals (nearly half),
    base64 and the like (half). The other families have larger vocabularies; for what is neither
    English nor Chinese they are counted by the rates of Llama 2.

    Attributes:
        family: whose rates are used.
    """

    family: Tokenizer

    def __call__(self, text: str) -> list[int]:
        """Return as many numbers as ``text`` has tokens; they mean nothing."""
        begin = 1 if text else 0  # Llama 2 puts a space before any text
        wide, text = self._wide(text)
        foreign, text = _foreign(text)
        words, marks = _MARK.subn("", text)
        about = estimates.estimate(words, self.family) * _ERROR + foreign
        return [0] * (begin + wide + marks + math.ceil(about))

    def _wide(self, text: str) -> tuple[int, str]:
        """Exact tokens of Chinese, Japanese and Korean, and the rest of the text."""
        if self.family not in _KNOWN_CHARACTERS:
            return 0, text
        return wide_tokens(wide_character().findall(text)), wide_character().sub("", text)


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

    Raises:
        ContextLengthError: with the estimate and the limit.
    """
    input_length.check_length(
        request.model_info,
        request.text,
        hint="In RAG, call use_tokenizer(llm) before building index and engine, lower "
        "similarity_top_k, or shorten the memory (llm.chat_memory()); check_length=False "
        "sends it all the same.",
    )


def _foreign(text: str) -> tuple[float, str]:
    """About how many tokens the characters of other scripts are, and the rest of the text."""
    if text.isascii():
        return 0.0, text
    return sum(map(_rate, _FOREIGN.findall(text))), _FOREIGN.sub("", text)


def _rate(character: str) -> float:
    if character < "\u0370" or "\u1e00" <= character < "\u1f00":
        return _ACCENTED
    if "\u0400" <= character < "\u0530":
        return _CYRILLIC
    return _EMOJI if character > "\uffff" else _OTHER
