"""Arguments of a single call: parameters are, settings of the object are not."""

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from dashscope_oss import (
    ConfigurationError,
    ToolCall,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import ALL_METHODS, CHAT, KEY, PROMPT_ONLY, WITH_TOOLS

OF_THE_OBJECT = {
    "model": "qwen-max",
    "model_name": "qwen-max",
    "api_key": KEY,
    "dashscope_api_key": KEY,
    "timeout": 3,
    "base_url": "http://127.0.0.1/api/v1",
    "api_base": "http://127.0.0.1/api/v1",
    "check_length": False,
    "send_reasoning": True,
    "tokenizer": str.split,
    "max_retries": 1,
    "context_window": 9,
    "additional_kwargs": {"seed": 1},
}


def test_a_setting_of_the_object_is_refused_for_a_call(make):
    """It would go to the service as a parameter, and mean nothing."""
    llm = make(CHAT)
    for name, value in OF_THE_OBJECT.items():
        with pytest.raises(ConfigurationError, match=f"{name} is a setting of the object"):
            llm.chat([ChatMessage("hi")], **{name: value})
    assert not make.requests


def test_the_refusal_names_what_can_be_copied(make):
    """An alias is no name that ``model_copy`` knows."""
    with pytest.raises(ConfigurationError, match=r"^model_name .*update=\{'model': ...\}"):
        make(CHAT).complete("hi", model_name="qwen-max")


def test_images_beside_a_prompt_are_refused_with_where_they_belong(make, ask):
    """LlamaIndex's older classes for images took them so; a parameter would mean nothing."""
    llm = make("qwen3.6-27b")
    with pytest.raises(ConfigurationError, match=r"image_documents .*\[ImageBlock\(path=\.\.\.\)"):
        ask(llm, "hi", image_documents=[])
    assert not make.requests


@ALL_METHODS
def test_parameters_and_switches_are_for_calls_too(make, ask):
    llm = make(PROMPT_ONLY, Answer("a b"), seed=1)
    last = ask(llm, "hi", seed=2, enable_search=False, estimate_usage=True, my_own=3).last
    assert last.additional_kwargs["usage_estimated"] is True
    sent = make.body["parameters"]
    assert (sent["seed"], sent["enable_search"], sent["my_own"]) == (2, False, 3)


ADD = FunctionTool.from_defaults(fn=lambda a, b=5: a + b, name="add", description="Add.")


def test_a_subclass_may_have_fields_called_as_arguments_are(make):
    class WithHistory(DashScopeOSS):
        messages: tuple[str, ...] = ()

    call = ToolCall(id="1", name="add", arguments='{"a": 1}', index=0)
    plain = make(WITH_TOOLS, Answer(tool_calls=(call,)))
    llm = WithHistory(model=plain.model, base_url=plain.base_url)
    assert str(llm.predict_and_call([ADD], "1+5?")) == "6"
