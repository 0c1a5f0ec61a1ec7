"""Settings of an object and arguments of a call: which there are, what is sent, what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import httpx2
import pytest
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from dashscope_oss import DashScopeWarning, UnknownModelWarning, find_model, register_model
from dashscope_oss.gateway import Answer, Fault
from langchain_dashscope_oss import ChatDashScopeOSS
from langchain_dashscope_oss.errors import (
    ConfigurationError,
    ModelNotFoundError,
    UnsupportedInputError,
)

from .calling import (
    CLASSES,
    EACH_PATH_ONCE,
    KEY,
    NOWHERE,
    PATHS,
    PROMPT_ONLY,
    THINKER,
    Seen,
    answering,
    call,
    offline,
    text_of,
)

HELLO = Answer("Hello you")


# What is sent.


def test_only_what_was_set_is_sent(chat):
    llm, engine = chat(HELLO)
    llm.invoke("Hi")
    assert engine.requests[-1].body["parameters"] == {"result_format": "message"}


@CLASSES
def test_a_setting_is_sent_under_its_own_name_and_no_other_with_it(cls, subtests):
    for name, value in [
        ("temperature", 0.5),
        ("top_p", 0.5),
        ("top_k", 5),
        ("seed", 5),
        ("max_tokens", 5),
        ("stop", ["x"]),
        ("stop", [5, 6]),
        ("stop", [[5, 6], [7]]),
        ("repetition_penalty", 1.5),
        ("presence_penalty", 0.5),
        ("enable_search", True),
    ]:
        with subtests.test(name, value=value):
            server = answering()
            server.model(cls, **{name: value}).invoke("Hi")
            assert server.body()["parameters"] == {"result_format": "message", name: value}


def test_a_calls_arguments_win_over_settings_and_none_takes_one_back(chat):
    llm, engine = chat(
        HELLO,
        temperature=0.5,
        top_p=0.9,
        stop_sequences=["END"],
        seed=1,
        model_kwargs={"custom": 1, "seed": 2},
    )
    llm.invoke("Hi", temperature=0, top_p=None, stop=["STOP"], other="x")
    assert engine.requests[-1].body["parameters"] == {
        "result_format": "message",
        "temperature": 0,
        "seed": 2,
        "stop": ["STOP"],
        "custom": 1,
        "other": "x",
    }
    llm.invoke("Hi")
    assert engine.requests[-1].body["parameters"]["stop"] == ["END"]


@PATHS
async def test_a_call_may_name_another_model_whose_record_decides(either, path):
    llm, engine = either(HELLO)
    seen = Seen()
    name = "model" if path == "invoke" else "model_name"
    await call(llm, path, config={"callbacks": [seen]}, **{name: PROMPT_ONLY})
    assert engine.requests[-1].body["model"] == PROMPT_ONLY
    assert "prompt" in engine.requests[-1].body["input"]
    assert seen.starts[0]["metadata"]["ls_model_name"] == PROMPT_ONLY
    assert seen.model_name == PROMPT_ONLY


def test_model_kwargs_that_are_changed_count_from_the_next_call(chat):
    llm, engine = chat(HELLO, model_kwargs={"a": 1})
    llm.invoke("Hi")
    llm.model_kwargs["a"] = 2
    llm.invoke("Hi")
    assert [request.body["parameters"]["a"] for request in engine.requests] == [1, 2]


@CLASSES
def test_extra_body_is_another_name_of_model_kwargs_for_object_and_call(cls, made):
    llm, engine = made(cls, HELLO, extra_body={"a": 1}, model_kwargs={"c": 3})
    llm.invoke("Hi", extra_body={"b": 2})
    assert {"a": 1, "b": 2, "c": 3}.items() <= engine.requests[-1].body["parameters"].items()
    assert llm.model_kwargs == {"a": 1, "c": 3}


@CLASSES
def test_what_extra_body_holds_in_a_call_is_checked_as_its_other_arguments_are(cls):
    for extra_body, reason in [
        ({"api_base": NOWHERE}, "base_url is a setting"),
        ("a", "extra_body must be a dict"),
    ]:
        with pytest.raises(ConfigurationError, match=reason):
            offline(cls).invoke("Hi", extra_body=extra_body)


def test_langchains_stream_switch_is_not_sent(chat):
    llm, engine = chat(HELLO)
    llm.invoke("Hi", stream=False)
    assert "stream" not in engine.requests[-1].body["parameters"]


@CLASSES
async def test_region_workspace_headers_and_key_decide_where_and_how_a_call_goes(cls):
    server = answering()
    llm = server.model(
        cls,
        base_url=None,
        region="singapore",
        workspace="ws",
        dashscope_api_key=lambda: KEY,
        default_headers={"x-mine": "1"},
        model=THINKER,
    )
    llm.invoke("Hi")
    await llm.ainvoke("Hi")
    for request in server.requests:
        assert request.url.host == "dashscope-intl.aliyuncs.com"
        assert request.headers["x-dashscope-workspace"] == "ws"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-mine"] == "1"


@CLASSES
def test_address_key_and_workspace_come_from_the_environment(cls, monkeypatch):
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://dashscope-us.aliyuncs.com/api/v1")
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws")
    server = answering()
    server.model(cls, model=THINKER, base_url=None).invoke("Hi")
    request = server.requests[-1]
    assert request.url.host == "dashscope-us.aliyuncs.com"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-dashscope-workspace"] == "ws"


async def test_the_callers_own_http_clients_are_used_and_left_open(gateway):
    engine = gateway(HELLO)
    with httpx2.Client(headers={"x-mine": "s"}) as client:
        async with httpx2.AsyncClient(headers={"x-mine": "a"}) as async_client:
            llm = ChatDashScopeOSS(
                model="llama3-8b-instruct",
                api_base=engine.base_url,
                http_client=client,
                http_async_client=async_client,
            )
            llm.invoke("Hi")
            await llm.ainvoke("Hi")
            llm.close()
            await llm.aclose()
            assert not client.is_closed
            assert not async_client.is_closed
        await asyncio.to_thread(client.close)
    assert [request.headers["x-mine"] for request in engine.requests] == ["s", "a"]


def test_a_changed_setting_counts_from_the_next_call(chat, gateway):
    llm, first = chat(HELLO)
    second = gateway(Answer("second"))
    llm.invoke("Hi")
    llm.temperature = 0.25
    llm.invoke("Hi")
    assert first.requests[-1].body["parameters"]["temperature"] == 0.25
    llm.close()
    llm.base_url = second.base_url
    assert llm.invoke("Hi").text == "second"


def test_langchain_configures_fields(chat):
    llm, engine = chat(HELLO)
    chain = llm.configurable_fields(temperature=ConfigurableField(id="t"))
    chain.invoke("Hi", config={"configurable": {"t": 0.75}})
    assert engine.requests[-1].body["parameters"]["temperature"] == 0.75


# Which model.


def test_model_info_overrides_the_record_for_one_object(chat):
    prompt_only = replace(find_model(PROMPT_ONLY), id="whatever")
    fault = Fault(status=404, code="ModelNotFound")
    llm, engine = chat(fault, model="my-ziya", model_info=prompt_only)
    with pytest.raises(ModelNotFoundError, match="my-ziya"):
        llm.invoke("Hi")
    assert engine.requests[-1].body["model"] == "my-ziya"
    assert "prompt" in engine.requests[-1].body["input"]


def test_register_model_adds_a_record_for_all(chat):
    register_model(replace(find_model(PROMPT_ONLY), id="our-ziya"))
    llm, engine = chat(HELLO, model="our-ziya")
    assert llm.invoke("Hi").text == "Hello you"
    assert "prompt" in engine.requests[-1].body["input"]


@CLASSES
def test_an_unknown_model_works_with_a_warning(cls):
    model = f"unknown-{uuid4()}"
    with pytest.warns(UnknownModelWarning, match=model):
        llm = answering().model(cls, model=model)
    assert text_of(llm.invoke("Hi")) == "ok"


# What is refused, or warned of.


def test_an_unknown_argument_is_sent_with_a_warning_at_the_callers_line():
    with pytest.warns(DashScopeWarning, match="no setting temprature") as caught:
        llm = ChatDashScopeOSS(
            model="llama3-8b-instruct", base_url=NOWHERE, temprature=1, model_kwargs={"a": 2}
        )
    assert llm.model_kwargs == {"a": 2, "temprature": 1}
    assert caught[0].filename == __file__


@CLASSES
def test_a_parameter_that_is_no_setting_is_sent_without_a_warning(cls):
    parameters = {"logprobs": True, "top_logprobs": 2, "response_format": {"type": "text"}}
    assert offline(cls, **parameters).model_kwargs == parameters


@CLASSES
def test_a_stop_of_a_wrong_type_is_refused_in_the_services_words(cls):
    with pytest.raises(UnsupportedInputError, match='"stop" parameter must be of type'):
        offline(cls).invoke("Hi", stop=5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model_name": "x"}, "model is given twice"),
        ({"model_kwargs": {"api_key": KEY}}, "api_key is a setting"),
        ({"extra_body": {"dashscope_api_key": KEY}}, "api_key is a setting"),
        ({"qwen_api_key": KEY}, "qwen_api_key looks like a secret"),
        ({"model_kwargs": {"OPENAI-API-KEY": KEY}}, "looks like a secret"),
        ({"model": " "}, "model must be"),
        ({"base_url": "ftp://x"}, "bad base_url"),
        ({"base_url": None}, "DASHSCOPE_API_KEY"),
        ({"base_url": None, "region": "moon"}, "unknown region"),
        ({"api_key": f"{KEY}\n{KEY}"}, "line break"),
        ({"timeout": (1.0,)}, "bad timeout"),
    ],
)
def test_impossible_settings_raise_at_once_and_never_show_the_key(settings, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        offline(**settings)
    assert isinstance(caught.value, ValueError)
    assert KEY not in str(caught.value)


def test_a_setting_of_a_wrong_type_does_not_show_the_key():
    """Pydantic prints its input; here it must not."""
    with pytest.raises(ValidationError) as caught:
        ChatDashScopeOSS(model="glm-5", api_key=KEY, temperature="hot")
    assert KEY not in str(caught.value)


def test_a_missing_model_is_told_with_an_example():
    with pytest.raises(ConfigurationError, match=r"no model is named.* model='deepseek-v4-flash'"):
        ChatDashScopeOSS()


@PATHS
async def test_a_setting_in_a_call_is_refused_before_any_callback_sees_it(either, path):
    """It may be the key, and traces are kept elsewhere."""
    llm, engine = either(HELLO)
    seen = Seen()
    with pytest.raises(ConfigurationError, match="api_key is a setting of the model") as caught:
        await call(llm, path, config={"callbacks": [seen]}, dashscope_api_key=KEY)
    assert KEY not in str(caught.value)
    assert not seen.starts
    assert not engine.requests


@CLASSES
def test_only_settings_of_an_answer_can_be_given_in_a_call(cls):
    for name in ("api_key", "default_headers", "timeout", "check_length"):
        with pytest.raises(ConfigurationError, match=f"{name} is a setting of the model object"):
            offline(cls).invoke("Hi", **{name: KEY})


@CLASSES
def test_parameters_are_checked_by_record_and_range_before_any_request(cls):
    llm = offline(cls)
    for arguments, reason in [
        ({"temperature": 2}, r"Temperature should be in \[0.0, 2.0\)"),
        ({"model": THINKER, "top_k": 5}, "does not support top_k"),
        ({"enable_thinking": True}, "cannot think"),
        ({"n": 2}, "one answer"),
    ]:
        with pytest.raises(UnsupportedInputError, match=reason):
            llm.invoke("Hi", **arguments)


@EACH_PATH_ONCE
async def test_strict_params_refuse_what_the_models_page_does_not_document(either, path):
    llm, engine = either(HELLO, strict_params=True, top_p=0.5)
    with pytest.raises(UnsupportedInputError, match="documents no top_p"):
        await call(llm, path)
    assert engine.requests == []
    llm.strict_params = False
    await call(llm, path)
    assert engine.requests[-1].body["parameters"]["top_p"] == 0.5


@EACH_PATH_ONCE
async def test_strict_params_ask_for_new_text_only_where_the_page_documents_that(either, path):
    llm, engine = either(HELLO, strict_params=True)
    assert text_of(await call(llm, path)) == "Hello you"
    assert engine.requests[-1].body["parameters"] == {"result_format": "message"}


@PATHS
async def test_new_text_is_spoken_of_in_streams_only(either, path):
    """The service refuses it where nothing streams."""
    llm, engine = either(HELLO, model_kwargs={"incremental_output": True})
    await call(llm, path)
    assert ("incremental_output" in engine.requests[-1].body["parameters"]) is ("stream" in path)


def test_a_limit_on_which_sources_disagree_warns_and_the_call_is_made(chat):
    register_model(replace(find_model("llama3-8b-instruct"), disputed=("max_output",)))
    llm, engine = chat(HELLO, max_tokens=2000)
    with pytest.warns(DashScopeWarning, match="sources disagree"):
        assert llm.invoke("Hi").text == "Hello you"
    assert engine.requests[-1].body["parameters"]["max_tokens"] == 2000


@PATHS
async def test_a_stop_that_the_service_does_not_know_is_enforced_here(either, path):
    """Also where it is split over pieces, and for one call alone."""
    llm, engine = either(Answer(pieces=("one two EN", "D three", " four")), stop=["END"])
    assert text_of(await call(llm, path)) == "one two "
    assert engine.requests[-1].body["parameters"]["stop"] == ["END"]
    assert text_of(await call(llm, path, stop=["two"])) == "one "


@EACH_PATH_ONCE
async def test_estimates_of_usage_are_marked_and_given_only_if_wished(either, path):
    """For the object, or for one call."""
    llm, _ = either(HELLO, model=PROMPT_ONLY, estimate_usage=path == "invoke")
    seen = Seen()
    arguments = {} if llm.estimate_usage else {"estimate_usage": True}
    await call(llm, path, config={"callbacks": [seen]}, **arguments)
    assert seen.info["usage_estimated"] is True
    assert seen.info["token_usage"]["output_tokens"] > 0
    await call(llm, path, config={"callbacks": [seen]}, estimate_usage=False)
    assert seen.info["token_usage"] is None
    assert "usage_estimated" not in seen.info


def test_both_endpoints_are_called_as_the_record_says(chat):
    llm, engine = chat(HELLO, model="qwen3.5-27b")
    assert llm.invoke("Hi").text == "Hello you"
    request = engine.requests[-1]
    assert request.path.endswith("/aigc/multimodal-generation/generation")
    assert request.body["input"]["messages"][0]["content"] == [{"text": "Hi"}]
    info = replace(find_model("qwen3.5-27b"), endpoint="text-generation")
    server = answering()
    server.model(model="qwen3.5-27b", model_info=info, enable_thinking=False).invoke("Hi")
    assert server.requests[-1].url.path.endswith("/aigc/text-generation/generation")
    assert server.body()["input"]["messages"][0]["content"] == "Hi"


@CLASSES
def test_the_fields_other_names_mean_the_same(cls):
    values = {"model": "llama3-8b-instruct", "api_key": KEY, "base_url": NOWHERE, "stop": ["x"]}
    others = {
        "model": "model_name",
        "api_key": "dashscope_api_key",
        "base_url": "api_base",
        "stop": "stop_sequences",
    }
    renamed = cls(**{others[name]: value for name, value in values.items()})
    assert renamed == cls(**values)
    assert renamed.model_name == "llama3-8b-instruct"
