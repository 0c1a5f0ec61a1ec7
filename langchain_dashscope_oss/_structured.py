"""Answers in a form: by a tool, by the service's JSON modes, or asked for in words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict

from dashscope_oss.errors import (
    ConfigurationError,
    DashScopeWarning,
    warn,
)
from dashscope_oss.protocol import structured_output
from dashscope_oss.protocol.structured_output import REPAIR_REFUSALS
from dashscope_oss.registry.model_info import ModelInfo
from langchain_dashscope_oss._objects import (
    Reader,
    Schema,
    json_schema,
    text_reader,
    tool_of,
    tool_reader,
)

Method: TypeAlias = Literal["function_calling", "json_mode", "json_schema", "prompt"]
METHODS: tuple[Method, ...] = get_args(Method)

_METHODS: dict[Method, structured_output.Method] = {
    "function_calling": "tool",
    "json_mode": "json_object",
    "json_schema": "json_schema",
    "prompt": "words",
}
_NAMES = {method: name for name, method in _METHODS.items()}


def choose(model_info: ModelInfo, method: Method | None, thinking: bool | None) -> Method:
    """Return the way to get an object from this model: the one asked for, or the nearest it has.

    Args:
        model_info: the model.
        method: what was asked for; ``None``: the surest way.
        thinking: the call's ``enable_thinking``.

    Raises:
        ConfigurationError: for a method that does not exist.
    """
    if method is None:
        return _NAMES[structured_output.best_method(model_info, thinking)]
    if method not in METHODS:
        raise ConfigurationError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    at_rest = structured_output.known_methods(model_info)
    known = structured_output.known_methods(
        model_info, thinking=not model_info.can_be_forced(thinking)
    )
    nearest = _NAMES[structured_output.nearest_method(_METHODS[method], known)]
    if nearest == method:
        return method
    lacks = "thinks, and then has no" if _METHODS[method] in at_rest else "does not know"
    names = [name for name in METHODS if _METHODS[name] in known]
    warn(
        f"{model_info.id} {lacks} method={method!r}; it falls back to {nearest!r}, with the "
        f"schema in the prompt. It knows {', '.join(names)}.",
        DashScopeWarning,
    )
    return nearest


def check(
    schema: Schema | None, method: Method, tools: Sequence[Any] | None, *, include_raw: bool
) -> None:
    """Raise for what cannot be combined."""
    if schema is None and method in ("function_calling", "json_schema"):
        raise ConfigurationError(f"method={method!r} needs a schema")
    if tools and not include_raw:
        raise ConfigurationError("with tools an answer may be a call: pass include_raw=True")


def parameters(
    model_info: ModelInfo,
    schema: Schema | None,
    method: Method,
    strict: bool | None,
    thinking: bool | None,
) -> dict[str, Any]:
    """Return what to bind to the model, tools excepted."""
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    said: dict[str, Any] = {"ls_structured_output_format": traced}
    if method == "prompt" or (schema is None and method != "json_mode"):
        return said
    if method == "function_calling":
        return {**said, "tool_choice": _choice(model_info, schema, thinking)}
    if method == "json_mode" or schema is None:
        return {**said, "response_format": structured_output.response_format(None)}
    return {**said, "response_format": response_format(schema, strict=strict)}


def response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Return ``schema`` as the parameter that makes the service follow it."""
    made = json_schema(schema, strict=strict)
    return structured_output.response_format(
        made,
        name=made.pop("title", "answer"),
        description=made.pop("description", None),
        strict=strict,
    )


def form(schema: Schema | None) -> str:
    """Return the words that ask for an object of ``schema``."""
    return structured_output.instructions(None if schema is None else json_schema(schema))


def reader(method: Method, schema: Schema | None, *, optional: bool) -> Reader:
    """Return what makes the object; ``optional``: the answer may be calls of other tools."""
    if method == "function_calling" and schema is not None:
        return tool_reader(schema, optional=optional)
    read = text_reader(schema)

    def read_unless_called(message: AIMessage, *, partial: bool) -> Any:  # noqa: ANN401
        called = optional and message.tool_calls
        return None if called else read(message, partial=partial)

    return read_unless_called


@dataclass(frozen=True)
class Asking:
    """How a conversation is completed so that the answer is an object.

    Attributes:
        turns: makes messages of whatever a model takes.
        form: words that ask for the object; "": nothing is added.
        unless_said: add them only if no message speaks of JSON, which the service's JSON mode
            demands.
    """

    turns: Callable[[LanguageModelInput], list[BaseMessage]]
    form: str = ""
    unless_said: bool = False

    @classmethod
    def by(
        cls,
        method: Method,
        schema: Schema | None,
        turns: Callable[[LanguageModelInput], list[BaseMessage]],
        *,
        asked: Method | None,
    ) -> Self:
        """Return what ``method`` needs; ``asked`` is the caller's choice."""
        if method in ("function_calling", "json_schema"):
            return cls(turns)
        # Who chooses the JSON mode describes the object, as with other services.
        return cls(turns, form(schema), unless_said=method == "json_mode" == asked)

    def __call__(self, given: LanguageModelInput) -> list[BaseMessage]:
        """Return the messages to send."""
        turns = self.turns(given)
        if not self.form or (self.unless_said and any("json" in t.text.lower() for t in turns)):
            return turns
        last = turns[-1] if turns else None
        if not isinstance(last, HumanMessage):
            return [*turns, HumanMessage(self.form)]
        return [*turns[:-1], last.model_copy(update={"content": _followed(last, self.form)})]


