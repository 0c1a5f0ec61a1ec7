"""How often and how much callers may use the gateway, and how the service says no."""

from dataclasses import replace

import httpx
import pytest
from pydantic import ValidationError

from dashscope_oss import (
    Client,
    ClientOptions,
    Endpoint,
    Message,
    Options,
    RateLimitError,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import Answer, APIError, Fault, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.gateway.security.api_keys import hash_key
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.gateway.security.usage_limits import UsageLimits
from dashscope_oss.messages import Usage

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
BODY = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}


class Clock:
    """A clock that stands still until a test moves it."""

    now = 100.0

    def __call__(self):
        return self.now


def usage_limits(clock=None, **tables):
    config = AccessConfig.model_validate(tables)
    return UsageLimits(config, config.keys, clock=clock or Clock())


def refused(call, *arguments):
    """Return status, code and text of the refusal of a call."""
    with pytest.raises(APIError) as raised:
        call(*arguments)
    return raised.value.status, raised.value.code, raised.value.message


RATE = (429, "Throttling.RateQuota", "Requests rate limit exceeded, try again later.")
QUOTA = (
    429,
    "Throttling.AllocationQuota",
    "Allocated quota exceeded, please increase your quota limit.",
)


@pytest.mark.parametrize(
    "tables",
    [
        {"keys": {"anna": {"hash": "sk-a-plain-key"}}},
        {"keys": {"anna": {"hash": "sha256:12"}}},
        {"keys": {"an na": {"hash": hash_key("k")}}},
        {"keys": {"anna": {"hash": hash_key("k")}, "otto": {"hash": hash_key("k")}}},
        {"keys": {"anna": {"hash": hash_key("k"), "requests_per_minute": 0}}},
        {"limits": {"requests_per_minute": "60"}},
        {"limits": {"max_body_bytes": 64_000_000}},
        {"limits": {"unknown": 1}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tables):
    """A plain key, a hash twice, limits of nothing, words nobody knows."""
    with pytest.raises(ValidationError):
        AccessConfig.model_validate(tables)


def test_a_minutes_requests_fill_again_evenly():
    """After so many calls it is enough, and a second later there is one for sixty a minute."""
    clock = Clock()
    limits = usage_limits(clock, limits={"requests_per_minute": 60})

    for _ in range(60):
        limits.admit("", MODEL)
    assert refused(limits.admit, "", MODEL) == RATE
    clock.now += 1
    limits.admit("", MODEL)
    assert refused(limits.admit, "", MODEL) == RATE
    clock.now += 3600
    for _ in range(60):
        limits.admit("", MODEL)
    assert refused(limits.admit, "", MODEL) == RATE


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_a_refusal_says_how_long_to_wait(limit):
    """Who waits that long is let in."""
    clock = Clock()
    limits = usage_limits(clock, limits={limit: 10})
    for _ in range(10):
        limits.admit("", MODEL)
        limits.charge("", MODEL, 1)
    with pytest.raises(APIError) as caught:
        limits.admit("", MODEL)

    assert caught.value.retry_after == pytest.approx(6)
    clock.now += 6.01
    limits.admit("", MODEL)


def test_tokens_are_counted_after_the_answer_and_waited_for():
    """A call may go over the minute's tokens; the next waits until they are made up."""
    clock = Clock()
    limits = usage_limits(clock, limits={"tokens_per_minute": 600})

    limits.admit("", MODEL)
    limits.charge("", MODEL, 610)
    assert refused(limits.admit, "", MODEL) == QUOTA
    clock.now += 0.9
    assert refused(limits.admit, "", MODEL) == QUOTA
    clock.now += 0.2
    limits.admit("", MODEL)


def test_each_key_has_its_own_allowance():
    """One caller's calls are not taken from another's; a key's limit goes before the general."""
    limits = usage_limits(
        keys={
            "anna": {"hash": hash_key("a")},
            "otto": {"hash": hash_key("o"), "requests_per_minute": 2},
        },
        limits={"requests_per_minute": 1},
    )

    limits.admit("anna", MODEL)
    assert refused(limits.admit, "anna", MODEL) == RATE
    limits.admit("otto", MODEL)
    limits.admit("otto", MODEL)
    assert refused(limits.admit, "otto", MODEL) == RATE


def test_a_models_limit_is_over_all_callers():
    """And a call that it refuses is not taken from the key's allowance."""
    limits = usage_limits(
        keys={
            "anna": {"hash": hash_key("a"), "requests_per_minute": 2},
            "otto": {"hash": hash_key("o")},
        },
        limits={"models": {MODEL: {"requests_per_minute": 1}}},
    )

    limits.admit("otto", MODEL)
    assert refused(limits.admit, "anna", MODEL) == RATE
    limits.admit("anna", "llama2-7b-chat-v2")
    limits.admit("anna", "llama2-7b-chat-v2")


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, None),
        ({"max_input_tokens": 100}, 100),
        ({"max_input_tokens": 100, "models": {MODEL: {"max_input_tokens": 50}}}, 50),
        ({"max_input_tokens": 10**9}, None),
    ],
)
def test_the_shortest_input_limit_holds(limits, most):
    """The gateway's, this model's, or that of the model itself."""
    model_info = find_model(MODEL)

    assert usage_limits(limits=limits).with_input_limit(model_info).input_limit == (
        most or model_info.input_limit
    )


