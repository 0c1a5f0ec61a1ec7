"""Conversations that LlamaIndex makes, for models that were not trained on every kind of turn.

An agent with tools may hand over to a model without any, agents add system turns at the end, and
a memory that was cut may begin with an answer. Nothing of it is left out: what such a model knows
no turn for, it reads in words.
"""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage

from dashscope_oss import Message
from dashscope_oss.prompts.turn_order import fold_stray_turns, tell_tools_in_words
from llama_index_dashscope_oss._convert.messages import to_messages


def adapt_to_prompt(messages: Sequence[ChatMessage], model: str) -> list[Message]:
    """Return ``messages`` in the turns that a template writes; ``model`` is an id for errors.

    Raises:
        UnsupportedInputError: as ``messages.to_messages`` does.
    """
    return fold_stray_turns(tell_tools_in_words(to_messages(messages, model, knows_tools=False)))
