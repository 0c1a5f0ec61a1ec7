"""Options of the clients are settings of every model class, and count from when they are set."""

from dataclasses import fields
from inspect import signature

import httpx2
import pytest

from dashscope_oss import ClientOptions, Endpoint, UsageTable
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

CLASSES = pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS])
OF_ADAPTERS = {"framework", "on_answer", "on_retry"}
OPTIONS = {field.name for field in fields(ClientOptions)} - OF_ADAPTERS


@CLASSES
def test_nothing_that_clients_are_made_of_is_missing_among_the_settings(cls):
    settings = OPTIONS | signature(Endpoint.resolve).parameters.keys()
    assert settings - cls.model_fields.keys() == set()


@CLASSES
async def test_a_changed_option_is_one_of_both_clients(cls):
    """A new option needs an entry here."""
    with httpx2.Client() as http_client:
        async with httpx2.AsyncClient() as http_async_client:
            changed = {
                "timeout": 7.0,
                "total_timeout": 8.0,
                "max_retries": 9,
                "max_connections": 10,
                "default_headers": {"X-Tag": "a"},
                "http_client": http_client,
                "http_async_client": http_async_client,
                "usage_table": UsageTable(),
            }
            assert changed.keys() == OPTIONS
            llm = cls(model="qwen3-8b", base_url="http://127.0.0.1:9/api/v1")
            for name, value in changed.items():
                setattr(llm, name, value)
                for client in (llm._client, llm._async_client):
                    assert getattr(client.options, name) == value, name
