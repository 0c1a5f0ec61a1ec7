"""What llama.cpp's server sends; the present one also runs in ``test_llama_server``."""

from dashscope_oss.messages import Usage
from tests.gateway.fake_upstream import SSE, chunk, failed, streamed
from tests.gateway.transcripts.transcript import Transcript

LLAMA_CPP_TASK = "ggml-org/llama.cpp: tools/server/server-task.cpp"
LLAMA_CPP_2025 = "ggml-org/llama.cpp: tools/server/server.cpp (2025)"
LLAMA_CPP = {
    "llama.cpp counts as it goes": Transcript(
        LLAMA_CPP_TASK,
        streamed(
            chunk(role="assistant", content=None),
            {**chunk(content="Hi"), "timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 1}},
            {**chunk("stop"), "timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 2}},
        ),
        text="Hi",
        usage=Usage(7, 2, 9, cached_tokens=4),
    ),
    "llama.cpp of 2025 has too long an input": Transcript(
        LLAMA_CPP_2025,
        (
            200,
            SSE,
            b'error: {"code":400,"message":"the request exceeds the available context size. try '
            b'increasing the context size or enable context shift","type":'
            b'"invalid_request_error"}\n\ndata: [DONE]\n\n',
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, N]"),
    ),
    "llama.cpp runs out of context": Transcript(
        "ggml-org/llama.cpp: tools/server/server-context.cpp",
        streamed(
            chunk(content="half"),
            {
                "error": {
                    "code": 500,
                    "message": "Context size has been exceeded.",
                    "type": "server_error",
                }
            },
        ),
        error=(400, "InvalidParameter", "Range of input length should be [1, N]"),
    ),
    "llama.cpp loads its model": Transcript(
        "ggml-org/llama.cpp: tools/server/server-http.cpp",
        failed(
            503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        ),
        error=(503, "ModelUnavailable", "try again later"),
    ),
    "llama.cpp has no such path": Transcript(
        "ggml-org/llama.cpp: tools/server/server-http.cpp",
        failed(
            404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
        ),
        error=(500, "InternalError", "does not know the address"),
    ),
    "llama.cpp has a template that refuses": Transcript(
        "ggml-org/llama.cpp: tools/server/server-common.cpp",
        failed(
            500,
            {
                "error": {
                    "code": 500,
                    "message": "\n------------\nWhile executing CallExpression at line 47, column "
                    "32 in source:\n...== 0) %}\nError: Jinja Exception: After the optional system "
                    "message, conversation roles must alternate user and assistant roles.",
                    "type": "server_error",
                }
            },
        ),
        error=(400, "InvalidParameter", "InvalidParameter: After the optional system message"),
    ),
}
