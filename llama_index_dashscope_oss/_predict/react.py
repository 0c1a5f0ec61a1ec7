"""``predict_and_call`` for models without tools: one step of ReAct, in words.

LlamaIndex's own method fails for such a model: it gives its ReAct agent no formatter, and returns
the failure as if it were the answer.
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
from llama_index_dashscope_oss._convert.messages import with_user_message

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
        step = _ReActStep.of(self.metadata.model_name, tools, kwargs)
        response = self.chat(step.question(user_msg, chat_history), **step.options)
        action = step.read(response)
        if isinstance(action, AgentChatResponse):
            return action
        output = call_tool_with_selection(action, tools, verbose=verbose)
        return _tool_response(output, error_on_tool_error=error_on_tool_error)

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
        step = _ReActStep.of(self.metadata.model_name, tools, kwargs)
        response = await self.achat(step.question(user_msg, chat_history), **step.options)
        action = step.read(response)
        if isinstance(action, AgentChatResponse):
            return action
        output = await acall_tool_with_selection(action, tools, verbose=verbose)
        return _tool_response(output, error_on_tool_error=error_on_tool_error)


@dataclass(frozen=True, slots=True)
class _ReActStep:
    """How one step is asked for, and read.

    Attributes:
        model: id for errors.
        tools: those that the model may call.
        formatter: writes the question, with the tools in it.
        parser: reads the answer.
        options: arguments of the call.
    """

    model: str
    tools: Sequence[BaseTool]
    formatter: ReActChatFormatter
    parser: ReActOutputParser
    options: dict[str, Any]

    @classmethod
    def of(cls, model: str, tools: Sequence[BaseTool], kwargs: dict[str, Any]) -> _ReActStep:
        formatter = kwargs.get("react_chat_formatter") or ReActChatFormatter.from_defaults()
        parser = kwargs.get("output_parser") or ReActOutputParser()
        options = _without(kwargs, (*_OF_AGENT, *_OF_TOOLS))
        return cls(model, tools, formatter, parser, options)

    def question(
        self, user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None
    ) -> list[ChatMessage]:
        messages = with_user_message(chat_history, user_msg)
        question: list[ChatMessage] = self.formatter.format(self.tools, messages, [])
        return question

    def read(self, response: ChatResponse) -> ToolSelection | AgentChatResponse:
        """Return the tool to call, or the answer if there is none."""
        answer = response.message.content or ""
        try:
            step = self.parser.parse(answer)
        except ValueError as error:
            raise self._unreadable(str(error), answer) from error
        if not isinstance(step, ActionReasoningStep):
            return AgentChatResponse(response=str(getattr(step, "response", answer)))
        if response.additional_kwargs.get("finish_reason") == "length":
            # LlamaIndex's parser makes arguments of what there is of them, or none.
            raise self._unreadable(
                f"the answer was cut off in the call of {step.action!r}; raise max_tokens", answer
            )
        names = [tool.metadata.get_name() for tool in self.tools]
        if step.action not in names:
            raise self._unreadable(
                f"the model called {step.action!r}, which is none of the tools {', '.join(names)}",
                answer,
            )
        return ToolSelection(
            tool_id=str(uuid4()), tool_name=step.action, tool_kwargs=step.action_input
        )

    def _unreadable(self, reason: str, answer: str) -> UnreadableAnswerError:
        return UnreadableAnswerError(reason, model=self.model, partial_text=answer)


def _without(kwargs: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in names}


def _tool_response(output: ToolOutput, *, error_on_tool_error: bool) -> AgentChatResponse:
    if output.is_error and error_on_tool_error:
        raise ValueError(output.content)
    return AgentChatResponse(response=output.content, sources=[output])
