"""Several upstreams: shares, failover before the first piece, and never after it."""

import asyncio
import contextlib
import threading
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    ConfigurationError,
    Endpoint,
    Message,
    ServerError,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import (
    APIError,
    Backend,
    EngineRequest,
    Gateway,
    HealthCheck,
    LoadBalancer,
    Upstream,
    serve_in_thread,
)
from dashscope_oss.gateway.engines import load_balancer
from tests.gateway.fake_upstream import (
    HTML,
    SSE,
    FakeUpstream,
    chunk,
    events,
    failed,
    short_answer,
    streamed,
)

MODEL = find_model("llama3-8b-instruct")
REQUEST = EngineRequest(model_info=MODEL, messages=(Message("user", "hi"),))
WAIT = 5
ONCE = HealthCheck(interval=1000, timeout=WAIT)


def answering(text):
    return FakeUpstream(streamed(*short_answer(text)))


def closed_server():
    server = FakeUpstream()
    server.close()
    return server


def backend(name, server, *, weight=1.0, weights_name="w", **upstream):
    return Backend(
        upstream=Upstream(
            url=server.url, name=name, names={MODEL.id: weights_name}, timeout=WAIT, **upstream
        ),
        weight=weight,
    )


@contextlib.asynccontextmanager
async def started(*backends):
    balancer = LoadBalancer([MODEL], backends)
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.aclose()


async def answer(balancer, request=REQUEST):
    return "".join([delta.text async for delta in balancer.generate(request)])


def test_only_its_models_are_served():
    """Whatever else the registry knows."""
    balancer = LoadBalancer([MODEL], [backend("a", answering("a"))])

    assert balancer.models() == [MODEL]
    assert balancer.find_model(MODEL.id) == MODEL
    assert balancer.find_model("glm-5") is None


async def test_idle_upstreams_share_the_requests_by_their_weights():
    """Of weight 3 and 1: three requests of four, and one of four."""
    a, b = answering("a"), answering("b")
    async with started(backend("a", a, weight=3.0), backend("b", b)) as balancer:
        texts = [await answer(balancer) for _ in range(8)]

    assert (texts.count("a"), texts.count("b")) == (6, 2)
    assert "b" in texts[:4]


async def test_a_busy_upstream_is_passed_over():
    """The next request goes to the one with the fewest under way, whoever's turn it is."""
    a = FakeUpstream((200, SSE, events(chunk(content="a"), done=False), threading.Event()))
    b = answering("b")
    async with started(backend("a", a, weight=1.0), backend("b", b)) as balancer:
        first = balancer.generate(REQUEST)
        assert (await anext(first)).text == "a"

        assert [await answer(balancer) for _ in range(3)] == ["b", "b", "b"]
        await first.aclose()


@pytest.mark.parametrize(
    "fault",
    [
        failed(500, {"error": "no"}),
        failed(503, {"error": "loading"}),
        failed(429, {"error": "busy"}),
        failed(404, {"error": "no such model"}),
        failed(401, {"error": "key"}),
        (200, HTML, b"<html>"),
        (200, SSE, b""),
        streamed({"error": {"message": "out of memory"}}),
    ],
)
async def test_an_upstream_that_fails_before_its_first_piece_is_replaced(fault):
    """A 5xx, a 429, a wrong key, nonsense: callers see none of it."""
    bad, good = FakeUpstream(fault), answering("good")
    async with started(backend("bad", bad), backend("good", good)) as balancer:
        assert [await answer(balancer) for _ in range(2)] == ["good", "good"]

    assert bad.calls


async def test_an_upstream_that_cannot_be_reached_is_left_out():
    """The next one answers, and the lost one is not asked again before its next check."""
    gone, good = answering("x"), answering("good")
    async with started(backend("gone", gone, health_check=ONCE), backend("good", good)) as balancer:
        gone.close()
        assert [await answer(balancer) for _ in range(3)] == ["good"] * 3
        state = balancer.upstreams()[0]

    assert (state.healthy, state.calls, state.failures) == (False, 1, 1)
    assert state.last_error


async def test_an_upstream_that_failed_its_health_check_is_left_out():
    """It is asked again once it has passed one."""
    ill, good = answering("ill"), answering("good")
    ill.health_status = 503
    async with started(
        backend("ill", ill, weight=9.0, health_check=ONCE), backend("good", good)
    ) as balancer:
        assert await answer(balancer) == "good"

    assert ill.calls == []


