"""``predict_and_call``: by the model's own tool calls, else by one step of ReAct in words."""

import pytest
from llama_index.core.agent.react.formatter import ReActChatFormatter
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from dashscope_oss import (
    AuthenticationError,
    DashScopeWarning,
    ToolCall,
    UnreadableAnswerError,
)
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, EXPIRED, PROMPT_ONLY, WITH_TOOLS

pytestmark = pytest.mark.versions

ADD = FunctionTool.from_defaults(fn=lambda a, b: a + b, name="add", description="Add.")
SPLIT = FunctionTool.from_defaults(fn=lambda: 1 // 0, name="split", description="Divide.")
TOOLS = [ADD, SPLIT]


def step(action: str, arguments: str) -> Answer:
    return Answer(f"Thought: I need a tool.\nAction: {action}\nAction Input: {arguments}")


ACT = step("add", '{"a": 1, "b": 2}')


@pytest.fixture(params=["predict_and_call", "apredict_and_call"])
def act(request, run):
    """Both methods: ``act(llm, question, …)``."""

    def call(llm, question="1+2?", **kwargs):
        started = getattr(llm, request.param)(TOOLS, question, **kwargs)
        return run(llm, started) if request.param.startswith("a") else started

    return call


@pytest.mark.parametrize("model", [CHAT, PROMPT_ONLY])
def test_a_model_without_tools_calls_one_in_words(make, act, model):
    """One request, one call."""
    response = act(make(model, ACT))
    assert str(response) == "3"
    (source,) = response.sources
    assert (source.tool_name, source.raw_input["kwargs"]) == ("add", {"a": 1, "b": 2})
    assert "Tool Name: add" in str(make.body["input"])


def test_a_model_with_tools_calls_one_by_its_tools(make, act):
    call = ToolCall(id="1", name="add", arguments='{"a": 1, "b": 2}', index=0)
    assert str(act(make(WITH_TOOLS, Answer(tool_calls=(call,))))) == "3"
    assert "Tool Name" not in str(make.body["input"])
    assert make.body["parameters"]["tools"]


TWO = Answer(
    tool_calls=(
        ToolCall(id="1", name="add", arguments='{"a": 1, "b": 2}', index=0),
        ToolCall(id="2", name="add", arguments='{"a": 3, "b": 4}', index=1),
    )
)


def test_only_the_first_of_several_calls_is_made_with_a_warning(make, act):
    """LlamaIndex's own makes them all and then fails."""
    with pytest.warns(DashScopeWarning, match="called 2 tools at once; only its call of add"):
        response = act(make(WITH_TOOLS, TWO))
    assert (str(response), len(response.sources)) == ("3", 1)


def test_all_calls_are_made_where_they_may_be_parallel(make, act):
    response = act(make(WITH_TOOLS, TWO), allow_parallel_tool_calls=True)
    assert (str(response), len(response.sources)) == ("3\n\n7", 2)


def test_nothing_is_called_if_one_of_the_tools_is_unknown(make):
    ran = []
    tool = FunctionTool.from_defaults(fn=lambda: ran.append(1), name="add", description="Add.")
    calls = tuple(
        ToolCall(id=n, name=n, arguments="{}", index=i) for i, n in enumerate(("add", "x"))
    )
    llm = make(WITH_TOOLS, Answer(tool_calls=calls))
    with pytest.raises(UnreadableAnswerError, match="called 'x', which is none of the tools add"):
        llm.predict_and_call([tool], "1+2?", allow_parallel_tool_calls=True)
    assert not ran


def test_an_answer_in_place_of_a_call_is_returned_if_that_is_allowed(make, act):
    response = act(make(WITH_TOOLS, Answer("3")), error_on_no_tool_call=False)
    assert (str(response), response.sources) == ("3", [])


@pytest.mark.parametrize("text", ["Thought: I know it.\nAnswer: 3", "3"])
def test_an_answer_without_a_tool_is_the_answer(make, act, text):
    response = act(make(CHAT, Answer(text)))
    assert (str(response), response.sources) == ("3", [])


def test_a_failure_of_the_call_raises(make, act):
    """LlamaIndex's own returns it as if it were the answer."""
    with pytest.raises(AuthenticationError):
        act(make(CHAT, EXPIRED))


def test_history_message_formatter_parser_and_parameters_are_used(make, act):
    """What LlamaIndex's own agent and its callers may be given."""

    class Parser(ReActOutputParser):
        def parse(self, output, is_streaming=False):
            return super().parse(output.replace("Tool:", "Action:"), is_streaming)

    llm = make(CHAT, Answer(ACT.text.replace("Action:", "Tool:")))
    response = act(
        llm,
        ChatMessage("And now?"),
        chat_history=[ChatMessage("Hi."), ChatMessage(role="assistant", content="Hello.")],
        react_chat_formatter=ReActChatFormatter(system_header="My tools: {tool_names}"),
        output_parser=Parser(),
        memory=None,
        tool_choice="auto",
        temperature=0.5,
    )
    assert str(response) == "3"
    turns = make.body["input"]["messages"]
    assert [turn["content"] for turn in turns] == [
        "My tools: add, split",
        "Hi.",
        "Hello.",
        "And now?",
    ]
    assert make.body["parameters"]["temperature"] == 0.5
    assert "tool_choice" not in make.body["parameters"]


def test_a_history_may_end_with_the_question(make, act):
    history = [ChatMessage("1+2?")]
    assert str(act(make(CHAT, ACT), None, chat_history=history)) == "3"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (step("multiply", "{}"), "'multiply', which is none of the tools add, split"),
        (Answer("Thought: Hm."), "Hm"),
    ],
)
def test_a_step_that_cannot_be_done_raises(make, act, answer, reason):
    """No failure looks like an answer."""
    with pytest.raises(UnreadableAnswerError, match=reason) as failed:
        act(make(CHAT, answer))
    assert failed.value.model == CHAT
    assert isinstance(failed.value, ValueError)


def test_a_tool_that_fails_is_told_or_raises(make, act):
    """As ``error_on_tool_error`` says."""
    broken = step("split", "{}")
    assert "division" in str(act(make(CHAT, broken)))
    with pytest.raises(ValueError, match="division"):
        act(make(CHAT, broken), error_on_tool_error=True)


def test_what_is_for_an_agent_is_not_sent_with_tools(make):
    """The same call works on models of both kinds."""
    call = ToolCall(id="1", name="add", arguments='{"a": 1, "b": 2}', index=0)
    llm = make(WITH_TOOLS, Answer(tool_calls=(call,)))
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
    """Its parser would make arguments of what there is of them."""
    answer = 'Thought: I add.\nAction: add\nAction Input: {"a": {"x": 1}, "b'
    llm = make(CHAT, Answer(answer, finish_reason="length"))
    with pytest.raises(
        UnreadableAnswerError, match="cut off in the call of 'add'; raise max_tokens"
    ) as caught:
        llm.predict_and_call([ADD], "1+2?")
    assert caught.value.partial_text == answer
