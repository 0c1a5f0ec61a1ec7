"""Opens the transports of both kinds: certificate authorities, proxy, number of connections.

Importing it loads urllib; httpcore2 is loaded when the first transport is opened.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import httpx2

from dashscope_oss.errors import ConfigurationError

if TYPE_CHECKING:
    from dashscope_oss.transport.http.async_deadline_transport import AsyncDeadlineTransport

DEFAULT_MAX_CONNECTIONS = 100


def open_transport(url: str, max_connections: int) -> httpx2.BaseTransport:
    """Return what makes blocking calls to ``url``, and whose reads keep the deadline of their call.

    It has no ``httpx2.Client`` around it: cookies, redirects, authentication and the settings of a
    client, of which a call has none, cost as much as all that this package does for one.

    Raises:
        ConfigurationError: if the environment names authorities or a proxy that cannot be used.
    """
    from dashscope_oss.transport.http.deadline_transport import DeadlineTransport  # noqa: PLC0415

    tls = trusted_tls()
    with usable_proxy():
        return DeadlineTransport(tls, max_connections, proxy_for(url))


def open_async_transport(url: str, max_connections: int) -> AsyncDeadlineTransport:
    """Return what makes asyncio calls to ``url``; see :func:`open_transport`."""
    from dashscope_oss.transport.http.async_deadline_transport import (  # noqa: PLC0415
        AsyncDeadlineTransport,
    )

    tls = trusted_tls()
    with usable_proxy():
        return AsyncDeadlineTransport(tls, max_connections, proxy_for(url))


def check_connections(number: int) -> None:
    """Raise ``ConfigurationError`` unless so many connections may be opened."""
    if number < 1:
        raise ConfigurationError(f"bad max_connections {number}: pass a whole number above 0")


def open_brief_client(url: str, seconds: float) -> httpx2.Client:
    """Return a client for a few short questions to ``url``: it trusts whom calls trust.

    Raises:
        ConfigurationError: see :func:`open_transport`.
    """
    tls = trusted_tls()
    with usable_proxy():
        proxy = proxy_for(url)
        return httpx2.Client(
            verify=tls, proxy=proxy, trust_env=False, timeout=seconds, cookies=no_cookies()
        )


def proxy_for(url: str) -> httpx2.Proxy | None:
    """Return the proxy that the environment names for ``url``, if it names one.

    Raises:
        ValueError, httpx2.InvalidURL: if it is no address of a proxy.
    """
    scheme, host = httpx2.URL(url).scheme, httpx2.URL(url).host
    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(host):
        return None
    return httpx2.Proxy(address if "://" in address else f"http://{address}")


def no_cookies() -> CookieJar:
    """Return a jar that keeps no cookie: calls of different users share a client."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def trusted_tls() -> ssl.SSLContext:
    """Return what decides whom to trust: httpx2's authorities, or those of the environment.

    Raises:
        ConfigurationError: if those that the environment names cannot be read.
    """
    return _load_tls(*map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))


@lru_cache(maxsize=4)
def _load_tls(*_authorities: str | None) -> ssl.SSLContext:
    # Loading the authorities takes tens of milliseconds; once a process is enough.
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise ConfigurationError(
            "the certificate authorities that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: "
            f"{error}"
        ) from error


@contextmanager
def usable_proxy() -> Iterator[None]:
    """Turn what a proxy of the environment makes fail inside into ``ConfigurationError``."""
    try:
        yield
    except (ImportError, RuntimeError, ValueError, httpx2.InvalidURL) as error:
        raise ConfigurationError(
            f"the proxy that the environment names cannot be used: {error} Correct HTTP_PROXY, "
            "HTTPS_PROXY or ALL_PROXY, or pass a client of your own."
        ) from error
