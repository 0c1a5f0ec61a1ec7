"""Moving from ChatTongyi, Tongyi and ChatOpenAI: same words, same meaning, or advice."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from dashscope_oss import DashScopeWarning, Usage
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from langchain_dashscope_oss.errors import ConfigurationError, UnsupportedInputError

from .calling import CLASSES, KEY, NOWHERE, offline

COUNTS = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}
FACTS = {"finish_reason": "stop", "token_usage": COUNTS, "model_name": "llama3-8b-instruct"}
LOVE = Answer(pieces=("I ", "enjoy ", "programming."), usage=Usage(30, 4, 34))
THEIR_ARGUMENTS = {
    "client": None,
    "model_name": "llama3-8b-instruct",
    "model_kwargs": {"temperature": 0.5, "enable_search": True, "result_format": "message"},
    "top_p": 0.7,
    "dashscope_api_key": KEY,
    "streaming": True,
    "max_retries": 10,
}


@pytest.fixture
def moved(gateway):
    """``moved(cls, **settings)``: a model object made with their arguments, and its engine."""
    models = []

    def make(cls, **settings):
        engine = gateway(LOVE)
        models.append(cls(**{**THEIR_ARGUMENTS, "base_url": engine.base_url, **settings}))
        return models[-1], engine

    yield make
    for llm in models:
        llm.close()


@CLASSES
def test_each_of_their_arguments_reaches_the_wire_with_the_meaning_it_had(cls, moved):
    llm, engine = moved(cls)
    llm.invoke("我喜欢编程。")
    first = engine.requests[-1]
    llm.invoke("我喜欢编程。", stop=["x"])
    parameters = {"temperature": 0.5, "enable_search": True, "top_p": 0.7, "stop": ["x"]}
    assert parameters.items() <= engine.requests[-1].body["parameters"].items()
    assert first.body["parameters"]["result_format"] == "message"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.headers["x-dashscope-sse"] == "enable"
    assert (llm.model_name, llm.max_retries, llm.streaming) == ("llama3-8b-instruct", 10, True)


def test_the_example_of_their_page_has_the_same_answer_and_metadata_whole_and_streamed(moved):
    llm, _ = moved(ChatDashScopeOSS, streaming=False)
    messages = [
        ("system", "你是一名专业的翻译家，可以将用户的中文翻译为英文。"),
        ("human", "我喜欢编程。"),
    ]
    answer = llm.invoke(messages)
    assert answer.content == "I enjoy programming."
    assert FACTS.items() <= answer.response_metadata.items()
    assert answer.response_metadata["request_id"]
    chunks = list(moved(ChatDashScopeOSS)[0].stream(messages))
    assert "".join(chunk.content for chunk in chunks) == answer.content
    assert FACTS.items() <= chunks[-1].response_metadata.items()


def test_the_text_class_has_what_theirs_had_in_generation_info_and_llm_output(moved):
    llm, _ = moved(DashScopeOSSLLM, streaming=False)
    result = llm.generate(["我喜欢编程。"])
    assert result.llm_output["model_name"] == "llama3-8b-instruct"
    info = result.generations[0][0].generation_info
    assert {"finish_reason": "stop", "token_usage": COUNTS}.items() <= info.items()
    assert info["request_id"]


def test_tool_calls_of_messages_that_they_stored_are_sent(moved):
    llm, engine = moved(ChatDashScopeOSS, model_name="qwen3-8b")
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    stored = {"tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    llm.invoke(
        [HumanMessage("Rain?"), AIMessage("", additional_kwargs=stored), HumanMessage("So?")]
    )
    sent = engine.requests[-1].body["input"]["messages"]
    assert sent[1]["tool_calls"][0]["function"] == function


@pytest.mark.parametrize("flag", [True, False])
def test_whatever_incremental_output_says_the_pieces_are_new_ones(moved, flag):
    llm, engine = moved(ChatDashScopeOSS, model_kwargs={"incremental_output": flag})
    texts = [chunk.content for chunk in llm.stream("Hi") if chunk.content]
    assert texts == ["I ", "enjoy ", "programming."]
    assert engine.requests[-1].body["parameters"]["incremental_output"] is flag


@CLASSES
def test_an_argument_that_cannot_keep_its_meaning_is_an_error_that_says_what_to_do(cls):
    for arguments, advice in [
        ({"client": object()}, "the SDK is not used"),
        ({"stream": True}, "streaming=True"),
        ({"proxy": "http://p"}, "http_client=httpx2.Client"),
        ({"prefix_messages": [("system", "x")]}, "before those of the call"),
        ({"openai_api_key": KEY}, "pass api_key"),
        ({"openai_api_base": "https://x/v1"}, "/api/v1"),
        ({"openai_organization": "o"}, "workspace"),
        ({"request_timeout": 3}, "pass timeout"),
        ({"stream_usage": False}, "always has the usage"),
    ]:
        with pytest.raises(ConfigurationError, match=advice):
            offline(cls, **arguments)
        if "stream" not in arguments:  # LangChain's own switch in a call
            with pytest.raises(ConfigurationError, match=advice):
                offline(cls).invoke("Hi", **arguments)


@CLASSES
def test_an_argument_that_asks_for_what_is_always_so_is_taken_and_not_sent(cls, moved):
    always = {"stream_usage": True, "stream_options": {"include_usage": True}}
    llm, engine = moved(cls, use_responses_api=False, **always)
    llm.invoke("Hi", **always)
    assert not {*always, "use_responses_api"} & engine.requests[-1].body["parameters"].keys()


@CLASSES
def test_several_answers_are_refused_where_theirs_returned_the_first(cls, moved):
    llm, engine = moved(cls, model_kwargs={"n": 2})
    with pytest.raises(UnsupportedInputError, match="one answer"):
        llm.invoke("Hi")
    assert engine.requests == []


@CLASSES
def test_an_unknown_argument_is_sent_with_a_warning_where_theirs_dropped_it(cls):
    options = {"forced": True}
    with pytest.warns(DashScopeWarning, match="no setting plugin_options"):
        llm = cls(model="llama3-8b-instruct", base_url=NOWHERE, plugin_options=options)
    assert llm.model_kwargs == {"plugin_options": options}
