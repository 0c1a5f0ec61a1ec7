"""LlamaIndex's agents over models that call tools, and agents that write code."""

import json

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import BaseModel

from dashscope_oss import DashScopeWarning, ToolCall
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import AGENT_WARNINGS, CHAT, LOCAL, PROMPT_ONLY, WITH_TOOLS

pytestmark = [pytest.mark.versions, *AGENT_WARNINGS]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(fn=add)


def now() -> str:
    """Tell the time."""
    return "noon"


NOW = FunctionTool.from_defaults(fn=now)


CALL = ToolCall(id="call_1", name="add", arguments='{"a": 1, "b": 2}', index=0)
TELL_TIME = Answer(tool_calls=(ToolCall(id="1", name="now", arguments="{}", index=0),))


PIECES = Answer(
    tool_calls=(
        ToolCall(id="call_1", name="add", arguments='{"a": 1', index=0),
        ToolCall(arguments=', "b"', index=0),
        ToolCall(arguments=": 2}", index=0),
    )
)


def answer_with_result(job):
    return Answer(f"It is {job.messages[-1].content}.")


async def followed(agent, question, memory):
    """The answer of an agent and what it streamed on the way."""
    handler = agent.run(question, memory=memory)
    events = [event async for event in handler.stream_events()]
    return await handler, [event for event in events if isinstance(event, AgentStream)]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("first", [Answer(tool_calls=(CALL,)), PIECES], ids=["whole", "pieces"])
def test_an_agent_calls_a_tool_and_uses_its_result(make, run, memory, first, streaming):
    llm = make(WITH_TOOLS, first, answer_with_result)
    agent = FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    (tool,) = make.requests[0].body["parameters"]["tools"]
    assert tool["function"]["parameters"]["required"] == ["a", "b"]
    called, answered = make.requests[1].body["input"]["messages"][-2:]
    assert called["tool_calls"][0]["function"]["name"] == "add"
    assert answered == {"role": "tool", "content": "3", "tool_call_id": "call_1"}


def test_an_agent_calls_two_tools_at_once(make, run, memory):
    """What it is told next is the same, streamed or not."""
    pieces = (
        ToolCall(id="c1", name="add", arguments='{"a": 1', index=0),
        ToolCall(id="c2", name="add", arguments='{"a": 3, "b"', index=1),
        ToolCall(arguments=', "b": 2}', index=0),
        ToolCall(arguments=": 4}", index=1),
    )
    sent = []
    for streaming in (True, False):
        llm = make(WITH_TOOLS, Answer(tool_calls=pieces), Answer("3 and 7."))
        agent = FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)
        memory.reset()
        assert str(run(llm, followed(agent, "What are 1 + 2 and 3 + 4?", memory))[0]) == "3 and 7."
        called, *results = make.requests[1].body["input"]["messages"][-3:]
        arguments = [call["function"]["arguments"] for call in called["tool_calls"]]
        assert list(map(json.loads, arguments)) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
        sent.append((called, {result["tool_call_id"]: result["content"] for result in results}))
    assert sent[0] == sent[1]
    assert sent[0][1] == {"c1": "3", "c2": "7"}


@pytest.mark.parametrize("streaming", [True, False])
def test_an_agent_without_parallel_calls_makes_the_first_one(make, run, memory, streaming):
    """LlamaIndex checks whole answers only."""
    both = (CALL, ToolCall(id="call_2", name="add", arguments='{"a": 3, "b": 4}', index=1))
    llm = make(WITH_TOOLS, Answer(tool_calls=both), answer_with_result)
    agent = FunctionAgent(
        tools=[ADD], llm=llm, streaming=streaming, allow_parallel_tool_calls=False
    )
    with pytest.warns(DashScopeWarning, match="called 2 tools at once") as warned:
        result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    assert len([warning for warning in warned if warning.category is DashScopeWarning]) == 1
    called, answered = make.requests[1].body["input"]["messages"][-2:]
    assert len(called["tool_calls"]) == 1
    assert answered["tool_call_id"] == "call_1"


