"""Streamed calls whose arguments broke off: invalid in LangChain, and their text as it came.

When LangChain adds chunks up it completes JSON that broke off, and takes the call for a valid one.
A wrong bracket behind the arguments keeps it from that. The classes here take the bracket out of
``invalid_tool_calls`` again, once LangChain has judged, and out of the content of its
``output_version="v1"``; ``tool_call_chunks`` keep it, because LangChain judges them anew whenever
a sum is copied from its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.outputs import ChatGenerationChunk
from pydantic import PrivateAttr

Chunk = TypeVar("Chunk", bound=AIMessageChunk)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the arguments of a call broke off.

    Attributes:
        mark: the bracket behind them.
        written: all of them as they stand in the chunks, without it.
        raw: all of them as they came.
    """

    mark: str
    written: str
    raw: str

    def raw_text(self, arguments: str) -> str:
        """Return ``arguments`` of the chunks, all or a part, as they came."""
        without_mark = arguments.removesuffix(self.mark)
        return self.raw if without_mark == self.written else without_mark


class BrokenCallsChunk(AIMessageChunk):
    """The last piece of an answer in which arguments broke off."""

    _endings: dict[int, Ending] = PrivateAttr(default_factory=dict)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Return the name that LangChain writes and reads: this is one of its chunks."""
        return AIMessageChunk.lc_id()

    @classmethod
    def of(cls, chunk: AIMessageChunk, endings: Mapping[int, Ending]) -> BrokenCallsChunk:
        """Return ``chunk``; ``endings`` are those of the broken calls, by their index."""
        broken = cls(**chunk.__dict__)
        broken._endings = dict(endings)
        return _with_raw_text(broken, endings)

    def __radd__(self, earlier: AIMessageChunk) -> AIMessageChunk:
        """Return the sum; Python asks the subclass first."""
        return _with_raw_text(AIMessageChunk.__add__(earlier, self), self._endings)


class FirstPiece(ChatGenerationChunk):
    """The first piece of an answer, to which LangChain may add all others at once."""

    def __add__(
        self, other: ChatGenerationChunk | list[ChatGenerationChunk]
    ) -> ChatGenerationChunk:
        """Return the sum."""
        whole = super().__add__(other)
        others = other if isinstance(other, list) else [other]
        last = [self, *others][-1].message
        if isinstance(last, BrokenCallsChunk) and isinstance(whole.message, AIMessageChunk):
            plain = AIMessageChunk(**{**whole.message.__dict__, "type": "AIMessageChunk"})
            whole.message = _with_raw_text(plain, last._endings)
        return whole


def _with_raw_text(chunk: Chunk, endings: Mapping[int, Ending]) -> Chunk:
    """Take the brackets out of the invalid calls and the content of ``chunk``; return it."""
    raw_texts: dict[str | None, str] = {}
    for piece in chunk.tool_call_chunks:
        index, arguments = piece["index"], piece["args"] or ""
        if isinstance(index, int) and index in endings:
            raw_texts[arguments] = endings[index].raw_text(arguments)
    chunk.invalid_tool_calls = [
        {**call, "args": raw_texts.get(call["args"], call["args"])}
        for call in chunk.invalid_tool_calls
    ]
    if isinstance(chunk.content, list):
        chunk.content = [_with_raw_call(block, endings) for block in chunk.content]
    return chunk


def _with_raw_call(
    block: str | dict[str, Any], endings: Mapping[int, Ending]
) -> str | dict[str, Any]:
    """Return a block of content; of a call that broke off, as an invalid call and as it came."""
    is_piece = isinstance(block, dict) and block.get("type") == "tool_call_chunk"
    if not isinstance(block, dict) or not is_piece or block["index"] not in endings:
        return block
    arguments = endings[block["index"]].raw_text(block["args"])
    return dict(invalid_tool_call(name=block["name"], args=arguments, id=block["id"]))
