"""Where calls go and with which key: settings from arguments and environment, checked once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias

import httpx2

from dashscope_oss.errors import ConfigurationError, DashScopeWarning, warn

KEY_VARIABLE = "DASHSCOPE_API_KEY"
KEY_FILE_VARIABLE = "DASHSCOPE_API_KEY_FILE_PATH"
BASE_URL_VARIABLE = "DASHSCOPE_HTTP_BASE_URL"
WORKSPACE_VARIABLE = "DASHSCOPE_WORKSPACE"


class Hidden(Protocol):
    """A key that does not show itself; pydantic's ``SecretStr`` is one."""

    def get_secret_value(self) -> str:
        """Return the key."""


ApiKey: TypeAlias = str | Hidden | Callable[[], str]

_API = "/api/v1"
_LAST_PORT = 65535
_EXAMPLE = "https://HOST/api/v1 or http://127.0.0.1:8000/api/v1"
_VENDOR = ".aliyuncs.com"
_REGIONS = {
    "beijing": "dashscope.aliyuncs.com",
    "singapore": "dashscope-intl.aliyuncs.com",
    "us": "dashscope-us.aliyuncs.com",
    "hongkong": "cn-hongkong.dashscope.aliyuncs.com",
    "finance": "dashscope-finance.aliyuncs.com",
}
_WORKSPACE_REGIONS = {
    "frankfurt": "eu-central-1",
    "tokyo": "ap-northeast-1",
    **{
        id: id
        for id in (
            "cn-beijing",
            "ap-southeast-1",
            "us-east-1",
            "cn-hongkong",
            "eu-central-1",
            "ap-northeast-1",
        )
    },
}
REGIONS: tuple[str, ...] = (*_REGIONS, *_WORKSPACE_REGIONS)
"""Names that ``region`` takes.

``beijing`` to ``finance`` are the hosts that all share. The vendor's ids of regions, ``frankfurt``
and ``tokyo`` are the hosts of your workspace alone, which the vendor recommends: they wait up to
an hour for an answer. (https://help.aliyun.com/en/model-studio/regions, October 2026)
"""
SHARED_HOSTS: Mapping[str, str] = {
    name: f"https://{host}/api/v1" for name, host in _REGIONS.items()
}
"""The address of each region's shared host."""
_SHORT = {"cn": "beijing", "intl": "singapore", "hk": "hongkong"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where calls go, and with which key. Make one with :meth:`resolve`.

    ``api_key`` returns the key. It is ``None`` if the key comes from the environment or a file; it
    is then read anew for every call, so it is never stored or copied. A pickle holds no key: where
    it is read, the key comes from the environment there, or from your function.
    """

    base_url: str
    api_key: Callable[[], str] | None = field(default=None, repr=False)
    workspace: str | None = None

    @classmethod
    def resolve(
        cls,
        *,
        base_url: str | None = None,
        region: str | None = None,
        api_key: ApiKey | None = None,
        workspace: str | None = None,
    ) -> Endpoint:
        """Return the endpoint for these settings; what is ``None`` comes from the environment.

        Args:
            base_url: ends in ``/api/v1``; wins over ``region`` and ``DASHSCOPE_HTTP_BASE_URL``.
            region: one of :data:`REGIONS`, or ``cn`` (Beijing), ``intl`` (Singapore), ``hk``;
                Beijing by default. The vendor's id of a region is your workspace's own host there.
            api_key: text, or a function that returns it; else ``DASHSCOPE_API_KEY``, else the
                file that ``DASHSCOPE_API_KEY_FILE_PATH`` names, else ``~/.dashscope/api_key``. A
                server on this machine needs none.
            workspace: a workspace's id; else ``DASHSCOPE_WORKSPACE``. A key of a sub-account
                needs one.

        Raises:
            ConfigurationError: if the address or the key cannot be used, or the key is missing.
        """
        workspace = _checked_workspace(workspace)
        url = _region_url(region, workspace) if base_url is None else base_url
        endpoint = cls(
            base_url=_url_of_environment() if url is None else checked_url(url),
            api_key=_kept(api_key),
            workspace=workspace,
        )
        _warn_if_open(endpoint.base_url)
        if api_key is None or not callable(api_key):
            endpoint.key()
        return endpoint

    @property
    def is_vendor(self) -> bool:
        """Whether this is one of the vendor's own hosts."""
        return is_vendor(self.base_url)

    def url(self, path: str) -> str:
        """Return the address of ``path`` below the base."""
        return f"{self.base_url}/{path}"

    def key(self) -> str | None:
        """Return the key, or ``None`` if there is none and none is needed.

        Raises:
            ConfigurationError: if it is missing or cannot stand in a header.
        """
        key = self.api_key() if self.api_key is not None else _key_of_environment()
        if key is not None:
            return checked_key(key)
        if _is_local(httpx2.URL(self.base_url).host):
            return None
        path = os.environ.get(KEY_FILE_VARIABLE)
        file = f" The file {path!r:.200} of {KEY_FILE_VARIABLE} holds none." if path else ""
        raise ConfigurationError(
            f"no API key: set the environment variable {KEY_VARIABLE}, or api_key.{file} "
            f"{self._without_key}"
        )

    @property
    def _without_key(self) -> str:
        """What does not need a key."""
        if self.is_vendor:
            return (
                "A gateway on this machine needs none: give its address as base_url (in commands "
                "--base-url)."
            )
        host = httpx2.URL(self.base_url).host
        return f"{host} is not this machine: if it asks for no key, set any text as the key."


@dataclass(frozen=True, slots=True)
class _Key:
    """A key given as text: callable like one that is fetched, and never shown."""

    text: str = field(repr=False)

    def __call__(self) -> str:
        return self.text

    def __deepcopy__(self, memo: object) -> _Key:
        return self

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        # In no pickle: the process that reads it has an environment of its own.
        return _no_key, ()


def _no_key() -> None:
    return None


def is_vendor(url: str) -> bool:
    """Whether ``url`` is on one of the vendor's own hosts."""
    return httpx2.URL(url).host.endswith(_VENDOR)


def _url_of_environment() -> str:
    if url := os.environ.get(BASE_URL_VARIABLE):
        return checked_url(url, BASE_URL_VARIABLE)
    return f"https://{_REGIONS['beijing']}{_API}"


def _kept(key: ApiKey | None) -> Callable[[], str] | None:
    if key is None or isinstance(key, str):
        return None if key is None else _Key(checked_key(key))
    return key if callable(key) else _Key(checked_key(key.get_secret_value()))


def _key_of_environment() -> str | None:
    return _key_and_place()[0]


def key_place() -> str:
    """Return where a key comes from that is not passed: a variable or a file; or nothing."""
    key, place = _key_and_place()
    return place if key else ""


def _key_and_place() -> tuple[str | None, str]:
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        return key, KEY_VARIABLE
    path = os.environ.get(KEY_FILE_VARIABLE)
    try:
        file = Path(path) if path else Path.home() / ".dashscope" / "api_key"
        return file.read_text(encoding="utf-8").strip() or None, str(file)
    except (OSError, UnicodeDecodeError, RuntimeError):  # a user without a home
        return None, ""


def checked_key(key: str) -> str:
    """Return ``key`` without outer white space.

    Raises:
        ConfigurationError: if it cannot stand in a header; the text does not show it.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"api_key must be or return text, not {type(key).__name__}")
    key = key.strip()
    if not key:
        raise ConfigurationError(f"api_key is empty; set {KEY_VARIABLE} or pass api_key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "the API key holds a space, a line break or a character that no key has; "
            f"copy it again into {KEY_VARIABLE} or api_key (it is not shown here)"
        )
    return key


def _checked_workspace(workspace: str | None) -> str | None:
    id = (workspace or os.environ.get(WORKSPACE_VARIABLE, "")).strip()
    if id and not re.fullmatch(r"[A-Za-z0-9_-]+", id):
        raise ConfigurationError(
            f"bad workspace {id!r:.100}: an id has letters, digits, '_' and '-' only"
        )
    return id or None


def _region_url(region: str | None, workspace: str | None) -> str | None:
    if region is None:
        return None
    region = _SHORT.get(region, region)
    if region in _REGIONS:
        return f"https://{_REGIONS[region]}{_API}"
    if region not in _WORKSPACE_REGIONS:
        raise ConfigurationError(f"unknown region {region!r}; use one of {', '.join(REGIONS)}")
    if not workspace:
        raise ConfigurationError(
            f"region {region!r} has workspace hosts only: pass workspace, the id of yours"
        )
    return f"https://{workspace}.{_WORKSPACE_REGIONS[region]}.maas{_VENDOR}{_API}"


def region_of(url: str) -> str | None:
    """Return the name of the region whose host ``url`` has; ``None`` for any other host."""
    host = httpx2.URL(url).host
    shared = (name for name, its_host in _REGIONS.items() if its_host == host)
    own = (id for id in _WORKSPACE_REGIONS.values() if host.endswith(f".{id}.maas{_VENDOR}"))
    return next(chain(shared, own), None)


def checked_url(text: str, name: str = "base_url", *, like: str = _EXAMPLE) -> str:
    """Return ``text`` without its last slash if it is an address to call.

    Args:
        name: what the setting is called.
        like: a good one, for the error's text.

    Raises:
        ConfigurationError: if it is none.
    """

    def refusal(why: str, instead: str = f"It looks like {like}") -> ConfigurationError:
        return ConfigurationError(f"bad {name} {_shown(text)!r}: {why}. {instead}")

    try:
        url = httpx2.URL(text.strip())
    except (httpx2.InvalidURL, TypeError, AttributeError) as error:
        raise refusal(str(error)) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise refusal("it needs http:// or https:// and a host")
    if (url.port or 0) > _LAST_PORT or not _is_name(url.host):
        raise refusal("its host or port is not valid")
    if url.userinfo or url.query or url.fragment:
        raise refusal(
            "it may hold neither user name, query nor fragment; the key is a setting of its own"
        )
    if like == _EXAMPLE:
        if url.path.strip("/") in ("", "v1", "compatible-mode/v1"):
            right = url.copy_with(path=_API)
            raise refusal(
                f"the native protocol is below {_API}, not {url.path!r}", f"Write {right}"
            )
        if "/services/" in url.path:
            right = url.copy_with(path=url.path.partition("/services/")[0])
            raise refusal("/services/ and what follows do not belong to it", f"Write {right}")
    return str(url).rstrip("/")


def _warn_if_open(url: str) -> None:
    parsed = httpx2.URL(url)
    if parsed.scheme == "http" and not _is_local(parsed.host):
        warn(
            f"key and prompts go to {parsed.host} unencrypted; use https",
            DashScopeWarning,
        )


def _shown(text: object) -> str:
    # Neither a password before the host nor a key behind the path.
    return re.split(r"[?#]", str(text).rpartition("@")[2])[0][:200]


def _is_name(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return ":" in host  # an IPv6 address
    return True


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
