"""What callers and the log get of a server's errors."""

import json
import logging
from dataclasses import replace

import pytest

from dashscope_oss.gateway import APIError
from dashscope_oss.gateway.engines.openai.upstream_error import (
    error_for_status,
    error_in_answer,
    error_text,
)
from tests.gateway.engines.openai.calls import (
    PROMPT_MODEL,
    deltas_of,
    engine_request,
    generate_error,
    started_engine,
)
from tests.gateway.fake_upstream import (
    HTML,
    JSON,
    SSE,
    FakeUpstream,
    events,
    failed,
    short_answer,
    streamed,
)

FORMS = {
    "openai": {"error": {"message": "no", "type": "x", "code": None}},
    "vllm": {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 400}},
    "sglang": {"object": "error", "message": "no", "type": "BadRequest", "code": 400},
    "ollama": {"error": "no"},
    "fastapi": {"detail": "no"},
    "fastapi's list": {"detail": [{"loc": ["body", "x"], "msg": "no", "type": "missing"}]},
    "a list": [{"error": {"message": "no"}}],
    "tgi": {"error": "no", "error_type": "validation"},
    "litellm": {"error": {"message": "no", "type": None, "param": None, "code": "400"}},
    "a word": "no",
}


def test_the_text_of_a_bad_request_reaches_the_caller(subtests):
    """Wherever this kind of server puts it."""
    for form, body in FORMS.items():
        with subtests.test(form):
            error = error_for_status(400, json.dumps(body).encode())
            assert (error.status, error.code) == (400, "InvalidParameter")
            assert error.message == "<400> InternalError.Algo.InvalidParameter: no"


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (413, "BadRequest.TooLarge", "Payload Too Large"),
        (400, "InvalidParameter", "refuses the request and gives no reason"),
    ],
)
def test_a_proxys_refusal_without_a_text_is_told_in_words(status, code, text):
    """A proxy before the server takes smaller bodies than the gateway does."""
    error = error_for_status(status, b"<html>nginx")

    assert (error.status, error.code) == (400, code)
    assert text in error.message


async def test_a_redirect_is_told_with_where_it_leads():
    """No redirect is followed: it could lead a key elsewhere."""
    moved = (301, f"{HTML}\r\nlocation: https://new.example/v1", b"")

    error = await generate_error(FakeUpstream(moved))

    assert "it redirects to https://new.example/v1" in error.cause
    assert "new.example" not in error.message


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "the answer holds nothing"),
        (b"data: a secret answer\n\n", "it sent 15 bytes of no JSON where"),
    ],
)
async def test_the_log_says_what_an_answer_is_that_cannot_be_read(answer, cause):
    """In words of its own: what a model wrote is not for logs."""
    error = await generate_error(FakeUpstream((200, SSE, answer)))

    assert error.cause.startswith(cause)


def test_a_page_of_html_is_no_text():
    """A proxy's error page is not handed to callers."""
    assert error_text(b"<html><body>nginx") == "the answer holds no text"
    assert error_text(b"") == "the answer holds no text"
    assert error_text(b"plain words") == "plain words"
    assert error_text(b'event: error\ndata: {"error": {"message": "no"}}\n\n') == "no"
    assert error_text(b'{"error": {"message": "cut of') == "cut of"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "This model's maximum context length is 2048 tokens. However, you requested 3000 "
            "tokens in the messages, Please reduce the length of the messages.",
            "Range of input length should be [1, 2048]",
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum "
            "context length is 2048 tokens and your request has 10 input tokens.",
            "Range of max_tokens should be [1, 2048]",
        ),
        (
            "request (731 tokens) exceeds the available context size (512 tokens), try "
            "increasing it",
            "Range of input length should be [1, 512]",
        ),
        (
            "The input (3000 tokens) is longer than the model's context length (2048 tokens).",
            "Range of input length should be [1, 2048]",
        ),
        (
            "You passed 1193 input tokens and requested 7000 output tokens. However, the model's "
            "context length is only 8192 tokens, resulting in a maximum input length of 1192 "
            "tokens.",
            "Range of input length should be [1, 1192]",
        ),
        (
            "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens).",
            "Range of input length should be [1, 4096]",
        ),
        (
            "`inputs` must have less than 1024 tokens. Given: 1234",
            "Range of input length should be [1, 1024]",
        ),
        (
            "prompt too long; exceeded max context length by 4021 tokens",
            "Range of input length should be [1, N]. prompt too long; exceeded max context length "
            "by 4021 tokens",
        ),
        (
            "the context window is full",
            "Range of input length should be [1, N]. the context window is full",
        ),
    ],
)
def test_too_long_is_told_in_the_vendors_words(text, expected):
    """vLLM, llama.cpp and SGLang: the limit that the server names is the limit that is told."""
    assert error_for_status(400, body(text)).message == expected


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"message": "slow down", "code": 429}}, 429),
        ({"error": {"message": "exceeds the available context size (5", "code": 400}}, 400),
        ({"object": "error", "message": "loading", "code": 503}, 503),
    ],
)
async def test_an_error_inside_the_stream_keeps_its_status(event, status):
    """llama.cpp and SGLang report some errors after a good status."""
    assert (await generate_error(FakeUpstream(streamed(event)))).status == status


