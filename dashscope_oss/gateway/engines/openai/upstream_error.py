"""From an upstream's error to the vendor's status, code and text. No I/O."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

import httpx2
from pydantic_core import from_json

from dashscope_oss.errors import (
    AuthenticationError,
    ContentBlockedError,
    ContextLengthError,
    DashScopeError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExhaustedError,
    RateLimitError,
)
from dashscope_oss.gateway.interface.api_error import (
    TOO_MANY_REQUESTS,
    APIError,
    BodyTooLarge,
    ModelUnavailable,
)
from dashscope_oss.protocol.error_mapping import read_error_body, service_error
from dashscope_oss.transport.http_errors import reason_of

UNREADABLE = (500, "InternalError", "The engine's answer cannot be read.")
BLOCKED_OUTPUT = (
    400,
    "DataInspectionFailed",
    "Output data may contain inappropriate content.",
)
_BLOCKED_INPUT = (400, "DataInspectionFailed", "Input data may contain inappropriate content.")
_MODEL_NOT_FOUND = (
    404,
    "ModelNotFound",
    "Model can not be found. The server behind this gateway has none of the name that the "
    "gateway's settings give it.",
)
_FAILED = "The engine behind this gateway failed"
_LOG = "The gateway's log says more."
_FAILED_IN_ANSWER = "The engine failed while it answered"
_REJECTED = (400, 413, 422)
_UNAVAILABLE = (502, 503, 504)
# About the account that whoever runs the gateway has at the upstream: callers are not told.
_OF_THE_ACCOUNT = (AuthenticationError, PermissionDeniedError, QuotaExhaustedError)
# llama.cpp, LM Studio, and vLLM's older versions refuse these with the status 500.
_CALLERS_FAULT = re.compile(
    r"jinja exception|raise_exception|rendering prompt with jinja|templateerror"
    r"|conversation roles must|roles? must alternate|role of message|system message must"
    r"|system role not supported|only user(?:,| and) assistant|no user query"
    r"|prefill is incompatible|assistant messages at the end of the list"
    r"|input is not supported|input validation error|failed to load image|identify image file"
    r"|failed to parse (?:grammar|messages|tools|tool call arguments)|schema conversion failed",
    re.IGNORECASE,
)
_TEMPLATES_WORDS = re.compile(r"jinja exception:\s*(.+)", re.IGNORECASE)
_LIMITS = (
    re.compile(r"maximum input length of (\d+)", re.IGNORECASE),
    re.compile(
        r"(?:(?:maximum|model'?s|available|allowed) (?:context |model |prompt |input )?"
        r"(?:length|size)|limit(?: of)?|less than|must be <=)\D{0,20}(\d+)",
        re.IGNORECASE,
    ),
)
# Where servers put the text of an error, in the order in which the names are looked for.
_TEXT_FIELDS = ("error", "message", "detail", "msg", "error_msg", "errors")
_MAX_CHARACTERS = 100_000
_NO_TEXT = "the answer holds no text"
# httpx2's own words tell of a scope that was cancelled.
_TIMEOUTS: dict[type[Exception], str] = {
    httpx2.ConnectTimeout: "it did not accept a connection in time",
    httpx2.ReadTimeout: "it sent nothing for as long as its timeout allows",
    httpx2.WriteTimeout: "it read nothing for as long as its timeout allows",
}


class _Reason(NamedTuple):
    """What the body of an error says; the code may be the error's type."""

    text: str
    code: str | None
    status: int | None


def error_for_status(status: int, body: bytes, context: int | None = None) -> APIError:
    """Return the vendor's error for an upstream's answer with an error status.

    Args:
        status: the upstream's HTTP status.
        body: the upstream's body; its text becomes the error's ``cause``.
        context: tokens that the weights take, if the gateway knows.
    """
    reason = _read_reason(body)
    failed = ("InternalError", _FAILED)
    error = _vendor_error(reason._replace(status=status), failed, context)
    error.cause = f"HTTP {status}: {reason.text}"
    if status == HTTPStatus.NOT_FOUND and error.code != _MODEL_NOT_FOUND[1]:
        error.cause += "; check the base URL, which ends in /v1"
    return error


def error_in_answer(body: bytes, context: int | None = None) -> APIError:
    """Return the vendor's error for one that arrived inside an answer with a good status.

    Args:
        body: the event that holds the error; its own code counts if it is an HTTP status.
        context: tokens that the weights take, if the gateway knows.
    """
    reason = _read_reason(body)
    error = _vendor_error(reason, ("InternalError.Algo", _FAILED_IN_ANSWER), context)
    error.cause = f"in its answer: {reason.text}"
    return error


def error_text(body: bytes) -> str:
    """Return the text of an error's body in one line; HTML pages count as no text.

    Known forms: ``{"error": {"message"}}`` (vLLM, llama.cpp, Ollama, OpenAI), ``{"error": "text"}``
    (Ollama's own API, TGI), ``{"message"}`` (SGLang, older vLLM), ``{"detail"}`` (FastAPI); each of
    them also inside a list, or in an event.
    """
    return _read_reason(body).text


