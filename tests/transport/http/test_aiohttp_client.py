"""The client of the extra ``aiohttp``: what a user sets on it counts, as with any of httpx2."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable

import httpx2
import pytest

from dashscope_oss import (
    AsyncClient,
    ClientOptions,
    ConfigurationError,
    DefaultAioHttpClient,
    Endpoint,
)
from tests.faults.server import WAIT, RawServer, answer, text_reply
from tests.transport.calling import GOOD, endpoint, question
from tests.transport.secure_server import AUTHORITY, SecureServer


async def send(server: RawServer, http: httpx2.AsyncClient) -> str:
    client = AsyncClient(endpoint(server), ClientOptions(http_async_client=http))
    return (await client.send(question())).text


async def _add_header(request: httpx2.Request) -> None:
    request.headers["X-Own"] = "mine"


async def _read(response: httpx2.Response) -> None:
    await response.aread()


def _set_header(http: httpx2.AsyncClient) -> None:
    http.headers["X-Own"] = "mine"


def _set_hook(http: httpx2.AsyncClient) -> None:
    http.event_hooks["request"].append(_add_header)


def _replace_send(http: httpx2.AsyncClient) -> None:
    async def send(request: httpx2.Request, **options: object) -> httpx2.Response:
        await _add_header(request)
        return await original(request, **options)

    original, http.send = http.send, send


def _set_auth(http: httpx2.AsyncClient) -> None:
    http.auth = _with_header


def _with_header(request: httpx2.Request) -> httpx2.Request:
    request.headers["X-Own"] = "mine"
    return request


@pytest.mark.parametrize("change", [_set_header, _set_hook, _set_auth, _replace_send])
async def test_what_is_set_on_the_client_later_is_sent(
    change: Callable[[httpx2.AsyncClient], None],
):
    with RawServer(GOOD) as server:
        async with DefaultAioHttpClient() as http:
            await send(server, http)
            change(http)
            assert await send(server, http) == "hello"
    assert ["x-own" in request.headers for request in server.requests] == [False, True]


@pytest.mark.parametrize(
    "settings",
    [
        {"headers": {"X-Own": "mine"}},
        {"auth": _with_header},
        {"event_hooks": {"request": [_add_header], "response": [_read]}},
    ],
)
async def test_what_the_client_is_made_with_is_sent(settings):
    with RawServer(GOOD) as server:
        async with DefaultAioHttpClient(**settings) as http:
            assert await send(server, http) == "hello"
    assert server.requests[0].headers["x-own"] == "mine"


async def test_cookies_of_the_user_are_sent_and_those_of_an_answer_are_not_kept():
    with RawServer(answer(text_reply("a"), headers=[("Set-Cookie", "a=b")]), GOOD) as server:
        # aiohttp's own jar takes cookies of hosts with a name only.
        server.base_url = server.base_url.replace("127.0.0.1", "localhost")
        async with DefaultAioHttpClient() as http:
            await send(server, http)
            await send(server, http)
        async with DefaultAioHttpClient(cookies={"c": "d"}) as http:
            await send(server, http)
    assert [r.headers.get("cookie") for r in server.requests] == [None, None, "c=d"]


async def test_only_encodings_that_can_be_read_are_asked_for():
    """aiohttp by itself asks for all those that it could decode."""
    with RawServer(GOOD) as server:
        async with DefaultAioHttpClient() as http:
            await send(server, http)
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_a_closed_client_is_named_in_the_error():
    with RawServer(GOOD) as server:
        http = DefaultAioHttpClient()
        await http.aclose()
        with pytest.raises(ConfigurationError, match="client that was passed cannot be used"):
            await send(server, http)
    assert server.connections == 0


async def test_a_call_that_waits_while_the_client_is_closed_opens_no_connection():
    held = threading.Event()
    with RawServer([held, GOOD]) as server:
        http = DefaultAioHttpClient(max_connections=1)
        calls = [asyncio.create_task(send(server, http)) for _ in range(2)]
        assert await asyncio.to_thread(server.asked.wait, WAIT)
        await http.aclose()
        held.set()
        errors = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), WAIT)
    assert isinstance(errors[1], ConfigurationError)
    assert (len(server.requests), server.connections) == (1, 1)


async def test_a_proxy_of_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    with RawServer(GOOD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        async with DefaultAioHttpClient() as http:
            assert await send(proxy, http) == "hello"
    assert "POST http://" in proxy.requests[0].line


@pytest.mark.filterwarnings("ignore:key and prompts go to")
async def test_a_proxy_that_is_passed_is_asked_for_every_place():
    with RawServer(GOOD) as proxy:
        async with DefaultAioHttpClient(proxy=proxy.origin, trust_env=False) as http:
            for host in ("one.example", "two.example"):
                client = AsyncClient(
                    Endpoint.resolve(base_url=f"http://{host}/api/v1", api_key="sk-any"),
                    ClientOptions(http_async_client=http),
                )
                assert (await client.send(question())).text == "hello"
    assert [r.line.split()[1].split("/")[2] for r in proxy.requests] == [
        "one.example",
        "two.example",
    ]


async def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:port")
    with RawServer(GOOD) as server:
        async with DefaultAioHttpClient() as http:
            with pytest.raises(ConfigurationError, match="HTTP_PROXY"):
                await send(server, http)


@pytest.mark.parametrize("number", [0, -1])
def test_so_few_connections_are_refused(number):
    for make in (
        lambda: DefaultAioHttpClient(max_connections=number),
        lambda: ClientOptions(max_connections=number),
    ):
        with pytest.raises(ConfigurationError, match=f"bad max_connections {number}"):
            make()


async def test_a_certificate_authority_that_is_passed_is_trusted():
    tls = ssl.create_default_context()
    AUTHORITY.configure_trust(tls)
    with SecureServer(GOOD) as server:
        async with DefaultAioHttpClient(verify=tls) as http:
            assert await send(server, http) == "hello"
