"""Who may call the gateway: keys, and what a wrong one gets."""

import httpx
import pytest

from dashscope_oss.gateway import APIError, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.gateway.security.api_keys import generate_key, hash_key
from dashscope_oss.gateway.security.authentication import Authenticator
from dashscope_oss.gateway.security.config import AccessConfig

PATH = "/services/aigc/text-generation/generation"
BODY = {
    "model": "llama3-8b-instruct",
    "input": {"messages": [{"role": "user", "content": "hi"}]},
}


def authenticator(**hashes):
    keys = {name: {"hash": hash} for name, hash in hashes.items()}
    return Authenticator(AccessConfig.model_validate({"keys": keys}))


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def test_a_key_is_known_by_its_hash_and_has_a_name():
    """The configuration holds no key; the caller is known by the key's name."""
    key = generate_key()
    keys = authenticator(anna=hash_key(key))

    assert keys.authenticate(bearer(key)) == "anna"
    assert (keys.is_open, keys.key_names) == (False, ("anna",))


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer sk-wrong"}])
def test_a_wrong_key_or_none_gets_the_services_401(headers):
    """Where the gateway has keys."""
    with pytest.raises(APIError) as caught:
        authenticator(anna=hash_key("sk-a")).authenticate(headers)

    error = caught.value
    expected = (401, "InvalidApiKey", "Invalid API-key provided.")
    assert (error.status, error.code, error.message) == expected


def test_without_keys_anybody_may_call():
    """A key that is shown all the same does no harm."""
    assert authenticator().authenticate({}) == ""
    assert authenticator().authenticate(bearer("sk-any")) == ""


def test_no_two_keys_are_alike():
    """256 bits each, in letters that every header takes."""
    keys = {generate_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(len(key) >= 43 and key.isascii() for key in keys)


@pytest.mark.parametrize("authorization", ["Bearer sk-a", "bearer sk-a", "BEARER  sk-a", "sk-a"])
def test_the_word_before_the_key_may_be_written_in_any_way(authorization):
    """HTTP does not tell it apart by case, and the key alone is understood too."""
    keys = authenticator(a=hash_key("sk-a"))

    assert keys.authenticate({"authorization": authorization}) == "a"


def test_what_needs_a_key_and_what_does_not():
    """Health and the empty page are for everybody; models, numbers and calls are not."""
    config = AccessConfig.model_validate({"keys": {"anna": {"hash": hash_key("sk-a")}}})
    with serve_in_thread(Gateway(ScriptedEngine(), api_keys=("sk-plain",), access=config)) as url:
        root = url.removesuffix("/api/v1")
        for open_path in ("/", "/healthz", "/health", "/api/v1"):
            assert httpx.get(root + open_path).status_code == 200
        for closed in ("/status", "/metrics", "/api/v1/models", "/nowhere"):
            assert httpx.get(root + closed).status_code == 401
        for key in ("sk-a", "sk-plain"):
            assert httpx.get(root + "/status", headers=bearer(key)).status_code == 200
            assert httpx.post(url + PATH, json=BODY, headers=bearer(key)).status_code == 200
        assert httpx.post(url + PATH, json=BODY, headers=bearer("sk-b")).status_code == 401
