"""HTTP clients that users pass: what is said of one that cannot be used."""

from __future__ import annotations

import asyncio

import httpx
import httpx2
import pytest

from dashscope_oss.errors import ConfigurationError

from .callers import FRAMEWORKS, NOWHERE, Caller
from .server import RawServer


def test_a_closed_client_is_named_before_any_request(caller: Caller):
    own = caller.own_http_client()
    (http_client,) = own.values()
    if caller.is_async:
        asyncio.run(http_client.aclose())
    else:
        http_client.close()
    with RawServer(caller.hello) as server:
        caller.fails(server, ConfigurationError, "client that was passed .*closed", **own)
    assert server.requests == []


def test_a_client_of_another_event_loop_is_named(async_caller: Caller):
    http_client = httpx2.AsyncClient()
    first_loop = asyncio.new_event_loop()
    with RawServer(async_caller.hello) as server:
        model = async_caller.model(server, http_async_client=http_client)
        first_loop.run_until_complete(async_caller.aask(model))
        with pytest.raises(ConfigurationError, match="one event loop only"):
            asyncio.run(async_caller.aask(model))
        first_loop.run_until_complete(http_client.aclose())
    first_loop.close()


@pytest.mark.parametrize("library", ["core", *FRAMEWORKS])
@pytest.mark.parametrize(
    ("name", "kind"), [("http_client", httpx.Client), ("http_async_client", httpx.AsyncClient)]
)
def test_a_client_of_httpx_is_refused_by_an_error_that_names_httpx2(library: str, name, kind):
    with pytest.raises(ConfigurationError, match=f"{name}.*httpx2.{kind.__name__}"):
        Caller(library, "chat").model(NOWHERE, **{name: kind()})


@pytest.mark.parametrize("library", ["core", *FRAMEWORKS])
def test_a_client_for_the_other_kind_of_calls_is_refused(library: str):
    with pytest.raises(ConfigurationError, match=r"http_client.*httpx2\.Client"):
        Caller(library, "chat").model(NOWHERE, http_client=httpx2.AsyncClient())
