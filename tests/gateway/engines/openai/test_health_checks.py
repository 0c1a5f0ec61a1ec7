"""Health checks of an upstream in the background."""

import asyncio
import contextlib
import threading

import pytest

from dashscope_oss.gateway import APIError, HealthCheck, OpenAIEngine, Upstream
from tests.gateway.engines.openai.calls import deltas_of, started_engine
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

WAIT = 5
ONCE = HealthCheck(interval=1000, timeout=WAIT)
OFTEN = HealthCheck(interval=0.01, timeout=WAIT)


def healthy_server():
    return FakeUpstream(streamed(*short_answer("a")))


def state_of(engine):
    return engine.upstreams()[0]


async def wait_for_checks(server, count):
    async with asyncio.timeout(WAIT):
        while len(server.health_checks) < count:  # noqa: ASYNC110 - they happen in the background
            await asyncio.sleep(0.01)


async def test_an_upstream_is_down_while_it_answers_with_an_error_and_up_again_after(caplog):
    """GET /v1/models, at the start and at intervals."""
    server = healthy_server()
    server.health_status = 503
    async with started_engine(server.url, name="gpu", health_check=OFTEN) as engine:
        assert (engine.is_down, state_of(engine).healthy) == (True, False)
        assert state_of(engine).last_error.startswith("HTTP 503")

        server.health_status = 200
        async with asyncio.timeout(WAIT):
            while engine.is_down:  # noqa: ASYNC110 - it comes up in the background
                await asyncio.sleep(0.01)
        assert (state_of(engine).healthy, state_of(engine).last_error) == (True, "")

    assert set(server.health_checks) == {"/v1/models"}
    down, up = (record.message for record in caplog.records)
    assert down.startswith(f"gpu at {server.url} is down: HTTP 503")
    assert up == f"gpu at {server.url} is up"


async def test_an_upstream_is_not_judged_without_a_health_check():
    """Its state is unknown, and it is used."""
    async with started_engine(healthy_server().url) as engine:
        assert (engine.is_down, state_of(engine).healthy) == (False, None)


@pytest.mark.parametrize(("path", "expected"), [("/health", "/health"), ("x/y", "/v1/x/y")])
async def test_a_path_counts_from_the_root_or_from_the_base_url(path, expected):
    """A leading slash is for the server's root, as in vLLM's /health."""
    server = healthy_server()
    async with started_engine(server.url, health_check=HealthCheck(path=path)) as engine:
        assert state_of(engine).healthy is True

    assert server.health_checks[0] == expected


@pytest.mark.parametrize(("listed", "warned"), [(["w"], 0), (["x", "y"], 1), ([], 0)])
async def test_a_name_that_the_server_does_not_list_is_warned_of_once(caplog, listed, warned):
    """A typing error in the configuration shows when the gateway starts."""
    server = healthy_server()
    server.models = listed
    async with started_engine(server.url, name="a", health_check=OFTEN):
        await wait_for_checks(server, 3)

    warning = "a does not list the model 'w', only x, y: check the name in the configuration"
    warnings = [record.message for record in caplog.records if "does not list" in record.message]
    assert warnings == [warning] * warned


async def test_llama_cpp_is_not_compared_with_the_configured_names(caplog):
    """It answers by any name."""
    server = healthy_server()
    server.models = ["x"]
    async with started_engine(server.url, kind="llama.cpp", health_check=ONCE):
        pass

    assert caplog.records == []


class DrippingServer(FakeUpstream):
    """Never ends its answer to a health check."""

    def _answer_health_check(self, connection, path):
        connection.sendall(b"HTTP/1.1 200 x\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b" ")
                threading.Event().wait(0.01)


async def test_the_timeout_of_a_check_is_for_the_whole_answer():
    """An answer that drips holds up neither the start nor later checks."""
    health_check = HealthCheck(interval=1000, timeout=0.1)
    async with (
        asyncio.timeout(WAIT),
        started_engine(DrippingServer().url, health_check=health_check) as engine,
    ):
        state = state_of(engine)

    assert (state.healthy, state.last_error) == (False, "no answer in 0.1 s")


async def test_an_engine_whose_start_was_given_up_can_be_closed():
    """In the middle of its first check."""
    engine = OpenAIEngine(Upstream(url=DrippingServer().url, health_check=ONCE))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(engine.start(), 0.1)
    await engine.aclose()

    with pytest.raises(RuntimeError, match="start"):
        await deltas_of(engine)


async def test_a_404_questions_a_base_url(caplog):
    """The server's own text for it, "Not Found", helps nobody."""
    server = healthy_server()
    server.health_status = 404
    async with started_engine(server.url, health_check=ONCE) as engine:
        last_error = state_of(engine).last_error

    assert last_error.endswith(f"(is {server.url} the base URL, which ends in /v1?)")


class GarblingServer(FakeUpstream):
    """Answers its second health check with something that is not HTTP."""

    def _answer_health_check(self, connection, path):
        if len(self.health_checks) == 1:
            self.health_checks.append(path)
            connection.sendall(b"what?\r\n\r\n")
        else:
            super()._answer_health_check(connection, path)


async def test_no_failed_check_ends_the_checks(caplog):
    """Not even an answer that is not HTTP: the next check finds the server healthy."""
    server = GarblingServer()
    async with started_engine(server.url, name="a", health_check=OFTEN) as engine:
        await wait_for_checks(server, 4)
        assert state_of(engine).healthy is True

    assert f"a at {server.url} is down: RemoteProtocolError: " in caplog.text


class KeepAliveServer(FakeUpstream):
    """Answers one request on a connection, and closes it when the next one comes."""

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as incoming:
            while incoming.readline().strip():
                pass
            self.health_checks.append("")
            connection.sendall(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n")
            incoming.readline()


async def test_a_connection_that_closes_between_checks_is_no_failure(caplog):
    """Each check opens a connection of its own."""
    server = KeepAliveServer()
    async with started_engine(server.url, health_check=OFTEN):
        await wait_for_checks(server, 4)

    assert "is down" not in caplog.text


async def test_an_upstream_that_cannot_be_reached_by_a_call_is_down_until_its_next_check():
    """A refused connection needs no check to be believed."""
    server = healthy_server()
    async with started_engine(server.url, health_check=ONCE) as engine:
        server.close()
        with pytest.raises(APIError, match="unavailable"):
            await deltas_of(engine)

        assert (engine.is_down, state_of(engine).failures) == (True, 1)


async def test_an_upstream_that_breaks_off_is_not_down():
    """It was reached; only its health check tells whether it still is."""
    server = FakeUpstream((200, "text/event-stream", b""))
    async with started_engine(server.url, health_check=ONCE) as engine:
        with pytest.raises(APIError, match="broke off"):
            await deltas_of(engine)

        assert (engine.is_down, state_of(engine).failures) == (False, 1)
