"""Settings of the object: by all their names, checked when they are set, sent only if they were."""

from dataclasses import replace

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import ConfigDict, ValidationError

from dashscope_oss import (
    ConfigurationError,
    ContextLengthError,
    DashScopeWarning,
    UnsupportedInputError,
    find_model,
    register_model,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import ALL_METHODS, CHAT, KEY, LOCAL, PROMPT_ONLY, WITH_TOOLS


def test_it_is_a_function_calling_llm():
    """Which LlamaIndex's agents ask for, whatever the model can do."""
    assert isinstance(DashScopeOSS(model=CHAT, base_url=LOCAL), FunctionCallingLLM)


def test_settings_have_aliases(make):
    """The names that other integrations give them."""
    made = make(CHAT)
    llm = DashScopeOSS(model_name=CHAT, api_base=made.base_url, dashscope_api_key=KEY)
    assert (llm.model, llm.base_url) == (CHAT, made.base_url)
    llm.complete("hi")
    assert make.requests[0].headers["authorization"] == f"Bearer {KEY}"
    llm.close()


def test_the_model_may_be_the_first_argument():
    """As in LlamaIndex's classes for OpenAI."""
    assert DashScopeOSS(CHAT, base_url=LOCAL).model == CHAT


def test_a_setting_under_two_names_is_refused():
    for arguments in (
        lambda: DashScopeOSS(CHAT, model_name="x"),
        lambda: DashScopeOSS(model=CHAT, model_name="x"),
    ):
        with pytest.raises(ConfigurationError, match="model is given twice; give it once"):
            arguments()
    llm = DashScopeOSS(CHAT, base_url=LOCAL)
    with pytest.raises(ConfigurationError, match="base_url is given twice"):
        llm.model_copy(update={"api_base": LOCAL, "base_url": LOCAL})


@pytest.mark.parametrize(
    ("name", "advice"),
    [("async_http_client", "pass http_async_client"), ("reuse_client", "leave it out")],
)
def test_a_setting_of_llamaindexs_openai_is_refused_with_advice(name, advice):
    with pytest.raises(ConfigurationError, match=f"has no setting {name}: .*{advice}"):
        DashScopeOSS(CHAT, base_url=LOCAL, **{name: None})


def test_what_extra_body_holds_is_sent(make, ask):
    """Which is how programs for OpenAI's client pass parameters of other services."""
    llm = make(WITH_TOOLS, additional_kwargs={"extra_body": {"enable_thinking": False}, "a": 1})
    ask(llm, "hi", extra_body={"b": 2})
    sent = make.body["parameters"]
    assert {"enable_thinking": False, "a": 1, "b": 2}.items() <= sent.items()
    assert "extra_body" not in sent


@pytest.mark.parametrize("kwargs", [{"api_key": KEY}, {"extra_body": {"api_key": KEY}}])
def test_a_setting_among_the_parameters_is_refused(make, kwargs):
    with pytest.raises(ConfigurationError, match="api_key is no parameter") as refused:
        DashScopeOSS(CHAT, base_url=LOCAL, additional_kwargs=kwargs)
    assert KEY not in str(refused.value)
    with pytest.raises(ConfigurationError, match="api_key is no parameter"):
        make(CHAT).model_copy(update={"additional_kwargs": kwargs})
    with pytest.raises(ConfigurationError, match="api_key is a setting of the object"):
        make(CHAT).complete("hi", **kwargs)
    assert not make.requests


def test_a_setting_that_is_refused_later_is_left_as_it_was(make):
    llm = make(CHAT, additional_kwargs={"a": 1})
    with pytest.raises(ConfigurationError, match="api_key is no parameter"):
        llm.additional_kwargs = {"api_key": KEY}
    llm.complete("hi")
    assert make.body["parameters"]["a"] == 1
    assert "api_key" not in make.body["parameters"]


def test_an_unknown_setting_is_refused():
    """A slip of the pen is not swallowed."""
    with pytest.raises(
        ConfigurationError, match=r"temprature\. Did you mean temperature\?.*_kwargs"
    ):
        DashScopeOSS(model=CHAT, base_url=LOCAL, temprature=0.9)


def test_a_missing_model_is_told_with_an_example():
    with pytest.raises(ConfigurationError, match=r"no model is named.* model='deepseek-v4-flash'"):
        DashScopeOSS(base_url=LOCAL)


def test_a_subclass_may_have_a_model_of_its_own_and_take_anything():
    class Mine(DashScopeOSS):
        model_config = ConfigDict(extra="allow")
        model: str = CHAT

    assert Mine(base_url=LOCAL, anything=1).model == CHAT


def test_the_name_of_the_model_can_be_asked_by_both_names():
    """``model_name`` is what the older integration calls it."""
    llm = DashScopeOSS(model_name="glm-5", base_url=LOCAL, api_key="k")
    assert llm.model_name == llm.model == "glm-5"
    assert llm.model_copy(update={"model": "glm-4.6"}).model_name == "glm-4.6"


@pytest.mark.parametrize("seconds", [0, float("inf")])
def test_a_time_limit_is_a_time(seconds):
    with pytest.raises(ValidationError, match="total_timeout"):
        DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, total_timeout=seconds)


