"""From what went wrong on the network to this package's errors. No I/O.

Texts name what happened and what to do; whatever a server repeats of the secrets that were sent
to it is taken out, in causes too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import httpx

from dashscope_oss.errors import (
    NO_REASON,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DashScopeError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RetiredModelWarning,
    shortened,
    warn,
)
from dashscope_oss.protocol.response import error_body, error_in, shown
from dashscope_oss.registry.model_info import ModelInfo
from dashscope_oss.transport.endpoint import Endpoint, is_vendor
from dashscope_oss.transport.retry import retry_after

_HIDDEN = "[key]"
_LONG_SECRET = 8
_LONGEST_ID = 200
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "api-key", "x-api-key")
_announced: set[str] = set()


def finished(
    error: DashScopeError, model_info: ModelInfo, url: str, sent: Mapping[str, str]
) -> DashScopeError:
    """Complete an error: hints in, and the secrets among the headers that were sent out."""
    _redact(error, _secrets(sent))
    if isinstance(error, AuthenticationError) and not is_vendor(url):
        error.advice = "Check api_key or DASHSCOPE_API_KEY: this server has keys of its own."
    gone = isinstance(error, ModelNotFoundError | PermissionDeniedError)
    if gone and model_info.status == "retired" and is_vendor(url):
        error.hint = _retirement(model_info)
    return error


def announce(model_info: ModelInfo, endpoint: Endpoint) -> None:
    """Warn once of a retired model that is asked of the vendor; the call is made all the same."""
    if model_info.status == "retired" and endpoint.is_vendor and model_info.id not in _announced:
        _announced.add(model_info.id)
        warn(f"{model_info.id}: {_retirement(model_info)}", RetiredModelWarning)


def _retirement(model_info: ModelInfo) -> str:
    named = (
        f" The vendor names {', '.join(model_info.successors)} instead."
        if model_info.successors
        else ""
    )
    return (
        f"The hosted service retired this model on {model_info.retired_on}.{named} To keep it, serve "
        "its open weights with `dashscope-oss serve` and pass that base_url."
    )


def _secrets(sent: Mapping[str, str]) -> list[str]:
    """The secrets among the headers that were sent, longest first."""
    found = {value for name, value in sent.items() if name.lower() in _SECRET_HEADERS}
    found |= {value.removeprefix("Bearer ") for value in found}
    return sorted(filter(None, found), key=len, reverse=True)


def _redact(error: DashScopeError, secrets: Sequence[str]) -> None:
    """Take secrets out of all that a server may have repeated, causes included."""
    patterns = [_pattern(secret) for secret in secrets]

    def clean(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(_HIDDEN, text)
        return text

    for name in ("message", "code", "request_id", "partial_text"):
        if text := getattr(error, name):
            setattr(error, name, clean(text))
    error.message = shortened(error.message)
    error.code = error.code and shortened(error.code, _LONGEST_ID)
    error.request_id = error.request_id and shortened(error.request_id, _LONGEST_ID)
    if error.response is not None:
        error.response = _cleaned(error.response, clean)
    for link in _chain(error):
        link.args = tuple(clean(arg) if isinstance(arg, str) else arg for arg in link.args)
    error.args = (error.message,)


def _pattern(secret: str) -> re.Pattern[str]:
    """What is taken out: a secret wherever it stands, one of a few letters only by itself.

    A placeholder like ``any``, which a gateway without keys takes, is a part of many words.
    """
    exact = re.escape(secret)
    return re.compile(exact if len(secret) >= _LONG_SECRET else rf"(?a:(?<!\w){exact}(?!\w))")


def _plain_headers(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers but those that say how the body was coded.

    They stay bytes: httpx reads any, but makes none of text that is not ASCII.
    """
    coded = (b"content-encoding", b"content-length", b"transfer-encoding")
    return [(n, v) for n, v in response.headers.raw if n.lower() not in coded]


