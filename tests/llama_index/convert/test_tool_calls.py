"""Tools: how they are asked for, how calls of them are read."""

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from dashscope_oss import (
    DashScopeWarning,
    ToolCall,
    UnreadableAnswerError,
    UnsupportedInputError,
)
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, WITH_TOOLS
from tests.llama_index.mock_service import calling, model_over, streamed, whole


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def now() -> str:
    """Tell the time."""
    return "noon"


ADD = FunctionTool.from_defaults(fn=add)
NOW = FunctionTool.from_defaults(fn=now)


@pytest.mark.parametrize(
    ("arguments", "sent"),
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
def test_how_tools_are_asked_for(make, arguments, sent):
    """A named tool only is forced, and not while the model thinks."""
    history = [ChatMessage("before")]
    make(WITH_TOOLS).chat_with_tools([ADD], "hi", chat_history=history, **arguments)
    parameters = dict(make.body["parameters"])
    assert parameters.pop("tools") == [ADD.metadata.to_openai_tool()]
    assert parameters.pop("result_format") == "message"
    assert parameters == sent
    assert [m["content"] for m in make.body["input"]["messages"]] == ["before", "hi"]
    assert len(history) == 1


def test_any_of_several_tools_is_left_to_the_model_with_a_warning(make):
    with pytest.warns(DashScopeWarning, match="any of several tools"):
        make(WITH_TOOLS).chat_with_tools([ADD, ADD], "hi", tool_required=True)
    assert make.body["parameters"]["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"tool_required": True, "enable_thinking": True}, "while the model thinks"),
        ({"tool_choice": "subtract"}, "none of the tools"),
    ],
)
def test_what_cannot_be_forced_is_refused(make, arguments, reason):
    with pytest.raises(UnsupportedInputError, match=reason):
        make(WITH_TOOLS).chat_with_tools([ADD], "hi", **arguments)
    assert not make.requests


def test_a_tool_without_parameters_and_one_with_nested_ones_keep_their_schemas(make):
    """$defs, required and descriptions inside ``parameters``."""

    class Place(BaseModel):
        city: str

    def find(place: Place, deep: bool = False) -> str:
        """Find a place."""
        return f"{place}{deep}"

    tools = [NOW, FunctionTool.from_defaults(fn=find)]
    make(WITH_TOOLS).chat_with_tools(tools, "hi")
    sent = make.body["parameters"]["tools"]
    assert sent == [tool.metadata.to_openai_tool() for tool in tools]
    assert "Place" in sent[1]["function"]["parameters"]["$defs"]
    assert sent[1]["function"]["parameters"]["required"] == ["place"]


def test_chatting_with_no_tools_is_chatting(make):
    """An agent whose tools have all gone says nothing of tools."""
    llm = make(WITH_TOOLS, Answer("Hello"))
    answer = llm.chat_with_tools([], "hi", allow_parallel_tool_calls=True)
    assert answer.message.content == "Hello"
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(make.body["parameters"])


def test_tools_for_a_model_without_are_refused(make):
    with pytest.raises(UnsupportedInputError, match="no tools"):
        make(CHAT).chat_with_tools([NOW], "hi")


def test_tool_arguments_may_arrive_in_any_pieces(make):
    """Calls can be read at every chunk; white space inside is kept."""
    pieces = ('{"a": ', '"x y', ' z", "b"', ': "é\\n"}')
    calls = (
        ToolCall(id="1", name="add", index=0),
        *(ToolCall(arguments=p, index=0) for p in pieces),
    )
    llm = make(WITH_TOOLS, Answer(tool_calls=calls))
    chunks = list(llm.stream_chat_with_tools([ADD], "hi"))
    read = [llm.get_tool_calls_from_response(c, error_on_no_tool_call=False) for c in chunks]
    assert read[-1][0].tool_kwargs == {"a": "x y z", "b": "é\n"}
    assert read[-1][0].tool_id == "1"
    assert all(len(selected) <= 1 for selected in read)


@pytest.mark.parametrize("arguments", ['{"a": 1, "b": 2,}', "{'a': 1, 'b': 2}"])
def test_untidy_arguments_of_a_tool_are_read(make, arguments):
    """As LlamaIndex's own parsers do; one comma should not end an agent's run."""
    call = ToolCall(id="1", name="add", arguments=arguments, index=0)
    llm = make(WITH_TOOLS, Answer(tool_calls=(call,)))
    (selected,) = llm.get_tool_calls_from_response(llm.chat_with_tools([ADD], "hi"))
    assert selected.tool_kwargs == {"a": 1, "b": 2}


@pytest.mark.parametrize("arguments", ["null", "[]", " "])
def test_what_models_write_for_no_arguments_is_none(make, arguments):
    """In an answer, and in a message of the user's own."""
    call = ToolCall(id="1", name="now", arguments=arguments, index=0)
    answer = make(WITH_TOOLS, Answer(tool_calls=(call,))).chat_with_tools([ADD], "hi")
    listed = {"id": "1", "function": {"name": "now", "arguments": arguments}}
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [listed]})
    own = ChatResponse(message=message, additional_kwargs={"finish_reason": "stop"})
    for response in (answer, own):
        (selected,) = make(WITH_TOOLS).get_tool_calls_from_response(response)
        assert selected.tool_kwargs == {}


