"""From the deltas of an answer to LlamaIndex's responses, each with all the text so far."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Generic, TypeAlias, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
)

from dashscope_oss import Delta, Reply
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import extend_reply
from dashscope_oss.protocol.streaming.model_cloner import ModelCloner

Response = TypeVar("Response", ChatResponse, CompletionResponse)
Convert: TypeAlias = Callable[[Request, Reply, Delta | None], Response]
"""``responses.chat_response`` or ``responses.completion_response``."""

_TEXT_BLOCKS = ModelCloner(TextBlock(text=""))
_MESSAGES = ModelCloner(ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="")]))


def to_responses(
    request: Request, deltas: Generator[Delta, None, None], convert: Convert[Response]
) -> Generator[Response, None, None]:
    """Yield a response for each delta; closing the iterator closes ``deltas``."""
    answer = _GrowingAnswer(request, convert)
    with closing(deltas):
        for delta in deltas:
            yield answer.push(delta)


async def ato_responses(
    request: Request, deltas: AsyncGenerator[Delta, None], convert: Convert[Response]
) -> AsyncGenerator[Response, None]:
    """Yield a response for each delta; see :func:`to_responses`."""
    answer = _GrowingAnswer(request, convert)
    async with aclosing(deltas):
        async for delta in deltas:
            yield answer.push(delta)


class _GrowingAnswer(Generic[Response]):
    """An answer while it streams: each delta makes the response of all there is so far.

    Most pieces are mere text and differ from the one before in little, so their responses are
    clones of its response.
    """

    def __init__(self, request: Request, convert: Convert[Response]) -> None:
        self._request = request
        self._convert: Convert[Response] = convert
        self._reply = Reply(text="")
        self._text = ""
        self._cloner: ModelCloner[Response] | None = None

    def push(self, delta: Delta) -> Response:
        """Return the response for the answer with ``delta``."""
        if self._cloner is not None and delta.is_plain:
            self._text += delta.text
            return self._clone(self._cloner, delta)
        self._reply = extend_reply(replace(self._reply, text=self._text), delta)
        self._text = self._reply.text
        response: Response = self._convert(self._request, self._reply, delta)
        reply = self._reply
        is_text_only = delta.is_plain and not (reply.reasoning or reply.tool_calls or reply.images)
        self._cloner = ModelCloner(response) if is_text_only else None
        return response

    def _clone(self, cloner: ModelCloner[Response], delta: Delta) -> Response:
        raw = {name: value for name, value in delta.raw.items() if name != "usage"}
        if cloner.makes(CompletionResponse):
            return cloner.clone(text=self._text, delta=delta.text, raw=raw)
        message = _MESSAGES.clone(blocks=[_TEXT_BLOCKS.clone(text=self._text)])
        return cloner.clone(message=message, delta=delta.text, raw=raw)
