"""Writes the JSON bodies of one call, from parts that are JSON already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from pydantic_core import to_json

from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import Json, SearchResult, ToolCall, Usage

GENERATING = b'"null"'
"""The finish reason while the model still writes: the service sends this word, not null."""

_TEXT_OUTPUT = b'{"finish_reason":%b,"text":%b}'
_MESSAGE_OUTPUT = b'{"choices":[{"finish_reason":%b,"message":%b}]}'
_MESSAGE = b'{"role":"assistant","content":%b}'


class Finds(NamedTuple):
    """What an answer holds beside what the model wrote: web pages and images."""

    search_results: tuple[SearchResult, ...] = ()
    images: tuple[str, ...] = ()


NO_FINDS = Finds()


class BodyWriter:
    """Knows the form of a call's bodies: text or message, usage so far, request id."""

    def __init__(self, request: EngineRequest) -> None:
        self._as_parts = request.model_info.endpoint == "multimodal-generation"
        as_message = request.as_message or self._as_parts
        self._output = _MESSAGE_OUTPUT if as_message else _TEXT_OUTPUT
        self._reports_usage = request.model_info.reports_usage
        self._usage: Usage | None = None
        self._request_id = b',"request_id":%b}' % to_json(request.request_id)
        self._tail = self._request_id
        hole = b"\0"
        content = _MESSAGE % hole if as_message else hole
        before, after = (self._output % (GENERATING, content)).split(hole)
        self._before_text, self._after_text = b'{"output":' + before, after

    def set_usage(self, usage: Usage | None) -> None:
        """Take the counts so far; every body holds them from now on."""
        if usage is not None and usage is not self._usage and self._reports_usage:
            self._usage = usage
            self._tail = b',"usage":%b%b' % (to_json(_usage(usage)), self._request_id)

    def body(
        self,
        text: str,
        reasoning: str,
        tool_calls: Sequence[ToolCall],
        finish_reason: bytes,
        logprobs: Json | None = None,
        finds: Finds = NO_FINDS,
    ) -> bytes:
        """Return a body; ``finish_reason`` is JSON already."""
        only_text = not (reasoning or tool_calls or logprobs or self._as_parts or any(finds))
        if only_text and finish_reason is GENERATING:  # nearly all events of a stream
            return self._before_text + to_json(text) + self._after_text + self._tail
        content = to_json(text)
        if self._output is _MESSAGE_OUTPUT:
            content = (
                _MESSAGE % content
                if only_text
                else self._message(text, reasoning, tool_calls, finds.images)
            )
            if logprobs:  # they stand behind the message
                content += b',"logprobs":' + to_json(logprobs)
        output = self._output % (finish_reason, content)
        if finds.search_results:
            pages = [asdict(page) for page in finds.search_results]
            output = b'{"search_info":%b,' % to_json({"search_results": pages}) + output[1:]
        return b'{"output":%b%b' % (output, self._tail)

    def _message(
        self, text: str, reasoning: str, tool_calls: Sequence[ToolCall], images: Sequence[str]
    ) -> bytes:
        parts = [*([{"text": text}] if text else ()), *({"image": image} for image in images)]
        content = parts if self._as_parts or images else text
        message: dict[str, object] = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        if tool_calls:
            message["tool_calls"] = [
                _tool_call(call, position) for position, call in enumerate(tool_calls)
            ]
        return to_json(message)


def _tool_call(call: ToolCall, position: int) -> dict[str, object]:
    """Return a call, or a piece of one: only the first piece names the function."""
    name = {"name": call.name} if call.name else {}
    return {
        "index": call.index if call.index is not None else position,
        "id": call.id,
        "type": "function",
        "function": {**name, "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, object]:
    body: dict[str, object] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    details = {
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_creation_input_tokens": usage.cache_creation_tokens,
        },
        "input_tokens_details": {
            "image_tokens": usage.image_tokens,
            "video_tokens": usage.video_tokens,
            "audio_tokens": usage.audio_tokens,
        },
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    for name, counts in details.items():
        body[name] = _known(counts) or None
    return _known(body)


def _known(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