NOT_WHOLE = (
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
)


def test_a_tool_is_not_called_with_arguments_that_broke_off():
    """An agent would run it with its defaults, which nobody asked for."""
    for arguments in NOT_WHOLE:
        output = calling((0, "1", "now", arguments), finish="tool_calls")
        llm = model_over(whole(output), WITH_TOOLS)
        response = llm.chat_with_tools([NOW], "hi")
        with pytest.raises(UnreadableAnswerError, match=r"called now with .* not a complete JSON"):
            llm.get_tool_calls_from_response(response)


def test_a_tool_call_without_arguments_is_one_with_none():
    for arguments in ("", "null", "{}", None):
        output = calling((0, "1", "now", arguments), finish="tool_calls")
        llm = model_over(whole(output), WITH_TOOLS)
        (selected,) = llm.get_tool_calls_from_response(llm.chat_with_tools([NOW], "hi"))
        assert (selected.tool_name, selected.tool_kwargs) == ("now", {})


def test_no_tool_call_is_an_error_if_one_was_asked_for(make):
    llm = make(WITH_TOOLS, Answer("No."))
    response = llm.chat_with_tools([ADD], "hi")
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(response)


BOTH = (0, "c1", "add", '{"a": 1, "b": 2}'), (1, "c2", "add", '{"a": 3, "b": 4}')


PARALLEL = {
    "whole": (calling(*BOTH),),
    "whole without index": (calling(*((None, *call[1:]) for call in BOTH)),),
    "one after the other": (
        calling((0, "c1", "add", "")),
        calling((0, "", None, '{"a": 1,')),
        calling((0, None, "", ' "b": 2}')),
        calling((1, "c2", "add", '{"a"')),
        calling((1, "", "", ': 3, "b": 4}')),
    ),
    "in turn": (
        calling((0, "c1", "add", '{"a":'), (1, "c2", "add", '{"a": 3')),
        calling((1, None, None, ', "b": 4}')),
        calling((0, None, None, ' 1, "b": 2}')),
    ),
    "without index": (
        calling((None, "c1", "add", '{"a": 1')),
        calling((None, None, None, ', "b": 2}')),
        calling((None, "c2", "add", '{"a": 3')),
        calling((None, "", "", ', "b": 4}')),
    ),
    "id in every piece": (
        calling((None, "c1", "add", '{"a": 1')),
        calling((None, "c1", "add", ', "b": 2}')),
        calling((1, "c2", "add", '{"a": 3')),
        calling((1, "c2", "add", ', "b": 4}')),
    ),
}


@pytest.mark.parametrize("pieces", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("ask", ["stream_chat", "astream_chat"], indirect=True)
def test_two_calls_at_once_are_the_same_streamed_or_not(ask, pieces):
    """Whatever pieces say of place, id and name."""
    at_once = model_over(whole(calling(*BOTH, finish="tool_calls"))).chat([ChatMessage("hi")])
    llm = model_over(streamed(*pieces, calling(finish="tool_calls")), WITH_TOOLS)
    last = ask(llm, "hi").last
    assert last.message == at_once.message
    assert [
        (call.tool_id, call.tool_name, call.tool_kwargs)
        for call in llm.get_tool_calls_from_response(last)
    ] == [("c1", "add", {"a": 1, "b": 2}), ("c2", "add", {"a": 3, "b": 4})]


def test_of_several_calls_the_first_is_kept_where_only_one_may_be(make):
    """Whoever calls one tool sends its result back with this message, which holds one call."""
    calls = (
        ToolCall(id="c1", name="now", arguments="{}", index=0),
        ToolCall(id="c2", name="add", arguments="{}", index=1),
    )
    llm = make(WITH_TOOLS, Answer("I look.", tool_calls=calls))
    with pytest.warns(DashScopeWarning, match="only its call of now is taken, not that of add"):
        message = llm.chat_with_tools([ADD, NOW], "hi").message
    assert message.content == "I look."
    assert [call["id"] for call in message.additional_kwargs["tool_calls"]] == ["c1"]
    llm.chat([ChatMessage("hi"), message, ChatMessage("well", role="tool")], tools=[])
    turn = make.requests[-1].body["input"]["messages"][1]
    assert [call["id"] for call in turn["tool_calls"]] == ["c1"]


def test_of_several_calls_that_are_streamed_the_first_is_kept_too(make):
    calls = tuple(ToolCall(id=f"c{n}", name="now", arguments="{}", index=n) for n in range(2))
    llm = make(WITH_TOOLS, Answer(tool_calls=calls))
    with pytest.warns(DashScopeWarning, match="only its call of now is taken"):
        responses = list(llm.stream_chat_with_tools([NOW], "hi"))
    assert [call.tool_id for call in llm.get_tool_calls_from_response(responses[-1])] == ["c0"]
    every = list(llm.stream_chat_with_tools([NOW], "hi", allow_parallel_tool_calls=True))
    assert len(llm.get_tool_calls_from_response(every[-1])) == 2
