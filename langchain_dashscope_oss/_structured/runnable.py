"""The runnable whose answers are objects: asks, parses, and asks once more if need be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict

from dashscope_oss import UnreadableAnswerError
from dashscope_oss.protocol.structured_output import REPAIR_REFUSALS, repair, why_unreadable
from langchain_dashscope_oss._structured.instructions import FormatInstructions
from langchain_dashscope_oss._structured.parsers import ObjectParser


class StructuredOutput(Runnable[LanguageModelInput, Any]):
    """A model whose answers are objects.

    Args:
        model: the model with all that it is to be sent.
        instructions: added to the conversation.
        parse: makes the object.
        output_type: what ``invoke`` returns.
        include_raw: hand on a dict of ``raw``, ``parsed`` and ``parsing_error``.
        repairs: ask once more, with the error, if the answer cannot be parsed.
    """

    def __init__(
        self,
        model: Runnable[LanguageModelInput, AIMessage],
        instructions: FormatInstructions,
        parse: ObjectParser,
        *,
        output_type: Any,  # noqa: ANN401 - a class, or a form that typing writes
        include_raw: bool,
        repairs: bool,
    ) -> None:
        self._model = model
        self._output_type = output_type
        self._instructions = instructions
        self._parse = parse
        self._include_raw = include_raw
        self._repairs = repairs

    @property
    def OutputType(self) -> Any:  # noqa: ANN401, N802 - LangChain's name
        """The class of the objects; LangChain makes the schema of a chain's output of it."""
        return self._output_type

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
        return self._transform_stream_with_config(
            iter([input]), self._stream_answer, config, **kwargs
        )

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as the base class has it
    ) -> AsyncIterator[Any]:
        """Hand on the object as it grows; see ``stream``."""
        objects = self._atransform_stream_with_config(
            _only(input), self._astream_answer, config, **kwargs
        )
        async for growing_object in objects:
            yield growing_object

    def _answer(
        self,
        model_input: LanguageModelInput,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Any:  # noqa: ANN401
        messages = self._instructions.added_to(model_input)
        answer = self._parsed(self._model.invoke(messages, config, **kwargs))
        if question := self._repair_question(messages, answer):
            # If its own answer cannot be sent back to the model, the first error counts.
            with suppress(*REPAIR_REFUSALS):
                answer = self._parsed(self._model.invoke(question, config, **kwargs))
        return self._output(answer)

    async def _aanswer(
        self,
        model_input: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Any:  # noqa: ANN401
        messages = self._instructions.added_to(model_input)
        answer = self._parsed(await self._model.ainvoke(messages, config, **kwargs))
        if question := self._repair_question(messages, answer):
            with suppress(*REPAIR_REFUSALS):
                answer = self._parsed(await self._model.ainvoke(question, config, **kwargs))
        return self._output(answer)

    def _stream_answer(
        self,
        inputs: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> Iterator[Any]:
        messages = self._instructions.added_to(next(inputs))
        growing = _GrowingAnswer(self._parse, include_raw=self._include_raw)
        for chunk in self._model.stream(messages, config, **kwargs):
            yield from growing.push(chunk)
        answer = self._parsed(growing.message)
        if question := self._repair_question(messages, answer):
            with suppress(*REPAIR_REFUSALS):
                answer = self._parsed(self._model.invoke(question, config, **kwargs))
        yield from growing.end(answer)

    async def _astream_answer(
        self,
        inputs: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,  # noqa: ANN401 - for the model
    ) -> AsyncIterator[Any]:
        messages = self._instructions.added_to(await anext(inputs))
        growing = _GrowingAnswer(self._parse, include_raw=self._include_raw)
        async for chunk in self._model.astream(messages, config, **kwargs):
            for growing_object in growing.push(chunk):
                yield growing_object
        answer = self._parsed(growing.message)
        if question := self._repair_question(messages, answer):
            with suppress(*REPAIR_REFUSALS):
                answer = self._parsed(await self._model.ainvoke(question, config, **kwargs))
        for last_object in growing.end(answer):
            yield last_object

    def _parsed(self, message: AIMessage) -> _ParsedAnswer:
        try:
            return _ParsedAnswer(message, self._parse(message, partial=False))
        except OutputParserException as error:
            reason = str(error.args[0]).partition("For troubleshooting")[0].strip()
            return _ParsedAnswer(message, None, _parsing_error(message, reason, error), reason)

    def _repair_question(
        self, messages: Sequence[BaseMessage], answer: _ParsedAnswer
    ) -> list[BaseMessage] | None:
        if answer.error is None or not self._repairs:
            return None
        return [*messages, AIMessage(answer.raw.text), HumanMessage(repair(answer.reason))]

    def _output(self, answer: _ParsedAnswer) -> Any:  # noqa: ANN401 - the schema's
        if self._include_raw:
            return {"raw": answer.raw, "parsed": answer.parsed, "parsing_error": answer.error}
        if answer.error:
            raise answer.error
        return answer.parsed


@dataclass(frozen=True, slots=True)
class _ParsedAnswer:
    """An answer and the object in it, or why there is none: as an error, and in a few words."""

    raw: AIMessage
    parsed: Any
    error: OutputParserException | None = None
    reason: str = ""


def _parsing_error(
    message: AIMessage, reason: str, error: OutputParserException
) -> OutputParserException:
    """Return the error for an answer without the object: which model, why, and what to do."""
    model = message.response_metadata.get("model_name")
    reason = why_unreadable(reason, message.response_metadata.get("finish_reason"))
    parsing_error = OutputParserException(
        str(UnreadableAnswerError(reason, model=model)), llm_output=error.llm_output
    )
    parsing_error.__cause__ = error
    return parsing_error


class _GrowingAnswer:
    """Turns the chunks of an answer into what a stream of objects hands on."""

    def __init__(self, parse: ObjectParser, *, include_raw: bool) -> None:
        self._parse = parse
        self._include_raw = include_raw
        self._newest: Any = None
        self.message = AIMessage("")

    def push(self, chunk: AIMessage) -> Iterable[Any]:
        # A model that does not stream hands on one whole message.
        if isinstance(self.message, AIMessageChunk) and isinstance(chunk, AIMessageChunk):
            self.message = self.message + chunk
        else:
            self.message = chunk
        if self._include_raw:
            return [AddableDict(raw=chunk)]
        return self._changed(self._parse(self.message, partial=True))

    def end(self, answer: _ParsedAnswer) -> Iterable[Any]:
        if self._include_raw:
            return [AddableDict(parsed=answer.parsed, parsing_error=answer.error)]
        if answer.error:
            raise answer.error
        return self._changed(answer.parsed)

    def _changed(self, parsed: Any) -> Iterable[Any]:  # noqa: ANN401 - the schema's
        if parsed is None or parsed == self._newest:
            return []
        self._newest = parsed
        return [parsed]


async def _only(model_input: LanguageModelInput) -> AsyncIterator[LanguageModelInput]:
    yield model_input
