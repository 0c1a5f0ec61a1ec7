"""LlamaIndex's own engines over small and large models: RAG, chat, agents, structured answers."""

import json

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, CodeActAgent, FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import FunctionTool, QueryEngineTool
from pydantic import BaseModel

from dashscope_oss import (
    DashScopeWarning,
    ToolCall,
    UnreadableAnswerError,
    UnsupportedInputError,
    Usage,
    find_model,
)
from dashscope_oss.gateway import Answer

pytestmark = pytest.mark.versions

MODELS = (
    "llama3-8b-instruct",
    "baichuan2-7b-chat-v1",
    "ziya-llama-13b-v1",
    "belle-llama-13b-2m-v1",
    "deepseek-v4-pro",
)
FACTS = (
    "The lighthouse of Alnmouth was built in 1837.",
    "Its lamp is lit by the keeper, Ada Finch.",
    "灯塔高三十二米。",
)


def documents() -> list[Document]:
    return [Document(text=fact) for fact in FACTS]


def vector_engine(llm, **kwargs):
    index = VectorStoreIndex.from_documents(documents(), embed_model=MockEmbedding(8))
    return index.as_query_engine(llm=llm, similarity_top_k=3, **kwargs)


def summary_engine(llm, **kwargs):
    return SummaryIndex.from_documents(documents()).as_query_engine(llm=llm, **kwargs)


async def astreamed(engine, question):
    response = await engine.aquery(question)
    return "".join([token async for token in response.async_response_gen()])


async def asked(engine, question):
    return str(await engine.aquery(question))


WAYS = {
    "query": lambda engine, _, question: str(engine.query(question)),
    "aquery": lambda engine, _, question: asked(engine, question),
    "stream": lambda _, engine, question: "".join(engine.query(question).response_gen),
    "astream": lambda _, engine, question: astreamed(engine, question),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("build", [vector_engine, summary_engine])
@pytest.mark.parametrize("model", MODELS)
def test_a_query_engine_answers(make, run, counter, model, build, way):
    """Row 43 of LlamaIndex: in one call, documents in the prompt, tokens counted once."""
    answer = Answer("Ada Finch lights it.", usage=Usage(321, 7, 328))
    llm = make(model, answer)
    whole, streaming = build(llm), build(llm, streaming=True)
    found = WAYS[way](whole, streaming, "Who lights the lamp?")
    assert (run(llm, found) if way.startswith("a") else found) == "Ada Finch lights it."
    sent = str(make.body["input"])
    assert "Ada Finch" in sent
    assert "Who lights the lamp?" in sent
    if find_model(model).reports_usage:
        assert counter.prompt_llm_token_count == 321
    assert len(counter.llm_token_counts) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["refine", "compact", "tree_summarize", "accumulate"])
def test_every_response_mode_answers_in_every_way(make, run, mode, way):
    """Row 43 of LlamaIndex: accumulated answers, which LlamaIndex does not stream, come whole."""
    llm = make("ziya-llama-13b-v1", Answer("Calm."))
    streams = mode != "accumulate"
    whole, streaming = (
        summary_engine(llm, response_mode=mode, streaming=streaming)
        for streaming in (False, streams)
    )
    if not streams:
        way = way.replace("stream", "query")
    found = WAYS[way](whole, streaming, "How was the sea?")
    assert "Calm." in (run(llm, found) if way.startswith("a") else found)


