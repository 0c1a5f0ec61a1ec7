"""Several upstreams: shares, health, failover before the first piece, and never after."""

import asyncio
import contextlib
import threading
from dataclasses import replace

import httpx
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
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
from tests.gateway.fake_upstream import HTML, SSE, Server, chunk, events, failed, said, streamed

RECORD = find_model("llama3-8b-instruct")
JOB = EngineRequest(model_info=RECORD, messages=(Message("user", "hi"),))
WAIT = 5
NEVER = HealthCheck(interval=1000, timeout=WAIT)
OFTEN = HealthCheck(interval=0.01, timeout=WAIT)


def answering(text):
    return Server(streamed(*said(text)))


def down():
    server = Server()
    server.close()
    return server


def member(name, server, *, weight=1.0, health_check=None, weights="w"):
    upstream = Upstream(
        url=server.url,
        name=name,
        names={RECORD.id: weights},
        health_check=health_check,
        timeout=WAIT,
    )
    return Backend(upstream=upstream, weight=weight)


@contextlib.asynccontextmanager
async def started(*members):
    fleet = LoadBalancer([RECORD], members)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.aclose()


async def answer(fleet):
    return "".join([delta.text async for delta in fleet.generate(JOB)])


async def test_calls_are_shared_as_the_weights_say():
    """Idle upstreams of weight 3 and 1 take three calls of four and one of four."""
    a, b = answering("a"), answering("b")
    async with started(member("a", a, weight=3.0), member("b", b)) as fleet:
        texts = [await answer(fleet) for _ in range(8)]

    assert (texts.count("a"), texts.count("b")) == (6, 2)
    assert "b" in texts[:4]


async def test_a_busy_upstream_is_passed_over():
    """The next call goes to whoever has the least to do, whatever the turn."""
    held = threading.Event()
    a = Server((200, SSE, events(chunk(content="a"), done=False), held))
    b = answering("b")
    async with started(member("a", a), member("b", b)) as fleet:
        first = fleet.generate(JOB)
        assert (await anext(first)).text == "a"

        assert [await answer(fleet) for _ in range(3)] == ["b", "b", "b"]
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
async def test_before_the_first_piece_the_next_one_answers(fault):
    """A 5xx, a 429, a wrong key, nonsense: callers see none of it."""
    bad, good = Server(fault), answering("good")
    async with started(member("bad", bad), member("good", good)) as fleet:
        assert [await answer(fleet) for _ in range(2)] == ["good", "good"]

    assert bad.calls


async def test_an_upstream_that_is_gone_is_left_out():
    """No connection: the next one answers, and the lost one is not asked again meanwhile."""
    gone, good = answering("x"), answering("good")
    async with started(member("gone", gone, health_check=NEVER), member("good", good)) as fleet:
        gone.close()
        assert [await answer(fleet) for _ in range(3)] == ["good"] * 3
        state = fleet.upstreams()[0]

    assert (state.healthy, state.calls, state.failures) == (False, 1, 1)
    assert state.last_error


async def test_after_the_first_piece_nobody_else_is_asked():
    """What the caller has read cannot be taken back: the answer ends in an error."""
    cut = Server((200, SSE, events(chunk(content="half"), done=False)))
    other = answering("other")
    async with started(member("cut", cut, weight=9.0), member("other", other)) as fleet:
        deltas = fleet.generate(JOB)
        assert (await anext(deltas)).text == "half"
        with pytest.raises(APIError, match="broke off"):
            await anext(deltas)

    assert not other.calls


async def test_a_bad_request_is_nobodys_fault():
    """A 400 is the answer; asking the others would only repeat it."""
    strict, other = Server(failed(400, {"error": "bad"})), answering("other")
    async with started(member("strict", strict, weight=9.0), member("other", other)) as fleet:
        with pytest.raises(APIError, match="bad"):
            await answer(fleet)
        assert fleet.upstreams()[0].failures == 0

    assert not other.calls


