"""LlamaIndex's agents over models without tools: they act in words, as ReAct has it."""

import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from dashscope_oss import ToolCall
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import AGENT_WARNINGS, CHAT, PROMPT_ONLY, WITH_TOOLS

pytestmark = [pytest.mark.versions, *AGENT_WARNINGS]


def now() -> str:
    """Tell the time."""
    return "noon"


NOW = FunctionTool.from_defaults(fn=now)


ACT = Answer("Thought: I need the time.\nAction: now\nAction Input: {}")
SUM_UP = Answer("Thought: I can answer without using any more tools.\nAnswer: It is noon.")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_an_agent_without_tool_calls_acts_by_words(make, run, memory, model, streaming):
    """ReActAgent, with the tool's result in the second prompt."""
    llm = make(model, ACT, SUM_UP)
    agent = ReActAgent(tools=[NOW], llm=llm, streaming=streaming)

    async def answer():
        return str(await agent.run("What time is it?", memory=memory))

    assert run(llm, answer()) == "It is noon."
    assert "Observation: noon" in str(make.requests[1].body["input"])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_agents_without_tool_calls_hand_over_too(make, run, memory, model, streaming):
    """The second agent has its own tools and is told why it was asked."""
    arguments = json.dumps({"to_agent": "clock", "reason": "about time"})
    over = Answer(f"Thought: Not mine.\nAction: handoff\nAction Input: {arguments}")
    llm = make(model, over, ACT, SUM_UP)
    common = {"llm": llm, "streaming": streaming}
    front = ReActAgent(name="front", description="Greets.", can_handoff_to=["clock"], **common)
    clock = ReActAgent(name="clock", description="Tells the time.", tools=[NOW], **common)
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def answer():
        return str(await workflow.run("What time is it?", memory=memory))

    assert run(llm, answer()) == "It is noon."
    first, second, third = (str(request.body["input"]) for request in make.requests)
    assert "handoff" in first
    assert "Tool Name: now" in second
    assert "about time" in second
    assert "Observation: noon" in third


class Hour(BaseModel):
    """An hour."""

    hour: int


@pytest.mark.parametrize("model", [PROMPT_ONLY, CHAT])
def test_an_agent_without_tool_calls_answers_with_an_object(make, run, memory, model):
    """``output_cls``, asked for in words once the agent has its answer."""
    llm = make(model, ACT, SUM_UP, Answer('{"hour": 12}'))
    agent = ReActAgent(tools=[NOW], llm=llm, output_cls=Hour)

    async def answer():
        return await agent.run("What time is it?", memory=memory)

    result = run(llm, answer())
    assert str(result) == "It is noon."
    assert result.get_pydantic_model(Hour) == Hour(hour=12)
    assert '"hour"' in str(make.requests[2].body["input"])


@pytest.mark.skipif(
    "early_stopping_method" not in ReActAgent.model_fields, reason="older cores end with an error"
)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", ["llama2-7b-chat-v2", CHAT, PROMPT_ONLY])
def test_an_agent_that_takes_too_long_is_asked_to_sum_up(make, run, memory, model, streaming):
    """LlamaIndex asks for it in a system turn after all others."""
    llm = make(model, ACT, ACT, SUM_UP)
    agent = ReActAgent(tools=[NOW], llm=llm, streaming=streaming, early_stopping_method="generate")

    async def answer():
        return str(await agent.run("What time is it?", memory=memory, max_iterations=2))

    assert "noon" in run(llm, answer())


@pytest.mark.parametrize("model", ["llama2-7b-chat-v2", CHAT, PROMPT_ONLY])
def test_an_agent_with_tools_hands_over_to_one_without(make, run, memory, model):
    """The second reads in words what the first called."""
    arguments = json.dumps({"to_agent": "clock", "reason": "time"})
    over = Answer(tool_calls=(ToolCall(id="1", name="handoff", arguments=arguments, index=0),))
    first = make(WITH_TOOLS, over)
    second = make(model, ACT, SUM_UP)
    front = FunctionAgent(name="front", description="Greets.", llm=first, can_handoff_to=["clock"])
    clock = ReActAgent(name="clock", description="Tells the time.", llm=second, tools=[NOW])
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def answer():
        result = str(await workflow.run("What time is it?", memory=memory))
        await first.aclose()
        return result

    assert run(second, answer()) == "It is noon."
    assert "Call of handoff: " in str(make.requests[0].body["input"])
