"""Calls of tools: those that a message holds, and those that an agent is to make."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, closing
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic_core import from_json

from dashscope_oss import (
    DashScopeWarning,
    ToolCall,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.errors import shortened, warn
from dashscope_oss.protocol.conversation import write_arguments
from dashscope_oss.protocol.conversation.content_blocks import block_call, unlisted_calls
from dashscope_oss.protocol.streaming.tool_calls import NO_ARGUMENTS
from dashscope_oss.protocol.structured_output import read_loose_object, with_root_written_out
from dashscope_oss.protocol.tools import read_tool_call


def tool_form(tool: BaseTool) -> dict[str, Any]:
    """Return a tool in the form that the service takes, which is OpenAI's."""
    form = tool.metadata.to_openai_tool(skip_length_check=True)
    arguments = tool.metadata.fn_schema
    if arguments is not None and "type" not in form["function"]["parameters"]:
        # LlamaIndex drops the reference that is all that stands at the root.
        form["function"]["parameters"] = with_root_written_out(arguments.model_json_schema())
    return form


def tool_calls_of(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Return the calls in a message: its blocks, and those that only older forms list."""
    blocks = [block for block in message.blocks if block.block_type == "tool_call"]
    calls = tuple(
        ToolCall(block.tool_call_id or "", block.tool_name, write_arguments(block.tool_kwargs))
        for block in blocks
    )
    listed = list(map(_listed_call, message.additional_kwargs.get("tool_calls") or ()))
    if older := message.additional_kwargs.get("function_call"):
        listed.append(_listed_call(older))
    return calls + unlisted_calls(listed, calls)


def selections(message: ChatMessage, model: str, *, whole: bool) -> list[ToolSelection]:
    """Return the tools to call.

    A call without arguments, or whose arguments are still to come, gets an empty dict.

    Args:
        message: what the model said.
        model: id for errors.
        whole: whether that is all of it.

    Raises:
        UnreadableAnswerError: if arguments are no JSON object, and no more of them will come.
    """
    return [
        ToolSelection(
            tool_id=call.id,
            tool_name=call.name,
            tool_kwargs=_arguments(call, model) if whole else parse_arguments(call.arguments) or {},
        )
        for call in tool_calls_of(message)
    ]


def with_first_call(response: ChatResponse, model: str, *, whole: bool = True) -> ChatResponse:
    """Return ``response`` with no more than one call of a tool; warn of those left out.

    Some models make several calls though ``parallel_tool_calls`` is off.

    Args:
        response: what the model said, as ``chat_response`` made it: the message lists its calls.
        model: id for the warning.
        whole: whether that is all of it; only then is there a warning.
    """
    message = response.message
    calls = message.additional_kwargs.get("tool_calls", ())
    if len(calls) < 2:
        return response
    if whole:
        first_name, *others = (call["function"]["name"] for call in calls)
        warn(
            f"{model}: the model called {len(calls)} tools at once; only its call of "
            f"{first_name} is taken, not that of {', '.join(others)}. Set "
            "allow_parallel_tool_calls=True to take all",
            DashScopeWarning,
        )
    first = next((block for block in message.blocks if block.block_type == "tool_call"), None)
    blocks = [b for b in message.blocks if b is first or b.block_type != "tool_call"]
    listed = {**message.additional_kwargs, "tool_calls": calls[:1]}
    one = {"blocks": blocks, "additional_kwargs": listed}
    return response.model_copy(update={"message": message.model_copy(update=one)})


def with_first_calls(responses: ChatResponseGen, model: str) -> ChatResponseGen:
    """Yield the responses of a stream as :func:`with_first_call` returns them."""
    with closing(responses):
        for response in responses:
            yield with_first_call(response, model, whole=is_whole(response))


async def awith_first_calls(responses: ChatResponseAsyncGen, model: str) -> ChatResponseAsyncGen:
    """Yield the responses of a stream; see :func:`with_first_calls`."""
    async with aclosing(responses):
        async for response in responses:
            yield with_first_call(response, model, whole=is_whole(response))


def is_whole(response: ChatResponse) -> bool:
    """Whether no more of an answer will come."""
    return response.additional_kwargs.get("finish_reason") is not None


def parse_arguments(text: str, *, partial: bool = False) -> dict[str, Any] | None:
    """Return the JSON object in ``text``, or as much as there is of it; ``None`` if it is none."""
    try:
        arguments = from_json(
            text or "{}",
            allow_partial="trailing-strings" if partial else "off",
            allow_inf_nan=False,
        )
    except ValueError:
        return {} if partial else None
    return arguments if isinstance(arguments, dict) else None


def _arguments(call: ToolCall, model: str) -> dict[str, Any]:
    """Return the arguments of a call that is whole.

    Raises:
        UnreadableAnswerError: if they are no JSON object. An agent would run the tool with its
            defaults, which nobody asked for.
    """
    if call.arguments.strip() in ("", *NO_ARGUMENTS):
        return {}
    arguments = parse_arguments(call.arguments)
    if arguments is None:
        arguments = _untidy_object(call.arguments)
    if arguments is None:
        raise UnreadableAnswerError(
            f"the model called {call.name} with arguments that are not a complete JSON object: "
            f"{shortened(call.arguments)!r}",
            model=model,
            hint="If the answer was cut off, raise max_tokens.",
        )
    return arguments


def _untidy_object(text: str) -> dict[str, Any] | None:
    """Return the object in ``text`` despite loose commas and quotes; ``None`` if it broke off."""
    untidy = text.strip()
    try:
        arguments, end = read_loose_object(untidy, 0)
    except (ValueError, RecursionError):
        return None
    return arguments if end == len(untidy) else None


def _listed_call(call: object) -> ToolCall:
    """Return a call in OpenAI's form, or in the flat one of other makers."""
    data = _fields(call)
    if function := _fields(data.get("function")):
        arguments = write_arguments(function.get("arguments"))
        return read_tool_call({**data, "function": {**function, "arguments": arguments}})
    if (flat := block_call(data)) is not None:
        return flat
    raise UnsupportedInputError(
        "a call in additional_kwargs names no tool; give it a 'function' with 'name' and "
        "'arguments', as additional_kwargs['tool_calls'] has it"
    )


def _fields(call: object) -> Mapping[str, Any]:
    """Return the fields of a dict, or of an object of a maker's package."""
    if isinstance(call, Mapping):
        return call
    dump = getattr(call, "model_dump", None)
    return dump() if callable(dump) else vars(call) if hasattr(call, "__dict__") else {}
