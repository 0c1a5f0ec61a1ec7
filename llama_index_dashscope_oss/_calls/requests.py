"""From messages or a prompt to a checked request, and from there to the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage

from dashscope_oss import ContextLengthError, chat_request, completion_request
from dashscope_oss.protocol.request import Request
from dashscope_oss.tokens import input_length
from dashscope_oss.tokens.rate_limits import counted
from llama_index_dashscope_oss._convert.messages import to_messages
from llama_index_dashscope_oss._convert.prompt_functions import MessagesToPrompt, is_users_own
from llama_index_dashscope_oss._settings.copying import CopyableLLM

if TYPE_CHECKING:
    from llama_index.core.prompts import BasePromptTemplate

_TOO_LONG = (
    "In RAG, call use_tokenizer(llm) before building index and engine, lower similarity_top_k, or "
    "shorten the memory (llm.chat_memory()); check_length=False sends it all the same."
)


class RequestLLM(CopyableLLM):
    """A model that makes requests of messages or a prompt, and sends them."""

    def _chat_request(
        self,
        messages: Sequence[ChatMessage],
        call_arguments: dict[str, Any],
        *,
        stream: bool = False,
    ) -> Request:
        model_info, options = self._resolve_model(), self._options(call_arguments)
        to_prompt = self.messages_to_prompt
        if to_prompt and not model_info.takes_messages and is_users_own(to_prompt):
            prompt = to_prompt(messages)
            return self._checked(
                lambda: completion_request(
                    model_info, prompt, options, stream=stream, formatted=True
                )
            )
        turns = to_messages(messages, model_info.id)
        return self._checked(lambda: chat_request(model_info, turns, options, stream=stream))

    def _completion_request(
        self, prompt: str, call_arguments: dict[str, Any], *, formatted: bool, stream: bool = False
    ) -> Request:
        model_info, options = self._resolve_model(), self._options(call_arguments)
        to_prompt = self.completion_to_prompt
        if to_prompt and not formatted and is_users_own(to_prompt):
            prompt, formatted = to_prompt(prompt), True
        # LlamaIndex's False only says that nobody formatted it: the user may have done it.
        return self._checked(
            lambda: completion_request(
                model_info, prompt, options, stream=stream, formatted=formatted or None
            )
        )

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:  # noqa: ANN401
        # LlamaIndex would put the system prompt before the family's template, not into it.
        to_prompt = self.messages_to_prompt
        plain = self.query_wrapper_prompt is None and not is_users_own(self.completion_to_prompt)
        if plain and isinstance(to_prompt, MessagesToPrompt):
            return to_prompt(self._get_messages(prompt, **prompt_args))
        return super()._get_prompt(prompt, **prompt_args)

    def _checked(self, make_request: Callable[[], Request]) -> Request:
        """Return a request if it is not too long; it then counts against the rate limits."""
        try:
            request = make_request()
            if self.check_length:
                tokenizer = self.tokenizer_fn
                input_length.check_length(request.model_info, request.text, tokenizer=tokenizer)
        except ContextLengthError as error:
            error.hint = _TOO_LONG
            raise
        return counted(request, self)
