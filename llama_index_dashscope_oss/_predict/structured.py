"""Objects of a pydantic class: by a forced tool, or asked for in words.

LlamaIndex's own programs lose the system prompt when they do not block, and force no tool when
they stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.types import Model, PydanticProgramMode

from dashscope_oss.protocol import structured_output
from llama_index_dashscope_oss._calls.requests import RequestLLM
from llama_index_dashscope_oss._predict.object_question import (
    ObjectQuestion,
    ask_by_tool,
    ask_in_words,
    json_mode,
)

if TYPE_CHECKING:
    from llama_index.core.prompts import PromptTemplate

_dispatcher = get_dispatcher(__name__)


class StructuredLLM(RequestLLM):
    """A model that answers with objects, whatever it has for that: tools, a JSON mode, or words."""

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401 - LlamaIndex's own signature, here and below
    ) -> Model:
        """Return an object of ``output_cls``: by a forced tool, else asked for in words.

        An answer that cannot be read is asked for once more. While the model thinks it is asked
        in words, because the service forces nothing then.

        Raises:
            UnreadableAnswerError: if the second answer holds no such object either.
        """
        question = self._object_question(output_cls, prompt, llm_kwargs, prompt_args)
        if question is None:
            own: Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return own
        _emit_start(output_cls, prompt, prompt_args)
        return _emit_end(question.answer())

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> Model:
        """Return an object of ``output_cls``; see :meth:`structured_predict`."""
        question = self._object_question(output_cls, prompt, llm_kwargs, prompt_args)
        if question is None:
            own: Model = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return own
        _emit_start(output_cls, prompt, prompt_args)
        return _emit_end(await question.aanswer())

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> Generator[Any, None, None]:
        question = self._object_question(output_cls, prompt, llm_kwargs, prompt_args)
        if question is None:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return question.stream()

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> AsyncGenerator[Any, None]:
        question = self._object_question(output_cls, prompt, llm_kwargs, prompt_args)
        if question is None:
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        return question.astream()

    def _object_question(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> ObjectQuestion[Model] | None:
        """Return how to ask for the object; ``None`` if the user chose a program of LlamaIndex's.

        ``pydantic_program_mode`` says so: ``default`` takes the surest way, ``llm`` words.
        """
        mode, kwargs = self.pydantic_program_mode, llm_kwargs or {}
        if mode not in (PydanticProgramMode.DEFAULT, PydanticProgramMode.LLM):
            return None
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        model_info, thinking = self._resolve_model(), self._options(kwargs).enable_thinking
        method = structured_output.best_method(model_info, thinking)
        if method == "tool" and mode is PydanticProgramMode.DEFAULT:
            return ask_by_tool(self, output_cls, messages, kwargs)
        arguments = {**json_mode(model_info, thinking, output_cls), **kwargs}
        return ask_in_words(self, output_cls, messages, arguments)


def _emit_start(
    output_cls: type[Model], prompt: PromptTemplate, prompt_args: dict[str, Any]
) -> None:
    _dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )


def _emit_end(answer: Model) -> Model:
    """Emit LlamaIndex's end event and return ``answer``."""
    _dispatcher.event(LLMStructuredPredictEndEvent(output=answer))
    return answer
