"""The access log: what a line says of a call, and what it must never hold."""

import asyncio
import json
import logging

import httpx
import pytest

from dashscope_oss.gateway import (
    Answer,
    Gateway,
    ScriptedEngine,
    build_load_balancer,
    serve_in_thread,
)
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.gateway.security.api_keys import hash_key
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.messages import Delta, Usage
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
STREAM = {"X-DashScope-SSE": "enable"}
COUNTED = Answer("ok", usage=Usage(input_tokens=7, output_tokens=3, total_tokens=10))


def post(url, *, model=MODEL, text="hi", **more):
    body = {"model": model, "input": {"messages": [{"role": "user", "content": text}]}}
    return httpx.post(url + PATH, json=body, **more, verify=False)


def logged(caplog):
    """The lines of the access log."""
    return [json.loads(r.message) for r in caplog.records if r.name == "dashscope_oss.access"]


@pytest.mark.parametrize("stream", [False, True])
def test_each_call_gets_a_line_with_caller_model_status_and_tokens(caplog, stream):
    """One JSON object with the request id that the caller has."""
    settings = AccessConfig.model_validate({"keys": {"anna": {"hash": hash_key("sk-secret")}}})
    headers = {
        "authorization": "Bearer sk-secret",
        "x-forwarded-for": "192.0.2.7, 192.0.2.1",
        **(STREAM if stream else {}),
    }
    with (
        caplog.at_level(logging.INFO, "dashscope_oss.access"),
        serve_in_thread(Gateway(ScriptedEngine([COUNTED]), access=settings)) as url,
    ):
        reply = post(url, text="a private question", headers=headers)

    (line,) = logged(caplog)
    assert 0 <= line.pop("first_token_seconds") <= line.pop("seconds") < 60
    assert line.pop("time").startswith("20")
    assert line == {
        "request_id": reply.headers["x-request-id"],
        "client": "127.0.0.1",
        "forwarded_for": "192.0.2.7, 192.0.2.1",
        "key": "anna",
        "method": "POST",
        "path": f"/api/v1{PATH}",
        "model": MODEL,
        "stream": stream,
        "status": 200,
        "input_tokens": 7,
        "output_tokens": 3,
        "served_by": "none (scripted)",
    }


def test_the_log_holds_neither_prompts_nor_keys(caplog):
    """Not those of refused calls either, wherever they put them."""
    gateway = Gateway(ScriptedEngine([Answer("a private answer")]), api_keys=("sk-secret",))
    with caplog.at_level(logging.DEBUG), serve_in_thread(gateway) as url:
        post(url, text="a private question", headers={"authorization": "Bearer sk-secret"})
        post(url, text="a private question", headers={"authorization": "Bearer sk-stolen"})
        httpx.post(url + PATH + "?key=sk-secret", content=b"a private question")

    logged_text = " ".join(
        r.getMessage() for r in caplog.records if r.name.startswith("dashscope_oss")
    )
    assert [line["status"] for line in logged(caplog)] == [200, 401, 401]
    assert not any(word in logged_text for word in ("private", "sk-secret", "sk-stolen"))


def test_a_refused_call_is_logged_with_the_model_that_it_names(caplog):
    """And counted among that model's calls."""
    with (
        caplog.at_level(logging.INFO, "dashscope_oss.access"),
        serve_in_thread(Gateway(ScriptedEngine())) as url,
    ):
        httpx.post(url + PATH, json={**body(), "parameters": {"temperature": 9}})

    (line,) = logged(caplog)
    assert (line["status"], line["model"]) == (400, MODEL)


class Endless(ScriptedEngine):
    """Gives one piece, and nothing more."""

    async def generate(self, request):
        yield Delta(text="a")
        await asyncio.Event().wait()


def test_a_caller_who_left_has_a_status_of_its_own(caplog):
    """Status 499, as web servers call it."""
    with (
        caplog.at_level(logging.INFO, "dashscope_oss.access"),
        serve_in_thread(Gateway(Endless())) as url,
        httpx.stream("POST", url + PATH, headers=STREAM, json=body()) as reply,
    ):
        next(reply.iter_lines())

    assert [line["status"] for line in logged(caplog)] == [499]


def body():
    return {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}


def test_a_logger_that_is_off_gets_no_line(caplog, monkeypatch):
    """No line is even made."""
    monkeypatch.setattr(
        "dashscope_oss.gateway.observability.access_log.format_entry", lambda entry: 1 / 0
    )
    with (
        caplog.at_level(logging.WARNING, "dashscope_oss.access"),
        serve_in_thread(Gateway(ScriptedEngine([COUNTED]))) as url,
    ):
        assert post(url).status_code == 200

    assert logged(caplog) == []


def test_a_line_names_the_upstream_that_answered(caplog):
    """By its name in the configuration."""
    upstream = FakeUpstream(streamed(*short_answer("fine")))
    tables = f'[upstreams.gpu1]\nurl = "{upstream.url}"\n[models."{MODEL}"]\n'
    engine = build_load_balancer(parse_config(tables, "test"))
    with (
        caplog.at_level(logging.INFO, "dashscope_oss.access"),
        serve_in_thread(Gateway(engine)) as url,
    ):
        post(url)
    upstream.close()

    assert logged(caplog)[0]["upstream"] == "gpu1"
