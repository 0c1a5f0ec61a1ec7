"""Metrics: what they count of each call, and what callers cannot do to them."""

import logging
import sys
import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dashscope_oss.gateway import (
    Answer,
    Fault,
    Gateway,
    OpenAIEngine,
    ScriptedEngine,
    Upstream,
    build_load_balancer,
    serve_in_thread,
)
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.gateway.observability.metrics import OTHER_MODELS
from dashscope_oss.gateway.security.api_keys import hash_key
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.messages import Delta, Usage
from tests.gateway.fake_upstream import FakeUpstream, failed, short_answer, streamed

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
STREAM = {"X-DashScope-SSE": "enable"}
COUNTED = Answer("ok", usage=Usage(input_tokens=7, output_tokens=3, total_tokens=10))


def post(url, *, model=MODEL, text="hi", **more):
    body = {"model": model, "input": {"messages": [{"role": "user", "content": text}]}}
    return httpx.post(url + PATH, json=body, **more, verify=False)


def numbers(url, **more):
    """Everything at /metrics: (name, labels) -> value."""
    reply = httpx.get(url.removesuffix("/api/v1") + "/metrics", **more, verify=False)
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def number(samples, name, **labels):
    return samples.get((f"dashscope_gateway_{name}", tuple(sorted(labels.items()))))


def test_calls_are_counted_by_model_status_and_stream():
    """The true status, also of a stream that HTTP calls 200."""
    engine = ScriptedEngine([COUNTED, COUNTED, Fault(500, "InternalError", "x")])
    with serve_in_thread(Gateway(engine)) as url:
        post(url)
        post(url, headers=STREAM)
        assert post(url, headers=STREAM).status_code == 200
        post(url, model="no-such-model")
        samples = numbers(url)

    def calls(status, stream, model=MODEL):
        return number(samples, "requests_total", model=model, status=status, stream=stream)

    assert (calls("200", "false"), calls("200", "true"), calls("500", "true")) == (1, 1, 1)
    assert calls("404", "false", model="") == 1
    assert number(samples, "tokens_total", model=MODEL, direction="in") == 14
    assert number(samples, "tokens_total", model=MODEL, direction="out") == 6
    assert number(samples, "request_seconds_count", model=MODEL, stream="true") == 2
    assert number(samples, "first_token_seconds_count", model=MODEL) == 2
    assert number(samples, "requests_under_way", model=MODEL) == 0


def test_tokens_of_models_that_report_none_to_callers_are_counted_too():
    """The operator sees what the engine counts, also for Ziya."""
    with serve_in_thread(Gateway(ScriptedEngine([COUNTED]))) as url:
        body = {"model": "ziya-llama-13b-v1", "input": {"prompt": "hi"}}
        reply = httpx.post(url + PATH, json=body)
        samples = numbers(url)

    assert "usage" not in reply.json()
    assert number(samples, "tokens_total", model="ziya-llama-13b-v1", direction="in") == 7


@pytest.mark.skipif(sys.platform != "linux", reason="read in /proc")
def test_the_memory_and_the_open_files_of_the_process_are_there():
    """By the names that dashboards for Prometheus know."""
    with serve_in_thread(Gateway(ScriptedEngine())) as url:
        samples = numbers(url)

    assert samples["process_resident_memory_bytes", ()] > 10_000_000
    assert samples["process_open_fds", ()] > 3


def test_a_call_under_way_is_seen():
    """From when the engine has it to its end."""
    hold = threading.Event()
    with (
        serve_in_thread(Gateway(ScriptedEngine([Answer(pieces=("a", "b"), hold=hold)]))) as url,
        httpx.stream(
            "POST",
            url + PATH,
            headers=STREAM,
            json={"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}},
        ) as reply,
    ):
        lines = reply.iter_lines()
        next(lines)
        during = numbers(url)
        hold.set()
        list(lines)
        after = numbers(url)

    assert number(during, "requests_under_way", model=MODEL) == 1
    assert number(after, "requests_under_way", model=MODEL) == 0


def test_callers_cannot_make_up_series_without_end(monkeypatch):
    """An upstream that serves any id: after so many, the rest is one series."""
    monkeypatch.setattr("dashscope_oss.gateway.observability.metrics._MAX_MODELS", 3)
    upstream = FakeUpstream((200, "application/json", b"{}"))
    engine = OpenAIEngine(Upstream(url=upstream.url, default="any"))
    with serve_in_thread(Gateway(engine)) as url:
        for letter in "abcdef":
            post(url, model=f"made-up-{letter}")
        samples = numbers(url)
    upstream.close()

    counted = [labels for name, labels in samples if name == "dashscope_gateway_requests_total"]
    models = {dict(labels)["model"] for labels in counted}
    assert models == {"made-up-a", "made-up-b", "made-up-c", OTHER_MODELS}


def test_what_limits_refuse_is_counted_by_key():
    """Who is held back, and by which limit."""
    settings = AccessConfig.model_validate(
        {"keys": {"anna": {"hash": hash_key("sk-a"), "requests_per_minute": 1}}}
    )
    key = {"authorization": "Bearer sk-a"}
    with serve_in_thread(Gateway(ScriptedEngine([COUNTED]), access=settings)) as url:
        post(url, headers=key)
        post(url, headers=key)
        samples = numbers(url, headers=key)

    assert number(samples, "rate_limited_total", key="anna", code="Throttling.RateQuota") == 1


def two_upstreams(good, bad):
    return build_load_balancer(
        parse_config(
            f"""
            [upstreams.good]
            url = "{good.url}"
            [upstreams.bad]
            url = "{bad.url}"
            weight = 100.0
            [models."{MODEL}"]
            names = {{ good = "weights-a", bad = "weights-b" }}
            """,
            "test",
        )
    )


def test_the_health_of_upstreams_is_shown():
    """One that is down is 0."""
    good, bad = (
        FakeUpstream(streamed(*short_answer("fine"))),
        FakeUpstream(failed(500, {"error": "x"}), health_status=500),
    )
    with serve_in_thread(Gateway(two_upstreams(good, bad))) as url:
        reply = post(url)
        samples = numbers(url)
    good.close()
    bad.close()

    assert reply.headers["x-dashscope-oss-served-by"] == "weights-a"
    assert number(samples, "upstream_healthy", upstream="good") == 1
    assert number(samples, "upstream_healthy", upstream="bad") == 0
    assert number(samples, "upstream_requests_total", upstream="good") == 1


def test_an_id_that_no_model_has_is_not_kept(caplog):
    """Where any id is served, a megabyte of one gets neither into metrics nor into the log."""
    upstream = FakeUpstream(streamed(*short_answer("hi")))
    engine = OpenAIEngine(Upstream(url=upstream.url, default="any"))
    with (
        caplog.at_level(logging.INFO, "dashscope_oss.access"),
        serve_in_thread(Gateway(engine)) as url,
    ):
        reply = post(url, model="x" * 1_000_000)
        size = len(httpx.get(url.removesuffix("/api/v1") + "/metrics").content)
    upstream.close()

    assert (reply.status_code, reply.json()["code"]) == (404, "ModelNotFound")
    assert size < 100_000
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


class Early(ScriptedEngine):
    """Reports usage with its first piece only."""

    async def generate(self, request):
        yield Delta(text="a", usage=COUNTED.usage)
        yield Delta(finish_reason="stop", last=True)


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_counts_that_come_early_count(headers):
    """Also if the pieces behind them bring none."""
    with serve_in_thread(Gateway(Early())) as url:
        post(url, headers=headers)
        samples = numbers(url)

    assert number(samples, "tokens_total", model=MODEL, direction="in") == 7