async def test_a_failed_call_is_logged_in_one_line_with_the_upstream(caplog):
    """By its id it is found in the access log and at the server. A server's text forges no line."""
    text = "bad \ud800 \x1b[31m\nERROR root: all is lost"

    request = replace(engine_request(), request_id="r-1")
    server = FakeUpstream(failed(500, {"error": text}))
    error = await generate_error(server, request, name="gpu")
    (record,) = caplog.records

    assert error.cause == "HTTP 500: bad \ufffd [31m ERROR root: all is lost"
    assert record.getMessage().startswith("request r-1 failed at gpu, http://127.0.0.1:")
    assert server.calls[0][2]["x-request-id"] == "r-1"
    assert record.getMessage().endswith(f"/v1: {error.cause}")


async def test_the_time_to_wait_that_a_server_names_reaches_the_caller():
    busy = (429, f"{JSON}\r\nretry-after: 7", b"{}")

    assert (await generate_error(FakeUpstream(busy))).retry_after == 7


async def test_a_callers_own_fault_is_no_error_in_the_log(caplog):
    """Callers could fill it; and a server's text about a request may quote the prompt."""
    caplog.set_level(logging.WARNING)
    error = await generate_error(FakeUpstream(failed(400, {"error": "bad\nword"})))

    assert error.message.endswith(": bad word")
    assert caplog.records == []


async def test_an_unreadable_answer_questions_a_base_url_without_v1(caplog):
    """llama.cpp answers without /v1 too, but in a form of its own."""
    server = FakeUpstream((200, SSE, b'data: {"content": "Hi", "stop": true}\n\n'))
    server.url = server.url.removesuffix("/v1")

    await generate_error(server, engine_request(PROMPT_MODEL), kind="llama.cpp")

    assert f"(is {server.url} the base URL, which ends in /v1?)" in caplog.text


async def test_the_last_error_of_an_upstream_is_that_of_its_last_call():
    """Every failure through the server's fault counts, not only those of HTTP."""
    server = FakeUpstream((200, HTML, b"<html>"), failed(500, {"error": "no memory"}))
    last_errors = []
    async with started_engine(server.url) as engine:
        for _ in range(2):
            with pytest.raises(APIError):
                await deltas_of(engine)
            last_errors.append(engine.upstreams()[0].last_error)

    page = "it sent an HTML page where a piece of an answer belongs"
    assert last_errors == [page, "HTTP 500: no memory"]


def body(text, **more):
    return json.dumps({"error": {"message": text, **more}}).encode()


TOO_LONG = "This model's maximum context length is 2048 tokens."


def test_too_long_is_the_callers_fault_under_any_status(subtests):
    """llama.cpp sends it with 500, LM Studio and TGI inside an answer with 200."""
    errors = [
        *(error_for_status(status, body(TOO_LONG)) for status in (400, 413, 422, 500)),
        error_for_status(400, body("no", code="context_length_exceeded")),
        error_for_status(400, body("no", type="exceed_context_size_error")),
        error_in_answer(body(TOO_LONG)),
        error_in_answer(body(TOO_LONG, code=500)),
        error_in_answer(
            b'{"error":"Input validation error: `inputs` must have less than 9 tokens"}'
        ),
        error_in_answer(b"the prompt is too long"),
    ]
    for error in errors:
        with subtests.test(error.cause or error.message):
            assert (error.status, error.code) == (400, "InvalidParameter")
            assert error.message.startswith("Range of input length should be [1, ")


# As llama.cpp's server writes it (tools/server/server-common.cpp, common/jinja).
LLAMA_TEMPLATE = (
    "\n------------\nWhile executing CallExpression at line 47, column 32 in source:\n...== 0) %}"
    "{{- raise_exception('After the op...\n   ^\nError: Jinja Exception: System message must be "
    "at the beginning."
)


REFUSED_BY_A_TEMPLATE = {
    LLAMA_TEMPLATE: "System message must be at the beginning.",
    "Conversation roles must alternate user/assistant/user/assistant/...": "must alternate",
    "After the optional system message, conversation roles must alternate": "must alternate",
    "System role not supported": "System role not supported",
    "Only user and assistant roles are supported!": "Only user and assistant",
    "No user query found in messages.": "No user query",
    "Assistant response prefill is incompatible with enable_thinking.": "prefill",
    "Error rendering prompt with jinja template: unknown role": "unknown role",
    "Failed to parse tool call arguments as JSON: [json.exception 101]": "tool call arg",
    "image input is not supported - hint: you may need the mmproj": "image input",
    "Failed to load image or audio file": "load image",
    "cannot identify image file <_io.BytesIO object>": "identify image file",
}


