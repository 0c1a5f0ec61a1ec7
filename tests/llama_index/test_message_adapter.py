"""Conversations that LlamaIndex makes and a model was not trained on: told in words, in order."""

import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from dashscope_oss import ToolCall, UnsupportedInputError
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS

PROMPT_ONLY = "ziya-llama-13b-v1"
STRICT = ("llama2-7b-chat-v2", "llama3-8b-instruct", "baichuan2-7b-chat-v1")
SEEDS = (
    *STRICT,
    "llama2-13b-chat-v2",
    "llama3-70b-instruct",
    PROMPT_ONLY,
    "belle-llama-13b-2m-v1",
    "billa-7b-sft-v1",
    "baichuan-7b-v1",
    "baichuan2-13b-chat-v1",
)
TOOLS = "deepseek-v4-pro"


def said(role: str, text: str, **known) -> ChatMessage:
    return ChatMessage(role=role, content=text, additional_kwargs=known)


def called(name: str, arguments: str, text: str = "") -> ChatMessage:
    function = {"name": name, "arguments": arguments}
    return said(
        "assistant", text, tool_calls=[{"id": "c1", "type": "function", "function": function}]
    )


def turns(request) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in request.body["input"]["messages"]]


def text(request) -> str:
    return json.dumps(request.body["input"], ensure_ascii=False)


@pytest.mark.parametrize("model", SEEDS)
def test_calls_and_results_are_told_in_words(make, model):
    """Row 28 of LlamaIndex: an agent with tools may have begun the conversation."""
    call = called("add", '{"a": 1}', "Let me see.")
    result = said("tool", "three", tool_call_id="c1")
    make(model).chat([said("user", "1+2?"), call, result, said("user", "And twice?")])
    sent = text(make.requests[0])
    for part in ("Let me see.\\nCall of add: ", "Result of add:\\nthree", "And twice?"):
        assert part in sent


def test_a_call_in_words_is_the_models_and_its_result_the_users(make):
    """Row 28 of LlamaIndex."""
    messages = [said("user", "1+2?"), called("add", '{"a": 1}'), said("tool", "3")]
    make("llama3-8b-instruct").chat(messages)
    assert turns(make.requests[0]) == [
        ("user", "1+2?"),
        ("assistant", 'Call of add: {"a": 1}'),
        ("user", "Result of the tool:\n3"),
    ]


def test_a_result_in_the_role_function_is_told_by_its_name(make):
    """Row 28 of LlamaIndex."""
    llm = make("llama3-8b-instruct")
    llm.chat([said("user", "q"), said("function", "3", name="add")])
    assert turns(make.requests[0]) == [("user", "q\n\nResult of add:\n3")]


def test_a_result_that_is_no_text_is_still_refused(make):
    """Rule 4 of the house: nothing is left out in silence."""
    picture = ChatMessage(role=MessageRole.TOOL, blocks=[ImageBlock(url="http://127.0.0.1/a.png")])
    with pytest.raises(UnsupportedInputError, match="ImageBlock"):
        make("llama3-8b-instruct").chat([said("user", "q"), picture])


def test_models_with_tools_get_calls_and_results_as_they_are(make):
    """Row 33 of LlamaIndex."""
    result = said("tool", "3", tool_call_id="c1")
    make(TOOLS).chat([said("user", "1+2?"), called("add", "{}"), result])
    assert [role for role, _ in turns(make.requests[0])] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("model", SEEDS)
def test_a_conversation_may_begin_with_an_answer(make, model):
    """Row 28 of LlamaIndex: a greeting, or a memory that was cut, is no reason to fail."""
    make(model).chat([said("system", "Be kind."), said("assistant", "Hello!"), said("user", "Q")])
    sent = text(make.requests[0])
    assert "Your earlier answer: Hello!" in sent
    assert sent.index("Be kind.") < sent.index("Hello!") < sent.index("Q")


def test_the_familys_template_writes_such_turns_too():
    """Rows 27 and 28 of LlamaIndex: ``messages_to_prompt`` of a prompt-only model."""
    write = DashScopeOSS(model=PROMPT_ONLY, base_url="http://127.0.0.1:9/api/v1").messages_to_prompt
    told = [said("assistant", "Hello!"), said("user", "q"), called("add", "{}"), said("tool", "3")]
    assert write(told) == (
        "<human>:Your earlier answer: Hello!\n\nq\n<bot>:Call of add: {}</s>"
        "<human>:Result of the tool:\n3\n<bot>:"
    )


