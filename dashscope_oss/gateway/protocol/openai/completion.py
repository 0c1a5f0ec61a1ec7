"""Writes a whole answer as a chat completion, and the parts that a streamed one has too."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.messages import Delta, Usage
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.protocol.tools import write_answer


def encode_reply(request: EngineRequest, deltas: Sequence[Delta]) -> bytes:
    """Return the body of an answer that is not streamed; it has at least one piece."""
    answer = join_deltas(deltas)
    choice = {
        "index": 0,
        "message": write_answer(answer),
        "logprobs": answer.logprobs,
        "finish_reason": answer.finish_reason or "stop",
    }
    usage = None if answer.usage is None else write_usage(answer.usage)
    return to_json({**head(request, "chat.completion"), "choices": [choice], "usage": usage})


def head(request: EngineRequest, kind: str) -> dict[str, object]:
    """Return what an answer and each of its chunks begin with; ``kind`` is OpenAI's ``object``."""
    return {
        "id": f"chatcmpl-{request.request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model_info.id,
    }


def write_usage(usage: Usage) -> dict[str, object]:
    """Return token counts in OpenAI's form; what the engine did not count is left out."""
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": _known(
            {
                "cached_tokens": usage.cached_tokens,
                "cache_creation_input_tokens": usage.cache_creation_tokens,
                "image_tokens": usage.image_tokens,
                "video_tokens": usage.video_tokens,
                "audio_tokens": usage.audio_tokens,
            }
        ),
        "completion_tokens_details": _known({"reasoning_tokens": usage.reasoning_tokens}),
    }
    return _known({name: count for name, count in counts.items() if count != {}})


def _known(counts: Mapping[str, object]) -> dict[str, object]:
    return {name: count for name, count in counts.items() if count is not None}
