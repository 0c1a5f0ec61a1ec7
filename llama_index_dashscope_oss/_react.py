"""``predict_and_call`` for models without tools: one step of ReAct, in words.

LlamaIndex's own gives its ReAct agent no formatter, which that refuses, and hands out what failed
as if it were the answer.
"""
# ruff: noqa: ANN401, FBT002 (the signatures are LlamaIndex's own)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool, ToolOutput
from llama_index.core.tools.calling import acall_tool_with_selection, call_tool_with_selection

from dashscope_oss import UnreadableAnswerError

# What callers may pass for LlamaIndex's agent, and for a model with tools.
_OF_AGENT = ("react_chat_formatter", "output_parser", "memory", "tool_retriever")
_OF_TOOLS = ("tool_choice", "tool_required")


class ReActLLM(FunctionCallingLLM):
    """A model that ``predict_and_call`` asks for one step in words if it has no tools."""

    def predict_and_call(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Let the model call one of ``tools`` and return what that gave.

        A model without tools is asked in words and called once. If it answers by itself, its
        answer is returned, without ``sources``.

        Raises:
            UnreadableAnswerError: if its step cannot be read or names no tool of these.
            ValueError: if the tool failed and ``error_on_tool_error``.
        """
        if self.metadata.is_function_calling_model:
            return super().predict_and_call(
                tools,
                user_msg,
                chat_history,
                verbose,
                allow_parallel_tool_calls,
                error_on_no_tool_call,
                error_on_tool_error,
                **_without(kwargs, _OF_AGENT),
            )
        step = _Step.of(self.metadata.model_name, tools, kwargs)
        found = step.read(self.chat(step.question(user_msg, chat_history), **step.options))
        if isinstance(found, AgentChatResponse):
            return found
        output = call_tool_with_selection(found, tools, verbose=verbose)
        return _answer(output, error_on_tool_error=error_on_tool_error)

    async def apredict_and_call(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        error_on_no_tool_call: bool = True,
        error_on_tool_error: bool = False,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Let the model call a tool, without blocking; see :meth:`predict_and_call`."""
        if self.metadata.is_function_calling_model:
            return await super().apredict_and_call(
                tools,
                user_msg,
                chat_history,
                verbose,
                allow_parallel_tool_calls,
                error_on_no_tool_call,
                error_on_tool_error,
                **_without(kwargs, _OF_AGENT),
            )
        step = _Step.of(self.metadata.model_name, tools, kwargs)
        found = step.read(await self.achat(step.question(user_msg, chat_history), **step.options))
        if isinstance(found, AgentChatResponse):
            return found
        output = await acall_tool_with_selection(found, tools, verbose=verbose)
        return _answer(output, error_on_tool_error=error_on_tool_error)


@dataclass(frozen=True, slots=True)
class _Step:
    """How to ask for one step and to read it."""

    model: str
    tools: Sequence[BaseTool]
    formatter: ReActChatFormatter
    parser: ReActOutputParser
    options: dict[str, Any]

    @classmethod
    def of(cls, model: str, tools: Sequence[BaseTool], given: dict[str, Any]) -> _Step:
        formatter = given.get("react_chat_formatter") or ReActChatFormatter.from_defaults()
        parser = given.get("output_parser") or ReActOutputParser()
        options = _without(given, (*_OF_AGENT, *_OF_TOOLS))
        return cls(model, tools, formatter, parser, options)

    def question(
        self, user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None
    ) -> list[ChatMessage]:
        messages = list(chat_history or ())
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        asked: list[ChatMessage] = self.formatter.format(self.tools, messages, [])
        return asked

    def read(self, response: ChatResponse) -> ToolSelection | AgentChatResponse:
        """Return the tool to call, or the answer if there is none."""
        said = response.message.content or ""
        try:
            found = self.parser.parse(said)
        except ValueError as error:
            raise self._unreadable(str(error), said) from error
        if not isinstance(found, ActionReasoningStep):
            return AgentChatResponse(response=str(getattr(found, "response", said)))
        if response.additional_kwargs.get("finish_reason") == "length":
            # LlamaIndex's parser makes arguments of what there is of them, or none.
            raise self._unreadable(
                f"the call of {found.action!r} broke off; raise max_tokens", said
            )
        known = [tool.metadata.get_name() for tool in self.tools]
        if found.action not in known:
            raise self._unreadable(
                f"there is no tool {found.action!r}, only {', '.join(known)}", said
            )
        return ToolSelection(
            tool_id=str(uuid4()), tool_name=found.action, tool_kwargs=found.action_input
        )

    def _unreadable(self, why: str, said: str) -> UnreadableAnswerError:
        return UnreadableAnswerError(why, model=self.model, partial_text=said)


def _without(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


def _answer(output: ToolOutput, *, error_on_tool_error: bool) -> AgentChatResponse:
    if output.is_error and error_on_tool_error:
        raise ValueError(output.content)
    return AgentChatResponse(response=output.content, sources=[output])
