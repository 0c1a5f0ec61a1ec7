"""Redirects, open addresses, proxies and certificates: where calls go, and where they never go."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import trustme

from dashscope_oss import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DashScopeError,
    DashScopeWarning,
    ProtocolError,
)
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, Caller
from .server import (
    WAIT,
    Close,
    Endless,
    RawServer,
    Unread,
    answer,
    frame,
    head,
    stream,
    text_reply,
)

ALL = [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS]
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def good(caller: Caller) -> bytes | list:
    pieces = stream(frame("hel"), frame("lo", "stop"))
    return pieces if caller.streams else answer(text_reply("hello"))


def own_client(caller: Caller, **settings) -> dict[str, object]:
    """Return the setting that gives a model a client of one's own, which keeps no connection."""
    limits = httpx.Limits(max_keepalive_connections=0)
    if caller.is_async:
        return {"http_async_client": httpx.AsyncClient(limits=limits, **settings)}
    return {"http_client": httpx.Client(limits=limits, **settings)}


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(caller: Caller, status):
    with RawServer(good(caller)) as other:
        away = answer(b"", f"{status} Away", headers=[("Location", f"{other.base_url}/elsewhere")])
        with RawServer(away) as server:
            error = caller.fails(server, ProtocolError, "elsewhere.*not followed")
    assert (other.requests, len(server.requests), error.status_code) == ([], 1, status)


def test_no_redirect_to_the_same_server_is_followed(caller: Caller):
    away = answer(b"", "307 Away", headers=[("Location", "/api/v1/elsewhere")])
    with RawServer(away, good(caller)) as server:
        caller.fails(server, ProtocolError, "elsewhere")
    assert len(server.requests) == 1


def test_no_redirect_is_followed_by_a_client_that_would(caller: Caller):
    own = own_client(caller, follow_redirects=True)
    with RawServer(good(caller)) as other:
        away = answer(b"", "307 Away", headers=[("Location", f"{other.base_url}/elsewhere")])
        with RawServer(away) as server:
            caller.fails(server, ProtocolError, "not followed", **own)
    assert other.requests == []


# Open addresses


@pytest.mark.parametrize("cls", ALL)
def test_http_to_another_machine_warns_of_it(cls):
    with pytest.warns(DashScopeWarning, match=r"model\.example unencrypted"):
        cls(model=MODEL, base_url="http://model.example/api/v1", api_key=KEY)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:80", "127.1.2.3"])
def test_http_to_this_machine_is_fine_without_a_word(cls, host):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cls(model=MODEL, base_url=f"http://{host}/api/v1", api_key=KEY)


# Proxies