@pytest.mark.parametrize("way", ["query", "aquery"])
def test_a_question_is_asked_in_parts(make, run, way):
    """Row 43 of LlamaIndex: SubQuestionQueryEngine, on a window of 2,048 tokens."""
    parts = [
        {"sub_question": "How was the sea?", "tool_name": "sea"},
        {"sub_question": "Who lit the lamp?", "tool_name": "lamp"},
    ]
    said = {"in json markdown": json.dumps({"items": parts}), "Sub question": "Calm, and Ada."}

    def answer(job):
        return Answer(next((s for mark, s in said.items() if mark in str(job)), "Part."))

    llm = make("ziya-llama-13b-v1", answer)
    tools = [
        QueryEngineTool.from_defaults(summary_engine(llm), name=name, description=name)
        for name in ("sea", "lamp")
    ]
    engine = SubQuestionQueryEngine.from_defaults(
        tools,
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        use_async=way == "aquery",
        verbose=False,
    )
    found = WAYS[way](engine, engine, "How were sea and lamp?")
    assert (run(llm, found) if way == "aquery" else found) == "Calm, and Ada."
    prompts = [request.body["input"]["prompt"] for request in make.requests]
    assert len(prompts) == 4
    assert "Response: Part." in prompts[-1]


@pytest.mark.parametrize("mode", ["refine", "compact", "tree_summarize", "accumulate"])
@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "llama3-8b-instruct"])
def test_response_modes_work_on_small_windows(make, model, mode):
    """With far more text than one prompt of 2,048 tokens holds."""
    text = "The keeper wrote in his book that the sea was calm. " * 60
    many = [Document(text=f"Day {day}. {text}") for day in range(3)]
    index = SummaryIndex.from_documents(many)
    llm = make(model, Answer("Calm."))
    found = str(index.as_query_engine(llm=llm, response_mode=mode).query("How was the sea?"))
    assert "Calm." in found
    assert len(make.requests) > 1 or model.startswith("llama3")


def test_a_system_prompt_reaches_a_prompt_only_model_inside_its_template(make):
    """Row 28 of LlamaIndex."""
    llm = make("ziya-llama-13b-v1", Answer("Ada."), system_prompt="Answer briefly.")
    summary_engine(llm).query("Who?")
    prompt = make.body["input"]["prompt"]
    assert prompt.startswith("<human>:Answer briefly.\n\n")
    assert prompt.endswith("\n<bot>:")
    assert prompt.count("<human>:") == 1


@pytest.mark.parametrize(
    "mode", ["context", "condense_plus_context", "condense_question", "simple"]
)
@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "llama3-8b-instruct"])
def test_chat_engines_hold_a_conversation(make, memory, model, mode):
    index = VectorStoreIndex.from_documents(documents(), embed_model=MockEmbedding(8))
    engine = index.as_chat_engine(chat_mode=mode, llm=make(model), memory=memory)
    assert "lamp" in str(engine.chat("Who lights the lamp?"))
    assert "tall" in "".join(engine.stream_chat("How tall is it?").response_gen)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(fn=add)
CALL = ToolCall(id="call_1", name="add", arguments='{"a": 1, "b": 2}', index=0)
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
    """Rows 32 and 34 of LlamaIndex."""
    llm = make("deepseek-v4-pro", first, answer_with_result)
    agent = FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    (tool,) = make.requests[0].body["parameters"]["tools"]
    assert tool["function"]["parameters"]["required"] == ["a", "b"]
    called, answered = make.requests[1].body["input"]["messages"][-2:]
    assert called["tool_calls"][0]["function"]["name"] == "add"
    assert answered == {"role": "tool", "content": "3", "tool_call_id": "call_1"}


def test_an_agent_calls_two_tools_at_once(make, run, memory):
    """Rows 32 and 34 of LlamaIndex: what it is told next is the same, streamed or not."""
    pieces = (
        ToolCall(id="c1", name="add", arguments='{"a": 1', index=0),
        ToolCall(id="c2", name="add", arguments='{"a": 3, "b"', index=1),
        ToolCall(arguments=', "b": 2}', index=0),
        ToolCall(arguments=": 4}", index=1),
    )
    told = []
    for streaming in (True, False):
        llm = make("deepseek-v4-pro", Answer(tool_calls=pieces), Answer("3 and 7."))
        agent = FunctionAgent(tools=[ADD], llm=llm, streaming=streaming)
        memory.reset()
        assert str(run(llm, followed(agent, "What are 1 + 2 and 3 + 4?", memory))[0]) == "3 and 7."
        called, *results = make.requests[1].body["input"]["messages"][-3:]
        arguments = [call["function"]["arguments"] for call in called["tool_calls"]]
        assert list(map(json.loads, arguments)) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
        told.append((called, {result["tool_call_id"]: result["content"] for result in results}))
    assert told[0] == told[1]
    assert told[0][1] == {"c1": "3", "c2": "7"}


