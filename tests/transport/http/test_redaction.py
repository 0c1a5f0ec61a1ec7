"""Secrets are taken out of errors, wherever a server repeats them."""

import httpx2
import pytest

from dashscope_oss import InvalidRequestError
from dashscope_oss.transport.http.redaction import plain_headers, redact, secrets_in

KEY = "sk-0123456789"


def redacted(error, *secrets):
    redact(error, list(secrets) or [KEY])
    return error


def test_the_secrets_of_a_call_are_in_some_of_its_headers():
    """The longest first, so that no part of one is left."""
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Cookie": "session",
        "X-API-Key": "",
        "User-Agent": "mine",
    }
    assert secrets_in(headers) == [f"Bearer {KEY}", KEY, "session"]


@pytest.mark.parametrize("name", ["message", "code", "request_id", "partial_text"])
def test_a_key_is_taken_out_of_every_text_of_an_error(name):
    error = InvalidRequestError("m")
    setattr(error, name, f"you sent {KEY}!")
    assert getattr(redacted(error), name) == "you sent [key]!"
    assert KEY not in str(error)


def test_a_key_is_taken_out_of_causes_and_their_causes():
    inner, outer = ValueError(KEY, 5), KeyError(f"a {KEY}")
    outer.__context__ = inner
    error = InvalidRequestError(f"m {KEY}")
    error.__cause__ = outer
    inner.__context__ = error  # a circle, as careless code makes them
    redacted(error)
    assert (inner.args, outer.args) == (("[key]", 5), ("a [key]",))
    assert error.args == ("m [key]",)


def test_a_key_is_taken_out_of_the_response_which_says_no_more_how_it_was_encoded():
    error = InvalidRequestError("m")
    error.response = httpx2.Response(
        400, headers=[(b"x-echo", f"\xff{KEY}".encode("latin-1"))], content=b"\xff " + KEY.encode()
    )
    response = redacted(error).response
    assert response.content == b"\xff [key]"
    assert (b"x-echo", b"\xff[key]") in response.headers.raw
    encoded = httpx2.Response(200, headers={"Content-Length": "3", "X-A": "b"})
    assert plain_headers(encoded) == [(b"X-A", b"b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("your key any is wrong", "your key [key] is wrong"),
        ("many keys", "many keys"),
        ("any", "[key]"),
        ('"any"', '"[key]"'),
    ],
)
def test_a_short_key_is_taken_out_only_as_a_word_of_its_own(text, expected):
    """A placeholder like ``any`` is a part of many words."""
    assert redacted(InvalidRequestError(text), "any").message == expected


def test_what_a_server_sent_is_shortened_after_that():
    error = InvalidRequestError("x" * 3000, code="c" * 300, request_id="r" * 300)
    redacted(error)
    assert len(error.message) < 2100
    assert len(error.code) < 220
    assert len(error.request_id) < 220
