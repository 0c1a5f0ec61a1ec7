"""Moving from langchain_community's ChatTongyi and Tongyi: same words, same meaning."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from dashscope_oss import ConfigurationError, DashScopeWarning, UnsupportedInputError, Usage
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

NOWHERE = "http://127.0.0.1:1/api/v1"
KEY = "sk-0123456789abcdef"
COUNTS = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}
FACTS = {"finish_reason": "stop", "token_usage": COUNTS, "model_name": "llama3-8b-instruct"}
LOVE = Answer(pieces=("I ", "enjoy ", "programming."), usage=Usage(30, 4, 34))
CLASSES = pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM])
THEIRS = {
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
    """A model object made with their arguments, and its engine."""
    made = []

    def make(cls, **given):
        engine = gateway(LOVE)
        made.append(cls(**{**THEIRS, "base_url": engine.base_url, **given}))
        return made[-1], engine

    yield make
    for llm in made:
        llm.close()


@CLASSES
def test_all_their_arguments(cls, moved):
    """Row 38: each is taken and reaches the wire with the meaning it had."""
    llm, engine = moved(cls)
    llm.invoke("我喜欢编程。")
    sent = engine.requests[-1]
    parameters = {"temperature": 0.5, "enable_search": True, "top_p": 0.7, "stop": ["x"]}
    llm.invoke("我喜欢编程。", stop=["x"])
    assert parameters.items() <= engine.requests[-1].body["parameters"].items()
    assert sent.body["parameters"]["result_format"] == "message"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-dashscope-sse"] == "enable"
    assert (llm.model_name, llm.max_retries, llm.streaming) == ("llama3-8b-instruct", 10, True)


@CLASSES
@pytest.mark.parametrize("words", [("model", "api_key"), ("model_name", "dashscope_api_key")])
def test_both_pairs_of_names(cls, words):
    """Row 38: model or model_name, api_key or dashscope_api_key, in both classes."""
    model, key = words
    llm = cls(**{model: "llama3-8b-instruct", key: KEY, "base_url": NOWHERE})
    assert llm.model == llm.model_name == "llama3-8b-instruct"
    assert llm.api_key.get_secret_value() == KEY


def test_the_example_of_their_page(moved):
    """Row 38: the messages, the answer's metadata and the streamed metadata of their docstring."""
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


def test_the_text_class(moved):
    """Row 38: generation_info and llm_output have what theirs had."""
    llm, _ = moved(DashScopeOSSLLM, streaming=False)
    found = llm.generate(["我喜欢编程。"])
    assert found.llm_output["model_name"] == "llama3-8b-instruct"
    info = found.generations[0][0].generation_info
    assert {"finish_reason": "stop", "token_usage": COUNTS}.items() <= info.items()
    assert info["request_id"]


def test_their_stored_messages(moved):
    """Row 38: tool calls kept the old way are sent."""
    llm, engine = moved(ChatDashScopeOSS, model_name="qwen3-8b")
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    old = {"tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    llm.invoke(
        [
            HumanMessage("Rain?"),
            AIMessage("", additional_kwargs=old),
            HumanMessage("So?"),
        ]
    )
    sent = engine.requests[-1].body["input"]["messages"]
    assert sent[1]["tool_calls"][0]["function"] == function


@pytest.mark.parametrize("flag", [True, False])
def test_incremental_output_may_be_said(moved, flag):
    """Row 38: whatever is asked for, the pieces are new ones."""
    llm, engine = moved(ChatDashScopeOSS, model_kwargs={"incremental_output": flag})
    assert [c.content for c in llm.stream("Hi") if c.content] == ["I ", "enjoy ", "programming."]
    assert engine.requests[-1].body["parameters"]["incremental_output"] is flag


@CLASSES
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"client": object()}, "the SDK is not used"),
        ({"stream": True}, "streaming=True"),
        ({"proxy": "http://p"}, "http_client=httpx2.Client"),
        ({"prefix_messages": [("system", "x")]}, "before those of the call"),
    ],
)
def test_what_cannot_keep_its_meaning(cls, given, told):
    """Row 38: is an error that says what to do, not dropped in silence as theirs did."""
    with pytest.raises(ConfigurationError, match=told):
        cls(model="llama3-8b-instruct", base_url=NOWHERE, **given)


@CLASSES
def test_several_answers(cls, moved):
    """Row 38: theirs took n and returned the first answer; here it is refused."""
    llm, engine = moved(cls, model_kwargs={"n": 2})
    with pytest.raises(UnsupportedInputError, match="one answer"):
        llm.invoke("Hi")
    assert engine.requests == []


@CLASSES
def test_what_they_dropped_is_said(cls):
    """Row 38: an unknown argument is sent, with a warning."""
    with pytest.warns(DashScopeWarning, match="no setting search_options"):
        llm = cls(model="llama3-8b-instruct", base_url=NOWHERE, search_options={"forced": True})
    assert llm.model_kwargs == {"search_options": {"forced": True}}


@CLASSES
def test_extra_body(cls, moved):
    """Row 18: the escape hatch under its OpenAI name, for the object and for a call."""
    llm, engine = moved(cls, extra_body={"a": 1})
    llm.invoke("Hi", extra_body={"b": 2})
    assert {"a": 1, "b": 2}.items() <= engine.requests[-1].body["parameters"].items()
    assert llm.model_kwargs["a"] == 1
