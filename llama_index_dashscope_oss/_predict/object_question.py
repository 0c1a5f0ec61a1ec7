"""A question whose answer is an object of a pydantic class, and the repair of a bad answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.types import Model
from pydantic import BaseModel, ValidationError

from dashscope_oss import ModelInfo, UnreadableAnswerError
from dashscope_oss.errors import shortened
from dashscope_oss.protocol import structured_output
from dashscope_oss.protocol.structured_output import REPAIR_REFUSALS, why_unreadable
from dashscope_oss.protocol.tools import forced
from llama_index_dashscope_oss._convert.tool_calls import tool_form

PartialObject: TypeAlias = BaseModel | FlexibleModel
"""The object as far as it has come; the last of a stream is whole."""

# What callers may pass for LlamaIndex's own programs; the tool is forced here.
_OF_PROGRAMS = ("tool_required", "tool_choice", "allow_parallel_tool_calls")


@dataclass(frozen=True, slots=True)
class ObjectQuestion(Generic[Model]):
    """A question for an object, asked once more if its answer cannot be read.

    Attributes:
        llm: the model.
        output_cls: class of the object.
        messages: the question.
        kwargs: arguments of each call.
    """

    llm: FunctionCallingLLM
    output_cls: type[Model]
    messages: list[ChatMessage]
    kwargs: dict[str, Any]

    def answer(self) -> Model:
        """Return the object.

        Raises:
            UnreadableAnswerError: if the second answer cannot be read either.
        """
        return self._read_or_repeat(self.llm.chat(self.messages, **self.kwargs))

    async def aanswer(self) -> Model:
        """Return the object; see :meth:`answer`."""
        return await self._aread_or_repeat(await self.llm.achat(self.messages, **self.kwargs))

    def stream(self) -> Generator[PartialObject, None, None]:
        """Yield the object as it grows; the last one is whole and checked."""
        growing = _GrowingObject(self.output_cls)
        with closing(self.llm.stream_chat(self.messages, **self.kwargs)) as responses:
            for response in responses:
                yield growing.push(response)
        yield self._read_or_repeat(growing.last_response)

    async def astream(self) -> AsyncGenerator[PartialObject, None]:
        """Yield the object as it grows; see :meth:`stream`."""
        growing = _GrowingObject(self.output_cls)
        stream = await self.llm.astream_chat(self.messages, **self.kwargs)
        async with aclosing(stream) as responses:
            async for response in responses:
                yield growing.push(response)
        yield await self._aread_or_repeat(growing.last_response)

    def _read_or_repeat(self, response: ChatResponse) -> Model:
        """Return the object in an answer, or in a second one if it cannot be read."""
        if repair := self._repair(response):
            with suppress(*REPAIR_REFUSALS):
                response = self.llm.chat(repair, **self.kwargs)
        return self._read(response)

    async def _aread_or_repeat(self, response: ChatResponse) -> Model:
        if repair := self._repair(response):
            with suppress(*REPAIR_REFUSALS):
                response = await self.llm.achat(repair, **self.kwargs)
        return self._read(response)

    def _read(self, response: ChatResponse) -> Model:
        try:
            return self._parse(response)
        except ValueError as error:
            reason = shortened(f"the answer is not a {self.output_cls.__name__}: {error}")
            raise UnreadableAnswerError(
                why_unreadable(reason, response.additional_kwargs.get("finish_reason")),
                model=self.llm.metadata.model_name,
                partial_text=_answer_text(response),
            ) from None  # it repeats all of the answer

    def _parse(self, response: ChatResponse) -> Model:
        return structured_output.read_object(
            _answer_text(response),
            # As JSON, of which pydantic takes more: a date in a strict class.
            lambda json_object: self.output_cls.model_validate_json(json.dumps(json_object)),
        )

    def _repair(self, response: ChatResponse) -> list[ChatMessage]:
        """Return the second question, or nothing if the answer can be read."""
        try:
            self._parse(response)
        except ValueError as error:
            answer = ChatMessage(role=MessageRole.ASSISTANT, content=_answer_text(response))
            words = structured_output.repair(str(error))
            return [*self.messages, answer, ChatMessage(role=MessageRole.USER, content=words)]
        return []


def ask_by_tool(
    llm: FunctionCallingLLM,
    output_cls: type[Model],
    messages: Sequence[ChatMessage],
    kwargs: dict[str, Any],
) -> ObjectQuestion[Model]:
    """Return the question whose answer must be the call of a tool."""
    tool = tool_form(get_function_tool(output_cls))
    choice = forced(tool["function"]["name"])
    kept = {name: value for name, value in kwargs.items() if name not in _OF_PROGRAMS}
    arguments = {**kept, "tools": [tool], "tool_choice": choice}
    return ObjectQuestion(llm, output_cls, list(messages), arguments)


def ask_in_words(
    llm: FunctionCallingLLM,
    output_cls: type[Model],
    messages: Sequence[ChatMessage],
    kwargs: dict[str, Any],
) -> ObjectQuestion[Model]:
    """Return the question with the schema added to its last turn."""
    words = structured_output.instructions(output_cls.model_json_schema())
    turns = [message.model_copy() for message in messages]
    if turns and turns[-1].role is MessageRole.USER:
        turns[-1].blocks = [*turns[-1].blocks, TextBlock(text=f"\n{words}")]
    else:
        turns.append(ChatMessage(role=MessageRole.USER, content=words))
    return ObjectQuestion(llm, output_cls, turns, kwargs)


def json_mode(
    model_info: ModelInfo, enable_thinking: bool | None, output_cls: type[BaseModel]
) -> dict[str, Any]:
    """Return the arguments that turn on the service's JSON mode; none if the model has none."""
    mode = structured_output.json_mode(model_info, enable_thinking)
    if mode is None:
        return {}
    schema = output_cls.model_json_schema() if mode == "json_schema" else None
    return {"response_format": structured_output.response_format(schema, name=output_cls.__name__)}


class _GrowingObject:
    """Turns the responses of a stream into objects as far as they have come."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._partial_cls = create_flexible_model(output_cls)
        self._newest: PartialObject = self._partial_cls()
        self.last_response = ChatResponse(message=ChatMessage("", role=MessageRole.ASSISTANT))

    def push(self, response: ChatResponse) -> PartialObject:
        self.last_response = response
        partial = structured_output.read_partial_object(_answer_text(response), self._make)
        if partial is not None:
            self._newest = partial
        return self._newest

    def _make(self, json_object: dict[str, object]) -> PartialObject:
        try:
            return self._output_cls.model_validate(json_object)
        except ValidationError:
            return self._partial_cls.model_validate(json_object)


def _answer_text(response: ChatResponse) -> str:
    """Return what a model said, if need be as the arguments of a tool."""
    calls = response.message.additional_kwargs.get("tool_calls")
    if calls:
        return str(calls[0]["function"]["arguments"])
    return response.message.content or ""
