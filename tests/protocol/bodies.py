"""Answers of the service for the tests of the protocol, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from dashscope_oss import (
    DashScopeError,
    Delta,
    Message,
    ModelInfo,
    Options,
    Reply,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.streaming.deltas import join_deltas

HOSTED = find_model("glm-5")


def request_to(model_info: ModelInfo = HOSTED, **options: object) -> Request:
    """A streaming call with one question."""
    return chat_request(model_info, [Message("user", "question")], Options(**options), stream=True)


def text_body(text: object, finish: object = None, **more: object) -> dict[str, object]:
    """An answer of the shape ``output.text``."""
    output = {"text": text} if finish is None else {"text": text, "finish_reason": finish}
    return {"output": output, **more}


def chat_body(content: object, finish: object = "stop", **more: object) -> dict[str, object]:
    """An answer of the shape ``output.choices``; ``more`` goes into its message."""
    message = {"role": "assistant", "content": content, **more}
    return {"output": {"choices": [{"finish_reason": finish, "message": message}]}}


def events(bodies: Iterable[object]) -> bytes:
    """A stream of these bodies."""
    return b"".join(b"data:" + json.dumps(body).encode() + b"\n\n" for body in bodies)


def error_event(status: int | None, code: str, event: bytes = b"event:error") -> bytes:
    """An error in a stream, as the service writes it."""
    comment = b"" if status is None else f":HTTP_STATUS/{status}\n".encode()
    body = {"code": code, "message": "the reason", "request_id": "r-7"}
    return b"id:1\n" + event + b"\n" + comment + b"data:" + json.dumps(body).encode() + b"\n\n"


def deltas_of(request: Request, *bodies: object) -> list[Delta]:
    """What a stream of these bodies gives."""
    assembler = Assembler(request)
    return [*assembler.feed(events(bodies)), *assembler.close()]


def streamed_reply(request: Request, *bodies: object) -> Reply:
    """What a stream of these bodies gives, joined."""
    return join_deltas(deltas_of(request, *bodies))


def broken(request: Request, stream: bytes) -> tuple[str, DashScopeError]:
    """The text that was handed on of a stream, and the error that followed."""
    assembler = Assembler(request)
    texts: list[str] = []

    def read() -> None:
        for deltas in (assembler.feed(stream), assembler.close()):
            texts.extend(delta.text for delta in deltas)

    with pytest.raises(DashScopeError) as caught:
        read()
    return "".join(texts), caught.value