async def test_an_upstream_that_has_just_failed_is_asked_last(monkeypatch):
    """A server can pass its health checks and fail every call; when it has rested it gets one."""
    ill, good = FakeUpstream(failed(500, {"error": "no memory"})), answering("good")
    backends = [backend("ill", ill, weight=9.0, health_check=ONCE), backend("good", good)]
    async with started(*backends) as balancer:
        assert [await answer(balancer) for _ in range(3)] == ["good"] * 3
        assert len(ill.calls) == 1
        monkeypatch.setattr(load_balancer, "REST_SECONDS", 0.0)
        ill.answers = [streamed(*short_answer("well again"))]
        assert await answer(balancer) == "well again"
        monkeypatch.undo()
        assert await answer(balancer) == "well again"


async def test_an_upstream_that_rested_gets_its_share_and_no_more(monkeypatch):
    """The requests of its rest are not made up for: that would be all of the next ones."""
    ill, good = FakeUpstream(failed(500, {"error": "no memory"})), answering("good")
    async with started(backend("ill", ill), backend("good", good)) as balancer:
        assert [await answer(balancer) for _ in range(9)] == ["good"] * 9
        monkeypatch.setattr(load_balancer, "REST_SECONDS", 0.0)
        ill.answers = [streamed(*short_answer("well"))]
        texts = [await answer(balancer) for _ in range(8)]

    assert (texts.count("well"), texts.count("good")) == (4, 4)


async def test_one_request_tries_an_upstream_that_has_rested(monkeypatch):
    """If it still hangs, only that one waits."""
    now = 0.0
    monkeypatch.setattr(load_balancer, "time", SimpleNamespace(monotonic=lambda: now))
    asked = threading.Event()

    def hang(_):
        asked.set()
        return 200, SSE, b"", threading.Event()

    ill = FakeUpstream(failed(500, {"error": "no memory"}), hang)
    good = FakeUpstream((200, SSE, events(chunk(content="good"), done=False), threading.Event()))
    backends = [backend("ill", ill, weight=9.0), backend("good", good)]
    async with started(*backends) as balancer, contextlib.AsyncExitStack() as calls:

        async def first_piece():
            deltas = await calls.enter_async_context(aclosing(balancer.generate(REQUEST)))
            return (await anext(deltas)).text

        assert await first_piece() == "good"
        now += load_balancer.REST_SECONDS
        trial = asyncio.create_task(first_piece())
        assert await asyncio.to_thread(asked.wait, WAIT)
        assert [await first_piece() for _ in range(3)] == ["good"] * 3
        assert len(ill.calls) == 2
        trial.cancel()
        await asyncio.wait([trial])


@pytest.mark.parametrize("status", [429, 400])
async def test_an_upstream_that_is_busy_or_refuses_a_call_gets_the_next_one(status):
    """Neither says that it is ill."""
    a, b = FakeUpstream(failed(status, {"error": "x"})), answering("b")
    async with started(backend("a", a, weight=9.0), backend("b", b)) as balancer:
        for _ in range(3):
            with contextlib.suppress(APIError):
                await answer(balancer)

    assert len(a.calls) == 3


async def test_after_the_first_piece_nobody_else_is_asked():
    """What the caller has read cannot be taken back: the answer ends in an error."""
    cut = FakeUpstream((200, SSE, events(chunk(content="half"), done=False)))
    other = answering("other")
    async with started(backend("cut", cut, weight=9.0), backend("other", other)) as balancer:
        deltas = balancer.generate(REQUEST)
        assert (await anext(deltas)).text == "half"
        with pytest.raises(APIError, match="broke off"):
            await anext(deltas)

    assert not other.calls


async def test_a_bad_request_is_not_tried_elsewhere():
    """A 400 is the answer; asking the others would only repeat it."""
    strict, other = FakeUpstream(failed(400, {"error": "bad"})), answering("other")
    async with started(backend("strict", strict, weight=9.0), backend("other", other)) as balancer:
        with pytest.raises(APIError, match="bad"):
            await answer(balancer)
        assert balancer.upstreams()[0].failures == 0

    assert not other.calls


