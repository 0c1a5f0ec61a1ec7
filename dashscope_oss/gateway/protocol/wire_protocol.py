"""The protocols in which callers speak: how an answer and an error are written in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.native import response_encoder as native
from dashscope_oss.gateway.protocol.openai import completion, errors
from dashscope_oss.gateway.protocol.openai.chunks import ChunkEncoder
from dashscope_oss.messages import Delta
from dashscope_oss.registry.model_info import ModelInfo


class StreamEncoder(Protocol):
    """Writes the events of one stream."""

    def event(self, delta: Delta) -> bytes:
        """Return the event, or the events, for the next piece."""


class ParseRequest(Protocol):
    """Reads the body of one call."""

    def __call__(
        self,
        body: bytes,
        *,
        stream: bool,
        request_id: str,
        find_model: Callable[[str], ModelInfo | None],
    ) -> EngineRequest:
        """Return the request that ``body`` holds.

        Args:
            body: as it arrived.
            stream: whether the headers ask for events.
            request_id: identifies the call.
            find_model: returns how a model is served, ``None`` if it is not.

        Raises:
            APIError: if the call is refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class WireProtocol:
    """How answers and errors are written.

    Attributes:
        encode_reply: writes the body of an answer that is not streamed.
        encode_stream: begins a stream.
        encode_error: writes the body of an error, given the request's id.
        encode_error_event: writes an error as an event, given the request's id and the number of
            the event, from 1.
        names_increments: whether the head of a stream says what its events hold: new text, or all
            text so far.
        refuses_in_events: whether a stream that is refused gets HTTP 200 and an event, rather
            than the error's own status.
    """

    encode_reply: Callable[[EngineRequest, Sequence[Delta]], bytes]
    encode_stream: Callable[[EngineRequest], StreamEncoder]
    encode_error: Callable[[APIError, str], bytes]
    encode_error_event: Callable[[APIError, str, int], bytes]
    names_increments: bool
    refuses_in_events: bool


NATIVE = WireProtocol(
    encode_reply=native.encode_reply,
    encode_stream=native.ResponseEncoder,
    encode_error=native.encode_error,
    encode_error_event=native.encode_error_event,
    names_increments=True,
    refuses_in_events=True,
)
OPENAI = WireProtocol(
    encode_reply=completion.encode_reply,
    encode_stream=ChunkEncoder,
    encode_error=errors.encode_error,
    encode_error_event=lambda error, request_id, _: errors.encode_error_event(error, request_id),
    names_increments=False,
    refuses_in_events=False,
)
