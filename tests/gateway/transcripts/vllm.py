"""What vLLM sends."""

from dashscope_oss.messages import ToolCall, Usage
from tests.gateway.fake_upstream import chunk, failed, streamed
from tests.gateway.transcripts.transcript import Transcript, logprob


def failure(status, message, type, param=None):
    return {"error": {"message": message, "type": type, "param": param, "code": status}}


CHAT = "vllm-project/vllm: vllm/entrypoints/openai/chat_completion/serving.py"
VLLM = {
    "vllm thinks and calls": Transcript(
        CHAT,
        streamed(
            chunk(role="assistant", content="", reasoning=None),
            {**chunk(reasoning="Hm."), "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
            chunk(
                tool_calls=[
                    {"id": "t1", "type": "function", "index": 0, "function": {"name": "add"}}
                ]
            ),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
            chunk("stop", content=None),
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "total_tokens": 21,
                    "completion_tokens": 12,
                    "prompt_tokens_details": {"cached_tokens": 8},
                },
            },
        ),
        reasoning="Hm.",
        tool_calls=(ToolCall("t1", "add", '{"a": 1}', 0),),
        finish_reason="tool_calls",
        usage=Usage(9, 12, 21, 8),
    ),
    "vllm gives log probabilities": Transcript(
        CHAT,
        streamed(
            {"choices": [{"delta": {"content": "Hi"}, "logprobs": {"content": [logprob("Hi")]}}]},
            {
                "choices": [
                    {
                        "delta": {"content": "!"},
                        "logprobs": {"content": [logprob("!")]},
                        "finish_reason": "stop",
                    }
                ]
            },
        ),
        text="Hi!",
        logprobs=[logprob("Hi"), logprob("!")],
    ),
    "vllm completes a prompt": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/completion/serving.py",
        streamed(
            {"choices": [{"index": 0, "text": "Hi", "logprobs": None, "finish_reason": None}]},
            {
                "choices": [
                    {"index": 0, "text": "!", "finish_reason": "length", "stop_reason": None}
                ]
            },
        ),
        text="Hi!",
        finish_reason="length",
        model="ziya-llama-13b-v1",
    ),
    "vllm fails in its answer": Transcript(
        CHAT,
        streamed(chunk(content="half"), failure(500, "EngineCore failed", "InternalServerError")),
        error=(500, "InternalError.Algo", "EngineCore failed"),
    ),
    "vllm aborts": Transcript(
        CHAT,
        streamed(chunk(content="half"), chunk("abort")),
        error=(500, "InternalError", "abort"),
    ),
    "vllm has too long an input": Transcript(
        "vllm-project/vllm: vllm/renderers/params.py",
        failed(
            400,
            failure(
                400,
                "You passed 4097 input tokens and requested 4096 output tokens. However, the "
                "model's context length is only 8192 tokens, resulting in a maximum input length "
                "of 4096 tokens. Please reduce the length of the input prompt.",
                "BadRequestError",
                "input_tokens",
            ),
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, 4096]"),
    ),
    "vllm has no parser of tools": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/engine/serving.py",
        failed(
            400,
            failure(
                400,
                '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to '
                "be set",
                "BadRequestError",
            ),
        ),
        error=(400, "InvalidParameter", "--enable-auto-tool-choice"),
    ),
    "vllm has a template that refuses": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/engine/serving.py",
        failed(
            400,
            failure(400, "Conversation roles must alternate user/assistant", "BadRequestError"),
        ),
        error=(400, "InvalidParameter", "roles must alternate"),
    ),
    "vllm has no such model": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/models/serving.py",
        failed(404, failure(404, "The model `w` does not exist.", "NotFoundError", "model")),
        error=(404, "ModelNotFound", "Model can not be found."),
    ),
    "vllm has no such path": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/api_server.py",
        failed(404, failure(404, "Not Found", "Not Found")),
        error=(500, "InternalError", "does not know the address"),
    ),
    "vllm wants another key": Transcript(
        "vllm-project/vllm: vllm/entrypoints/openai/api_server.py",
        failed(401, {"error": "Unauthorized"}),
        error=(500, "InternalError", "The engine behind this gateway failed."),
    ),
}
