"""What callers and the log get of a server's errors."""

import logging

import pytest

from dashscope_oss.gateway import APIError
from dashscope_oss.gateway.engines.openai.upstream_error import error_text
from tests.gateway.engines.openai.calls import (
    PROMPT_MODEL,
    deltas_of,
    engine_request,
    generate_error,
    started_engine,
)
from tests.gateway.fake_upstream import HTML, SSE, FakeUpstream, failed, streamed

FORMS = {
    "openai": {"error": {"message": "no", "type": "x", "code": None}},
    "vllm": {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 400}},
    "sglang": {"object": "error", "message": "no", "type": "BadRequest", "code": 400},
    "ollama": {"error": "no"},
    "fastapi": {"detail": "no"},
    "fastapi's list": {"detail": [{"loc": ["body", "x"], "msg": "no", "type": "missing"}]},
    "a list": [{"error": {"message": "no"}}],
    "a word": "no",
}


@pytest.mark.parametrize("form", FORMS)
async def test_the_text_of_a_bad_request_reaches_the_caller(form):
    """Wherever this kind of server puts it."""
    error = await generate_error(FakeUpstream(failed(400, FORMS[form])))

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert error.message == "<400> InternalError.Algo.InvalidParameter: no"


def test_a_page_of_html_is_no_text():
    """A proxy's error page is not handed to callers."""
    assert error_text(b"<html><body>nginx") == "the answer holds no text"
    assert error_text(b"") == "the answer holds no text"
    assert error_text(b"plain words") == "plain words"


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
            "the context window is full",
            "Range of input length should be [1, N]. the context window is full",
        ),
    ],
)
async def test_too_long_is_told_in_the_vendors_words(text, expected):
    """vLLM, llama.cpp and SGLang: the limit that the server names is the limit that is told."""
    error = await generate_error(FakeUpstream(failed(400, {"error": {"message": text}})))

    assert error.message == expected


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
    """Whatever the server quotes of a caller's text: it forges no line, and can be sent on."""
    text = "bad \ud800 \x1b[31m\nERROR root: all is lost"

    error = await generate_error(FakeUpstream(failed(500, {"error": text})), name="gpu")
    (record,) = caplog.records

    assert error.cause == "HTTP 500: bad \ufffd [31m ERROR root: all is lost"
    assert record.getMessage().startswith("a call failed at gpu, http://127.0.0.1:")
    assert record.getMessage().endswith(f"/v1: {error.cause}")


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

    assert last_errors == ["The engine's answer cannot be read.", "HTTP 500: no memory"]
