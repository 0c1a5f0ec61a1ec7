"""What proxies and other services send, by reports of their users."""

import json

from dashscope_oss.messages import ToolCall
from tests.gateway.fake_upstream import SSE, chunk, events, failed, streamed
from tests.gateway.transcripts.transcript import Transcript, tool_call

REPORTED = {
    "lm studio has too long an input": Transcript(
        "lmstudio-ai/lmstudio-bug-tracker",
        (
            200,
            SSE,
            b'event: error\ndata: {"error":{"message":"Trying to keep the first 5000 tokens when '
            b"context the overflows. However, the model is loaded with context length of only 4096 "
            b'tokens, which is not enough."}}\n\n',
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, "),
    ),
    "deepinfra pings": Transcript(
        "Portkey-AI/gateway#1035",
        (
            200,
            SSE,
            b": ping - 2025-04-12 10:00:00\n\n" + events(chunk(content="Hi"), chunk("stop")),
        ),
        text="Hi",
    ),
    "a proxy pings with the time": Transcript(
        "lanqian528/chat2api#25",
        (
            200,
            SSE,
            b"event: ping\ndata: 2024-04-27 01:35:43.686476\n\n"
            + events(chunk(content="Hi"), chunk("stop")),
        ),
        text="Hi",
    ),
    "new-api answers an error as a stream": Transcript(
        "QuantumNous/new-api#1178",
        (
            400,
            SSE,
            b'{"error":{"message":"no","type":"new_api_error","param":"","code":"bad_response"}}',
        ),
        error=(400, "InvalidParameter", "no"),
    ),
    "litellm sends each call twice": Transcript(
        "BerriAI/litellm#20480",
        streamed(
            chunk(tool_calls=[tool_call(0, "c1", "add", '{"a')]),
            chunk(tool_calls=[tool_call(0, "c1", None, '": 1}')]),
            chunk(tool_calls=[tool_call(0, "c1", "add", json.dumps('{"a": 1}'))]),
            chunk("tool_calls"),
        ),
        tool_calls=(ToolCall("c1", "add", '{"a": 1}', 0),),
        finish_reason="tool_calls",
    ),
    "litellm ends a call with end_turn": Transcript(
        "BerriAI/litellm#12481",
        streamed(chunk(tool_calls=[tool_call(0, "c1", "add", "{}")]), chunk("end_turn")),
        tool_calls=(ToolCall("c1", "add", "{}", 0),),
        finish_reason="tool_calls",
    ),
    "a proxy of gemini ends with STOP": Transcript(
        "su-kaka/gcli2api#407",
        streamed(chunk(tool_calls=[tool_call(0, "c1", "add", "{}")]), chunk("STOP")),
        tool_calls=(ToolCall("c1", "add", "{}", 0),),
        finish_reason="tool_calls",
    ),
    "a model of one's own says no reason": Transcript(
        "alfredapp/openai-workflow#52",
        streamed({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]}),
        text="Hi",
    ),
    "a model refuses to answer": Transcript(
        "openai/openai-python: src/openai/types/chat/chat_completion_chunk.py",
        streamed(chunk(content=None, refusal="I cannot"), chunk(refusal=" say."), chunk("stop")),
        text="I cannot say.",
    ),
    "qianfan says its errors as a stream with the status 200": Transcript(
        "songquanpeng/one-api#1332",
        (
            200,
            SSE,
            b'{"error_code":336006,"error_msg":"the role of message with odd index in the messages '
            b'must be assistant","id":"as-1"}',
        ),
        error=(400, "InvalidParameter", "the role of message with odd index"),
    ),
    "deepseek has no such model": Transcript(
        "666ghj/BettaFish#252",
        failed(
            400,
            {
                "error": {
                    "message": "Model Not Exist",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_request_error",
                }
            },
        ),
        error=(404, "ModelNotFound", ""),
    ),
    "openrouter fails in its answer": Transcript(
        "openrouter.ai: docs/api-reference/streaming",
        streamed(
            chunk(content="half"),
            {
                "error": {"code": 502, "message": "Provider disconnected"},
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            },
        ),
        error=(503, "ModelUnavailable", "try again later"),
    ),
}
