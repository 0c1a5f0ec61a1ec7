"""Importing the package: light, without effect on anything else, clear where LangChain lacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.versions


def run(code):
    """What a fresh interpreter prints and complains of."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


CHANGES_NOTHING = """
from langchain_core.language_models import BaseChatModel, BaseLLM
import gc, json, logging, os, signal, sys, threading, warnings
import dashscope_oss
from langchain_core import globals as switches
from langchain_core.load import mapping
from langchain_core.messages import AIMessage, AIMessageChunk, block_translators

def world():
    blocks = [
        str(kind("Hi", response_metadata={"model_provider": provider}).content_blocks)
        for kind in (AIMessage, AIMessageChunk)
        for provider in ("dashscope", "openai", "anthropic", "unknown", None)
    ]
    heavy = {"requests", "aiohttp", "openai", "tiktoken", "dashscope", "numpy", "llama_index"}
    return {
        "heavy libraries": heavy & sys.modules.keys(),
        "translators": set(block_translators.PROVIDER_TRANSLATORS) - {"dashscope_oss"},
        "blocks": blocks,
        "switches": [switches.get_debug(), switches.get_verbose(), switches.get_llm_cache()],
        "classes": dict(mapping.SERIALIZABLE_MAPPING),
        "warnings": list(warnings.filters),
        "handlers": [logging.root.level, *logging.root.handlers],
        "environment": dict(os.environ),
        "hooks": [sys.excepthook, threading.excepthook, signal.getsignal(signal.SIGINT)],
        "threads": threading.active_count(),
    }

before = world()
translators = set(block_translators.PROVIDER_TRANSLATORS)
import langchain_dashscope_oss
after = world()
print([name for name in before if before[name] != after[name]])
print(set(block_translators.PROVIDER_TRANSLATORS) - translators)
"""


def test_importing_changes_nothing_but_adds_a_hook_of_langchains_under_its_own_name():
    """Messages of another integration of DashScope are read as before; no heavy library comes."""
    done = run(CHANGES_NOTHING)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "{'dashscope_oss'}"]


def test_a_fault_of_another_package_is_not_taken_for_a_missing_langchain():
    done = run("import sys; sys.modules['httpx2'] = None; import langchain_dashscope_oss")
    assert "ModuleNotFoundError: import of httpx2 halted" in done.stderr
    assert "pip install" not in done.stderr