CODE = "I count.\n<execute>\nprint(add(1, 2))\n</execute>"


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [WITH_TOOLS, CHAT, PROMPT_ONLY])
def test_an_agent_writes_code_and_uses_its_output(make, run, memory, model, streaming):
    """CodeActAgent, which needs no tools of the model's own."""
    ran = []

    async def execute(code: str) -> str:
        ran.append(code.strip())
        return "3"

    llm = make(model, Answer(CODE), Answer("It is 3."))
    settings = {"streaming": streaming} if "streaming" in CodeActAgent.model_fields else {}
    agent = CodeActAgent(code_execute_fn=execute, tools=[add], llm=llm, **settings)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    assert ran == ["print(add(1, 2))"]
    assert "Result of executing" in str(make.requests[1].body["input"])


class Total(BaseModel):
    """A total."""

    value: int


def test_an_agent_answers_with_an_object(make, run, memory):
    """``output_cls``, asked for once the agent has its answer."""
    answer = ToolCall(id="2", name="Total", arguments='{"value": 3}', index=0)
    script = Answer(tool_calls=(CALL,)), Answer("It is 3."), Answer(tool_calls=(answer,))
    llm = make(WITH_TOOLS, *script)
    agent = FunctionAgent(tools=[ADD], llm=llm, output_cls=Total)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    assert result.get_pydantic_model(Total) == Total(value=3)


@pytest.mark.skipif(
    "thinking_delta" not in AgentStream.model_fields, reason="llama-index-core 0.13.0 has none"
)
def test_an_agent_sees_the_thoughts(make, run, memory):
    llm = make(WITH_TOOLS, Answer("Hello.", reasoning="They greet me."))
    _, streamed = run(llm, followed(FunctionAgent(tools=[ADD], llm=llm), "Hi", memory))
    assert "".join(event.thinking_delta or "" for event in streamed) == "They greet me."


# LlamaIndex cannot store memories, and says so.
@pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key")
@pytest.mark.parametrize("streaming", [True, False])
def test_the_context_of_an_agent_can_be_stored(make, run, memory, streaming):
    """Nothing in a response keeps it from being JSON."""
    llm = make(WITH_TOOLS, TELL_TIME, Answer("Noon."))
    agent = FunctionAgent(tools=[NOW], llm=llm, streaming=streaming)

    async def answer_and_context():
        context = Context(agent)
        result = await agent.run("What time is it?", ctx=context, memory=memory)
        return str(result), json.dumps(context.to_dict(serializer=JsonSerializer()))

    answer, stored = run(llm, answer_and_context())
    assert answer == "Noon."
    assert stored


@pytest.mark.parametrize(
    ("model", "kind"), [("llama2-7b-chat-v2", ReActAgent), (WITH_TOOLS, FunctionAgent)]
)
def test_an_agent_workflow_takes_the_agent_that_fits(model, kind):
    """Only a model with tools is given tools."""
    llm = DashScopeOSS(model=model, base_url=LOCAL)
    workflow = AgentWorkflow.from_tools_or_functions([NOW], llm=llm)
    (agent,) = workflow.agents.values()
    assert isinstance(agent, kind)


def test_agents_hand_over_to_each_other(make, run, memory):
    arguments = json.dumps({"to_agent": "clock", "reason": "time"})
    over = Answer(tool_calls=(ToolCall(id="1", name="handoff", arguments=arguments, index=0),))
    llm = make(WITH_TOOLS, over, TELL_TIME, Answer("Noon."))
    front = FunctionAgent(name="front", description="Greets.", llm=llm, can_handoff_to=["clock"])
    clock = FunctionAgent(name="clock", description="Tells the time.", llm=llm, tools=[NOW])
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def answer():
        return str(await workflow.run("What time is it?", memory=memory))

    assert run(llm, answer()) == "Noon."
    assert len(make.requests) == 3
