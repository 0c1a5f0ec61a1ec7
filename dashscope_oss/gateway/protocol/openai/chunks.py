"""Writes a streamed answer as chunks of a chat completion.

A stream writes hundreds of chunks that differ in a few words, so what does not change is written
once.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json

from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native.call_numbers import CallNumbers
from dashscope_oss.gateway.protocol.openai.completion import head, write_usage
from dashscope_oss.messages import Delta, ToolCall, Usage
from dashscope_oss.protocol.streaming.tool_calls import new_call_id

_CHUNK = b'data: %b,"choices":[{"index":0,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b}\n\n'
_USAGE_CHUNK = b'data: %b,"choices":[],"usage":%b}\n\n'
_DONE = b"data: [DONE]\n\n"
_NO_USAGE = b',"usage":null'
"""Stands in every chunk but the last of a stream that asks for usage."""
_NULL = b"null"


class ChunkEncoder:
    """Writes the chunks of one stream, and its end."""

    def __init__(self, request: EngineRequest) -> None:
        self._head = to_json(head(request, "chat.completion.chunk"))[:-1]
        options = request.parameters.get("stream_options")
        self._includes_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
        self._tail = _NO_USAGE if self._includes_usage else b""
        self._usage: Usage | None = None
        self._call_numbers = CallNumbers()
        self._role = {"role": "assistant"}

    def event(self, delta: Delta) -> bytes:
        """Return the chunk for the next piece; behind the last one usage and the end follow."""
        self._usage = delta.usage or self._usage
        fields = self._fields(delta)
        logprobs = _NULL if delta.logprobs is None else to_json(delta.logprobs)
        finish_reason = to_json(delta.finish_reason or "stop") if delta.last else _NULL
        chunk = _CHUNK % (self._head, to_json(fields), logprobs, finish_reason, self._tail)
        return chunk + self._end() if delta.last else chunk

    def _fields(self, delta: Delta) -> dict[str, object]:
        """Return a piece in OpenAI's form; the role stands in the first one only."""
        fields: dict[str, object] = {**self._role, "content": delta.text}
        self._role = {}
        if delta.reasoning:
            fields["reasoning_content"] = delta.reasoning
        if delta.tool_calls:
            calls = map(self._call_numbers.numbered, delta.tool_calls)
            fields["tool_calls"] = [_write_piece(call) for call in calls]
        return fields

    def _end(self) -> bytes:
        """Return what follows the answer; usage that nobody counted is left out."""
        if not self._includes_usage or self._usage is None:
            return _DONE
        return _USAGE_CHUNK % (self._head, to_json(write_usage(self._usage))) + _DONE


def _write_piece(call: ToolCall) -> dict[str, object]:
    """Return a call, or a piece of one: only the first piece names the function.

    It has an id too, even if the engine gives none or gives it later: clients look for it there.
    """
    if not call.name:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    id, function = call.id or new_call_id(), {"name": call.name, "arguments": call.arguments}
    return {"index": call.index, "id": id, "type": "function", "function": function}
