"""Keys and limits: who may call, how often, how much, and how the service says no."""

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
from dashscope_oss.gateway.security.access import AccessControl
from dashscope_oss.gateway.security.api_keys import generate_key, hash_key
from dashscope_oss.gateway.security.config import AccessConfig
from dashscope_oss.messages import Usage

PATH = "/services/aigc/text-generation/generation"
MODEL = "llama3-8b-instruct"
BODY = {"model": MODEL, "input": {"messages": [{"role": "user", "content": "hi"}]}}


class Clock:
    """A clock that stands still until a test moves it."""

    now = 100.0

    def __call__(self):
        return self.now


def access(clock=None, **tables):
    return AccessControl(AccessConfig.model_validate(tables), clock=clock or Clock())


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


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def test_a_key_is_known_by_its_hash_and_has_a_name():
    """The configuration holds no key; the caller is known by the key's name."""
    key = generate_key()
    control = access(keys={"anna": {"hash": hash_key(key)}})

    assert control.authenticate(bearer(key)) == "anna"
    assert not control.is_open
    assert refused(control.authenticate, bearer(generate_key())) == (
        401,
        "InvalidApiKey",
        "Invalid API-key provided.",
    )
    assert refused(control.authenticate, {})[0] == 401


def test_without_keys_anybody_may_call():
    """A key that is shown all the same does no harm."""
    assert access().authenticate({}) == ""
    assert access().authenticate(bearer("sk-any")) == ""


def test_no_two_keys_are_alike():
    """256 bits each, in letters that every header takes."""
    keys = {generate_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(len(key) >= 43 and key.isascii() for key in keys)


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
    control = access(clock, limits={"requests_per_minute": 60})

    for _ in range(60):
        control.admit("", MODEL)
    assert refused(control.admit, "", MODEL) == RATE
    clock.now += 1
    control.admit("", MODEL)
    assert refused(control.admit, "", MODEL) == RATE
    clock.now += 3600
    for _ in range(60):
        control.admit("", MODEL)
    assert refused(control.admit, "", MODEL) == RATE


def test_tokens_are_counted_after_the_answer_and_waited_for():
    """A call may go over the minute's tokens; the next waits until they are made up."""
    clock = Clock()
    control = access(clock, limits={"tokens_per_minute": 600})

    control.admit("", MODEL)
    control.charge("", MODEL, 610)
    assert refused(control.admit, "", MODEL) == QUOTA
    clock.now += 0.9
    assert refused(control.admit, "", MODEL) == QUOTA
    clock.now += 0.2
    control.admit("", MODEL)


def test_each_key_has_its_own_allowance():
    """One caller's calls are not taken from another's; a key's limit goes before the general."""
    control = access(
        keys={
            "anna": {"hash": hash_key("a")},
            "otto": {"hash": hash_key("o"), "requests_per_minute": 2},
        },
        limits={"requests_per_minute": 1},
    )

    control.admit("anna", MODEL)
    assert refused(control.admit, "anna", MODEL) == RATE
    control.admit("otto", MODEL)
    control.admit("otto", MODEL)
    assert refused(control.admit, "otto", MODEL) == RATE


def test_a_models_limit_is_over_all_callers():
    """And a call that it refuses is not taken from the key's allowance."""
    control = access(
        keys={
            "anna": {"hash": hash_key("a"), "requests_per_minute": 2},
            "otto": {"hash": hash_key("o")},
        },
        limits={"models": {MODEL: {"requests_per_minute": 1}}},
    )

    control.admit("otto", MODEL)
    assert refused(control.admit, "anna", MODEL) == RATE
    control.admit("anna", "llama2-7b-chat-v2")
    control.admit("anna", "llama2-7b-chat-v2")


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

    assert access(limits=limits).with_input_limit(model_info).input_limit == (
        most or model_info.input_limit
    )


def post(url, body=BODY, **more):
    return httpx.post(url + PATH, json=body, **more)


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


def test_what_needs_a_key_and_what_does_not():
    """Health and the empty page are for everybody; models, numbers and calls are not."""
    config = AccessConfig.model_validate({"keys": {"anna": {"hash": hash_key("sk-a")}}})
    with serve_in_thread(Gateway(ScriptedEngine(), api_keys=("sk-plain",), access=config)) as url:
        root = url.removesuffix("/api/v1")
        for open_path in ("/", "/healthz", "/health", "/api/v1"):
            assert httpx.get(root + open_path).status_code == 200
        for closed in ("/status", "/metrics", "/api/v1/models", "/nowhere"):
            assert httpx.get(root + closed).status_code == 401
        for key in ("sk-a", "sk-plain"):
            assert httpx.get(root + "/status", headers=bearer(key)).status_code == 200
            assert post(url, headers=bearer(key)).status_code == 200
        assert post(url, headers=bearer("sk-b")).status_code == 401


def test_a_page_of_another_site_may_not_call(gateway):
    """Without keys it would spend tokens for whatever is open in a browser."""
    engine = gateway(Answer("hi"))
    responses = {
        site: httpx.post(engine.base_url + PATH, json=BODY, headers={"Sec-Fetch-Site": site})
        for site in ("cross-site", "same-origin", "none")
    }
    assert [response.status_code for response in responses.values()] == [403, 200, 200]
    assert responses["cross-site"].json()["code"] == "AccessDenied"


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 403)])
def test_a_link_elsewhere_may_lead_to_the_status_page(gateway, method, status):
    """Whoever follows it sees the page; a form that is sent from elsewhere is refused."""
    engine = gateway(Answer("ok"))
    place = "/" if method == "GET" else "/api/v1" + PATH
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    url = engine.base_url.removesuffix("/api/v1") + place

    assert httpx.request(method, url, json=BODY, headers=sent).status_code == status


@pytest.mark.parametrize("authorization", ["Bearer sk-a", "bearer sk-a", "BEARER  sk-a", "sk-a"])
def test_the_word_before_the_key_may_be_written_in_any_way(authorization):
    """HTTP does not tell it apart by case, and the key alone is understood too."""
    control = access(keys={"a": {"hash": hash_key("sk-a")}})

    assert control.authenticate({"authorization": authorization}) == "a"