def _cleaned(response: httpx.Response, clean: Callable[[str], str]) -> httpx.Response:
    return httpx.Response(
        response.status_code,
        headers=[
            (name, clean(value.decode("latin-1")).encode("latin-1"))
            for name, value in _plain_headers(response)
        ],
        content=clean(response.content.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        ),
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    ahead: list[BaseException | None] = [error]
    while ahead:
        link = ahead.pop()
        if link is not None and link not in seen:
            seen.append(link)
            yield link
            ahead += [link.__cause__, link.__context__]


def network_error(
    error: httpx.HTTPError, model: str, timeout: float, text: str, *, began: bool = False
) -> DashScopeError:
    """Return the error for what httpx says.

    Args:
        error: httpx's.
        model: the model asked.
        timeout: the limit to name if the request states none.
        text: what had arrived of the answer.
        began: whether the head of the answer had arrived.
    """
    partial = text or None
    if isinstance(error, httpx.TimeoutException):
        what, kind = _LIMITS.get(type(error), ("the call", ""))
        limit = error.request.extensions.get("timeout", {}).get(kind, timeout)
        return APITimeoutError(
            f"{what} took longer than {limit:g} s",
            model=model,
            partial_text=partial,
            hint=_TO_DO.get(kind, "Raise timeout, or stream."),
        )
    why = _why(error)
    if isinstance(error, httpx.DecodingError):
        return ProtocolError(
            f"the answer cannot be decompressed: {why}", model=model, partial_text=partial
        )
    if text or began:
        return APIConnectionError(
            f"the connection broke in the middle of the answer: {why}",
            model=model,
            partial_text=partial,
            hint="Try again; if it happens often, look at what stands between, as a proxy.",
        )
    if isinstance(error, httpx.ProxyError):
        return _refused_by_proxy(why, model)
    url = error.request.url
    return APIConnectionError(
        f"no answer from {url.netloc.decode()}: {why}",
        model=model,
        hint="Check base_url and the network."
        if is_vendor(str(url))
        else "Check base_url, the network, and whether the gateway runs (`dashscope-oss serve`).",
    )


def _refused_by_proxy(why: str, model: str) -> APIConnectionError:
    refusal = APIConnectionError(
        f"the proxy lets no call through: {why}",
        model=model,
        hint="Check HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, with its user and password; NO_PROXY "
        "names hosts that need none.",
    )
    # What it says begins with the status of its refusal, if it gave one.
    refusal.retryable = not why.startswith("4") or why.startswith(("408", "429"))
    return refusal


_LIMITS: dict[type[Exception], tuple[str, str]] = {
    httpx.ConnectTimeout: ("connecting", "connect"),
    httpx.ReadTimeout: ("waiting for the next piece of the answer", "read"),
    httpx.WriteTimeout: ("sending the request", "write"),
    httpx.PoolTimeout: ("waiting for a free connection", "pool"),
}


_TO_DO = {
    "connect": "Check base_url, the network and the proxies of the environment; or raise timeout.",
    "write": "Check the network, or raise timeout.",
}


def _why(error: BaseException) -> str:
    """What httpx says, or what it was told: some of its errors have no words of their own."""
    links: list[BaseException] = [error]
    while cause := links[-1].__cause__ or links[-1].__context__:
        links.append(cause)
    told = [link for link in links if str(link)]
    system = [link for link in told if isinstance(link, OSError)]
    return str(([error] if str(error) else system or told or ["it was lost"])[0])


def refused(
    response: httpx.Response, body: bytes, model: str, now: float | None = None
) -> DashScopeError:
    """Return the error for an answer whose status is no success.

    Args:
        response: its head.
        body: as much of its body as came.
        model: the model asked.
        now: seconds of the epoch, for a date to wait for; the clock's if ``None``.
    """
    data, stated = error_body(body)
    said = data
    if data is None or response.has_redirect_location:
        said = {"message": _unreadable(response, body)}
    status = stated if stated and stated >= 400 else response.status_code
    error = error_in(said or {}, status_code=status, model=model)
    if data is None and not error.retryable:
        error.advice = "" if response.has_redirect_location else _NOT_OURS
    if error.message == NO_REASON:
        error.message += f": {shown(body)}"
    error.request_id = error.request_id or response.headers.get("x-request-id")
    error.retry_after = retry_after(response.headers, time.time() if now is None else now)
    # Without its request, whose headers hold the key.
    error.response = httpx.Response(
        response.status_code, headers=_plain_headers(response), content=body
    )
    return error


_NOT_OURS = (
    "Check base_url, and what stands between (a proxy, a gateway): it is not the service that "
    "says so."
)


def _unreadable(response: httpx.Response, body: bytes) -> str:
    """Say what an answer is that no service of this protocol gives."""
    if response.has_redirect_location:
        return f"redirected to {response.headers['location']}, which is not followed; set base_url"
    if not body.strip():
        return "an answer without a body"
    return f"an answer that is not DashScope's: {shown(body.strip())}"
