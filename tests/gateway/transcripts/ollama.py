"""What Ollama's OpenAI-compatible API sends."""

from dashscope_oss.messages import ToolCall, Usage
from tests.gateway.fake_upstream import chunk, failed, streamed
from tests.gateway.transcripts.transcript import Transcript, tool_call

OPENAI_GO, MIDDLEWARE = (f"ollama/ollama: {path}/openai.go" for path in ("openai", "middleware"))
OLLAMA = {
    "ollama thinks and calls twice": Transcript(
        OPENAI_GO,
        streamed(
            chunk(role="assistant", content="", reasoning="Hm."),
            chunk(
                role="assistant",
                content="",
                tool_calls=[
                    tool_call(0, "call_a", "add", "{}"),
                    tool_call(0, "call_b", "add", "{}"),
                ],
            ),
            chunk("tool_calls", role="assistant", content=""),
            {
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
            },
        ),
        reasoning="Hm.",
        tool_calls=(ToolCall("call_a", "add", "{}", 0), ToolCall("call_b", "add", "{}", 1)),
        finish_reason="tool_calls",
        usage=Usage(9, 4, 13),
    ),
    "ollama said no reason until 2024": Transcript(
        OPENAI_GO,
        streamed(chunk("", role="assistant", content="Hi"), chunk("", content="!"), chunk("stop")),
        text="Hi!",
    ),
    "ollama breaks off": Transcript(
        MIDDLEWARE,
        streamed(chunk(role="assistant", content="half"), chunk(role="", content=""), done=False),
        error=(500, "InternalError", "broke off"),
    ),
    "ollama has no such model": Transcript(
        OPENAI_GO,
        failed(
            404,
            {
                "error": {
                    "message": "model 'w' not found",
                    "type": "not_found_error",
                    "param": None,
                    "code": None,
                }
            },
        ),
        error=(404, "ModelNotFound", ""),
    ),
    "ollama has weights without tools": Transcript(
        OPENAI_GO,
        failed(
            400,
            {
                "error": {
                    "message": "registry.ollama.ai/library/w:latest does not support tools",
                    "type": "api_error",
                }
            },
        ),
        error=(400, "InvalidParameter", "does not support tools"),
    ),
    "ollama has too long an input": Transcript(
        "ollama/ollama: server/routes.go",
        failed(400, {"error": "prompt too long; exceeded max context length by 4021 tokens"}),
        error=(400, "InvalidParameter", "Range of input length should be [1, N]"),
    ),
}
