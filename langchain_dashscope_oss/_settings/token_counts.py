"""Token counts, offline: by estimate, or by the caller's own tokenizer; and inputs too long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from dashscope_oss.errors import ConfigurationError
from dashscope_oss.messages import Message
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.validation import check_modalities
from dashscope_oss.tokens import estimates
from dashscope_oss.tokens.input_length import check_length
from langchain_dashscope_oss._convert import to_messages
from langchain_dashscope_oss._settings.fields import Settings
from langchain_dashscope_oss.errors.conversion import raising_langchain_errors

_TOKENS_PER_MESSAGE = 4
"""What a chat template adds to a message: the marks of its beginning, its role and its end."""


class TokenCounts(Settings):
    """What LangChain asks when it trims or splits by tokens, and what is checked by tokens."""

    def get_num_tokens(self, text: str) -> int:
        """Return about how many tokens ``text`` is, offline.

        Chinese, Japanese and Korean characters are counted at the rate of the model's tokenizer
        family, all others at another. Expect errors of some 20 per cent, more for code, rare
        scripts and short texts; with ``custom_get_token_ids`` it is exact.
        """
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return estimates.estimate(text, self._find_model_info().tokenizer)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return about how many tokens ``messages`` and ``tools`` are, offline.

        Text and tool calls count as in ``get_num_tokens``, each message 4 more for its marks,
        each tool as the JSON that is sent. Images, videos and audio count nothing: how many tokens
        they are only the service knows.

        Raises:
            UnsupportedInputError: for content that the model does not take.
        """
        with raising_langchain_errors():
            sent = to_messages(messages, self.model)
            check_modalities(self._find_model_info(), sent)
        if not getattr(self, "send_reasoning", None):  # the chat model has it
            sent = [replace(message, reasoning=None) for message in sent]
        functions = [convert_to_openai_tool(tool) for tool in tools or ()]
        texts = [_counted_text(message) for message in sent]
        texts += [json.dumps(function, ensure_ascii=False) for function in functions]
        return sum(map(self.get_num_tokens, texts)) + _TOKENS_PER_MESSAGE * len(messages)

    def _checked_length(self, request: Request) -> Request:
        """Return ``request``, unless its input is surely too long for the model.

        Raises:
            ContextLengthError: with the count and the limit; only if ``check_length``.
        """
        if self.check_length:
            model_info = request.model_info
            own_model = model_info.id == self.model
            check_length(
                model_info,
                request.text,
                tokenizer=self.custom_get_token_ids if own_model else None,
            )
        return request

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids that ``custom_get_token_ids`` gives.

        Raises:
            ConfigurationError: if it is not set; no tokenizer is shipped, and ids cannot be
                estimated.
        """
        if self.custom_get_token_ids is None:
            with raising_langchain_errors():
                raise ConfigurationError(
                    "token ids need the model's own tokenizer: pass custom_get_token_ids; "
                    "get_num_tokens estimates without it"
                )
        return self.custom_get_token_ids(text)


def _counted_text(message: Message) -> str:
    calls = (f"{call.name}{call.arguments}" for call in message.tool_calls)
    return "".join((message.content, message.reasoning or "", *calls))
