"""What LlamaIndex's callers pass for its agents, and settings by all their names."""

import pickle

import pytest
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from dashscope_oss import ConfigurationError, ToolCall, UnreadableAnswerError
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS

pytestmark = pytest.mark.versions

ADD = FunctionTool.from_defaults(fn=lambda a, b=5: a + b, name="add", description="Add.")


def test_a_copy_knows_a_setting_by_all_its_names(make):
    """Row 46 of LlamaIndex."""
    copy = make("llama3-8b-instruct").model_copy(update={"model_name": "ziya-llama-13b-v1"})
    assert copy.model == "ziya-llama-13b-v1"
    assert pickle.loads(pickle.dumps(copy)).metadata.context_window == 2048


def test_a_copy_refuses_what_is_no_setting(make):
    """Row 1 of LlamaIndex: a slip of the pen is not swallowed."""
    with pytest.raises(ConfigurationError, match="temprature is no setting of DashScopeOSS"):
        make("llama3-8b-instruct").model_copy(update={"temprature": 0.5})


def test_what_is_for_an_agent_is_not_sent_with_tools(make):
    """Row 29 of LlamaIndex: the same call works on models of both kinds."""
    call = ToolCall(id="1", name="add", arguments='{"a": 1, "b": 2}', index=0)
    llm = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    answer = llm.predict_and_call(
        [ADD],
        "1+2?",
        memory=ChatMemoryBuffer.from_defaults(),
        react_chat_formatter=ReActChatFormatter.from_defaults(),
        output_parser=ReActOutputParser(),
    )
    assert str(answer) == "3"
    assert set(make.body["parameters"]) == {"result_format", "tools"}


@pytest.mark.filterwarnings("ignore:.*cut off")
def test_a_step_that_was_cut_calls_no_tool(make):
    """Row 29 of LlamaIndex: its parser would make arguments of what there is of them."""
    said = 'Thought: I add.\nAction: add\nAction Input: {"a": {"x": 1}, "b'
    llm = make("llama3-8b-instruct", Answer(said, finish_reason="length"))
    with pytest.raises(UnreadableAnswerError, match="'add' broke off; raise max_tokens") as caught:
        llm.predict_and_call([ADD], "1+2?")
    assert caught.value.partial_text == said


def test_a_subclass_may_have_fields_called_as_arguments_are(make):
    class WithHistory(DashScopeOSS):
        messages: tuple[str, ...] = ()

    call = ToolCall(id="1", name="add", arguments='{"a": 1}', index=0)
    plain = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    llm = WithHistory(model=plain.model, base_url=plain.base_url)
    assert str(llm.predict_and_call([ADD], "1+5?")) == "6"


@pytest.mark.parametrize("model", ["llama3-8b-instruct", "ziya-llama-13b-v1"])
def test_an_early_answer_without_words_is_not_told(make, model):
    """Row 28 of LlamaIndex."""
    llm = make(model, Answer("Yes."))
    llm.chat([ChatMessage("", role="assistant"), ChatMessage("Is it?", role="user")])
    assert "earlier answer" not in str(make.body["input"])
