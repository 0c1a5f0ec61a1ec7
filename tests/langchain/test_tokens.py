"""Token counts, offline."""

from __future__ import annotations

import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, trim_messages
from langchain_core.tools import tool

from dashscope_oss import ConfigurationError, UnsupportedInputError
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

NOWHERE = "http://127.0.0.1:1/api/v1"
CLASSES = pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM])
CHINESE = "西湖位于浙江省杭州市，以秀丽的湖光山色和众多的名胜古迹闻名中外。"


def local(cls, model="llama3-8b-instruct", **settings):
    return cls(model=model, base_url=NOWHERE, **settings)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return "rain"


@CLASSES
def test_counts_depend_on_script_and_family(cls):
    """Row 31: Chinese costs more than English, and more with Llama 2's tokenizer than Llama 3's."""
    llama2, llama3 = local(cls, "llama2-7b-chat-v2"), local(cls)
    assert llama3.get_num_tokens("a" * len(CHINESE)) < llama3.get_num_tokens(CHINESE)
    assert llama3.get_num_tokens(CHINESE) < llama2.get_num_tokens(CHINESE)
    assert 20 <= llama3.get_num_tokens(CHINESE) <= 35
    assert llama3.get_num_tokens("") == 0


@CLASSES
def test_messages_and_tools_are_counted(cls):
    """Row 31: text, calls, marks of each message, and the tools as they are sent."""
    llm = local(cls)
    turn = HumanMessage(CHINESE)
    call = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "1"}])
    one = llm.get_num_tokens_from_messages([turn])
    assert one == llm.get_num_tokens(CHINESE) + 4
    assert llm.get_num_tokens_from_messages([turn, turn]) == 2 * one
    assert llm.get_num_tokens_from_messages([call]) > 4
    assert llm.get_num_tokens_from_messages([turn], tools=[weather]) > one + 20
    with pytest.raises(UnsupportedInputError, match="image"):
        llm.get_num_tokens_from_messages([HumanMessage([{"type": "image", "url": "x"}])])


@CLASSES
def test_a_tokenizer_of_ones_own_wins(cls):
    """Row 31: then counts are exact."""
    llm = local(cls, custom_get_token_ids=lambda text: list(text.encode()))
    assert llm.get_token_ids("ab") == [97, 98]
    assert llm.get_num_tokens("ab") == 2
    assert llm.get_num_tokens_from_messages([HumanMessage("ab")]) == 6


@CLASSES
def test_ids_are_not_made_up(cls):
    """Row 31: a clear error instead of another model's tokenizer."""
    with pytest.raises(ConfigurationError, match="custom_get_token_ids"):
        local(cls).get_token_ids("ab")


def test_messages_are_trimmed_by_it():
    """Row 31: LangChain's trim_messages takes the model as its counter."""
    llm = local(ChatDashScopeOSS)
    turns = [SystemMessage("Be brief."), *(HumanMessage(CHINESE) for _ in range(5))]
    kept = trim_messages(turns, max_tokens=90, token_counter=llm, include_system=True)
    assert len(kept) == 3


def test_no_tokenizer_is_loaded():
    """Row 31: nothing is imported, nothing fetched."""
    code = f"""
import sys
from langchain_dashscope_oss import ChatDashScopeOSS
llm = ChatDashScopeOSS(model="llama3-8b-instruct", base_url="{NOWHERE}")
assert llm.get_num_tokens("Hello, you there.") > 2
assert {{"transformers", "tiktoken", "tokenizers"}}.isdisjoint(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
