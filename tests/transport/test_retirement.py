"""Models that were retired are announced once, and their refusals say what is left instead."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import httpx2
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    DashScopeError,
    Endpoint,
    ModelNotFoundError,
    Reply,
    RetiredModelWarning,
)
from dashscope_oss.protocol.request import Request
from dashscope_oss.transport import retirement
from tests.faults.server import (
    RawServer,
    text_reply,
)
from tests.transport.calling import (
    GOOD,
    KEY,
    endpoint,
    question,
)


def _vendor(status: int = 200, body: dict | None = None) -> Callable[[Request], Reply]:
    body = body or text_reply("hello")
    http = httpx2.Client(
        transport=httpx2.MockTransport(lambda request: httpx2.Response(status, json=body))
    )
    return Client(Endpoint.resolve(api_key=KEY), ClientOptions(http_client=http)).send


@pytest.fixture
def _nothing_announced(monkeypatch):
    monkeypatch.setattr(retirement, "_warned", set())


@pytest.mark.usefixtures("_nothing_announced")
def test_a_retired_model_at_the_vendors_host_warns_once_and_is_sent_all_the_same():
    send = _vendor()
    expected = r"ziya-llama-13b-v1.*2025-07-02.*qwen-max.*dashscope-oss serve"
    with pytest.warns(RetiredModelWarning, match=expected):
        assert send(question("ziya-llama-13b-v1")).text == "hello"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert send(question("ziya-llama-13b-v1")).text == "hello"
    with pytest.warns(RetiredModelWarning, match="billa-7b-sft-v1"):
        send(question("billa-7b-sft-v1"))


@pytest.mark.usefixtures("_nothing_announced")
def test_a_retired_model_at_another_host_does_not_warn():
    with warnings.catch_warnings(), RawServer(GOOD) as server, Client(endpoint(server)) as caller:
        warnings.simplefilter("error")
        assert caller.send(question("ziya-llama-13b-v1")).text == "hello"


@pytest.mark.usefixtures("_nothing_announced")
def test_a_hosted_model_at_the_vendors_host_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _vendor()(question("deepseek-v4-pro")).text == "hello"


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
@pytest.mark.parametrize(
    ("status", "code"), [(404, "ModelNotFound"), (403, "Endpoint.AccessDenied")]
)
def test_a_refusal_of_a_retired_model_says_when_and_what_instead(status, code):
    send = _vendor(status, {"code": code, "message": "m"})
    with pytest.raises(DashScopeError, match=r"2025-07-02.*qwen-max.*dashscope-oss serve"):
        send(question("belle-llama-13b-2m-v1"))


def test_a_refusal_of_an_unknown_model_names_the_list():
    send = _vendor(404, {"code": "ModelNotFound", "message": "m"})
    with pytest.raises(ModelNotFoundError, match="dashscope-oss models") as caught:
        send(question("deepseek-v4-pro"))
    assert "retired" not in str(caught.value)
