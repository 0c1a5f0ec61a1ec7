"""From an upstream's error to the vendor's status, code and text. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from pydantic_core import to_json

from dashscope_oss.gateway.interface.api_error import APIError, ModelUnavailable
from dashscope_oss.protocol.error_mapping import INPUT_TOO_LONG

UNREADABLE = (500, "InternalError", "The engine's answer cannot be read.")
_TOO_MANY_REQUESTS = (
    429,
    "Throttling.RateQuota",
    "Requests rate limit exceeded, try again later.",
)
_FAILED = (500, "InternalError", "The engine behind this gateway failed.")
_REJECTED = (400, 413, 422)
_LIMIT = re.compile(
    r"(?:maximum context length(?: is| of)?|model's context length|available context size)"
    r"\D{0,20}(\d+)",
    re.IGNORECASE,
)
# Where servers put the text of an error, in the order in which the names are looked for.
_TEXT_FIELDS = ("error", "message", "detail", "msg", "errors")
_MAX_LOGGED_CHARACTERS = 500


def error_for_status(status: int, body: bytes, context: int | None = None) -> APIError:
    """Return the vendor's error for an upstream's answer with an error status.

    Args:
        status: the upstream's HTTP status.
        body: the upstream's body; its text becomes the error's ``cause``.
        context: tokens that the weights take, if the gateway knows.
    """
    text = error_text(body)
    error = _vendor_error(status, text, context)
    error.cause = f"HTTP {status}: {text}"
    return error


def error_in_answer(data: Mapping[str, object], context: int | None = None) -> APIError:
    """Return the vendor's error for one that arrived inside an answer with a good status.

    Args:
        data: the event that holds the error; its own code counts if it is an HTTP status.
        context: tokens that the weights take, if the gateway knows.
    """
    error = data.get("error")
    code = (error if isinstance(error, Mapping) else data).get("code")
    if isinstance(code, int) and code in (*_REJECTED, 429, 503):
        return error_for_status(code, to_json(data), context)
    message = "The engine failed while it answered."
    return APIError(500, "InternalError.Algo", message, cause=error_text(to_json(data)))


def error_text(body: bytes) -> str:
    """Return the text of an error's body in one line; HTML pages count as no text.

    Known forms: ``{"error": {"message"}}`` (vLLM, llama.cpp, Ollama, OpenAI), ``{"error": "text"}``
    (Ollama's own API), ``{"message"}`` (SGLang, older vLLM), ``{"detail"}`` (FastAPI); each of
    them also inside a list.
    """
    from json import loads  # noqa: PLC0415 - only an error needs it

    try:
        text = _find_text(loads(body))
    except (ValueError, RecursionError):
        plain = body.decode("utf-8", "replace").strip()
        text = "" if plain.startswith("<") else plain
    return one_line(text) or "the answer holds no text"


def describe(error: Exception) -> str:
    """Return an exception's type and text in one line."""
    return one_line(f"{type(error).__name__}: {error}").removesuffix(":")


def one_line(text: str) -> str:
    """Return a server's text, which may quote a caller, in a form that is safe in a log.

    No line break, no control character and no lone surrogate is left.
    """
    printable = (sign if sign.isprintable() else " " for sign in text[:_MAX_LOGGED_CHARACTERS])
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


def _vendor_error(status: int, text: str, context: int | None) -> APIError:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return APIError(*_TOO_MANY_REQUESTS)
    if status in (502, 503, 504):
        return ModelUnavailable()
    if status == HTTPStatus.NOT_FOUND:
        return APIError(404, "ModelNotFound", "Model can not be found.")
    if status in _REJECTED:
        return APIError(400, "InvalidParameter", _rejection(text, context))
    return APIError(*_FAILED)


def _rejection(text: str, context: int | None) -> str:
    """Return the vendor's words for a request that the upstream rejected."""
    if not INPUT_TOO_LONG.search(text):
        return f"<400> InternalError.Algo.InvalidParameter: {text}"
    if context is not None:
        return f"Range of input length should be [1, {context}], the stand-in's limit"
    of = "max_tokens" if "max_tokens" in text and "too large" in text else "input length"
    limit = _LIMIT.search(text)
    upper = f"{limit[1]}]" if limit else f"N]. {text}"
    return f"Range of {of} should be [1, {upper}"


def _find_text(data: object) -> str:
    if isinstance(data, list):
        return "; ".join(filter(None, map(_find_text, data)))
    if not isinstance(data, Mapping):
        return data if isinstance(data, str) else ""
    return next(filter(None, (_find_text(data.get(name)) for name in _TEXT_FIELDS)), "")