@pytest.mark.parametrize("name", ["max_tokens", "context_window"])
@pytest.mark.parametrize("value", [0, -1])
def test_no_window_and_no_answer_of_nothing(name, value):
    """Refused when the object is made, and named."""
    with pytest.raises(ValidationError, match=rf"{name}\n.*greater than or equal to 1"):
        DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, **{name: value})


def test_only_what_was_set_is_sent(make):
    make(CHAT).chat([ChatMessage("hi")])
    assert make.body == {
        "model": CHAT,
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "parameters": {"result_format": "message"},
    }


def test_a_setting_of_the_call_beats_one_of_the_object(make, ask):
    llm = make(CHAT, temperature=0.1, seed=7, additional_kwargs={"odd": 1})
    ask(llm, "hi", temperature=0.9, odd=2)
    sent = make.body["parameters"]
    assert (sent["temperature"], sent["seed"], sent["odd"]) == (0.9, 7, 2)


@pytest.mark.parametrize("stop", ["x", ["x", "y"], [7, 8], [[7], [8, 9]]])
def test_an_answer_may_stop_at_texts_or_tokens(make, stop):
    make(WITH_TOOLS, stop=stop).complete("hi")
    assert make.body["parameters"]["stop"] == stop


def test_strict_settings_refuse_what_no_page_documents(make):
    """By choice; else a parameter is sent."""
    llm = make("llama2-7b-chat-v2", strict_params=True)
    llm.complete("hi")
    with pytest.raises(UnsupportedInputError, match="documents no temperature"):
        llm.complete("hi", temperature=0.5)


def test_strict_settings_ask_for_new_text_only_where_the_page_documents_that(make, ask):
    ask(make("llama2-7b-chat-v2", strict_params=True), "hi")
    assert set(make.body["parameters"]) <= {"result_format"}


@ALL_METHODS
def test_new_text_is_spoken_of_in_streams_only(make, ask):
    """The service refuses it where nothing streams."""
    ask(make(CHAT, additional_kwargs={"incremental_output": True}), "hi")
    assert ("incremental_output" in make.body["parameters"]) is ("stream" in ask.name)


def test_a_limit_on_which_sources_disagree_warns_and_the_call_is_made(make):
    register_model(replace(find_model(CHAT), disputed=("max_output", "max_input")))
    with pytest.warns(DashScopeWarning, match="sources disagree"):
        make(CHAT, max_tokens=2000).complete("hi")
    assert make.body["parameters"]["max_tokens"] == 2000
    with pytest.warns(DashScopeWarning, match="sources disagree"):
        make(CHAT, Answer("ok")).complete("word " * 7000)
    with pytest.raises(ContextLengthError):
        make(CHAT, context_window=100).complete("word " * 700)


OLDER_ARGUMENTS = {
    "model_name": WITH_TOOLS,
    "max_tokens": 256,
    "incremental_output": True,
    "enable_search": False,
    "stop": [[7]],
    "temperature": 0.1,
    "top_k": 5,
    "top_p": 0.5,
    "seed": 1234,
    "repetition_penalty": 1.1,
    "callback_manager": None,
    "is_function_calling_model": True,
    "context_window": 8192,
}


def test_arguments_of_the_older_integration_mean_the_same(gateway):
    """Those of llama-index-llms-dashscope 0.7.0, by name."""
    engine = gateway()
    arguments = {name: v for name, v in OLDER_ARGUMENTS.items() if name not in ("top_k", "stop")}
    llm = DashScopeOSS(**arguments, api_base=engine.base_url, api_key="sk-0", stop=["x"])
    assert (llm.metadata.context_window, llm.metadata.num_output) == (8192, 256)
    assert llm.metadata.is_function_calling_model
    assert llm.complete("hi").text == "You said: hi"
    assert llm.chat([ChatMessage("hi")]).message.content == "You said: hi"
    names = ("max_tokens", "enable_search", "temperature", "top_p", "seed", "repetition_penalty")
    sent = engine.requests[0].body["parameters"]
    assert {name: sent[name] for name in names} == {name: OLDER_ARGUMENTS[name] for name in names}
    assert DashScopeOSS(model="glm-5", base_url=LOCAL, top_k=5, stop=[[7]]).stop == [[7]]
    llm.close()


def test_what_the_older_integration_took_and_this_does_not_need_is_refused():
    """In words that say what to do."""
    with pytest.raises(ConfigurationError, match="leave it out"):
        DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL, incremental_output=False)
