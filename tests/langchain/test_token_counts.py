"""Token counts, offline, and inputs that are refused because they are too long."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, trim_messages

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss.errors import (
    ConfigurationError,
    ContextLengthError,
    UnsupportedInputError,
)

from .calling import CLASSES, EACH_PATH_ONCE, PROMPT_ONLY, call, offline, weather

CHINESE = "西湖位于浙江省杭州市，以秀丽的湖光山色和众多的名胜古迹闻名中外。"


@CLASSES
def test_chinese_costs_more_than_english_and_more_to_llama_2_than_to_llama_3(cls):
    llama2, llama3 = offline(cls, "llama2-7b-chat-v2"), offline(cls)
    assert llama3.get_num_tokens("a" * len(CHINESE)) < llama3.get_num_tokens(CHINESE)
    assert llama3.get_num_tokens(CHINESE) < llama2.get_num_tokens(CHINESE)
    assert 20 <= llama3.get_num_tokens(CHINESE) <= 35
    assert llama3.get_num_tokens("") == 0


@CLASSES
def test_messages_are_counted_with_their_calls_marks_and_tools(cls):
    llm = offline(cls)
    message = HumanMessage(CHINESE)
    called = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "1"}])
    one = llm.get_num_tokens_from_messages([message])
    assert one == llm.get_num_tokens(CHINESE) + 4
    assert llm.get_num_tokens_from_messages([message, message]) == 2 * one
    assert llm.get_num_tokens_from_messages([called]) > 4
    assert llm.get_num_tokens_from_messages([message], tools=[weather]) > one + 20


@CLASSES
def test_what_cannot_be_sent_is_not_counted(cls):
    with pytest.raises(UnsupportedInputError, match="image"):
        offline(cls).get_num_tokens_from_messages([HumanMessage([{"type": "image", "url": "x"}])])


def test_reasoning_counts_only_if_it_is_sent():
    messages = [AIMessage("x", additional_kwargs={"reasoning_content": "word " * 200})]
    without = offline().get_num_tokens_from_messages(messages)
    assert offline(send_reasoning=True).get_num_tokens_from_messages(messages) > without + 100


def test_tools_are_counted_in_their_own_script():
    """Not as escapes."""
    function = {"name": "f", "description": "查询指定城市的天气", "parameters": {"type": "object"}}
    tool = {"type": "function", "function": function}
    llm = offline(custom_get_token_ids=lambda text: [0] * len(text))
    assert llm.get_num_tokens_from_messages([], [tool]) == len(json.dumps(tool, ensure_ascii=False))


@CLASSES
def test_with_a_tokenizer_of_the_callers_own_counts_are_exact(cls):
    llm = offline(cls, custom_get_token_ids=lambda text: list(text.encode()))
    assert llm.get_token_ids("ab") == [97, 98]
    assert llm.get_num_tokens("ab") == 2
    assert llm.get_num_tokens_from_messages([HumanMessage("ab")]) == 6


@CLASSES
def test_token_ids_are_not_made_up(cls):
    with pytest.raises(ConfigurationError, match="custom_get_token_ids"):
        offline(cls).get_token_ids("ab")


def test_langchain_trims_messages_by_the_models_counts():
    messages = [SystemMessage("Be brief."), *(HumanMessage(CHINESE) for _ in range(5))]
    kept = trim_messages(messages, max_tokens=90, token_counter=offline(), include_system=True)
    assert len(kept) == 3


def test_counting_needs_no_tokenizer(monkeypatch):
    for name in ("transformers", "tiktoken", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert offline().get_num_tokens("Hello, you there.") > 2
    assert offline().get_num_tokens_from_messages([HumanMessage("Hello, you there.")]) > 2


# Too long.


@EACH_PATH_ONCE
async def test_an_input_that_is_surely_too_long_is_refused_before_any_request(either, path):
    llm, engine = either(Answer("ok"), model=PROMPT_ONLY)
    with pytest.raises(ContextOverflowError, match=r"at least .* check_length=False") as caught:
        await call(llm, path, "word " * 5000)
    assert isinstance(caught.value, ContextLengthError)
    assert engine.requests == []
    llm = llm.model_copy(update={"check_length": False})
    with pytest.raises(ContextOverflowError, match=r"status 400.* shortens a conversation\.$"):
        await call(llm, path, "word " * 5000)


@EACH_PATH_ONCE
async def test_an_input_that_is_too_long_by_estimate_is_refused_unless_the_check_is_off(
    either, path
):
    prompt = "Implementation " * 800  # 800 words are at least 800 tokens, by estimate 2,676
    llm, engine = either(Answer("ok"), model=PROMPT_ONLY)
    with pytest.raises(ContextLengthError, match=r"trim_messages.*check_length=False"):
        await call(llm, path, prompt)
    assert engine.requests == []
    llm.check_length = False
    await call(llm, path, prompt)
    assert len(engine.requests) == 1


def test_the_callers_tokenizer_decides_what_is_too_long(either):
    info = replace(find_model("llama3-8b-instruct"), max_input=100)
    llm, engine = either(Answer("ok"), model_info=info, custom_get_token_ids=list)
    with pytest.raises(ContextLengthError, match="is 101 tokens long, the model takes 100"):
        llm.invoke("a" * 101)
    llm.invoke("a" * 100)
    llm.invoke("a" * 101, model="llama3-70b-instruct")  # the tokenizer is not this model's
    assert len(engine.requests) == 2
