"""Where the fuzzers begin: the shapes of the service's answers and calls, and its words."""

from __future__ import annotations

import json

_USAGE = {"input_tokens": 6, "output_tokens": 3, "total_tokens": 9}
_ERROR = {"code": "InvalidParameter", "message": "Role must be user", "request_id": "r-1"}
_CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def _message(content: object, finish: str | None, **more: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content, **more}
    output = {"choices": [{"finish_reason": finish, "message": message}]}
    return {"output": output, "usage": _USAGE, "request_id": "r-1"}


def _text(text: str, finish: str | None = "stop") -> dict[str, object]:
    return {"output": {"text": text, "finish_reason": finish}, "usage": _USAGE, "request_id": "r"}


REPLIES: list[object] = [
    _text("Hi there"),
    _text("question Hi </s>"),
    _message("Hi", "stop"),
    _message([{"text": "Hi"}, {"text": "!"}], "stop"),
    _message("", "tool_calls", tool_calls=[_CALL]),
    _message("four", "stop", reasoning_content="two and two"),
    _text("<think>two and two</think>four ## five"),
    _ERROR,
    {"error": {"code": "limit", "message": "slow down", "type": "t"}, "status_code": 429},
    {"Code": "Throttling", "Message": "no", "RequestId": "r"},
    {"detail": [{"msg": "no"}]},
]

STREAMS: list[list[object]] = [
    [_text("Hi", "null"), _text("Hi there", "null"), _text("Hi there", "stop")],
    [_message("Hi", "null"), _message(" there", "null"), _message("", "stop")],
    [
        _message("", "null", reasoning_content="two"),
        _message("", "null", reasoning_content=" and two"),
        _message("four", "null", reasoning_content=""),
        _message("", "stop"),
    ],
    [
        _message("", "null", tool_calls=[{**_CALL, "function": {"name": "f", "arguments": "{"}}]),
        _message("", "null", tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
        _message("", "tool_calls", tool_calls=[]),
    ],
    [_text("Hi", "null"), {"output": {"choices": []}, "usage": _USAGE}],
]

_INPUTS: list[tuple[str, object, object]] = [
    ("llama2-7b-chat-v2", {"prompt": "Hi"}, {"max_tokens": 5, "top_k": 1}),
    ("ziya-llama-13b-v1", {"prompt": "Hi", "history": [{"user": "a", "bot": "b"}]}, None),
    ("glm-5", {"messages": [{"role": "user", "content": "Hi"}]}, {"incremental_output": True}),
    (
        "glm-5",
        {
            "messages": [
                {"role": "system", "content": "Be brief, in json."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "", "tool_calls": [_CALL]},
                {"role": "tool", "content": "4", "tool_call_id": "c"},
            ]
        },
        {
            "result_format": "message",
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "tool_choice": "auto",
            "response_format": {"type": "json_object"},
            "enable_thinking": False,
            "stop": ["##"],
            "temperature": 0.5,
        },
    ),
    ("qwen3.6-27b", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, {"seed": 1}),
]
CALLS = [
    {"model": model, "input": given, "parameters": parameters}
    for model, given, parameters in _INPUTS
]

_PARTS = [
    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
    {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
]
COMPLETIONS = [
    {
        "model": model,
        "messages": given.get("messages") or [{"role": "developer", "content": given["prompt"]}],
        **(parameters or {}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for model, given, parameters in _INPUTS
    if isinstance(given, dict) and (parameters is None or isinstance(parameters, dict))
] + [{"model": "qwen3.6-27b", "messages": [{"role": "user", "content": _PARTS}]}]


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _wire(bodies: list[object], *, service: bool) -> bytes:
    """A stream as the service writes it, or in the plainest form."""
    form = b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" if service else b"data: %b\r\n"
    return b"".join(form % _json(body) for body in bodies)


_FAILED = b"id:2\nevent:error\n:HTTP_STATUS/400\ndata:" + _json(_ERROR) + b"\n\n"
EVENTS = [
    *(_wire(bodies, service=service) for bodies in STREAMS for service in (True, False)),
    _wire(STREAMS[1][:1], service=True) + _FAILED,
    b"\xef\xbb\xbf: ping\n\nevent:ping\ndata:\n\n" + _wire(STREAMS[0], service=True),
    b"data:[DONE]\n\n",
]
_BODIES = [*map(_json, REPLIES), b"<html>502 Bad Gateway</html>", *EVENTS[:2]]
_HEADS = (b"\0\0\x05\x09", b"\x01\0\0\0", b"\x02\x01\x07\x40", b"\x03\x03\x1f\xff")


def _headed(bodies: list[bytes]) -> list[bytes]:
    return [head + body for body in bodies for head in _HEADS]


SEEDS = {
    "decoder": _headed(EVENTS),
    "stream": _headed([*EVENTS, _BODIES[0]]),
    "reply": _headed(_BODIES),
    "request": _headed([_json(call) for call in CALLS]),
    "completion": _headed([_json(call) for call in COMPLETIONS]),
}
"""Inputs a target begins with, each with a head in front."""


def _names(data: object) -> set[str]:
    if isinstance(data, dict):
        return {*data, *(name for value in data.values() for name in _names(value))}
    return {name for value in data for name in _names(value)} if isinstance(data, list) else set()


_MARKS = ["data:", "event:error", "id:", ":HTTP_STATUS/429", "[DONE]", "null", "</s>", "stop", "##"]
WORDS = sorted({*_names([REPLIES, CALLS, COMPLETIONS]), *_MARKS})
"""What the fuzzers may write into an input."""
