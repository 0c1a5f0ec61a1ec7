"""Objects of a pydantic class: by a forced tool, or asked for in words.

LlamaIndex's own programs lose the system prompt when they do not block, and force no tool when
they stream.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, process_streaming_objects
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from pydantic import BaseModel

from dashscope_oss import (
    ModelInfo,
    Options,
    UnreadableAnswerError,
)
from dashscope_oss.errors import shortened
from dashscope_oss.protocol import structured_output
from dashscope_oss.protocol.structured_output import REPAIR_REFUSALS
from dashscope_oss.protocol.tools import forced

Object: TypeAlias = BaseModel | list[BaseModel] | FlexibleModel | list[FlexibleModel]
"""Whole, or as far as it has come."""

Way: TypeAlias = Literal["tool", "words"]

_dispatcher = get_dispatcher(__name__)
# What callers may pass for LlamaIndex's programs.
_PROGRAMS_OWN = ("tool_required", "tool_choice", "allow_parallel_tool_calls")


def choose(model_info: ModelInfo, options: Options, mode: PydanticProgramMode) -> Way | None:
    """Return how to get an object from this model; ``None``: as LlamaIndex's own program does."""
    if mode is PydanticProgramMode.LLM:
        return "words"
    if mode is PydanticProgramMode.DEFAULT:
        method = structured_output.best_method(model_info, options.enable_thinking)
        return "tool" if method == "tool" else "words"
    return None


def tell_start(form: type[BaseModel], prompt: BasePromptTemplate, given: dict[str, Any]) -> None:
    """Emit LlamaIndex's start event of a structured answer."""
    _dispatcher.event(
        LLMStructuredPredictStartEvent(output_cls=form, template=prompt, template_args=given)
    )


def tell_end(found: Model) -> Model:
    """Emit LlamaIndex's end event and return ``found``."""
    _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
    return found


@dataclass(frozen=True, slots=True)
class Asking(Generic[Model]):
    """One question for an object, and a second one if the answer to the first cannot be read.

    Attributes:
        llm: the model.
        form: class of the object.
        messages: the question.
        kwargs: for every call.
    """

    llm: FunctionCallingLLM
    form: type[Model]
    messages: list[ChatMessage]
    kwargs: dict[str, Any]

    def answer(self) -> Model:
        """Return the object.

        Raises:
            UnreadableAnswerError: if the second answer cannot be read either.
        """
        found = self.llm.chat(self.messages, **self.kwargs)
        if again := self._again(found):
            with suppress(*REPAIR_REFUSALS):
                found = self.llm.chat(again, **self.kwargs)
        return self._read(found)

    async def aanswer(self) -> Model:
        """Return the object; see :meth:`answer`."""
        found = await self.llm.achat(self.messages, **self.kwargs)
        if again := self._again(found):
            with suppress(*REPAIR_REFUSALS):
                found = await self.llm.achat(again, **self.kwargs)
        return self._read(found)

    def stream(self) -> Generator[Object, None, None]:
        """Yield the object as it grows; the last one is whole and checked."""
        growing = _Growing(self)
        with closing(self.llm.stream_chat(self.messages, **self.kwargs)) as pieces:
            for piece in pieces:
                yield growing.push(piece)
        found = growing.last
        if again := self._again(found):
            with suppress(*REPAIR_REFUSALS):
                found = self.llm.chat(again, **self.kwargs)
        yield self._read(found)

    async def astream(self) -> AsyncGenerator[Object, None]:
        """Yield the object as it grows; see :meth:`stream`."""
        growing = _Growing(self)
        answers = await self.llm.astream_chat(self.messages, **self.kwargs)
        async with aclosing(answers) as pieces:
            async for piece in pieces:
                yield growing.push(piece)
        found = growing.last
        if again := self._again(found):
            with suppress(*REPAIR_REFUSALS):
                found = await self.llm.achat(again, **self.kwargs)
        yield self._read(found)

    def _read(self, response: ChatResponse) -> Model:
        try:
            return self._parsed(response)
        except ValueError as error:
            raise UnreadableAnswerError(
                shortened(f"the answer is no {self.form.__name__}: {error}"),
                model=self.llm.metadata.model_name,
                partial_text=_said(response),
            ) from None  # it repeats all of the answer

    def _parsed(self, response: ChatResponse) -> Model:
        return structured_output.read_object(
            _said(response),
            # As JSON, of which pydantic takes more: a date in a strict class.
            lambda json_object: self.form.model_validate_json(json.dumps(json_object)),
        )

    def _again(self, response: ChatResponse) -> list[ChatMessage]:
        try:
            self._parsed(response)
        except ValueError as error:
            said = ChatMessage(role=MessageRole.ASSISTANT, content=_said(response))
            asked = structured_output.repair(str(error))
            return [*self.messages, said, ChatMessage(role=MessageRole.USER, content=asked)]
        return []


def by_tool(
    llm: FunctionCallingLLM,
    form: type[Model],
    messages: Sequence[ChatMessage],
    kwargs: dict[str, Any],
) -> Asking[Model]:
    """Return the question whose answer must be the call of a tool."""
    tool = get_function_tool(form).metadata.to_openai_tool(skip_length_check=True)
    choice = forced(tool["function"]["name"])
    kept = {name: value for name, value in kwargs.items() if name not in _PROGRAMS_OWN}
    return Asking(llm, form, list(messages), {**kept, "tools": [tool], "tool_choice": choice})


def in_words(
    llm: FunctionCallingLLM,
    form: type[Model],
    messages: Sequence[ChatMessage],
    kwargs: dict[str, Any],
    mode: dict[str, Any],
) -> Asking[Model]:
    """Return the question with the schema added to it.

    Args:
        mode: parameters of the service's JSON mode, see :func:`json_mode`.
    """
    words = structured_output.instructions(form.model_json_schema())
    turns = [message.model_copy() for message in messages]
    if turns and turns[-1].role is MessageRole.USER:
        turns[-1].blocks = [*turns[-1].blocks, TextBlock(text=f"\n{words}")]
    else:
        turns.append(ChatMessage(role=MessageRole.USER, content=words))
    return Asking(llm, form, turns, {**mode, **kwargs})


class _Growing:
    """Turns the responses of a stream into objects as far as they have come."""

    def __init__(self, asking: Asking[Any]) -> None:
        self._asking = asking
        self._objects: list[Any] | None = None
        self.last = ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""))

    def push(self, response: ChatResponse) -> Object:
        self.last = response
        found = process_streaming_objects(
            response, self._asking.form, cur_objects=self._objects, llm=self._asking.llm
        )
        self._objects = found if isinstance(found, list) else [found]
        return found


def json_mode(model_info: ModelInfo, options: Options, form: type[BaseModel]) -> dict[str, Any]:
    """Return the parameters of the service's JSON mode, none if the model has no such mode."""
    mode = structured_output.json_mode(model_info, options.enable_thinking)
    if mode is None:
        return {}
    schema = form.model_json_schema() if mode == "json_schema" else None
    return {"response_format": structured_output.response_format(schema, name=form.__name__)}


def _said(response: ChatResponse) -> str:
    """What a model said, if need be as arguments of a tool."""
    calls = response.message.additional_kwargs.get("tool_calls")
    if calls:
        return str(calls[0]["function"]["arguments"])
    return response.message.content or ""
