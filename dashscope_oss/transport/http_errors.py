"""Which error a failed HTTP call is, and what its text advises. Does no I/O."""

from __future__ import annotations

import time
from http import HTTPStatus

import httpx2

from dashscope_oss.errors import (
    APIConnectionError,
    APITimeoutError,
    DashScopeError,
    ProtocolError,
)
from dashscope_oss.protocol.error_mapping import NO_REASON, error_in_body, read_error_body
from dashscope_oss.protocol.json_body import quoted
from dashscope_oss.transport.endpoint import is_vendor
from dashscope_oss.transport.http.redaction import plain_headers
from dashscope_oss.transport.retry import retry_after


def error_of_exception(
    error: httpx2.HTTPError, model: str, timeout: float, text: str, *, began: bool = False
) -> DashScopeError:
    """Return the error for an exception of httpx2.

    Args:
        error: the exception.
        model: the model asked.
        timeout: seconds; the limit to name if the request states none.
        text: what had arrived of the answer.
        began: whether the head of the answer had arrived.
    """
    ours: DashScopeError
    if isinstance(error, httpx2.TimeoutException) and not _is_lost_connection(error):
        ours = _timeout_error(error, timeout)
    elif isinstance(error, httpx2.DecodingError):
        ours = ProtocolError(f"the answer cannot be decompressed: {reason_of(error)}")
    elif text or began:
        ours = APIConnectionError(
            f"the connection broke in the middle of the answer: {reason_of(error)}",
            hint="Try again; if it happens often, check any proxy or gateway in between.",
        )
    elif isinstance(error, httpx2.ProxyError):
        return _refused_by_proxy(reason_of(error), model)
    else:
        return _no_answer(error, model)
    ours.model, ours.partial_text = model, text or None
    return ours


def _is_lost_connection(error: httpx2.TimeoutException) -> bool:
    # httpx-aiohttp reports every connection that a server closes as a ConnectTimeout.
    cause = error.__cause__
    return cause is not None and "Timeout" not in type(cause).__name__


def _timeout_error(error: httpx2.TimeoutException, timeout: float) -> APITimeoutError:
    step, kind = _STEPS.get(type(error), ("the call", ""))
    limit = error.request.extensions.get("timeout", {}).get(kind, timeout)
    how_long = f"longer than {limit:g} s" if limit else "too long"  # where none was set, the system
    return APITimeoutError(
        f"{step} took {how_long}", hint=_ADVICE.get(kind, "Raise timeout, or stream.")
    )


def _no_answer(error: httpx2.HTTPError, model: str) -> APIConnectionError:
    url = error.request.url
    return APIConnectionError(
        f"no answer from {url.netloc.decode()}: {reason_of(error)}",
        model=model,
        hint=_advice_without_answer(error, url),
    )


def _advice_without_answer(error: httpx2.HTTPError, url: httpx2.URL) -> str:
    if is_vendor(str(url)):
        return "Check base_url and the network."
    if "WRONG_VERSION_NUMBER" in reason_of(error):
        return "The server there does not speak https: begin base_url with http://."
    return "Check base_url, the network, and whether the gateway runs (`dashscope-oss serve`)."


def _refused_by_proxy(reason: str, model: str) -> APIConnectionError:
    refusal = APIConnectionError(
        f"the proxy did not let the call through: {reason}",
        model=model,
        hint="Check HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, with its user and password; NO_PROXY "
        "names hosts that need none.",
    )
    # What it says begins with the status of its refusal, if it gave one.
    refusal.retryable = not reason.startswith("4") or reason.startswith(("408", "429"))
    return refusal


_STEPS: dict[type[Exception], tuple[str, str]] = {
    httpx2.ConnectTimeout: ("connecting", "connect"),
    httpx2.ReadTimeout: ("waiting for the next piece of the answer", "read"),
    httpx2.WriteTimeout: ("sending the request", "write"),
    httpx2.PoolTimeout: ("waiting for a free connection", "pool"),
}


_ADVICE = {
    "connect": "Check base_url, the network and the proxies of the environment; or raise timeout.",
    "write": "Check the network, or raise timeout.",
}


def reason_of(error: BaseException) -> str:
    """Return the words of httpx2, or of what caused it: some of its errors have none."""
    links: list[BaseException] = [error]
    while cause := links[-1].__cause__ or links[-1].__context__:
        links.append(cause)
    # anyio finds out by an IndexError of its own that a connection was closed.
    with_words = [link for link in links if str(link) and not isinstance(link, LookupError)]
    of_system = [link for link in with_words if isinstance(link, OSError)]
    return str(([error] if str(error) else of_system or with_words or ["it was lost"])[0])


def error_of_response(
    response: httpx2.Response, body: bytes, model: str, now: float | None = None
) -> DashScopeError:
    """Return the error for an answer whose status is no success.

    Args:
        response: its head.
        body: as much of its body as came.
        model: the model asked.
        now: seconds of the epoch, for a date to wait for; the clock's if ``None``.
    """
    if response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _refused_for_password(response, body, model)
    data, stated_status = read_error_body(body)
    error_body = data
    if data is None or response.has_redirect_location:
        error_body = {"message": _unreadable(response, body)}
    status = stated_status if stated_status and stated_status >= 400 else response.status_code
    error = error_in_body(error_body or {}, status_code=status, model=model)
    if data is None and not error.retryable:
        error.advice = "" if response.has_redirect_location else _NOT_OURS
    if error.message == NO_REASON:
        error.message += f": {quoted(body)}"
    error.request_id = error.request_id or response.headers.get("x-request-id")
    error.retry_after = retry_after(response.headers, time.time() if now is None else now)
    error.response = _without_request(response, body)
    return error


def _refused_for_password(response: httpx2.Response, body: bytes, model: str) -> DashScopeError:
    """Return the error for a 407, which no service sends, only the proxy before it."""
    reason = f"{response.status_code} {response.reason_phrase}"
    if body.strip():
        reason += f": {quoted(body.strip())}"
    error = _refused_by_proxy(reason, model)
    error.status_code = response.status_code
    error.response = _without_request(response, body)
    return error


def _without_request(response: httpx2.Response, body: bytes) -> httpx2.Response:
    # The headers of its request hold the key.
    return httpx2.Response(response.status_code, headers=plain_headers(response), content=body)


_NOT_OURS = (
    "The answer does not come from the service: check base_url, and any proxy or gateway in "
    "between."
)


def _unreadable(response: httpx2.Response, body: bytes) -> str:
    """Describe an answer that does not come from a service of this protocol."""
    if response.has_redirect_location:
        return f"redirected to {response.headers['location']}, which is not followed; set base_url"
    if not body.strip():
        return "the answer has no body"
    return f"the answer does not have DashScope's form: {quoted(body.strip())}"