def post(url, body=BODY, **more):
    return httpx.post(url + PATH, json=body, **more, verify=False)


def test_a_call_over_its_limit_gets_429_and_our_client_knows_it():
    """The service's status, code and text, for a plain call and for a stream."""
    config = AccessConfig.model_validate({"limits": {"requests_per_minute": 1}})
    with serve_in_thread(Gateway(ScriptedEngine([Answer("ok")]), access=config)) as url:
        assert post(url).status_code == 200
        reply = post(url)
        with Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client:
            call = chat_request(find_model(MODEL), [Message("user", "hi")], Options(), stream=True)
            with pytest.raises(RateLimitError) as raised:
                list(client.stream(call))

    assert (reply.status_code, reply.json()["code"], reply.json()["message"]) == RATE
    assert (raised.value.status_code, raised.value.code) == RATE[:2]
    assert 50 < int(reply.headers["retry-after"]) <= 60
    assert 50 < raised.value.retry_after <= 60


@pytest.mark.parametrize("stream", [False, True])
def test_the_engines_own_count_is_charged(stream):
    """Tokens in and out of a whole answer, streamed or not."""
    config = AccessConfig.model_validate({"limits": {"tokens_per_minute": 1000}})
    answer = Answer("ok", usage=Usage(input_tokens=600, output_tokens=500))
    headers = {"X-DashScope-SSE": "enable"} if stream else {}
    with serve_in_thread(Gateway(ScriptedEngine([answer]), access=config)) as url:
        assert post(url, headers=headers).status_code == 200
        reply = post(url)

    assert (reply.status_code, reply.json()["code"]) == QUOTA[:2]


class Silent(ScriptedEngine):
    """Reports no usage."""

    async def generate(self, request):
        async for delta in super().generate(request):
            yield replace(delta, usage=None)


@pytest.mark.parametrize(("question", "answer"), [("word " * 200, "ok"), ("hi", "word " * 200)])
def test_an_engine_that_does_not_count_is_charged_an_estimate(question, answer):
    """Of the question and of the answer: leaving counts out is no way around a limit."""
    config = AccessConfig.model_validate({"limits": {"tokens_per_minute": 100}})
    body = {"model": MODEL, "input": {"messages": [{"role": "user", "content": question}]}}
    with serve_in_thread(Gateway(Silent([Answer(answer)]), access=config)) as url:
        assert post(url, body).status_code == 200
        reply = post(url)

    assert reply.json()["code"] == QUOTA[1]


def test_a_call_that_fails_costs_no_tokens():
    """What brought no answer is not charged."""
    config = AccessConfig.model_validate({"limits": {"tokens_per_minute": 10}})
    engine = ScriptedEngine([Fault(500, "InternalError", "x"), Answer("ok")])
    long = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "word " * 500}]}}
    with serve_in_thread(Gateway(engine, access=config)) as url:
        assert post(url, long).status_code == 500
        assert post(url).status_code == 200


def test_input_longer_than_the_gateway_takes_is_refused_in_the_vendors_words():
    """The text names the gateway's limit."""
    config = AccessConfig.model_validate({"limits": {"max_input_tokens": 5}})
    body = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "a b c d e f"}]}}
    with serve_in_thread(Gateway(ScriptedEngine(), access=config)) as url:
        reply = post(url, body)

    assert reply.json()["message"] == "Range of input length should be [1, 5]"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_larger_than_the_gateway_takes_is_refused(chunked):
    """By its announced length, else by what came."""
    config = AccessConfig.model_validate({"limits": {"max_body_bytes": 1000}})
    content = b"{" + b" " * 2000
    with serve_in_thread(Gateway(ScriptedEngine(), access=config)) as url:
        reply = httpx.post(url + PATH, content=iter([content]) if chunked else content)
        alive = post(url)

    assert (reply.status_code, reply.json()["code"]) == (400, "BadRequest.TooLarge")
    assert alive.status_code == 200
