"""Which proxy a call takes, what the proxy sees, and what its refusal is."""

from __future__ import annotations

import pytest

from dashscope_oss import APIConnectionError, APITimeoutError, ConfigurationError

from .callers import Caller
from .matrix import EACH_ONCE, only_httpx2, table
from .server import Endless, RawServer, answer, head
from .tls import SecureServer, TunnelProxy

NOWHERE = "http://model.example/api/v1"

pytestmark = [
    pytest.mark.usefixtures("plain_environment"),
    pytest.mark.filterwarnings("ignore:key and prompts"),
]


@table(["HTTP_PROXY", "http_proxy", "ALL_PROXY"], "HTTP_PROXY", core=EACH_ONCE, aiohttp=True)
def test_the_proxy_of_the_environment_is_used(caller: Caller, case, monkeypatch):
    with RawServer(caller.hello) as proxy:
        monkeypatch.setenv(case, proxy.origin)
        assert caller(NOWHERE).text == "hello"
    (request,) = proxy.requests
    assert request.line.startswith("POST http://model.example/api/v1/services/")


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "other.example,127.0.0.1"])
def test_no_proxy_is_used_where_the_environment_exempts_an_address(
    core: Caller, exempt, monkeypatch
):
    with RawServer(core.hello) as proxy, RawServer(core.hello) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("NO_PROXY", exempt)
        assert core(server).text == "hello"
    assert (proxy.requests, len(server.requests)) == ([], 1)


@only_httpx2
@table(
    ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1", "http://host:port"],
    "nonsense://127.0.0.1:1",
    core=EACH_ONCE,
)
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variables(
    caller: Caller, case, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", case)
    caller.fails(NOWHERE, ConfigurationError, "HTTP_PROXY")


@pytest.mark.parametrize(
    ("page", "words"), [(b"<html>log in</html>", "407 No: .*log in"), (b"", "407 No")]
)
def test_a_proxy_that_wants_a_password_is_named(core: Caller, page, words, monkeypatch):
    with RawServer(answer(page, "407 No", "text/html")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        error = core.fails(NOWHERE, APIConnectionError, f"the proxy .*{words}.*HTTP_PROXY")
    assert (error.status_code, error.response.status_code, len(proxy.requests)) == (407, 407, 1)


@only_httpx2
@pytest.mark.parametrize(
    ("status", "tries"),
    [("407 Proxy Authentication Required", 1), ("429 Slow", 3), ("503 Busy", 3)],
)
def test_a_proxy_that_makes_no_tunnel_is_named_and_asked_again_if_that_may_help(
    core: Caller, status, tries, monkeypatch
):
    with RawServer(answer(b"", status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        place = "https://dashscope.example/api/v1"
        core.fails(place, APIConnectionError, f"proxy.*{status}.*HTTPS_PROXY")
    assert proxy.connections == tries


def test_the_limit_of_a_whole_call_holds_through_a_proxy(core: Caller, monkeypatch):
    with RawServer([head(length=10**6), Endless(b" ", 0.02)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        core.fails(NOWHERE, APITimeoutError, "total_timeout", total_timeout=0.2)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_only_sees_where_an_encrypted_call_goes(
    core: Caller, certificate, name, monkeypatch
):
    with SecureServer(certificate, core.hello) as server, TunnelProxy(server.port) as proxy:
        monkeypatch.setenv(name, proxy.origin)
        assert core("https://model.example/api/v1").text == "hello"
    assert proxy.lines == ["CONNECT model.example:443 HTTP/1.1"]
    assert len(server.requests) == 1
