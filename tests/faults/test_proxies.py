"""Which proxy a call takes, what the proxy sees, and what its refusal is."""

from __future__ import annotations

import pytest

from dashscope_oss import APIConnectionError, ConfigurationError

from .callers import Caller
from .matrix import only_httpx2, table
from .server import RawServer, answer
from .tls import SecureServer, TunnelProxy

NOWHERE = "http://model.example/api/v1"

pytestmark = [
    pytest.mark.usefixtures("plain_environment"),
    pytest.mark.filterwarnings("ignore:key and prompts"),
]


@table(["HTTP_PROXY", "http_proxy", "ALL_PROXY"], "HTTP_PROXY", aiohttp=True)
def test_the_proxy_of_the_environment_is_used(caller: Caller, case, monkeypatch):
    with RawServer(caller.hello) as proxy:
        monkeypatch.setenv(case, proxy.origin)
        assert caller(NOWHERE).text == "hello"
    (request,) = proxy.requests
    assert request.line.startswith("POST http://model.example/api/v1/services/")


def test_no_proxy_is_used_where_the_environment_exempts_an_address(core: Caller, monkeypatch):
    for exempt in ("127.0.0.1", "*", "other.example,127.0.0.1"):
        with RawServer(core.hello) as proxy, RawServer(core.hello) as server:
            monkeypatch.setenv("HTTP_PROXY", proxy.origin)
            monkeypatch.setenv("NO_PROXY", exempt)
            assert core(server).text == "hello"
        assert (proxy.requests, len(server.requests)) == ([], 1)


@only_httpx2
@table(
    ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1", "http://host:port", "ftp://proxy:1"],
    "nonsense://127.0.0.1:1",
)
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variables(
    caller: Caller, case, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", case)
    caller.fails(NOWHERE, ConfigurationError, "HTTP_PROXY")


def test_a_proxy_that_wants_a_password_is_named(core: Caller, monkeypatch):
    for page, words in ((b"<html>log in</html>", "407 No: .*log in"), (b"", "407 No")):
        with RawServer(answer(page, "407 No", "text/html")) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.origin)
            error = core.fails(NOWHERE, APIConnectionError, f"the proxy .*{words}.*HTTP_PROXY")
        statuses = error.status_code, error.response.status_code
        assert (*statuses, len(proxy.requests)) == (407, 407, 1)


@only_httpx2
def test_a_proxy_that_makes_no_tunnel_is_named_and_asked_again_if_that_may_help(
    core: Caller, monkeypatch
):
    for status, tries in (("407 Wants A Password", 1), ("429 Slow", 3), ("503 Busy", 3)):
        with RawServer(answer(b"", status)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
            place = "https://dashscope.example/api/v1"
            core.fails(place, APIConnectionError, f"proxy.*{status}.*HTTPS_PROXY")
        assert proxy.connections == tries


@pytest.mark.usefixtures("trusted")
def test_a_proxy_only_sees_where_an_encrypted_call_goes(core: Caller, certificate, monkeypatch):
    for name in ("all_proxy", "HTTPS_PROXY"):
        with SecureServer(certificate, core.hello) as server, TunnelProxy(server.port) as proxy:
            monkeypatch.setenv(name, proxy.origin)
            assert core("https://model.example/api/v1").text == "hello"
        assert proxy.lines == ["CONNECT model.example:443 HTTP/1.1"]
        assert len(server.requests) == 1
