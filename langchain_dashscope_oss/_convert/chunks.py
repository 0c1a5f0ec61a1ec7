"""The pieces of a stream as LangChain's chunks."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk

from dashscope_oss.messages import Delta, ToolCall
from dashscope_oss.protocol.streaming.model_cloner import ModelCloner
from langchain_dashscope_oss._convert.broken_calls import BrokenCallsChunk, Ending, FirstPiece
from langchain_dashscope_oss._convert.metadata import (
    PROVIDER,
    Info,
    additional_kwargs,
    generation_info,
    logprobs_info,
    message_content,
    response_metadata,
    usage_metadata,
)
from langchain_dashscope_oss._convert.tool_arguments import StrictStrings, closing_mark

_MESSAGES = ModelCloner(AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER}))
_FIRST = ModelCloner(FirstPiece(message=_MESSAGES.clone()))
_GENERATIONS = ModelCloner(ChatGenerationChunk(message=_MESSAGES.clone()))


class ChunkConverter:
    """Makes LangChain's chunks of the deltas of one answer of ``model``.

    Usage and metadata come with the last one only: LangChain adds the metadata of chunks up, so
    what came twice would be doubled. Log probabilities come with the piece that they are of.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: defaultdict[int, _CallText] = defaultdict(_CallText)
        self._newest = -1
        self._is_first = True

    def push(self, delta: Delta) -> ChatGenerationChunk:
        """Return the next piece of the answer."""
        is_first, self._is_first = self._is_first, False
        if delta.is_plain:
            message = _MESSAGES.clone(content=delta.text)
            cloner = _FIRST if is_first else _GENERATIONS
            return cloner.clone(message=message, text=delta.text)
        message, info = self._with_facts(delta)
        chunk_type = FirstPiece if is_first else ChatGenerationChunk
        return chunk_type(message=message, generation_info=info or None)

    def _with_facts(self, delta: Delta) -> tuple[AIMessageChunk, Info]:
        info = generation_info(delta) if delta.last else logprobs_info(delta)
        position: Literal["last"] | None = "last" if delta.last else None
        calls = [self._call_chunk(call) for call in delta.tool_calls]
        endings = self._endings() if delta.last else {}
        for index, ending in endings.items():
            _extend(calls, index, ending.mark)
        metadata = response_metadata(info, self._model)
        message = AIMessageChunk(
            content=message_content(delta),
            additional_kwargs=additional_kwargs(delta),
            response_metadata=metadata if delta.last else {"model_provider": PROVIDER, **info},
            tool_call_chunks=calls,
            usage_metadata=usage_metadata(delta.usage),
            chunk_position=position,
        )
        return (BrokenCallsChunk.of(message, endings) if endings else message), info

    def _endings(self) -> dict[int, Ending]:
        """Return what the arguments of each call need so that LangChain judges them as we do."""
        endings = {index: call.ending() for index, call in self._calls.items()}
        return {index: ending for index, ending in endings.items() if ending.mark}

    def _call_chunk(self, call: ToolCall) -> ToolCallChunk:
        index = self._index(call)
        self._newest = max(self._newest, index)
        arguments = self._calls[index].push(call.arguments)
        return tool_call_chunk(
            name=call.name or None, args=arguments, id=call.id or None, index=index
        )

    def _index(self, call: ToolCall) -> int:
        if call.index is not None:
            return call.index
        begins = self._newest < 0 or bool(call.id or call.name)
        return self._newest + 1 if begins else self._newest


class _CallText:
    """The arguments of one call so far: as they came, and as LangChain is given them."""

    def __init__(self) -> None:
        self._raw: list[str] = []
        self._written: list[str] = []
        self._strings = StrictStrings()

    def push(self, piece: str) -> str:
        """Return the next piece as LangChain is given it."""
        self._raw.append(piece)
        self._written.append(self._strings.push(piece))
        return self._written[-1]

    def ending(self) -> Ending:
        """Return what stands behind the arguments once no more of them come."""
        raw = "".join(self._raw)
        return Ending(mark=closing_mark(raw), written="".join(self._written), raw=raw)


def to_generation_chunk(delta: Delta, model: str) -> GenerationChunk:
    """Return a piece of plain text; its facts come with the last one only."""
    info = {"model_name": model, **generation_info(delta)} if delta.last else logprobs_info(delta)
    return GenerationChunk(
        text=delta.text, generation_info={**additional_kwargs(delta), **info} or None
    )


def _extend(chunks: list[ToolCallChunk], index: int, text: str) -> None:
    """Add ``text`` to the arguments of a call, in its newest piece if that is among ``chunks``."""
    for chunk in reversed(chunks):
        if chunk["index"] == index:
            chunk["args"] = f"{chunk['args'] or ''}{text}"
            return
    chunks.append(tool_call_chunk(args=text, index=index))