@pytest.mark.parametrize("read", [lambda body: error_for_status(500, body), error_in_answer])
def test_what_a_template_refuses_is_the_callers_fault(read, subtests):
    """llama.cpp and LM Studio call it a failure of the server, but other turns would pass."""
    for text, words in REFUSED_BY_A_TEMPLATE.items():
        with subtests.test(text):
            error = read(body(text))
            assert (error.status, error.code) == (400, "InvalidParameter")
            assert words in error.message
            assert "While executing" not in error.message


def test_each_status_is_the_vendors_of_the_same_meaning(subtests):
    """A wrong address or key is a mistake of whoever runs the gateway, not of its callers."""
    for status, text, expected in [
        (404, "The model `w` does not exist.", (404, "ModelNotFound")),
        (404, 'model "w" not found, try pulling it first', (404, "ModelNotFound")),
        (404, "Not Found", (500, "InternalError")),
        (404, "404 page not found", (500, "InternalError")),
        (404, "File Not Found", (500, "InternalError")),
        (405, "Method Not Allowed", (500, "InternalError")),
        (401, "Unauthorized", (500, "InternalError")),
        (402, "Insufficient balance", (500, "InternalError")),
        (403, "Forbidden", (500, "InternalError")),
        (413, "Request entity too large", (400, "InvalidParameter")),
        (422, "Extra inputs are not permitted", (400, "InvalidParameter")),
        (424, "Request failed during generation: out of memory", (500, "InternalError")),
        (429, "Model is overloaded", (429, "Throttling.RateQuota")),
        (500, "CUDA out of memory", (500, "InternalError")),
        (502, "Bad Gateway", (503, "ModelUnavailable")),
        (503, "Loading model", (503, "ModelUnavailable")),
    ]:
        with subtests.test(f"{status} {text}"):
            error = error_for_status(status, body(text))
            assert (error.status, error.code) == expected
            assert error.cause.startswith(f"HTTP {status}: {text}")


def test_what_an_upstreams_filter_blocks_is_told_by_the_vendors_code():
    """Whichever status it has."""
    error = error_for_status(400, body("no", code="data_inspection_failed"))

    assert (error.status, error.code) == (400, "DataInspectionFailed")


def test_the_reason_of_a_failure_reaches_the_caller():
    """Else nobody but the log knows why; a wrong key stays between the gateway and its server."""
    assert error_for_status(500, body("CUDA out of memory")).message == (
        "The engine behind this gateway failed: CUDA out of memory"
    )
    assert error_for_status(500, b"<html>").message == (
        "The engine behind this gateway failed. The gateway's log says more."
    )
    assert "sk-" not in error_for_status(401, body("Incorrect API key: sk-1234")).message
    assert error_in_answer(b'{"error": "out of memory"}').message.endswith(": out of memory")


@pytest.mark.parametrize("status", [400, 500])
async def test_no_key_reaches_callers_or_the_log(caplog, status):
    """Neither the gateway's own, which a server may quote, nor one that looks like a key."""
    caplog.set_level(logging.INFO)
    text = "bad key sk-abcdef123456 in Bearer abc.def " + "x" * 410 + " up-secret-key-1 " * 9
    server = FakeUpstream(failed(status, {"error": {"message": text}}))

    error = await generate_error(server, api_key="up-secret-key-1")

    seen = f"{error} {error.message} {error.cause} {caplog.text}"
    assert not [secret for secret in ("up-sec", "sk-abc", "abc.def") if secret in seen]


async def test_an_event_of_an_error_ends_the_answer_with_its_reason():
    """LM Studio names the event so, whatever its data is."""
    data = events(*short_answer("half", None)[:1], done=False)
    server = FakeUpstream((200, SSE, data + b"event: error\ndata: out of memory\n\n"))

    error = await generate_error(server)

    assert error.message == "The engine failed while it answered: out of memory"


@pytest.mark.parametrize("text", ["", "half"])
async def test_an_error_in_a_field_of_its_own_ends_the_answer(text):
    """llama.cpp's servers of 2025 write ``error: {…}``, and [DONE] behind it."""
    begun = events(*short_answer(text, None)[:1], done=False) if text else b""
    error = b'error: {"code":400,"message":"the request exceeds the available context size"}\n\n'
    server = FakeUpstream((200, SSE, begun + error + b"data: [DONE]\n\n"))

    assert (await generate_error(server)).message.startswith("Range of input length")