@pytest.mark.parametrize(
    ("statuses", "expected"), [((500, 429), 429), ((429, 500), 429), ((500, 503), 503)]
)
async def test_if_all_fail_too_many_calls_is_told_first(statuses, expected):
    """A 429 is what a caller can wait for."""
    servers = [Server(failed(status, {"error": "x"})) for status in statuses]
    places = [member(str(i), s, weight=2.0 - i) for i, s in enumerate(servers)]
    async with started(*places) as fleet:
        with pytest.raises(APIError) as caught:
            await answer(fleet)

    assert caught.value.status == expected


async def test_a_look_finds_an_upstream_that_comes_and_goes():
    """GET /v1/models in the background: 503 takes it out, 200 takes it in again."""
    ill, good = answering("ill"), answering("good")
    ill.healthy = 503
    async with started(
        member("ill", ill, weight=9.0, health_check=OFTEN), member("good", good)
    ) as fleet:
        assert fleet.upstreams()[0].healthy is False
        assert await answer(fleet) == "good"

        ill.healthy = 200
        async with asyncio.timeout(WAIT):
            while fleet.upstreams()[0].healthy is False:  # noqa: ASYNC110 - from outside
                await asyncio.sleep(0.01)
        assert await answer(fleet) == "ill"
        assert fleet.upstreams()[0].last_error == ""

    assert set(ill.looks) == {"/v1/models"}


@pytest.mark.parametrize(("path", "asked"), [("/health", "/health"), ("x/y", "/v1/x/y")])
async def test_where_to_look_can_be_said(path, asked):
    """A leading slash counts from the server's root, as vLLM's /health."""
    server = answering("a")
    async with started(member("a", server, health_check=HealthCheck(path=path))) as fleet:
        assert fleet.upstreams()[0].healthy is True

    assert server.looks[0] == asked


@pytest.mark.parametrize(("listed", "warned"), [(["w"], 0), (["x", "y"], 1), ([], 0)])
async def test_a_name_that_a_server_does_not_list_is_told(caplog, listed, warned):
    """A typing error in the settings shows when the gateway starts, once."""
    server = answering("a")
    server.models = listed
    async with started(member("a", server, health_check=NEVER)):
        pass

    told = [record.message for record in caplog.records if "lists no model" in record.message]
    assert told == ["a lists no model 'w'; it has x, y"] * warned


async def test_if_none_is_healthy_all_are_tried():
    """The last look may be old: nobody is refused for what may be over."""
    ill = answering("well again")
    ill.healthy = 500
    async with started(
        member("gone", down(), health_check=NEVER), member("ill", ill, health_check=NEVER)
    ) as fleet:
        assert [state.healthy for state in fleet.upstreams()] == [False, False]
        assert await answer(fleet) == "well again"


async def test_the_first_piece_names_who_answers():
    """Upstreams may call the same weights differently; logs want to know which it was."""
    bad, good = Server(failed(500, {})), answering("x")
    a, b = member("a", bad, weight=2.0, weights="w-a"), member("b", good, weights="w-b")
    async with started(a, b) as fleet:
        assert fleet.weights_name(RECORD) == "w-a, w-b"
        first = await anext(deltas := fleet.generate(JOB))
        await deltas.aclose()

    assert (first.served_by, first.raw) == ("w-b", {"upstream": "b"})


def test_through_the_gateway_a_caller_sees_the_answer_of_who_is_left():
    """Whole and streamed, over real sockets; and 503 with the vendor's code if nobody is."""
    good = answering("good")
    fleet = LoadBalancer([RECORD], [member("gone", down(), weight=9.0), member("good", good)])
    request = chat_request(RECORD, [Message("user", "hi")])
    with serve_in_thread(Gateway(fleet)) as url, Client(Endpoint.resolve(base_url=url)) as client:
        assert client.send(request).text == "good"
        good.close()
        other = Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0))
        with other, pytest.raises(ServerError) as caught:
            other.send(request)
        assert httpx.get(f"{url}/models").json()["output"]["models"][0]["model"] == RECORD.id

    assert (caught.value.status_code, caught.value.code) == (503, "ModelUnavailable")