def test_an_early_answer_is_part_of_the_first_users_turn(make):
    """Row 28 of LlamaIndex: nobody is made to have said what he did not."""
    make("llama2-7b-chat-v2").chat([said("assistant", "Hello!"), said("user", "Q")])
    assert turns(make.requests[0]) == [("user", "Your earlier answer: Hello!\n\nQ")]


def test_a_model_that_takes_any_order_gets_an_early_answer_as_it_is(make):
    make(TOOLS).chat([said("assistant", "Hello!"), said("user", "Q")])
    assert turns(make.requests[0]) == [("assistant", "Hello!"), ("user", "Q")]


def test_an_answer_alone_is_no_question(make):
    with pytest.raises(UnsupportedInputError, match="begin with a user message"):
        make("llama3-8b-instruct").chat([said("assistant", "Hello!")])


@pytest.mark.parametrize("model", ["llama3-8b-instruct", PROMPT_ONLY])
def test_a_memory_that_begins_with_an_answer_does_not_end_a_chat(make, model):
    """Row 28 of LlamaIndex: those of LlamaIndex may hold no question at all."""
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[said("assistant", "Hello!")], token_limit=99, tokenizer_fn=str.split
    )
    engine = SimpleChatEngine.from_defaults(llm=make(model, Answer("Fine.")), memory=memory)
    assert str(engine.chat("How are you?")) == "Fine."


@pytest.mark.parametrize("model", STRICT)
def test_a_system_turn_at_the_end_becomes_the_users(make, model):
    """Row 28 of LlamaIndex: the first stays where models take it."""
    messages = [said("system", "S"), said("user", "q"), said("assistant", "a")]
    make(model).chat([*messages, said("system", "Sum up.")])
    assert turns(make.requests[0]) == [
        ("system", "S"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "Sum up."),
    ]


def now() -> str:
    """Tell the time."""
    return "noon"


NOW = FunctionTool.from_defaults(fn=now)
ACT = Answer("Thought: I need the time.\nAction: now\nAction Input: {}")


@pytest.mark.skipif(
    "early_stopping_method" not in ReActAgent.model_fields, reason="older cores end with an error"
)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", [*STRICT, PROMPT_ONLY])
def test_an_agent_that_takes_too_long_is_asked_to_sum_up(make, run, memory, model, streaming):
    """Row 34 of LlamaIndex: LlamaIndex asks for it in a system turn after all others."""
    llm = make(model, ACT, ACT, Answer("Thought: Enough.\nAnswer: It is noon."))
    agent = ReActAgent(tools=[NOW], llm=llm, streaming=streaming, early_stopping_method="generate")

    async def asked():
        return str(await agent.run("What time is it?", memory=memory, max_iterations=2))

    assert "noon" in run(llm, asked())


@pytest.mark.parametrize("model", ["llama2-7b-chat-v2", "llama3-8b-instruct", PROMPT_ONLY])
def test_an_agent_with_tools_hands_over_to_one_without(make, run, memory, model):
    """Row 34 of LlamaIndex: the second reads in words what the first called."""
    arguments = json.dumps({"to_agent": "clock", "reason": "time"})
    over = Answer(tool_calls=(ToolCall(id="1", name="handoff", arguments=arguments, index=0),))
    first = make(TOOLS, over)
    second = make(model, ACT, Answer("Thought: I can answer.\nAnswer: It is noon."))
    front = FunctionAgent(name="front", description="Greets.", llm=first, can_handoff_to=["clock"])
    clock = ReActAgent(name="clock", description="Tells the time.", llm=second, tools=[NOW])
    workflow = AgentWorkflow(agents=[front, clock], root_agent="front")

    async def asked():
        answer = str(await workflow.run("What time is it?", memory=memory))
        await first.aclose()
        return answer

    assert run(second, asked()) == "It is noon."
    assert "Call of handoff: " in text(make.requests[0])


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


@pytest.mark.parametrize("model", [PROMPT_ONLY, "llama3-8b-instruct"])
def test_an_object_is_asked_for_in_a_turn_of_several_blocks(make, model):
    """Row 35 of LlamaIndex: the schema comes after them."""
    blocks = [TextBlock(text="One"), TextBlock(text="and two?")]
    prompt = ChatPromptTemplate([ChatMessage(role=MessageRole.USER, blocks=blocks)])
    llm = make(model, Answer('{"a": 1, "b": 2}'))
    assert llm.structured_predict(Sum, prompt) == Sum(a=1, b=2)
    sent = text(make.requests[0])
    assert sent.index("One\\nand two?") < sent.index("JSON schema")
