"""``predict_and_call``: calls of tools, or of a model without tools one step of ReAct, in words.

LlamaIndex's own method fails for a model without tools: it gives its ReAct agent no formatter, and
returns the failure as if it were the answer. With tools it runs some of the calls before it sees
that it cannot run all.
"""
# ruff: noqa: ANN401, FBT002 (the signatures are LlamaIndex's own)

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
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

_Step: TypeAlias = list[ToolSelection] | AgentChatResponse
"""What a model does next: call tools, or answer."""


class ReActLLM(FunctionCallingLLM):
    """A model that ``predict_and_call`` asks for calls of tools, in words if it has no tools."""

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
        answer is returned, without ``sources``; so is that of a model with tools, but only with
        ``error_on_no_tool_call=False``.

        Raises:
            UnreadableAnswerError: if its step cannot be read or names no tool of these.
            ValueError: if the tool failed and ``error_on_tool_error``.
        """
        if self.metadata.is_function_calling_model:
            response = self.chat_with_tools(
                tools,
                user_msg=user_msg,
                chat_history=chat_history,
                verbose=verbose,
                allow_parallel_tool_calls=allow_parallel_tool_calls,
                **_without(kwargs, _OF_AGENT),
            )
            step = self._calls_or_answer(response, tools, error_on_no_tool_call)
        else:
            question = _ReActStep.of(self.metadata.model_name, tools, kwargs)
            step = question.read(
                self.chat(question.messages(user_msg, chat_history), **question.options)
            )
        if isinstance(step, AgentChatResponse):
            return step
        outputs = [call_tool_with_selection(call, tools, verbose=verbose) for call in step]
        return _tool_response(outputs, error_on_tool_error=error_on_tool_error)

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
            response = await self.achat_with_tools(
                tools,
                user_msg=user_msg,
                chat_history=chat_history,
                verbose=verbose,
                allow_parallel_tool_calls=allow_parallel_tool_calls,
                **_without(kwargs, _OF_AGENT),
            )
            step = self._calls_or_answer(response, tools, error_on_no_tool_call)
        else:
            question = _ReActStep.of(self.metadata.model_name, tools, kwargs)
            step = question.read(
                await self.achat(question.messages(user_msg, chat_history), **question.options)
            )
        if isinstance(step, AgentChatResponse):
            return step
        running = [acall_tool_with_selection(call, tools, verbose=verbose) for call in step]
        outputs = await asyncio.gather(*running)
        return _tool_response(outputs, error_on_tool_error=error_on_tool_error)

    def _calls_or_answer(
        self, response: ChatResponse, tools: Sequence[BaseTool], call_required: bool
    ) -> _Step:
        """Return the calls of a model with tools, or its answer if it made none."""
        calls = self.get_tool_calls_from_response(response, error_on_no_tool_call=call_required)
        answer = response.message.content or ""
        for call in calls:
            _check_is_known(call.tool_name, tools, self.metadata.model_name, answer)
        return calls or AgentChatResponse(response=answer)


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

    def messages(
        self, user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None
    ) -> list[ChatMessage]:
        conversation = with_user_message(chat_history, user_msg)
        messages: list[ChatMessage] = self.formatter.format(self.tools, conversation, [])
        return messages

    def read(self, response: ChatResponse) -> _Step:
        """Return the call of a tool, or the answer if there is none."""
        answer = response.message.content or ""
        try:
            step = self.parser.parse(answer)
        except ValueError as error:
            raise _unreadable(str(error), self.model, answer) from error
        if not isinstance(step, ActionReasoningStep):
            return AgentChatResponse(response=str(getattr(step, "response", answer)))
        if response.additional_kwargs.get("finish_reason") == "length":
            # LlamaIndex's parser makes arguments of what there is of them, or none.
            raise _unreadable(
                f"the answer was cut off in the call of {step.action!r}; raise max_tokens",
                self.model,
                answer,
            )
        _check_is_known(step.action, self.tools, self.model, answer)
        call = ToolSelection(
            tool_id=str(uuid4()), tool_name=step.action, tool_kwargs=step.action_input
        )
        return [call]


def _check_is_known(name: str, tools: Sequence[BaseTool], model: str, answer: str) -> None:
    """Raise if the model called a tool that there is not."""
    names = [tool.metadata.get_name() for tool in tools]
    if name not in names:
        reason = f"the model called {name!r}, which is none of the tools {', '.join(names)}"
        raise _unreadable(reason, model, answer)


def _unreadable(reason: str, model: str, answer: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(reason, model=model, partial_text=answer)


def _without(kwargs: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in names}


def _tool_response(outputs: list[ToolOutput], *, error_on_tool_error: bool) -> AgentChatResponse:
    text = "\n\n".join(output.content for output in outputs)
    if error_on_tool_error and any(output.is_error for output in outputs):
        raise ValueError(text)
    return AgentChatResponse(response=text, sources=outputs)