def describe(error: Exception) -> str:
    """Return an exception's type and text in one line; the text of its cause if it has none."""
    reason = _TIMEOUTS.get(type(error)) or reason_of(error)
    return one_line(f"{type(error).__name__}: {reason}")


def one_line(text: str) -> str:
    """Return a server's text, which may quote a caller, in a form that is safe in a log.

    No line break, no control character and no lone surrogate is left.
    """
    printable = (sign if sign.isprintable() else " " for sign in text[:_MAX_CHARACTERS])
    return " ".join("".join(printable).split())


def base_url_hint(url: str) -> str:
    """Return a hint for an address that may be wrong; "" for one that ends in ``/v1``."""
    return "" if url.rstrip("/").endswith("/v1") else wrong_base_url(url)


def wrong_base_url(url: str) -> str:
    """Return a question to the operator, to be put behind an error: is the base URL right?"""
    return f" (is {url} the base URL, which ends in /v1?)"


def is_servers_fault(error: APIError) -> bool:
    """Return whether another server might answer what this one did not."""
    return error.status != 400


def _vendor_error(reason: _Reason, failed: tuple[str, str], context: int | None) -> APIError:
    """Return the vendor's error for what an upstream said.

    Args:
        reason: what it said.
        failed: code and text for a failure of the upstream itself.
        context: tokens that the weights take, if the gateway knows.
    """
    text, code, status = reason
    error = service_error(status_code=status, code=code, message=text)
    if isinstance(error, ContextLengthError):
        return APIError(400, "InvalidParameter", _too_long(text, context))
    for kind, known in _KNOWN.items():
        if isinstance(error, kind):
            return APIError(*known)
    if status in _UNAVAILABLE:
        return ModelUnavailable()
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and text == _NO_TEXT:
        return BodyTooLarge()
    if status in _REJECTED or _CALLERS_FAULT.search(text):
        return APIError(400, "InvalidParameter", _rejection(text))
    return APIError(500, failed[0], _failure(failed[1], error, reason))


_KNOWN: dict[type[DashScopeError], tuple[int, str, str]] = {
    ContentBlockedError: _BLOCKED_INPUT,
    ModelNotFoundError: _MODEL_NOT_FOUND,
    RateLimitError: TOO_MANY_REQUESTS,
}


def _failure(failed: str, error: DashScopeError, reason: _Reason) -> str:
    """Return the text for a failure of the upstream, with its reason if callers may know it."""
    if reason.status == HTTPStatus.NOT_FOUND:
        return f"{failed}: it does not know the address that the gateway calls. {_LOG}"
    if isinstance(error, _OF_THE_ACCOUNT) or reason.text == _NO_TEXT:
        return f"{failed}. {_LOG}"
    return f"{failed}: {reason.text}"


def _rejection(text: str) -> str:
    if text == _NO_TEXT:
        text = "the server behind this gateway refuses the request and gives no reason"
    words = _TEMPLATES_WORDS.search(text)
    return f"<400> InternalError.Algo.InvalidParameter: {words[1] if words else text}"


def _too_long(text: str, context: int | None) -> str:
    """Return the vendor's words for an input that is too long."""
    if context is not None:
        return f"Range of input length should be [1, {context}], the stand-in's limit"
    of = "max_tokens" if "max_tokens" in text and "too large" in text else "input length"
    limit = next(filter(None, (pattern.search(text) for pattern in _LIMITS)), None)
    upper = f"{limit[1]}]" if limit else f"N]. {text}"
    return f"Range of {of} should be [1, {upper}"


def _read_reason(body: bytes) -> _Reason:
    data = _read_json(body)
    plain = "" if data is not None else body.decode("utf-8", "replace").strip()
    text = plain if plain and not plain.startswith("<") else _find_text(data)
    error = data.get("error") if isinstance(data, dict) else None
    holder = error if isinstance(error, dict) else data if isinstance(data, dict) else {}
    codes = [holder.get(name) for name in ("code", "type", "error_type", "http_status_code")]
    code = next((code for code in codes if isinstance(code, str) and code), None)
    statuses = [code for code in map(str, codes) if re.fullmatch(r"[45]\d\d", code)]
    status = int(statuses[0]) if statuses else None
    return _Reason(one_line(text) or _NO_TEXT, code, status)


def _read_json(body: bytes) -> object:
    """Return the JSON of an error, bare or in an event; ``None`` if it is none."""
    data = read_error_body(body)[0]
    if data is not None:
        return data
    try:
        value: object = from_json(body)
    except ValueError:
        return None
    return value


def _find_text(data: object) -> str:
    if isinstance(data, list):
        return "; ".join(filter(None, map(_find_text, data)))
    if not isinstance(data, dict):
        return data if isinstance(data, str) else ""
    return next(filter(None, (_find_text(data.get(name)) for name in _TEXT_FIELDS)), "")
