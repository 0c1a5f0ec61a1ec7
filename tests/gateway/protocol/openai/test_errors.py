"""Errors have OpenAI's form and the codes of the service's own second door."""

import json
import re

import httpx
import pytest

from dashscope_oss.gateway import Answer, Fault, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.messages import Delta
from tests.gateway.protocol.openai.calls import ask, door, events

INVALID = "invalid_request_error"


def error_of(response):
    """Status, type, code and message; the form is the same for all."""
    body = response.json()
    assert body["request_id"] == response.headers["x-request-id"]
    error = body.pop("error")
    assert (set(body), error["param"]) == ({"request_id"}, None)
    return response.status_code, error["type"], error["code"], error["message"]


@pytest.fixture(scope="module")
def url():
    with serve_in_thread(Gateway(ScriptedEngine(), api_keys=("sk-right",))) as url:
        yield url


def call(url, **more):
    headers = {"Authorization": "Bearer sk-right", "Accept": "text/event-stream"}
    return ask(url, headers=headers, **more)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "status", "code", "message"),
    [
        ({"model": "nobody"}, 404, "model_not_found", "The model `nobody` does not exist"),
        ({"model": "x" * 300}, 404, "model_not_found", "The model `xxx"),
        ({"temperature": 9}, 400, "invalid_parameter_error", "Temperature should be in"),
        ({"messages": [{"role": "user", "content": "word " * 30_000}]}, 400,
         "invalid_parameter_error", "Range of input length should be [1, "),
    ],
    ids=["model", "long name", "parameter", "length"],
)  # fmt: skip
def test_a_refusal_has_its_own_status_even_of_a_stream(url, more, status, code, message, stream):
    """OpenAI's clients look at the status first, whatever they accept."""
    refused = error_of(call(url, stream=stream, **more))

    assert refused[:3] == (status, INVALID, code)
    assert message in refused[3]


def test_a_wrong_key_is_refused(url):
    for path in ("chat/completions", "models", "models/glm-5", "nowhere"):
        response = httpx.post(f"{door(url)}/{path}", headers={"Authorization": "Bearer sk-wrong"})

        expected = (401, INVALID, "invalid_api_key", "Incorrect API key provided.")
        assert error_of(response) == expected


def test_a_body_that_is_too_large_is_refused(url):
    headers = {"Authorization": "Bearer sk-right"}
    content = b" " * 33_000_000
    response = httpx.post(f"{door(url)}/chat/completions", content=content, headers=headers)

    assert error_of(response) == (400, INVALID, "BadRequest.TooLarge", "Payload Too Large")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/embeddings", "This gateway serves language models only: it has no embeddings."),
        ("/responses", "below /compatible-mode/v1 there are chat/completions and models."),
        ("", "below /compatible-mode/v1 there are chat/completions and models."),
    ],
)
def test_what_is_not_served_is_said(url, path, message):
    headers = {"Authorization": "Bearer sk-right"}
    status, kind, code, text = error_of(httpx.post(door(url) + path, headers=headers))

    assert (status, kind, code) == (404, INVALID, "NotFound")
    assert text.endswith(message)


def test_a_method_that_is_not_served_is_refused(url):
    headers = {"Authorization": "Bearer sk-right"}
    response = httpx.get(f"{door(url)}/chat/completions", headers=headers)

    assert error_of(response)[2:] == (
        "invalid_parameter_error",
        "Request method 'GET' is not supported.",
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(), (429, "limit_requests", "limit_requests")),
        (Fault(429, "Throttling.AllocationQuota"), (429, *["insufficient_quota"] * 2)),
        (Fault(500, "InternalError", "no"), (500, "internal_error", "internal_error")),
        (Fault(503, "ModelUnavailable", "no"), (503, "ModelUnavailable", "ModelUnavailable")),
        (Fault(403, "Model.AccessDenied", "no"), (403, INVALID, "Model.AccessDenied")),
        (Fault(401, "InvalidApiKey", "It has expired."), (401, INVALID, "invalid_api_key")),
        (Fault(400, "DataInspectionFailed", "no"), (400, *["data_inspection_failed"] * 2)),
        (Fault(400, "Arrearage", "no"), (400, "Arrearage", "Arrearage")),
    ],
)  # fmt: skip
def test_a_failure_of_the_engine_has_its_own_status(gateway, fault, expected, stream):
    response = ask(gateway(fault).base_url, stream=stream)

    assert error_of(response)[:3] == expected
    assert error_of(response)[3] == fault.message


def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(gateway):
    """There is no [DONE]: a client that does not know errors sees that the stream broke off."""
    engine = gateway(Fault(503, "ModelUnavailable", "gone", after=1))

    response = ask(engine.base_url, stream=True)

    first, last = map(json.loads, events(response))
    assert first["choices"][0]["delta"]["content"] == "piece 1 "
    assert last["error"] == {
        "message": "gone",
        "type": "ModelUnavailable",
        "param": None,
        "code": "ModelUnavailable",
    }
    assert last["request_id"] == response.headers["x-request-id"]


def test_an_engine_that_stops_in_the_middle_is_a_failure(gateway):
    engine = gateway(Answer("never"))

    async def half(request):
        yield Delta(text="half")

    engine.generate = half

    assert error_of(ask(engine.base_url))[:3] == (500, "internal_error", "internal_error")
    last = json.loads(events(ask(engine.base_url, stream=True))[-1])
    assert last["error"]["message"] == "The engine broke off its answer."


def test_a_connection_that_is_cut_has_sent_the_chunks_before(gateway):
    engine = gateway(Fault(after=2, cut=True))
    body = {"model": "glm-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    url = f"{door(engine.base_url)}/chat/completions"
    lines = []
    with httpx.Client() as client, client.stream("POST", url, json=body) as response:
        arriving = map(lines.append, response.iter_lines())
        with pytest.raises(httpx.RemoteProtocolError):
            list(arriving)

    assert sum(line.startswith("data: {") for line in lines) == 2
    assert not any("[DONE]" in line for line in lines)


def test_the_true_status_is_in_the_log_and_the_metrics(gateway, caplog):
    """A stream of this door is one, though no header says so; its path shows the door."""
    app = Gateway(ScriptedEngine([Fault(503, "ModelUnavailable", "gone", after=1)]))
    caplog.set_level("INFO", "dashscope_oss.access")
    with serve_in_thread(app) as url:
        ask(url, stream=True)
        metrics = httpx.get(url.removesuffix("/api/v1") + "/metrics").text

    [entry] = (json.loads(record.message) for record in caplog.records)
    shown = {name: entry[name] for name in ("path", "model", "stream", "status", "code")}
    assert shown == {
        "path": "/compatible-mode/v1/chat/completions",
        "model": "llama3-8b-instruct",
        "stream": True,
        "status": 503,
        "code": "ModelUnavailable",
    }
    ended = r'requests_total\{model="llama3-8b-instruct",status="503",stream="true"\} 1\.0'
    assert re.search(ended, metrics)