class ObjectOutput(Runnable[LanguageModelInput, Any]):
    """A model whose answers are objects.

    Args:
        model: the model with all that it is to be sent.
        asking: completes the conversation.
        read: makes the object.
        include_raw: hand on a dict of ``raw``, ``parsed`` and ``parsing_error``.
        repairs: ask once more, with the error, if the answer cannot be read.
    """

    def __init__(
        self,
        model: Runnable[LanguageModelInput, AIMessage],
        asking: Asking,
        read: Reader,
        *,
        include_raw: bool,
        repairs: bool,
    ) -> None:
        self._model = model
        self._asking = asking
        self._read = read
        self._include_raw = include_raw
        self._repairs = repairs

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Any:  # noqa: ANN401
        """Return the object.

        Raises:
            OutputParserException: if the answer holds none, unless ``include_raw``.
        """
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Any:  # noqa: ANN401
        """Return the object; see ``invoke``."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> Iterator[Any]:
        """Hand on the object as it grows; the last one is whole and checked."""
        return self._transform_stream_with_config(iter([input]), self._grow, config, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> AsyncIterator[Any]:
        """Hand on the object as it grows; see ``stream``."""
        pieces = self._atransform_stream_with_config(_one(input), self._agrow, config, **kwargs)
        async for piece in pieces:
            yield piece

    def _answer(
        self,
        given: LanguageModelInput,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Any:  # noqa: ANN401
        turns = self._asking(given)
        found = self._found(self._model.invoke(turns, config, **kwargs))
        if again := self._again(turns, found):
            # Its answer may be something that it cannot be shown again.
            with suppress(*REPAIR_REFUSALS):
                found = self._found(self._model.invoke(again, config, **kwargs))
        return self._handed(found)

    async def _aanswer(
        self,
        given: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Any:  # noqa: ANN401
        turns = self._asking(given)
        found = self._found(await self._model.ainvoke(turns, config, **kwargs))
        if again := self._again(turns, found):
            with suppress(*REPAIR_REFUSALS):
                found = self._found(await self._model.ainvoke(again, config, **kwargs))
        return self._handed(found)

    def _grow(
        self,
        given: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Iterator[Any]:
        turns = self._asking(next(given))
        growing = _Growing(self._read, include_raw=self._include_raw)
        for chunk in self._model.stream(turns, config, **kwargs):
            yield from growing.push(chunk)
        found = self._found(growing.whole)
        if again := self._again(turns, found):
            with suppress(*REPAIR_REFUSALS):
                found = self._found(self._model.invoke(again, config, **kwargs))
        yield from growing.end(found)

    async def _agrow(
        self,
        given: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> AsyncIterator[Any]:
        turns = self._asking(await anext(given))
        growing = _Growing(self._read, include_raw=self._include_raw)
        async for chunk in self._model.astream(turns, config, **kwargs):
            for piece in growing.push(chunk):
                yield piece
        found = self._found(growing.whole)
        if again := self._again(turns, found):
            with suppress(*REPAIR_REFUSALS):
                found = self._found(await self._model.ainvoke(again, config, **kwargs))
        for piece in growing.end(found):
            yield piece

    def _found(self, message: AIMessage) -> _Found:
        try:
            return _Found(message, self._read(message, partial=False))
        except OutputParserException as error:
            return _Found(message, None, error)

    def _again(self, turns: Sequence[BaseMessage], found: _Found) -> list[BaseMessage] | None:
        if found.error is None or not self._repairs:
            return None
        why = str(found.error.args[0]).partition("For troubleshooting")[0].strip()
        asked = HumanMessage(structured_output.repair(why))
        return [*turns, AIMessage(found.raw.text), asked]

    def _handed(self, found: _Found) -> Any:  # noqa: ANN401 - the schema's
        if self._include_raw:
            return {"raw": found.raw, "parsed": found.parsed, "parsing_error": found.error}
        if found.error:
            raise found.error
        return found.parsed


@dataclass(frozen=True)
class _Found:
    raw: AIMessage
    parsed: Any
    error: OutputParserException | None = None


class _Growing:
    """Turns the chunks of an answer into what a stream of objects hands on."""

    def __init__(self, read: Reader, *, include_raw: bool) -> None:
        self._read = read
        self._include_raw = include_raw
        self._shown: Any = None
        self.whole = AIMessage("")

    def push(self, chunk: AIMessage) -> Iterable[Any]:
        # A model that does not stream hands on one whole message.
        both = isinstance(self.whole, AIMessageChunk) and isinstance(chunk, AIMessageChunk)
        self.whole = self.whole + chunk if both else chunk  # type: ignore[assignment]
        if self._include_raw:
            return [AddableDict(raw=chunk)]
        return self._new(self._read(self.whole, partial=True))

    def end(self, found: _Found) -> Iterable[Any]:
        if self._include_raw:
            return [AddableDict(parsed=found.parsed, parsing_error=found.error)]
        if found.error:
            raise found.error
        return self._new(found.parsed)

    def _new(self, parsed: Any) -> Iterable[Any]:  # noqa: ANN401 - the schema's
        if parsed is None or parsed == self._shown:
            return []
        self._shown = parsed
        return [parsed]


async def _one(given: LanguageModelInput) -> AsyncIterator[LanguageModelInput]:
    yield given


def _choice(
    model_info: ModelInfo,
    schema: Schema | None,
    thinking: bool | None,
) -> str | None:
    if model_info.can_be_forced(thinking):
        return str(tool_of(schema)["name"])
    warn(
        f"{model_info.id} thinks, so the service cannot force it to call a tool: it may answer in "
        "words, which raises. method='prompt' always works.",
        DashScopeWarning,
    )
    return None


def _followed(message: HumanMessage, words: str) -> str | list[str | dict[str, Any]]:
    if isinstance(message.content, str):
        return f"{message.content}\n\n{words}"
    return [*message.content, {"type": "text", "text": f"\n\n{words}"}]
