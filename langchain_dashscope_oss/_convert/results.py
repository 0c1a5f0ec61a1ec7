"""Whole answers as LangChain's results."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.messages import AIMessage, InvalidToolCall
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult, Generation

from dashscope_oss.messages import Reply, ToolCall
from langchain_dashscope_oss._convert.metadata import (
    additional_kwargs,
    generation_info,
    llm_output,
    message_content,
    response_metadata,
    usage_metadata,
)
from langchain_dashscope_oss._convert.tool_arguments import parse_arguments


def to_chat_result(reply: Reply, model: str) -> ChatResult:
    """Return a whole answer of ``model`` as LangChain's result."""
    valid, invalid = _parsed_calls(reply.tool_calls)
    info = generation_info(reply)
    message = AIMessage(
        content=message_content(reply),
        additional_kwargs=additional_kwargs(reply),
        response_metadata=response_metadata(info, model),
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(reply.usage),
    )
    return ChatResult(
        generations=[ChatGeneration(message=message, generation_info=info)],
        llm_output=llm_output([info], model),
    )


def to_generation(reply: Reply, model: str) -> Generation:
    """Return a whole answer of ``model`` as plain text with its facts."""
    info = {**additional_kwargs(reply), "model_name": model, **generation_info(reply)}
    return Generation(text=reply.text, generation_info=info)


def _parsed_calls(
    calls: Iterable[ToolCall],
) -> tuple[list[LangChainToolCall], list[InvalidToolCall]]:
    valid: list[LangChainToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in calls:
        try:
            arguments = parse_arguments(call.arguments)
        except ValueError as error:
            invalid.append(
                invalid_tool_call(
                    name=call.name, args=call.arguments, id=call.id or None, error=str(error)
                )
            )
        else:
            valid.append(tool_call(name=call.name, args=arguments, id=call.id or None))
    return valid, invalid