CODE = "I count.\n<execute>\nprint(add(1, 2))\n</execute>"


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("model", ["deepseek-v4-pro", "llama3-8b-instruct", "ziya-llama-13b-v1"])
def test_an_agent_writes_code_and_uses_its_output(make, run, memory, model, streaming):
    """Row 34 of LlamaIndex: CodeActAgent, which needs no tools of the model's own."""
    ran = []

    async def execute(code: str) -> str:
        ran.append(code.strip())
        return "3"

    llm = make(model, Answer(CODE), Answer("It is 3."))
    given = {"streaming": streaming} if "streaming" in CodeActAgent.model_fields else {}
    agent = CodeActAgent(code_execute_fn=execute, tools=[add], llm=llm, **given)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    assert ran == ["print(add(1, 2))"]
    assert "Result of executing" in str(make.requests[1].body["input"])


class Total(BaseModel):
    """A total."""

    value: int


def test_an_agent_answers_with_an_object(make, run, memory):
    """Row 34 of LlamaIndex: output_cls, asked for once the agent has its answer."""
    form = ToolCall(id="2", name="Total", arguments='{"value": 3}', index=0)
    script = Answer(tool_calls=(CALL,)), Answer("It is 3."), Answer(tool_calls=(form,))
    llm = make("deepseek-v4-pro", *script)
    agent = FunctionAgent(tools=[ADD], llm=llm, output_cls=Total)
    result, _ = run(llm, followed(agent, "What is 1 + 2?", memory))
    assert str(result) == "It is 3."
    assert result.get_pydantic_model(Total) == Total(value=3)


@pytest.mark.skipif(
    "thinking_delta" not in AgentStream.model_fields, reason="llama-index-core 0.13.0 has none"
)
def test_an_agent_sees_the_thoughts(make, run, memory):
    """Row 36 of LlamaIndex."""
    llm = make("deepseek-v4-pro", Answer("Hello.", reasoning="They greet me."))
    _, streamed = run(llm, followed(FunctionAgent(tools=[ADD], llm=llm), "Hi", memory))
    assert "".join(event.thinking_delta or "" for event in streamed) == "They greet me."


def test_tool_arguments_may_arrive_in_any_pieces(make):
    """Row 32 of LlamaIndex: calls can be read at every chunk; white space inside is kept."""
    pieces = ('{"a": ', '"x y', ' z", "b"', ': "é\\n"}')
    calls = (
        ToolCall(id="1", name="add", index=0),
        *(ToolCall(arguments=p, index=0) for p in pieces),
    )
    llm = make("deepseek-v4-pro", Answer(tool_calls=calls))
    chunks = list(llm.stream_chat_with_tools([ADD], "hi"))
    read = [llm.get_tool_calls_from_response(c, error_on_no_tool_call=False) for c in chunks]
    assert read[-1][0].tool_kwargs == {"a": "x y z", "b": "é\n"}
    assert read[-1][0].tool_id == "1"
    assert all(len(selected) <= 1 for selected in read)


@pytest.mark.parametrize("arguments", ['{"a": 1, "b": 2,}', "{'a': 1, 'b': 2}"])
def test_untidy_arguments_of_a_tool_are_read(make, arguments):
    """Row 32: as LlamaIndex's own parsers do; one comma should not end an agent's run."""
    call = ToolCall(id="1", name="add", arguments=arguments, index=0)
    llm = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    (found,) = llm.get_tool_calls_from_response(llm.chat_with_tools([ADD], "hi"))
    assert found.tool_kwargs == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a": 1, "b',
        "[1]",
        "{",
        '{"a": 1} and',
        '{"a": 1, "b": NaN}',
        '{"a": 1e999,}',
        '{"a": }}',
        "[{}, {}",
        "}",
        '{"a":' * 100_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_a_tool_is_not_called_with_arguments_that_broke_off(make, arguments):
    """Row 32: an agent would run it with its defaults, which nobody asked for."""
    call = ToolCall(id="1", name="now", arguments=arguments, index=0)
    llm = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    response = llm.chat_with_tools([ADD], "hi")
    with pytest.raises(UnreadableAnswerError, match=r"called now with .* no whole JSON object"):
        llm.get_tool_calls_from_response(response)


