"""Removes secrets from errors, because a server may repeat what was sent to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import httpx2

from dashscope_oss.errors import DashScopeError, shortened

_REPLACEMENT = "[key]"
_MIN_LENGTH_INSIDE_WORDS = 8
_MAX_ID_LENGTH = 200
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "api-key", "x-api-key")


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """Return the secrets among the headers of a request, longest first."""
    values = {value for name, value in headers.items() if name.lower() in _SECRET_HEADERS}
    values |= {value.removeprefix("Bearer ") for value in values}
    return sorted(filter(None, values), key=len, reverse=True)


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Return ``text`` with the secrets replaced."""
    for secret in secrets:
        text = _pattern(secret).sub(_REPLACEMENT, text)
    return text


def redact(error: DashScopeError, secrets: Sequence[str]) -> None:
    """Replace secrets in all texts of an error, where a server may have repeated them."""
    clean = partial(redacted, secrets=secrets)
    for name in ("message", "code", "request_id", "partial_text"):
        if text := getattr(error, name):
            setattr(error, name, clean(text))
    error.message = shortened(error.message)
    error.code = error.code and shortened(error.code, _MAX_ID_LENGTH)
    error.request_id = error.request_id and shortened(error.request_id, _MAX_ID_LENGTH)
    if error.response is not None:
        error.response = _cleaned(error.response, clean)
    for link in _chain(error):
        link.args = tuple(clean(arg) if isinstance(arg, str) else arg for arg in link.args)
    error.args = (error.message,)


def _pattern(secret: str) -> re.Pattern[str]:
    """Match a secret wherever it stands; a short one only as a word of its own.

    A placeholder key like ``any``, which a gateway without keys accepts, is part of many words.
    """
    exact = re.escape(secret)
    return re.compile(
        exact if len(secret) >= _MIN_LENGTH_INSIDE_WORDS else rf"(?a:(?<!\w){exact}(?!\w))"
    )


def plain_headers(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers without those that say how the body was encoded.

    They stay bytes: httpx2 reads any bytes, but encodes only ASCII text.
    """
    coded = (b"content-encoding", b"content-length", b"transfer-encoding")
    return [(n, v) for n, v in response.headers.raw if n.lower() not in coded]


def _cleaned(response: httpx2.Response, clean: Callable[[str], str]) -> httpx2.Response:
    return httpx2.Response(
        response.status_code,
        headers=[
            (name, clean(value.decode("latin-1")).encode("latin-1"))
            for name, value in plain_headers(response)
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
