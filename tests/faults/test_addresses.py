"""Which address a call goes to, and what is said of one that is not encrypted."""

from __future__ import annotations

import warnings

import pytest

from dashscope_oss import DashScopeWarning
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

from .callers import KEY, MODEL, Caller
from .matrix import only_httpx2
from .server import RawServer

CLASSES = [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS]


@pytest.mark.parametrize("cls", CLASSES)
def test_http_to_another_machine_warns_that_it_is_not_encrypted(cls):
    with pytest.warns(DashScopeWarning, match=r"model\.example unencrypted"):
        cls(model=MODEL, base_url="http://model.example/api/v1", api_key=KEY)


@pytest.mark.parametrize("cls", CLASSES)
def test_http_to_this_machine_gives_no_warning(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("127.0.0.1:8000", "localhost", "[::1]:80", "127.1.2.3"):
            cls(model=MODEL, base_url=f"http://{host}/api/v1", api_key=KEY)


@only_httpx2
def test_a_copy_with_another_address_and_key_calls_there(caller: Caller):
    with RawServer(caller.hello) as first, RawServer(caller.hello) as second:
        model = caller.model(first)
        caller.ask_each(model, "question")
        copied = model.model_copy(update={"base_url": second.base_url, "api_key": "sk-2"})
        caller.ask_each(copied, "question")
        assert [len(first.requests), len(second.requests)] == [1, 1]
        assert second.requests[0].headers["authorization"] == "Bearer sk-2"


def test_an_address_that_is_set_later_is_the_one_that_is_called(caller: Caller):
    with RawServer(caller.hello) as first, RawServer(caller.hello) as second:
        model = caller.model(first)
        model.base_url = second.base_url
        caller.ask_each(model, "question")
        assert [len(first.requests), len(second.requests)] == [0, 1]
