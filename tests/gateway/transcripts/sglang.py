"""What SGLang sends."""

from dashscope_oss.messages import ToolCall, Usage
from tests.gateway.fake_upstream import chunk, failed, streamed
from tests.gateway.transcripts.transcript import Transcript, tool_call


def failure(status, message):
    error = {"object": "error", "message": message, "type": "BadRequestError", "param": None}
    return {**error, "code": status}


SERVING_CHAT = "sgl-project/sglang: python/sglang/srt/entrypoints/openai/serving_chat.py"
SERVING_BASE = "sgl-project/sglang: python/sglang/srt/entrypoints/openai/serving_base.py"
SGLANG = {
    "sglang thinks and answers": Transcript(
        SERVING_CHAT,
        streamed(
            {**chunk(role="assistant", content=""), "usage": None},
            {**chunk(reasoning_content="Hm.", content=None, tool_calls=None), "usage": None},
            {**chunk(content="Hi"), "usage": None},
            {"choices": [{"delta": {}, "finish_reason": "stop", "matched_stop": 151645}]},
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "total_tokens": 13,
                    "completion_tokens": 4,
                    "prompt_tokens_details": None,
                    "reasoning_tokens": 2,
                },
            },
        ),
        text="Hi",
        reasoning="Hm.",
        usage=Usage(9, 4, 13, reasoning_tokens=2),
    ),
    "sglang calls": Transcript(
        SERVING_CHAT,
        streamed(
            chunk(role="assistant", content=""),
            chunk(tool_calls=[tool_call(0, "call_1", "add", "")]),
            chunk(tool_calls=[tool_call(0, None, None, '{"a": 1}')]),
            chunk("tool_calls", content=None, reasoning_content=None, tool_calls=None),
        ),
        tool_calls=(ToolCall("call_1", "add", '{"a": 1}', 0),),
        finish_reason="tool_calls",
    ),
    "sglang has too long an input": Transcript(
        SERVING_BASE,
        failed(
            400,
            failure(
                400,
                "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            ),
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, 4096]"),
    ),
    "sglang fails in its answer": Transcript(
        SERVING_BASE,
        streamed(chunk(content="half"), {"error": failure(400, "bad grammar")}),
        error=(400, "InvalidParameter", "bad grammar"),
    ),
    "sglang is full": Transcript(
        "sgl-project/sglang: python/sglang/srt/managers/scheduler.py",
        streamed({"error": failure(503, "The request queue is full.")}),
        error=(503, "ModelUnavailable", "try again later"),
    ),
}
