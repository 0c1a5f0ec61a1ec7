"""Refuses calls that a browser makes on behalf of a page of another site. No I/O.

A gateway without keys would otherwise work for any page that is open in a browser which can reach
it. Browsers tell which page calls: in ``Sec-Fetch-Site``, which they leave out of plain HTTP to
other machines than their own, or in ``Origin``. A page can also point its own domain name at this
machine (DNS rebinding). The browser then takes page and gateway for one site; only ``Host`` shows
the foreign name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from dashscope_oss.gateway.interface.api_error import APIError

_ACCESS_DENIED = (403, "AccessDenied")
_OTHER_SITE = "Pages of other sites may not call this gateway."


def check_fetch_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what the browser itself marks as a call of another site.

    A link on another site may lead to the status page: the user sees it, the other site does not.

    Raises:
        APIError: 403, ``AccessDenied``.
    """
    is_followed_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") == "cross-site" and not is_followed_link:
        raise APIError(*_ACCESS_DENIED, _OTHER_SITE)


class HostCheck:
    """Checks under which host name a gateway without keys is called, and from which page.

    Args:
        hosts: the allowed names, besides those of this machine.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, headers: Mapping[str, str], server_address: str) -> None:
        """Refuse foreign names of this machine, and pages of other sites.

        Args:
            headers: those of the request, with lower-case names.
            server_address: the gateway's own address at which the call arrived.

        Raises:
            APIError: 403, ``AccessDenied``; the text says what to configure.
        """
        host = _host_name(headers.get("host", ""))
        self._check_host(host, server_address)
        origin = headers.get("origin")
        if origin is not None and "sec-fetch-site" not in headers:
            self._check_page(_host_name(origin.partition("://")[2]), host)

    def _check_host(self, host: str, server_address: str) -> None:
        is_allowed = not host or host in self._hosts or _is_this_machine(host)
        # A caller that uses the loopback address is on this machine and needs no other name.
        if not is_allowed and _is_this_machine(server_address):
            raise APIError(
                *_ACCESS_DENIED,
                "This gateway has no keys, so calls from its own machine must use the name "
                f"localhost or 127.0.0.1, not {host:.100}. To allow that name, list it under "
                "hosts in the table [server] of the configuration file, or give the gateway keys.",
            )

    def _check_page(self, page: str, host: str) -> None:
        if page not in (host, *self._hosts):
            raise APIError(
                *_ACCESS_DENIED,
                f"{_OTHER_SITE} If {page:.100} is this gateway's own name, list it under hosts "
                "in the table [server] of the configuration file.",
            )


def _host_name(host: str) -> str:
    """Return the name or address of ``NAME:PORT``, in lower case."""
    before_port, colon, port = host.rpartition(":")
    name = before_port if colon and (port.isdecimal() or not port) else host
    return name.lower().strip("[]").removesuffix(".")


@lru_cache(maxsize=64)
def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