@pytest.mark.parametrize(
    ("statuses", "expected"), [((500, 429), 429), ((429, 500), 429), ((500, 503), 503)]
)
async def test_if_all_fail_too_many_requests_is_reported_first(statuses, expected):
    """A 429 is what a caller can wait for."""
    servers = [FakeUpstream(failed(status, {"error": "x"})) for status in statuses]
    backends = [backend(str(i), server, weight=2.0 - i) for i, server in enumerate(servers)]
    async with started(*backends) as balancer:
        with pytest.raises(APIError) as caught:
            await answer(balancer)

    assert caught.value.status == expected


async def test_if_none_is_healthy_all_are_tried():
    """The last check may be out of date: nobody is refused for what may be over."""
    ill = answering("well again")
    ill.health_status = 500
    async with started(
        backend("gone", closed_server(), health_check=ONCE),
        backend("ill", ill, health_check=ONCE),
    ) as balancer:
        assert [state.healthy for state in balancer.upstreams()] == [False, False]
        assert await answer(balancer) == "well again"


async def test_the_first_piece_names_the_upstream_that_answers():
    """Upstreams may call the same weights differently; logs want to know which one it was."""
    bad, good = FakeUpstream(failed(500, {})), answering("x")
    a = backend("a", bad, weight=2.0, weights_name="w-a")
    b = backend("b", good, weights_name="w-b")
    async with started(a, b) as balancer:
        assert balancer.weights_name(MODEL) == "w-a, w-b"
        first = await anext(deltas := balancer.generate(REQUEST))
        await deltas.aclose()

    assert (first.served_by, first.raw) == ("w-b", {"upstream": "b"})


def test_callers_of_the_gateway_get_the_answer_of_the_upstream_that_is_left():
    """Over real sockets; and 503 with the vendor's code if none is left."""
    good = answering("good")
    balancer = LoadBalancer(
        [MODEL], [backend("gone", closed_server(), weight=9.0), backend("good", good)]
    )
    request = chat_request(MODEL, [Message("user", "hi")])
    with (
        serve_in_thread(Gateway(balancer)) as url,
        Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client,
    ):
        assert client.send(request).text == "good"
        good.close()
        with pytest.raises(ServerError) as caught:
            client.send(request)

    assert (caught.value.status_code, caught.value.code) == (503, "ModelUnavailable")


def of_kind(kind, name, server):
    weight = 9.0 if kind == "ollama" else 1.0
    return backend(name, server, weight=weight, kind=kind)


TOP_K_REQUEST = replace(REQUEST, parameters={"top_k": 5})


@pytest.mark.parametrize("kinds", [("ollama", "vllm"), ("vllm", "ollama")])
async def test_a_parameter_goes_to_an_upstream_that_has_it(kinds):
    """Ollama has no top_k: vLLM answers, though it is Ollama's turn."""
    backends = [of_kind(kind, str(n), answering(kind)) for n, kind in enumerate(kinds)]
    async with started(*backends) as balancer:
        assert [await answer(balancer, TOP_K_REQUEST) for _ in range(3)] == ["vllm"] * 3


async def test_a_parameter_that_no_upstream_has_is_refused():
    """Once all are of a kind that lacks it."""
    backends = [of_kind("ollama", name, answering("x")) for name in "ab"]
    async with started(*backends) as balancer:
        with pytest.raises(APIError) as caught:
            await answer(balancer, TOP_K_REQUEST)

    assert caught.value.status == 400


@pytest.mark.parametrize("gone_first", [False, True])
async def test_an_upstream_that_could_not_answer_is_reported_before_a_missing_parameter(gone_first):
    """The caller may try again: 503, not 400."""
    backends = [
        of_kind("vllm", "gone", closed_server()),
        of_kind("ollama", "here", answering("x")),
    ]
    async with started(*(backends if gone_first else reversed(backends))) as balancer:
        with pytest.raises(APIError) as caught:
            await answer(balancer, TOP_K_REQUEST)

    assert caught.value.status == 503


async def test_a_start_that_fails_leaves_no_upstream_open(monkeypatch):
    """One upstream's authorities cannot be read: the other one's connections are closed too."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    good = answering("x")
    secure = Backend(upstream=Upstream(url="https://127.0.0.1:9/v1", names={MODEL.id: "w"}))
    balancer = LoadBalancer([MODEL], [backend("good", good), secure])

    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        await balancer.start()

    with pytest.raises(RuntimeError, match="start"):
        await answer(balancer)
