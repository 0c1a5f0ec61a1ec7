"""What ``doctor`` concludes: what is wrong, and what to change. No I/O."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

import httpx2

from dashscope_oss.errors import (
    APIConnectionError,
    AuthenticationError,
    DashScopeError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExhaustedError,
)
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.endpoint import Endpoint, region_of
from dashscope_oss.transport.retirement import advice_on_retired

State: TypeAlias = Literal["ok", "warning", "wrong", "unknown"]
TOLERATED_SECONDS = 300
"""How far the clock may be off; certificates are seldom that young or old."""
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one thing.

    Attributes:
        subject: what was looked at.
        state: how it is.
        words: what was found; never the key.
        remedy: what to change, if something is wrong.
    """

    subject: str
    state: State
    words: str
    remedy: str = ""


def address_check(endpoint: Endpoint) -> Check:
    """Return where calls go, and which region that is."""
    url = endpoint.base_url
    if not endpoint.is_vendor:
        return Check("address", "ok", f"{url}, not one of the vendor's hosts")
    region = region_of(url)
    if region is None:
        remedy = "Use a region: `region=`, or base_url of the console's page of your workspace."
        return Check(
            "address", "warning", f"{url}, a host of the vendor in no known region", remedy
        )
    return Check("address", "ok", f"{url}, region {region}")


def proxy_check(proxy: httpx2.Proxy | None) -> Check:
    """Return the proxy that calls go through, without its password."""
    words = "none for this address" if proxy is None else f"{proxy.url.scheme}://{proxy.url.host}"
    return Check("proxy", "ok", words)


def workspace_check(endpoint: Endpoint) -> Check:
    """Return the workspace that calls name."""
    return Check("workspace", "ok", endpoint.workspace or "none: that of the key")


def clock_check(date: str | None, now: float) -> Check:
    """Compare this machine's clock with the date of an answer.

    Args:
        date: the header of the answer.
        now: seconds of the epoch, by this machine.
    """
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Check("clock", "unknown", "the answer has no date")
    seconds_ahead = now - theirs
    if abs(seconds_ahead) <= TOLERATED_SECONDS:
        return Check("clock", "ok", "as the service's")
    direction = "ahead of" if seconds_ahead > 0 else "behind"
    return Check(
        "clock",
        "warning",
        f"{abs(seconds_ahead):.0f} s {direction} the service's",
        "Set this machine's clock: certificates are refused by a clock that is wrong.",
    )


def failure_check(error: DashScopeError, endpoint: Endpoint, accepting: Sequence[str]) -> Check:
    """Return what is wrong if the service does not give its list of models.

    Args:
        error: what happened.
        endpoint: where it was asked.
        accepting: other regions that accept the key.
    """
    if isinstance(error, APIConnectionError):
        return _connection_check(error)
    if "workspace" in f"{error.code} {error.message}".lower():
        remedy = "Check workspace and DASHSCOPE_WORKSPACE: it must be one of the key's own region."
        return Check("workspace", "wrong", _words(error), remedy)
    if isinstance(error, AuthenticationError):
        return Check("key", "wrong", _words(error), _remedy_of_key(endpoint, accepting))
    if isinstance(error, PermissionDeniedError):
        remedy = "The key is known: activate Model Studio for its account, or use another key."
        return Check("key", "wrong", _words(error), remedy)
    if isinstance(error, ModelNotFoundError) or error.status_code in (None, 404, 405):
        remedy = f"{endpoint.base_url} is not the native API: base_url ends in /api/v1."
        return Check("address", "wrong", _words(error), remedy)
    return Check("service", "wrong", _words(error))


def _remedy_of_key(endpoint: Endpoint, accepting: Sequence[str]) -> str:
    if accepting:
        region = accepting[0]
        return f"The key belongs to the region {region}: pass region={region!r}."
    if endpoint.is_vendor:
        return "No region's shared host accepts this key: copy it anew from the console."
    return "This server has keys of its own: ask whoever runs it."


def _connection_check(error: APIConnectionError) -> Check:
    causes = list(_causes(error))
    for kinds, subject, remedy in _CONNECTION_FAULTS:
        if any(isinstance(cause, kinds) for cause in causes):
            return Check(subject, "wrong", _words(error), remedy)
    return Check("network", "wrong", _words(error))


_CONNECTION_FAULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "certificate",
        "Behind a company's proxy, set SSL_CERT_FILE to the file of its authority. Otherwise check "
        "the host and this machine's clock.",
    ),
    (
        ssl.SSLError,
        "certificate",
        "The server does not speak TLS: check base_url; that of a gateway begins with http://.",
    ),
    (httpx2.ProxyError, "proxy", "Check HTTPS_PROXY, or name the host in NO_PROXY."),
    (
        socket.gaierror,
        "network",
        "The host's name is not known: check base_url and the connection to the internet.",
    ),
    (
        ConnectionRefusedError,
        "address",
        "Nothing listens there: check host and port of base_url, and whether the gateway runs.",
    ),
)


def _words(error: DashScopeError) -> str:
    """Return what happened, without the advice that the remedy gives."""
    facts = [str(fact) for fact in (error.status_code, error.code) if fact]
    return f"{error.message} ({' '.join(facts)})" if facts else error.message


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def models_check(records: Sequence[ModelInfo], listed: Mapping[str, object]) -> Check:
    """Return which hosted models of the registry the service lists for this key."""
    hosted = [record.id for record in records if record.status == "hosted"]
    present = [id for id in hosted if id in listed]
    missing = [id for id in hosted if id not in listed]
    words = f"{len(present)} of the registry's {len(hosted)} hosted models are listed for this key"
    if not present:
        return Check("models", "warning", words, "This server may have other models.")
    absent = f"; not listed: {_some(missing)}" if missing else ""
    return Check("models", "ok", f"{words}{absent}")


def model_check(record: ModelInfo, error: DashScopeError | None) -> Check:
    """Return whether a model answered a call of one token.

    Args:
        record: the model.
        error: what went wrong; ``None`` if it answered.
    """
    if error is None:
        return Check(record.id, "ok", "answers")
    return Check(record.id, "wrong", _words(error), _remedy_of_model(record, error))


def _remedy_of_model(record: ModelInfo, error: DashScopeError) -> str:
    if record.status == "retired" and isinstance(error, ModelNotFoundError | PermissionDeniedError):
        return advice_on_retired(record)
    return next((remedy for kind, remedy in _MODEL_FAULTS if isinstance(error, kind)), "")


_MODEL_FAULTS: tuple[tuple[type[DashScopeError], str], ...] = (
    (QuotaExhaustedError, "Check balance and free quota of the account."),
    (PermissionDeniedError, "Activate the model for this key and workspace in the console."),
    (
        ModelNotFoundError,
        "This region or gateway does not have the model: check the id, or choose another.",
    ),
)


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
