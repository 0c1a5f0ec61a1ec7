"""Objects of a pydantic class: by a forced tool, or asked for in words.

LlamaIndex's own programs lose the system prompt when they do not block, and force no tool when
they stream.
"""

from __future__ import annotations

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
from llama_index.core.output_parsers.pydantic import PydanticOutputParser
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, process_streaming_objects
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from pydantic import BaseModel

from dashscope_oss import (
    ContextLengthError,
    ModelInfo,
    Options,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.errors import shortened

Object: TypeAlias = BaseModel | list[BaseModel] | FlexibleModel | list[FlexibleModel]
"""Whole, or as far as it has come."""

Way: TypeAlias = Literal["tool", "words"]

_dispatcher = get_dispatcher(__name__)
_AGAIN = "That answer cannot be used: {why}\nAnswer again, with nothing but the JSON object."
_WHY_LIMIT = 500
# Why a model cannot be shown its own answer again; what was wrong with that matters more.
_UNSHOWABLE = (UnsupportedInputError, ContextLengthError)
# What callers may pass for LlamaIndex's programs.
_PROGRAMS_OWN = ("tool_required", "tool_choice", "allow_parallel_tool_calls")


def choose(model_info: ModelInfo, options: Options, mode: PydanticProgramMode) -> Way | None:
    """Return how to get an object from this model; ``None``: as LlamaIndex's own program does.

    The service forces no tool while a model thinks.
    """
    if mode is PydanticProgramMode.LLM:
        return "words"
    if mode is PydanticProgramMode.DEFAULT:
        return "tool" if model_info.tools and not _must_think(model_info, options) else "words"
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
            with suppress(*_UNSHOWABLE):
                found = self.llm.chat(again, **self.kwargs)
        return self._read(found)

    async def aanswer(self) -> Model:
        """Return the object; see :meth:`answer`."""
        found = await self.llm.achat(self.messages, **self.kwargs)
        if again := self._again(found):
            with suppress(*_UNSHOWABLE):
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
            with suppress(*_UNSHOWABLE):
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
            with suppress(*_UNSHOWABLE):
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
        found: Model = _parser(self.form).parse(_said(response))
        return found

    def _again(self, response: ChatResponse) -> list[ChatMessage]:
        try:
            self._parsed(response)
        except ValueError as error:
            said = ChatMessage(role=MessageRole.ASSISTANT, content=_said(response))
            asked = _AGAIN.format(why=str(error)[:_WHY_LIMIT])
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
    forced = {"type": "function", "function": {"name": tool["function"]["name"]}}
    kept = {name: value for name, value in kwargs.items() if name not in _PROGRAMS_OWN}
    return Asking(llm, form, list(messages), {**kept, "tools": [tool], "tool_choice": forced})


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
    words = _parser(form).get_format_string(escape_json=False)
    turns = [message.model_copy() for message in messages]
    if turns and turns[-1].role is MessageRole.USER:
        turns[-1].blocks = [*turns[-1].blocks, TextBlock(text=words)]
    else:
        turns.append(ChatMessage(role=MessageRole.USER, content=words.strip()))
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
    # While a model thinks the service holds it to no format.
    if _must_think(model_info, options) or model_info.structured not in (
        "json_object",
        "json_schema",
    ):
        return {}
    off = model_info.thinking == "hybrid" and options.enable_thinking is None
    said: dict[str, Any] = {"enable_thinking": False} if off else {}
    if model_info.structured == "json_object":
        return {**said, "response_format": {"type": "json_object"}}
    schema = {"name": form.__name__, "schema": form.model_json_schema()}
    return {**said, "response_format": {"type": "json_schema", "json_schema": schema}}


def _said(response: ChatResponse) -> str:
    """What a model said, if need be as arguments of a tool."""
    calls = response.message.additional_kwargs.get("tool_calls")
    if calls:
        return str(calls[0]["function"]["arguments"])
    return response.message.content or ""


def _must_think(model_info: ModelInfo, options: Options) -> bool:
    switchable = model_info.thinking == "hybrid" and options.enable_thinking is None
    return model_info.thinks(options.enable_thinking) and not switchable


def _parser(form: type[BaseModel]) -> PydanticOutputParser[BaseModel]:
    return PydanticOutputParser(output_cls=form)
