"""LangChain's caches: whatever decides an answer is part of the question, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.caches import BaseCache, InMemoryCache

from dashscope_oss import find_model
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss import DashScopeOSSLLM

from .calling import CLASSES, KEY, THINKER, answering, text_of, weather

pytestmark = pytest.mark.versions


class CacheKeys(BaseCache):
    """Keeps the keys that it is asked for, and no answers."""

    def __init__(self):
        self.keys = []

    def lookup(self, prompt, llm_string):
        self.keys.append(llm_string)

    def update(self, prompt, llm_string, return_val):
        pass

    def clear(self, **kwargs):
        pass


def cache_key(cls, arguments=None, **settings):
    """The key under which LangChain looks for an answer."""
    cache = CacheKeys()
    model = answering().model(cls, **{"model": THINKER, "cache": cache, **settings})
    model.invoke("Hi", **(arguments or {}))
    return cache.keys[0]


CHANGES = [
    {"model": "glm-5"},
    {"base_url": "http://127.0.0.1:2/api/v1"},
    {"workspace": "w"},
    {"temperature": 0.5},
    {"top_p": 0.5},
    {"seed": 5},
    {"max_tokens": 5},
    {"stop": ["x"]},
    {"stop": [5]},
    {"arguments": {"stop": ["x"]}},
    {"repetition_penalty": 1.5},
    {"presence_penalty": 0.5},
    {"enable_thinking": False},
    {"thinking_budget": 5},
    {"enable_search": True},
    {"search_options": {"forced_search": True}},
    {"reasoning_effort": "high"},
    {"max_completion_tokens": 5},
    {"vl_high_resolution_images": True},
    {"media_options": {"max_pixels": 9}},
    {"model_kwargs": {"a": 1}},
    {"split_think": True},
    {"model_info": replace(find_model(THINKER), max_output=8)},
    {"model_info": replace(find_model(THINKER), max_output=9)},
]


@CLASSES
def test_every_setting_that_decides_an_answer_changes_the_key(cls):
    keys = [cache_key(cls), *(cache_key(cls, **change) for change in CHANGES)]
    assert len(set(keys)) == 1 + len(CHANGES)


@CLASSES
def test_key_headers_limits_of_time_and_number_of_tries_do_not(cls):
    others = {"api_key": KEY, "timeout": 3, "max_retries": 0, "default_headers": {"a": KEY}}
    for name, value in others.items():
        assert cache_key(cls, **{name: value}) == cache_key(cls)
        assert KEY not in cache_key(cls, **{name: value})


@CLASSES
def test_the_address_of_the_environment_is_part_of_the_key(cls, monkeypatch):
    keys = set()
    for port in "12":
        monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", f"http://127.0.0.1:{port}/api/v1")
        keys.add(cache_key(cls, base_url=None))
    assert len(keys) == 2


def test_whether_a_prompt_is_formatted_is_part_of_the_key():
    keys = {cache_key(DashScopeOSSLLM, formatted=switch) for switch in (None, True, False)}
    assert len(keys) == 3


def test_tools_are_part_of_the_key():
    cache = CacheKeys()
    llm = answering().model(model=THINKER, cache=cache)
    for model in (llm, llm.bind_tools([weather]), llm.bind_tools([weather], strict=True)):
        model.invoke("Hi")
    assert len(set(cache.keys)) == 3


async def test_a_cached_answer_is_not_asked_for_again(either):
    llm, engine = either(Answer("one"), Answer("two"), cache=InMemoryCache())
    assert text_of(llm.invoke("Hi")) == text_of(await llm.ainvoke("Hi")) == "one"
    assert len(engine.requests) == 1
    llm.temperature = 0.5
    assert text_of(llm.invoke("Hi")) == "two"


@pytest.mark.parametrize("arguments", [{"temperature": 0.5}, {"model": "llama3-70b-instruct"}])
async def test_an_argument_of_a_call_makes_another_question(either, arguments):
    """BaseLLM's own cache forgets it."""
    llm, engine = either(Answer("one"), Answer("two"), cache=InMemoryCache())
    first, other = llm.invoke("Hi"), llm.invoke("Hi", **arguments)
    again = await llm.ainvoke("Hi", **arguments)
    assert [text_of(answer) for answer in (first, other, again)] == ["one", "two", "two"]
    assert len(engine.requests) == 2
