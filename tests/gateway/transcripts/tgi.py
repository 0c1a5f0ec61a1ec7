"""What text-generation-inference sends, in its versions 2 and 3."""

import json

from dashscope_oss.messages import ToolCall, Usage
from tests.gateway.fake_upstream import JSON, SSE, failed, streamed
from tests.gateway.transcripts.transcript import Transcript, tool_call


def piece(finish_reason=None, **delta):
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "logprobs": None}
    return {
        "object": "chat.completion.chunk",
        "id": "",
        "model": "w",
        "system_fingerprint": "3.3.4-native",
        "choices": [{**choice, "finish_reason": finish_reason}],
        "usage": None,
    }


TGI_REPOSITORY = "huggingface/text-generation-inference"
TGI = {
    "tgi answers": Transcript(
        f"{TGI_REPOSITORY}: router/src/chat.rs",
        streamed(
            piece(content="Hi"),
            piece("stop", content=""),
            {
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
            },
        ),
        text="Hi",
        usage=Usage(9, 2, 11),
    ),
    "tgi 2 calls": Transcript(
        f"{TGI_REPOSITORY}: router/src/lib.rs",
        streamed(
            piece(tool_calls=tool_call(0, "0", "add", "{")),
            piece(tool_calls=tool_call(0, "", None, '"a": 1}')),
            piece("eos_token", content=""),
        ),
        tool_calls=(ToolCall("0", "add", '{"a": 1}', 0),),
        finish_reason="tool_calls",
    ),
    "tgi 2 answers whole": Transcript(
        f"{TGI_REPOSITORY}: router/src/server.rs",
        (
            200,
            JSON,
            json.dumps(
                {
                    "choices": [
                        {
                            "message": {
                                "role": "assistant",
                                "tool_calls": [
                                    {
                                        "id": "0",
                                        "type": "function",
                                        "function": {
                                            "description": None,
                                            "name": "add",
                                            "arguments": {"a": 1},
                                        },
                                    }
                                ],
                            },
                            "finish_reason": "tool_calls",
                        }
                    ]
                }
            ).encode(),
        ),
        tool_calls=(ToolCall("0", "add", '{"a":1}', 0),),
        finish_reason="tool_calls",
    ),
    "tgi has too long an input": Transcript(
        f"{TGI_REPOSITORY}: router/src/validation.rs",
        failed(
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
                "4096. Given: 5000 `inputs` tokens and 20 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, 4096]"),
    ),
    "tgi has a template that refuses": Transcript(
        f"{TGI_REPOSITORY}: router/src/server.rs",
        failed(
            422, {"error": "Template error: roles must alternate", "error_type": "template_error"}
        ),
        error=(400, "InvalidParameter", "roles must alternate"),
    ),
    "tgi is overloaded": Transcript(
        f"{TGI_REPOSITORY}: router/src/server.rs",
        failed(429, {"error": "Model is overloaded", "error_type": "overloaded"}),
        error=(429, "Throttling.RateQuota", ""),
    ),
    "tgi fails in its answer": Transcript(
        f"{TGI_REPOSITORY}: router/src/server.rs",
        (
            200,
            SSE,
            b'data:{"error":"Request failed during generation: out of memory",'
            b'"error_type":"generation"}\n\n',
        ),
        error=(500, "InternalError.Algo", "out of memory"),
    ),
    "tgi 3 has too long an input in its answer": Transcript(
        f"{TGI_REPOSITORY}: router/src/infer/mod.rs",
        streamed(
            {
                "error": {
                    "message": "Input validation error: `inputs` must have less than 1024 tokens. "
                    "Given: 32001",
                    "http_status_code": 422,
                }
            },
            done=False,
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, 1024]"),
    ),
}
