"""What LangChain costs: a chat model whose answers are constants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from service import ANSWER, PIECE


class Floor(BaseChatModel):
    """Answers at once; a stream has ``pieces`` pieces."""

    pieces: int = 1

    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, *args: object, **more: object) -> ChatResult:
        return result(ANSWER)

    async def _agenerate(self, *args: object, **more: object) -> ChatResult:
        return self._generate()

    def _stream(self, *args: object, **more: object) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.pieces):
            yield ChatGenerationChunk(message=AIMessageChunk(content=PIECE))

    async def _astream(self, *args: object, **more: object) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream():
            yield chunk


def result(text: str) -> ChatResult:
    """Return an answer."""
    usage = {"input_tokens": 17, "output_tokens": 30, "total_tokens": 47}
    message = AIMessage(
        content=text, usage_metadata=usage, response_metadata={"finish_reason": "stop"}
    )
    return ChatResult(generations=[ChatGeneration(message=message)])