class Tunnel(RawServer):
    """A proxy that connects to one address, whatever it is asked for; ``lines`` is what it was."""

    def __init__(self, port: int) -> None:
        super().__init__(b"")
        self._port = port
        self.lines: list[str] = []

    def _serve(self, connection: socket.socket) -> None:
        with connection, socket.create_connection(("127.0.0.1", self._port)) as other:
            self._open.append(other)
            asked = b""
            while not asked.endswith(b"\r\n\r\n"):
                asked += connection.recv(1)
            self.lines.append(asked.decode().split("\r\n")[0])
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(other, connection))
            back.start()
            _pump(connection, other)
            back.join(WAIT)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.mark.filterwarnings("ignore:key and prompts")
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(caller: Caller, name, monkeypatch):
    with RawServer(good(caller)) as proxy:
        monkeypatch.setenv(name, proxy.origin)
        assert caller("http://model.example/api/v1").text == "hello"
    (asked,) = proxy.requests
    assert asked.line.startswith("POST http://model.example/api/v1/services/")


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "other.example,127.0.0.1"])
def test_no_proxy_is_used_where_the_environment_exempts_an_address(
    caller: Caller, exempt, monkeypatch
):
    with RawServer(good(caller)) as proxy, RawServer(good(caller)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("NO_PROXY", exempt)
        assert caller(server).text == "hello"
    assert (proxy.requests, len(server.requests)) == ([], 1)


@pytest.mark.filterwarnings("ignore:key and prompts")
@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "nonsense://127.0.0.1:1", "http://host:port"]
)
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variables(
    caller: Caller, proxy, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    caller.fails("http://model.example/api/v1", ConfigurationError, "HTTP_PROXY")


@pytest.mark.filterwarnings("ignore:key and prompts")
def test_a_proxy_that_refuses_is_an_error(caller: Caller, monkeypatch):
    with RawServer(answer(b"<html>log in</html>", "407 No", "text/html")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        error = caller.fails("http://model.example/api/v1", DashScopeError, "log in")
    assert (error.status_code, len(proxy.requests)) == (407, 1)


@pytest.mark.parametrize(
    ("status", "tries"),
    [("407 Proxy Authentication Required", 1), ("429 Slow", 3), ("503 Busy", 3)],
)
def test_a_proxy_that_makes_no_tunnel_is_named_and_asked_again_if_that_may_help(
    caller: Caller, status, tries, monkeypatch
):
    with RawServer(answer(b"", status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        place = "https://dashscope.example/api/v1"
        caller.fails(place, APIConnectionError, f"proxy.*{status}.*HTTPS_PROXY")
    assert proxy.connections == tries


@pytest.mark.filterwarnings("ignore:key and prompts")
def test_the_limit_of_a_whole_call_holds_through_a_proxy(caller: Caller, monkeypatch):
    with RawServer([head(length=10**6), Endless(b" ", 0.02)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        caller.fails(
            "http://model.example/api/v1", APITimeoutError, "total_timeout", total_timeout=0.2
        )


# Certificates


class Secure(RawServer):
    """The same server behind TLS."""

    def __init__(self, certificate: trustme.LeafCert, *answers) -> None:
        super().__init__(*answers)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"https://127.0.0.1:{self.port}/api/v1"

    def _serve(self, connection: socket.socket) -> None:
        try:
            secured = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        super()._serve(secured)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", "model.example")


@pytest.fixture
def trusted(authority, monkeypatch, tmp_path) -> Iterator[None]:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(caller: Caller, certificate):
    with Secure(certificate, good(caller)) as server:
        caller.fails(server, APIConnectionError, "(?i)certificate.*not trusted.*SSL_CERT_FILE")
    assert (server.requests, server.connections, caller.waits) == ([], 1, [])


@pytest.mark.usefixtures("trusted")
def test_an_authority_of_ones_own_counts(caller: Caller, certificate):
    with Secure(certificate, good(caller)) as server:
        assert caller(server).text == "hello"


def test_an_authority_that_is_named_later_counts_for_new_objects(
    caller: Caller, certificate, request
):
    with Secure(certificate, good(caller)) as server:
        caller.fails(server, APIConnectionError, "not trusted")
        request.getfixturevalue("trusted")
        assert caller(server).text == "hello"


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_refused(caller: Caller, authority):
    with Secure(authority.issue_cert("model.example"), good(caller)) as server:
        caller.fails(server, APIConnectionError, "(?i)certificate")
    assert server.requests == []


def test_the_authority_may_be_that_of_a_client_of_ones_own(caller: Caller, authority, certificate):
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    own = own_client(caller, verify=tls)
    with Secure(certificate, good(caller)) as server:
        assert caller(server, **own).text == "hello"


def test_an_authority_that_cannot_be_read_is_an_error_that_says_so(caller: Caller, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")
    with RawServer(good(caller)) as server:
        error = caller.fails(server, ConfigurationError, "SSL_CERT_FILE")
    assert "proxy" not in str(error)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_only_sees_where_an_encrypted_call_goes(
    caller: Caller, certificate, name, monkeypatch
):
    with Secure(certificate, good(caller)) as server, Tunnel(server.port) as proxy:
        monkeypatch.setenv(name, proxy.origin)
        assert caller("https://model.example/api/v1").text == "hello"
    assert proxy.lines == ["CONNECT model.example:443 HTTP/1.1"]
    assert len(server.requests) == 1


def test_a_server_that_speaks_no_tls_is_an_error(caller: Caller):
    with RawServer(Unread([b"no TLS here", Close()])) as server:
        caller.fails(server.base_url.replace("http:", "https:"), APIConnectionError, "no answer")
