"""Fixtures that make model objects in front of a scripted gateway and close them afterwards."""

from __future__ import annotations

import pytest

from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM


@pytest.fixture
async def made(gateway):
    """``made(cls, *script, **settings)`` returns a model object and the engine behind it."""
    models = []

    def make(cls, *script, model="llama3-8b-instruct", **settings):
        engine = gateway(*script)
        llm = cls(model=model, **{"base_url": engine.base_url, **settings})
        models.append(llm)
        return llm, engine

    yield make
    for llm in models:
        llm.close()
        await llm.aclose()


@pytest.fixture
def chat(made):
    """``chat(*script, **settings)``: a chat model and its engine."""
    return lambda *script, **settings: made(ChatDashScopeOSS, *script, **settings)


@pytest.fixture
def text(made):
    """``text(*script, **settings)``: a text model and its engine."""
    return lambda *script, **settings: made(DashScopeOSSLLM, *script, **settings)


@pytest.fixture(params=["chat", "text"])
def either(request):
    """The chat model and the text model, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def quick_retries(monkeypatch):
    """Retries that hardly wait."""
    monkeypatch.setattr("dashscope_oss.transport.retry.FIRST_WAIT", 0.001)
