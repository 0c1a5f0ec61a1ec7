"""Calls that a browser makes for a page of another site, without its user's wish. No I/O.

A gateway without keys would work for any page that is open in a browser which reaches it. Browsers
say for whom they call: by ``Sec-Fetch-Site``, which they leave out of plain HTTP to other machines
than their own, or by ``Origin``. A page whose name is made to point at this machine is of one site
with the gateway to them: there the name in ``Host`` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from dashscope_oss.gateway.api_error import APIError

_DENIED = (403, "AccessDenied")
_OTHER_SITE = "Pages of other sites may not call this gateway."


def check_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what a browser says it does for another site.

    Whoever follows a link elsewhere to the status page sees it; that other page does not.

    Raises:
        APIError: 403, ``AccessDenied``.
    """
    follows = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") == "cross-site" and not follows:
        raise APIError(*_DENIED, _OTHER_SITE)


class Names:
    """The names by which callers may reach a gateway that asks for no key.

    Args:
        hosts: those beside this machine's own.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, headers: Mapping[str, str], address: str) -> None:
        """Refuse a page of another site that the browser does not call so.

        Args:
            address: at which the call arrived.

        Raises:
            APIError: 403, ``AccessDenied``; the text says what to set.
        """
        host = _name_in(headers.get("host", ""))
        # Who reaches this machine by its loopback is on it, and needs no other name for it.
        known = not host or host in self._hosts or _is_this_machine(host)
        if not known and _is_this_machine(address):
            raise APIError(
                *_DENIED,
                "This gateway has no keys, so calls from its own machine must name localhost or "
                f"127.0.0.1, not {host:.100}. Let its settings file list that name in hosts of the "
                "table [server], or give it keys.",
            )
        origin = headers.get("origin")
        if origin is None or "sec-fetch-site" in headers:
            return
        page = _name_in(origin.partition("://")[2])
        if page not in (host, *self._hosts):
            own = f"If {page:.100} is this gateway's own name, list it in hosts of [server]."
            raise APIError(*_DENIED, f"{_OTHER_SITE} {own}")


def _name_in(place: str) -> str:
    """The name or address in ``NAME:PORT``."""
    name, colon, port = place.rpartition(":")
    found = name if colon and (port.isdecimal() or not port) else place
    return found.lower().strip("[]").removesuffix(".")


@lru_cache(maxsize=64)
def _is_this_machine(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
