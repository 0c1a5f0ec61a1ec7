"""The model class of LlamaIndex."""
# ruff: noqa: ANN401, FBT002 (the signatures are LlamaIndex's own)

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core import Settings as GlobalSettings
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.memory import ChatMemoryBuffer
from pydantic import ConfigDict

from dashscope_oss import ConfigurationError, UnreadableAnswerError
from dashscope_oss.protocol.tools import tool_choice as service_tool_choice
from llama_index_dashscope_oss._calls.call_guard import refuse_settings_in_calls
from llama_index_dashscope_oss._convert.messages import with_user_message
from llama_index_dashscope_oss._convert.responses import chat_response, completion_response
from llama_index_dashscope_oss._convert.streaming import ato_responses, to_responses
from llama_index_dashscope_oss._convert.tool_calls import (
    awith_first_calls,
    is_whole,
    selections,
    tool_form,
    with_first_call,
    with_first_calls,
)
from llama_index_dashscope_oss._predict.react import ReActLLM
from llama_index_dashscope_oss._predict.structured import StructuredLLM
from llama_index_dashscope_oss._tokens import context_window, memory
from llama_index_dashscope_oss._tokens.estimator import TokenEstimator

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool


@refuse_settings_in_calls
class DashScopeOSS(ReActLLM, StructuredLLM):
    """An open-weight model of DashScope, hosted or behind a gateway, as a LlamaIndex LLM.

    ::

        llm = DashScopeOSS(model="llama3-8b-instruct", base_url="http://127.0.0.1:8000/api/v1")
        print(llm.complete("Hello"))

    All eight methods work for every model, prompt-only ones included. The settings are those of
    ``LLMSettings``, a base of this class. Arguments of a call go over them; a setting that a call
    cannot have is refused, and a name that is no setting goes into ``parameters`` as it is.

    Thoughts and calls of tools are blocks of the message; a completion has them in
    ``additional_kwargs``, as ``reasoning_content`` and ``tool_calls``. ``additional_kwargs`` holds
    token counts where the service reports them, ``finish_reason``, ``request_id``, ``model`` and,
    behind a gateway, ``served_by``. ``logprobs`` holds log probabilities if a call asks for them
    (``logprobs=True, top_logprobs=2``), in a stream those of the newest piece.

    Raises:
        DashScopeError: one of its tree, for every failure. What a model cannot carry is an
            ``UnsupportedInputError`` before anything is sent.
    """

    model_config = ConfigDict(defer_build=False)

    @classmethod
    def class_name(cls) -> str:
        """Return the name in LlamaIndex's serialized form."""
        return "DashScopeOSS"

    @property
    def metadata(self) -> LLMMetadata:
        """Limits and abilities, from the model's record; no call is made for them.

        ``context_window`` is the input limit and ``num_output`` together, because LlamaIndex
        fills with input what ``num_output`` leaves of it.
        """
        model_info = self._resolve_model()
        most = self.max_tokens or self.max_completion_tokens
        output = context_window.num_output(model_info, most)
        chat = model_info.takes_messages if self.is_chat_model is None else self.is_chat_model
        return LLMMetadata(
            model_name=model_info.id,
            context_window=context_window.window(model_info, output),
            num_output=output,
            is_chat_model=chat,
            is_function_calling_model=model_info.tools,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what events say of this object; never the key."""
        return {
            "class_name": self.class_name(),
            "model": self.model,
            "temperature": self.temperature,
            **self.metadata.model_dump(),
        }

    @property
    def tokenizer(self) -> memory.Tokenize:
        """The user's tokenizer if there is one, else a ``TokenEstimator`` for this model."""
        return self.tokenizer_fn or TokenEstimator(self._resolve_model().tokenizer)

    def chat_memory(self) -> ChatMemoryBuffer:
        """Return a memory for chat engines and agents that leaves room in this model's window."""
        return memory.chat_memory(self.metadata, self.tokenizer)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        request = self._chat_request(messages, kwargs)
        return chat_response(request, self._client.send(request))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece."""
        request = self._chat_request(messages, kwargs, stream=True)
        return to_responses(request, self._client.stream(request), chat_response)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation, without blocking."""
        request = self._chat_request(messages, kwargs)
        return chat_response(request, await self._async_client.send(request))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece, without blocking."""
        request = self._chat_request(messages, kwargs, stream=True)
        return ato_responses(request, self._async_client.stream(request), chat_response)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt; ``formatted`` says that it is in the model's own form already."""
        request = self._completion_request(prompt, kwargs, formatted=formatted)
        return completion_response(request, self._client.send(request))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a prompt piece by piece; see :meth:`complete`."""
        request = self._completion_request(prompt, kwargs, formatted=formatted, stream=True)
        return to_responses(request, self._client.stream(request), completion_response)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Answer a prompt, without blocking; see :meth:`complete`."""
        request = self._completion_request(prompt, kwargs, formatted=formatted)
        return completion_response(request, await self._async_client.send(request))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt piece by piece, without blocking; see :meth:`complete`."""
        request = self._completion_request(prompt, kwargs, formatted=formatted, stream=True)
        return ato_responses(request, self._async_client.stream(request), completion_response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        """Return the tools that the model wants called.

        Raises:
            UnreadableAnswerError: if there are none and ``error_on_no_tool_call``, or the answer
                is whole and the arguments of a call are no JSON object.
        """
        calls = selections(response.message, self.model, whole=is_whole(response))
        if error_on_no_tool_call and not calls:
            text = response.message.content
            raise UnreadableAnswerError(
                f"the model called no tool; it said: {text!r}", model=self.model, partial_text=text
            )
        return calls

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        arguments = {"messages": with_user_message(chat_history, user_msg), **kwargs}
        if not tools:
            return arguments
        forms = [tool_form(tool) for tool in tools]
        wanted = "required" if tool_choice is None and tool_required else tool_choice
        choice = service_tool_choice(wanted, forms, self.model)
        options = {
            "tools": forms,
            "tool_choice": choice,
            "parallel_tool_calls": allow_parallel_tool_calls or None,
        }
        return {**arguments, **{name: value for name, value in options.items() if value}}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **_: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else with_first_call(response, self.model)

    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Stream an answer that may call tools: only one, unless parallel calls are allowed."""
        responses = super().stream_chat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            tool_required,
            **kwargs,
        )
        return responses if allow_parallel_tool_calls else with_first_calls(responses, self.model)

    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Stream an answer that may call tools, without blocking."""
        responses = await super().astream_chat_with_tools(
            tools,
            user_msg,
            chat_history,
            verbose,
            allow_parallel_tool_calls,
            tool_required,
            **kwargs,
        )
        return responses if allow_parallel_tool_calls else awith_first_calls(responses, self.model)


def use_tokenizer(llm: LLM) -> None:
    """Make LlamaIndex count tokens as this model does: sets LlamaIndex's ``Settings.tokenizer``.

    Call it before splitters, memories and engines are made, for they keep what they find. Without
    it LlamaIndex counts as GPT-3.5 does, a fifth too few for Chinese text on the Llama 2 family.

    Raises:
        ConfigurationError: for a model that is not a ``DashScopeOSS``.
    """
    if not isinstance(llm, DashScopeOSS):
        raise ConfigurationError(f"use_tokenizer needs a DashScopeOSS, not a {type(llm).__name__}")
    GlobalSettings.tokenizer = llm.tokenizer