class Dripping(Server):
    """Goes on with its answer to a look for ever."""

    def _look(self, connection, path):
        connection.sendall(b"HTTP/1.1 200 x\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b" ")
                threading.Event().wait(0.01)


async def test_a_look_takes_no_longer_than_it_may():
    """All of it: an answer that drips holds up neither the start nor later looks."""
    health_check = HealthCheck(interval=1000, timeout=0.1)
    async with (
        asyncio.timeout(WAIT),
        started(member("a", Dripping(), health_check=health_check)) as fleet,
    ):
        state = fleet.upstreams()[0]

    assert (state.healthy, state.last_error) == (False, "no answer in 0.1 s")


async def test_a_base_without_v1_is_guessed_at():
    """What a server says of it, "Not Found", helps nobody."""
    server = answering("a")
    server.healthy = 404
    async with started(member("a", server, health_check=NEVER)) as fleet:
        assert (
            f"(is {server.url} the base URL, which ends in /v1?)" in fleet.upstreams()[0].last_error
        )


class Garbled(Server):
    """Answers its second health check with something that is not HTTP."""

    def _look(self, connection, path):
        if len(self.looks) == 1:
            self.looks.append(path)
            connection.sendall(b"what?\r\n\r\n")
        else:
            super()._look(connection, path)


async def test_no_answer_ends_the_looking(caplog):
    """Not even one that the HTTP library cannot take: the next look finds the server well."""
    server = Garbled()
    async with started(member("a", server, health_check=OFTEN)) as fleet, asyncio.timeout(WAIT):
        while len(server.looks) < 4:  # noqa: ASYNC110 - from outside
            await asyncio.sleep(0.01)
        assert fleet.upstreams()[0].healthy is True

    assert f"a at {server.url} is down: RemoteProtocolError: " in caplog.text


class Weary(Server):
    """Answers one request on a connection, and ends it as the next one comes."""

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as read:
            while read.readline().strip():
                pass
            self.looks.append("")
            connection.sendall(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n")
            read.readline()


async def test_a_connection_that_ends_just_then_is_no_ill_server(caplog):
    """The look is taken again on a new one, as calls are."""
    server = Weary()
    async with started(member("a", server, health_check=OFTEN)), asyncio.timeout(WAIT):
        while len(server.looks) < 4:  # noqa: ASYNC110 - from outside
            await asyncio.sleep(0.01)

    assert "is down" not in caplog.text


def member_of(kind, name, server):
    upstream = Upstream(url=server.url, name=name, kind=kind, names={RECORD.id: "w"})
    return Backend(upstream=upstream, weight=9.0 if kind == "ollama" else 1.0)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [(("ollama", "vllm"), "vllm"), (("vllm", "ollama"), "vllm"), (("ollama", "ollama"), 400)],
)
async def test_a_parameter_goes_to_who_has_it(kinds, expected):
    """Ollama knows no top_k: it is refused only where all stand-ins are of such a kind."""
    members = [member_of(kind, f"{n}", answering(kind)) for n, kind in enumerate(kinds)]
    asked = replace(JOB, parameters={"top_k": 5})
    async with started(*members) as fleet:
        for _ in range(3):
            try:
                found = "".join([delta.text async for delta in fleet.generate(asked)])
            except APIError as refusal:
                found = refusal.status
            assert found == expected


@pytest.mark.parametrize("gone_first", [False, True])
async def test_who_could_not_be_asked_is_told_rather_than_who_could_not_take_it(gone_first):
    """The caller may try again: 503, not 400."""
    gone = Backend(upstream=Upstream(url=down().url, kind="vllm", names={RECORD.id: "w"}))
    members = [gone, member_of("ollama", "b", answering("x"))]
    async with started(*(members if gone_first else reversed(members))) as fleet:
        with pytest.raises(APIError) as caught:
            _ = [delta async for delta in fleet.generate(replace(JOB, parameters={"top_k": 5}))]

    assert caught.value.status == 503
