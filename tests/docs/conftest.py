"""What examples leave behind in LlamaIndex, taken back."""

import asyncio

import llama_index.core
import pytest


@pytest.fixture
def own_tokenizer(monkeypatch):
    """Examples set LlamaIndex's tokenizer for the whole process."""
    monkeypatch.setattr(llama_index.core.Settings, "_tokenizer", None)
    monkeypatch.setattr(llama_index.core, "global_tokenizer", None)


@pytest.fixture
def closed_loop():
    """LlamaIndex's blocking methods make an event loop if there is none, and never close it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
