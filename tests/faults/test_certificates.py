"""Whose certificates are trusted, and what is said of the others."""

from __future__ import annotations

import ssl

import pytest

from dashscope_oss import APIConnectionError, ConfigurationError

from .callers import Caller
from .matrix import only_httpx2
from .server import Close, RawServer, Unread
from .tls import SecureServer

pytestmark = pytest.mark.usefixtures("plain_environment")


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(caller: Caller, certificate):
    with SecureServer(certificate, caller.hello) as server:
        caller.fails(server, APIConnectionError, "(?i)certificate.*not trusted.*SSL_CERT_FILE")
    assert (server.requests, server.connections, caller.waits) == ([], 1, [])


@pytest.mark.usefixtures("trusted")
def test_an_authority_of_the_users_own_counts(caller: Caller, certificate):
    with SecureServer(certificate, caller.hello) as server:
        assert caller(server).text == "hello"


def test_an_authority_that_is_named_later_counts_for_new_objects(
    core: Caller, certificate, request
):
    with SecureServer(certificate, core.hello) as server:
        core.fails(server, APIConnectionError, "not trusted")
        request.getfixturevalue("trusted")
        assert core(server).text == "hello"


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_refused(core: Caller, authority):
    with SecureServer(authority.issue_cert("model.example"), core.hello) as server:
        core.fails(server, APIConnectionError, "(?i)certificate")
    assert server.requests == []


def test_the_authority_may_be_that_of_the_users_own_client(caller: Caller, authority, certificate):
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    own = caller.own_http_client(verify=tls)
    with SecureServer(certificate, caller.hello) as server:
        assert caller(server, **own).text == "hello"


@only_httpx2
def test_an_authority_that_cannot_be_read_is_an_error_that_says_so(core: Caller, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")
    with RawServer(core.hello) as server:
        error = core.fails(server, ConfigurationError, "SSL_CERT_FILE")
    assert "proxy" not in str(error)


def test_a_server_that_speaks_no_tls_is_an_error(core: Caller):
    with RawServer(Unread([b"no TLS here", Close()])) as server:
        core.fails(server.base_url.replace("http:", "https:"), APIConnectionError, "no answer")
