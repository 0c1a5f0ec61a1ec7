"""What LlamaIndex costs: a chat model whose answers are constants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.llm import LLM
from service import ANSWER, PIECE


def response(text: str, delta: str | None = None) -> ChatResponse:
    """Return an answer, or a piece of one."""
    return ChatResponse(message=ChatMessage(role="assistant", content=text), delta=delta)


class Floor(LLM):
    """Answers at once; a stream has ``pieces`` pieces."""

    pieces: int = 1

    @property
    def metadata(self) -> LLMMetadata:
        """Say that this is a chat model."""
        return LLMMetadata(model_name="floor", is_chat_model=True)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **more: object) -> ChatResponse:
        """Answer."""
        return response(ANSWER)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **more: object) -> ChatResponse:
        """Answer."""
        return response(ANSWER)

    def _pieces(self) -> Iterator[ChatResponse]:
        return (response(PIECE * number, PIECE) for number in range(1, self.pieces + 1))

    @llm_chat_callback()
    def stream_chat(
        self, messages: Sequence[ChatMessage], **more: object
    ) -> Iterator[ChatResponse]:
        """Answer piece by piece."""
        return self._pieces()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **more: object
    ) -> AsyncIterator[ChatResponse]:
        """Answer piece by piece."""

        async def pieces() -> AsyncIterator[ChatResponse]:
            for piece in self._pieces():
                yield piece

        return pieces()

    def _no_completion(self, *args: object, **more: object) -> None:
        raise NotImplementedError

    complete = stream_complete = _no_completion  # type: ignore[assignment]  # never called
    acomplete = astream_complete = _no_completion  # type: ignore[assignment]  # the same
