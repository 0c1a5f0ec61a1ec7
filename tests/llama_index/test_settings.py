"""Settings of the object: not of a call, kept by a dump, refused where they make no sense."""

from dataclasses import replace

import pytest
from llama_index.core.base.llms import types
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError

from dashscope_oss import ConfigurationError, find_model
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS

LOCAL = "http://127.0.0.1:9/api/v1"
SECRET = "sk-sentinel-0123"


@pytest.mark.parametrize(
    "given",
    [
        {"model": "qwen-max"},
        {"model_name": "qwen-max"},
        {"api_key": SECRET},
        {"dashscope_api_key": SECRET},
        {"timeout": 3},
        {"base_url": "http://127.0.0.1/api/v1"},
        {"api_base": "http://127.0.0.1/api/v1"},
        {"check_length": False},
        {"max_retries": 1},
        {"context_window": 9},
        {"additional_kwargs": {"seed": 1}},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_setting_of_the_object_is_refused_for_a_call(make, given):
    """Row 38 of LlamaIndex: it would go to the service as a parameter, and mean nothing."""
    (name,) = given
    with pytest.raises(ConfigurationError, match=f"{name} is a setting of the object"):
        make("llama3-8b-instruct").chat([ChatMessage("hi")], **given)
    assert not make.requests


def test_a_key_for_a_call_is_told_to_nobody(make, ask, events, caplog):
    """Row 14 of LlamaIndex: neither in the error nor in an event, of all eight methods."""
    caplog.set_level("DEBUG")
    with pytest.raises(ConfigurationError, match=r"api_key .* llm.model_copy\(update=") as refused:
        ask(make("llama3-8b-instruct"), "hi", api_key=SECRET)
    assert SECRET not in str(refused.value)
    assert not events
    assert SECRET not in caplog.text


def test_the_refusal_names_what_can_be_copied(make):
    """An alias is no name that ``model_copy`` knows."""
    with pytest.raises(ConfigurationError, match=r"^model_name .*update=\{'model': ...\}"):
        make("llama3-8b-instruct").complete("hi", model_name="qwen-max")


class Sum(BaseModel):
    """A sum."""

    a: int


def test_a_key_for_a_structured_answer_is_refused_too(make, events):
    """Row 14 of LlamaIndex."""
    llm = make("llama3-8b-instruct")
    with pytest.raises(ConfigurationError, match="api_key"):
        llm.structured_predict(Sum, PromptTemplate("q"), {"api_key": SECRET})
    assert SECRET not in "".join(map(str, events))


def test_parameters_and_switches_are_for_calls_too(make, ask):
    """Row 37 of LlamaIndex."""
    llm = make("ziya-llama-13b-v1", Answer("a b"), seed=1)
    last = ask(llm, "hi", seed=2, enable_search=False, estimate_usage=True, my_own=3).last
    assert last.additional_kwargs["usage_estimated"] is True
    sent = make.body["parameters"]
    assert (sent["seed"], sent["enable_search"], sent["my_own"]) == (2, False, 3)


@pytest.mark.parametrize("model", ["llama3-8b-instruct", "ziya-llama-13b-v1"])
def test_a_model_is_made_again_of_its_dump(model):
    """Row 15 of LlamaIndex: LlamaIndex writes the class's name into it."""
    info = replace(find_model(model), max_input=1000)
    settings = {"temperature": 0.5, "stop": ["x"], "timeout": (1.0, 2.0, None, None)}
    llm = DashScopeOSS(model=model, base_url=LOCAL, model_info=info, **settings)
    again = DashScopeOSS(**llm.model_dump())
    assert again.model_dump() == llm.model_dump()
    assert again.metadata == llm.metadata
    assert again.complete.__self__ is again


def test_the_name_of_the_model_can_be_asked_by_both_names():
    """Row 46 of LlamaIndex: ``model_name`` is what the older integration calls it."""
    llm = DashScopeOSS(model_name="glm-5", base_url=LOCAL, api_key="k")
    assert llm.model_name == llm.model == "glm-5"
    assert llm.model_copy(update={"model": "glm-4.6"}).model_name == "glm-4.6"


@pytest.mark.parametrize("name", ["max_tokens", "context_window"])
@pytest.mark.parametrize("value", [0, -1])
def test_no_window_and_no_answer_of_nothing(name, value):
    """Row 21 of LlamaIndex: refused when the object is made, and named."""
    with pytest.raises(ValidationError, match=rf"{name}\n.*greater than or equal to 1"):
        DashScopeOSS(model="ziya-llama-13b-v1", base_url=LOCAL, **{name: value})


def test_an_older_core_finds_thoughts_in_the_message(make, monkeypatch, run):
    """Row 36 of LlamaIndex: llama-index-core 0.13.0 has no block for them."""
    monkeypatch.delattr(types, "ThinkingBlock", raising=False)
    llm = make("deepseek-v4-pro", Answer("It is 42.", reasoning="Let me see."))
    asked = [ChatMessage("hi")]
    streams = [response.message for response in llm.stream_chat(asked)]
    for message in (llm.chat(asked).message, streams[-1], run(llm, llm.achat(asked)).message):
        assert message.additional_kwargs["reasoning_content"] == "Let me see."
        assert message.content == "It is 42."


@pytest.mark.skipif(not hasattr(types, "ThinkingBlock"), reason="the core has no block for them")
def test_thoughts_are_told_once(make):
    """Row 36 of LlamaIndex: in their block, where there is one."""
    llm = make("deepseek-v4-pro", Answer("It is 42.", reasoning="Let me see."))
    message = llm.chat([ChatMessage("hi")]).message
    assert message.additional_kwargs == {}
    assert message.blocks[0].content == "Let me see."