@pytest.mark.parametrize("arguments", ["", "null", "{}"])
def test_a_tool_call_without_readable_arguments_is_a_call_without_arguments(make, arguments):
    """Row 32 of LlamaIndex."""
    call = ToolCall(id="1", name="now", arguments=arguments, index=0)
    llm = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    response = llm.chat_with_tools([ADD], "hi")
    (selected,) = llm.get_tool_calls_from_response(response)
    assert (selected.tool_name, selected.tool_kwargs) == ("now", {})


def test_no_tool_call_is_an_error_if_one_was_asked_for(make):
    llm = make("deepseek-v4-pro", Answer("No."))
    response = llm.chat_with_tools([ADD], "hi")
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(response)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {}),
        ({"tool_choice": "auto"}, {"tool_choice": "auto"}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        ({"allow_parallel_tool_calls": True}, {"parallel_tool_calls": True}),
        (
            {"tool_required": True},
            {
                "tool_choice": {"type": "function", "function": {"name": "add"}},
                "enable_thinking": False,
            },
        ),
        (
            {"tool_choice": "add", "enable_thinking": False},
            {
                "tool_choice": {"type": "function", "function": {"name": "add"}},
                "enable_thinking": False,
            },
        ),
    ],
)
def test_how_tools_are_asked_for(make, asked, sent):
    """Row 31 of LlamaIndex: a named tool only is forced, and not while the model thinks."""
    history = [ChatMessage("before")]
    make("deepseek-v4-pro").chat_with_tools([ADD], "hi", chat_history=history, **asked)
    parameters = dict(make.body["parameters"])
    assert parameters.pop("tools") == [ADD.metadata.to_openai_tool()]
    assert parameters.pop("result_format") == "message"
    assert parameters == sent
    assert [m["content"] for m in make.body["input"]["messages"]] == ["before", "hi"]
    assert len(history) == 1


def test_any_of_several_tools_is_left_to_the_model_with_a_warning(make):
    with pytest.warns(DashScopeWarning, match="any of several tools"):
        make("deepseek-v4-pro").chat_with_tools([ADD, ADD], "hi", tool_required=True)
    assert make.body["parameters"]["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"tool_required": True, "enable_thinking": True}, "while the model thinks"),
        ({"tool_choice": "subtract"}, "none of the tools"),
    ],
)
def test_what_cannot_be_forced_is_refused(make, asked, told):
    with pytest.raises(UnsupportedInputError, match=told):
        make("deepseek-v4-pro").chat_with_tools([ADD], "hi", **asked)
    assert not make.requests


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


def test_structured_predict_on_a_model_with_tools(make, run):
    call = ToolCall(id="1", name="Sum", arguments='{"a": 1, "b": 2}', index=0)
    llm = make("deepseek-v4-pro", Answer(tool_calls=(call,)))
    prompt = PromptTemplate("One and {what}?")
    assert llm.structured_predict(Sum, prompt, what="two") == Sum(a=1, b=2)
    assert list(llm.stream_structured_predict(Sum, prompt, what="two"))[-1] == Sum(a=1, b=2)
    assert run(llm, llm.astructured_predict(Sum, prompt, what="two")) == Sum(a=1, b=2)


def test_structured_predict_on_a_model_without_tools(make):
    llm = make("ziya-llama-13b-v1", Answer('{"a": 1, "b": 2}'))
    assert llm.structured_predict(Sum, PromptTemplate("One and two?")) == Sum(a=1, b=2)
