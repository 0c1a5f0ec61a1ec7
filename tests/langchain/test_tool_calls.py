"""Tools: how a model is given them, and which of its calls are calls."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import reduce
from operator import add

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.tools import tool

from dashscope_oss import DashScopeWarning, ToolCall, find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.messages import Delta, Reply
from langchain_dashscope_oss._convert import ChunkConverter, to_chat_result
from langchain_dashscope_oss.errors import UnsupportedInputError

from .calling import PATHS, THINKER, call, call_each_way, clock, offline, weather

pytestmark = pytest.mark.versions

FORCED = {"type": "function", "function": {"name": "weather"}}


@tool
def remove(path: str) -> str:
    """Remove a file."""
    return path


def removing(arguments, *others, finish_reason="tool_calls"):
    calls = (ToolCall("c1", "remove", arguments, index=0), *others)
    return Answer("", tool_calls=calls, finish_reason=finish_reason)


# Given to a model.


def test_langchains_choices_of_a_tool_go_in_the_services_words(subtests):
    llm = offline(model=THINKER)
    for choice, sent in [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", FORCED),
        ("required", FORCED),
        (True, FORCED),
        ("weather", FORCED),
        (FORCED, FORCED),
    ]:
        with subtests.test(choice=choice):
            bound = llm.bind_tools([weather], tool_choice=choice).kwargs
            assert bound.get("tool_choice") == sent
            assert "enable_thinking" not in bound


def test_more_arguments_are_bound_and_the_callers_words_win():
    bound = (
        offline(model=THINKER)
        .bind_tools(
            [weather],
            strict=True,
            parallel_tool_calls=True,
            tool_choice="any",
            enable_thinking=False,
        )
        .kwargs
    )
    assert bound["tools"][0]["function"]["strict"] is True
    assert bound["parallel_tool_calls"] is True
    assert bound["enable_thinking"] is False


def test_a_tool_that_is_not_there_cannot_be_chosen():
    with pytest.raises(UnsupportedInputError, match="none of the tools weather"):
        offline(model=THINKER).bind_tools([weather], tool_choice="wether")


def test_any_of_several_tools_is_left_to_the_model_with_a_warning_at_the_callers_line():
    with pytest.warns(DashScopeWarning, match="cannot force") as caught:
        bound = offline(model=THINKER).bind_tools([weather, clock], tool_choice="any").kwargs
    assert bound["tool_choice"] == "auto"
    assert caught[0].filename == __file__


def test_a_model_without_tools_refuses_them_unless_its_record_is_overridden():
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        offline().bind_tools([weather])
    able = replace(find_model("llama3-8b-instruct"), tools=True)
    assert offline(model_info=able).bind_tools([weather])


def test_tools_given_to_a_call_are_refused_too(chat):
    llm, engine = chat(Answer("never"))
    with pytest.raises(UnsupportedInputError, match="knows no tools"):
        llm.invoke("Hi", tools=[FORCED])
    assert engine.requests == []


def test_tools_are_those_of_the_model_that_the_call_names(chat):
    llm, engine = chat(Answer("ok"))
    llm.bind_tools([remove], model_name=THINKER).invoke("Hi")
    assert engine.requests[-1].body["model"] == THINKER


# Called by a model.


@PATHS
async def test_parallel_calls_come_back_in_order_with_their_ids(chat, path):
    """One has no arguments."""
    calls = (ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0), ToolCall("c2", "clock", "", 1))
    llm, engine = chat(Answer(tool_calls=calls), model=THINKER)
    message = await call(llm.bind_tools([weather, clock]), path)
    assert [(c["name"], c["args"], c["id"]) for c in message.tool_calls] == [
        ("weather", {"city": "Hangzhou"}, "c1"),
        ("clock", {}, "c2"),
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    sent = engine.requests[-1].body["parameters"]["tools"]
    assert [t["function"]["name"] for t in sent] == ["weather", "clock"]


def test_a_tools_result_goes_back_with_the_call(chat):
    llm, engine = chat(
        Answer(tool_calls=(ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0),)),
        Answer("It rains."),
        model=THINKER,
    )
    with_tools = llm.bind_tools([weather])
    asked = with_tools.invoke("Weather?")
    result = weather.invoke(asked.tool_calls[0])
    assert with_tools.invoke([HumanMessage("Weather?"), asked, result]).text == "It rains."
    _, called, answer = engine.requests[-1].body["input"]["messages"]
    assert called["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city": "Hangzhou"}',
    }
    assert answer == {"role": "tool", "content": "rain in Hangzhou", "tool_call_id": "c1"}


@pytest.mark.parametrize("arguments", ['{"path": "a"}', "", "  ", '{"path": "a\nb"}'])
async def test_a_whole_call_is_the_same_by_every_path(chat, arguments):
    """Raw line breaks and nothing at all are read alike, streamed or not."""
    llm, _ = chat(removing(arguments), model=THINKER)
    for answer in await call_each_way(llm.bind_tools([remove])):
        (whole,) = answer.tool_calls
        assert whole["args"] == (json.loads(arguments, strict=False) if arguments.strip() else {})
        assert answer.invalid_tool_calls == []


@pytest.mark.parametrize("arguments", ["null", "[]"])
async def test_what_models_write_for_no_arguments_is_none_by_every_path(chat, arguments):
    llm, _ = chat(removing(arguments), model=THINKER)
    for answer in await call_each_way(llm.bind_tools([remove])):
        assert [call["args"] for call in answer.tool_calls] == [{}]


CUT_OFF = [
    '{"path": "/data/me/o',
    "{",
    "remove it",
    '{"path": "a\\',
    '{"path": "a\\\\',
    '{"path": ["a", ',
    '{"path": ["a"',
    '{"path": {"a": "b"',
    '{"path"',
    '{"path": 1',
    '{"path": 1} and',
    "[1]",
    "[] or null",
    '{"a": "x\ny',
]


@pytest.mark.parametrize("arguments", CUT_OFF[:3])
async def test_a_call_that_was_cut_off_is_no_call_by_every_path(chat, arguments):
    """LangChain completes the JSON of a stream: half a file name would be a file name."""
    llm, _ = chat(removing(arguments, finish_reason="length"), model=THINKER)
    for answer in await call_each_way(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        (broken,) = answer.invalid_tool_calls
        assert (broken["name"], broken["id"]) == ("remove", "c1")
        assert broken["args"] == arguments


def test_arguments_with_line_breaks_become_strict_json_however_they_are_cut_up(subtests):
    text = '{"a\\\\":\n"b\n\\"c\\\\\t", "d": "\\n"}'
    for size in range(1, len(text)):
        with subtests.test(size=size):
            converter = ChunkConverter(THINKER)
            pieces = [text[start : start + size] for start in range(0, len(text), size)]
            calls = [ToolCall("", "", piece, index=0) for piece in pieces]
            chunks = [converter.push(Delta(tool_calls=(call,))).message for call in calls]
            written = "".join(chunk.tool_call_chunks[0]["args"] for chunk in chunks)
            assert json.loads(written) == json.loads(text, strict=False)


async def test_a_call_that_was_cut_off_is_an_invalid_block_of_content_by_every_path(chat):
    """And holds what came; a call beside it is whole."""
    cut = ToolCall("c2", "remove", CUT_OFF[0], index=1)
    both = removing('{"path": "a"}', cut)
    llm, _ = chat(replace(both, text="So:"), model=THINKER, output_version="v1")
    for answer in await call_each_way(llm.bind_tools([remove])):
        text, call, broken = answer.content
        assert text["text"] == "So:"
        assert (call["type"], call["args"]) == ("tool_call", {"path": "a"})
        assert (broken["type"], broken["args"]) == ("invalid_tool_call", CUT_OFF[0])
        assert (broken["id"], broken["name"]) == ("c2", "remove")


def test_arguments_that_are_no_whole_object_are_no_call(subtests):
    for arguments in CUT_OFF:
        with subtests.test(arguments):
            reply = Reply(
                text="", tool_calls=(ToolCall("c1", "remove", arguments),), finish_reason="length"
            )
            answer = to_chat_result(reply, "m").generations[0].message
            assert answer.tool_calls == []
            assert [call["args"] for call in answer.invalid_tool_calls] == [arguments]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
async def test_a_call_with_a_number_that_json_lacks_is_no_call(chat, number):
    """The tool would run, and the next turn could not be sent."""
    llm, _ = chat(removing(f'{{"path": {number}}}'), model=THINKER)
    for answer in await call_each_way(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        assert [call["name"] for call in answer.invalid_tool_calls] == ["remove"]


async def test_a_call_nested_too_deeply_to_read_is_no_call(chat):
    llm, _ = chat(removing("[" * 100_000), model=THINKER)
    for answer in await call_each_way(llm.bind_tools([remove])):
        assert answer.tool_calls == []
        assert [call["name"] for call in answer.invalid_tool_calls] == ["remove"]


def converted(*deltas):
    """The message that LangChain adds up of these deltas."""
    converter = ChunkConverter("m")
    return reduce(add, map(converter.push, deltas)).message


def test_pieces_of_calls_are_put_together_before_each_is_judged(subtests):
    """Letter by letter, beside a whole call."""
    good = ToolCall("c1", "remove", '{"path": "a"}', index=0)
    for arguments in CUT_OFF:
        with subtests.test(arguments):
            parts = [
                ToolCall("c2" if n == 0 else "", "remove" if n == 0 else "", letter, index=1)
                for n, letter in enumerate(arguments)
            ]
            answer = converted(
                *(Delta(tool_calls=(part,)) for part in (good, *parts)),
                Delta(finish_reason="length", last=True),
            )
            assert [call["id"] for call in answer.tool_calls] == ["c1"]
            invalid = [(call["id"], call["args"]) for call in answer.invalid_tool_calls]
            assert invalid == [("c2", arguments)]


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_broken_call_stays_broken_however_langchain_adds_up_and_copies_pieces(pieces):
    cut = '{"path": "/data/me/o'
    converter = ChunkConverter("m")
    deltas = [Delta(text="a") for _ in range(pieces - 1)]
    last = Delta(tool_calls=(ToolCall("c", "f", cut, 0),), finish_reason="length", last=True)
    chunks = [converter.push(delta) for delta in (*deltas, last)]
    whole = message_chunk_to_message((chunks[0] + chunks[1:]).message)
    assert type(whole) is AIMessage
    one_by_one = reduce(add, [chunk.message for chunk in chunks])
    assert dumpd(chunks[-1].message)["id"][-1] == "AIMessageChunk"
    for answer in (whole, one_by_one, message_chunk_to_message(one_by_one), chunks[-1].message):
        assert [call["args"] for call in answer.invalid_tool_calls] == [cut]
    for answer in (whole, one_by_one, AIMessageChunk(**dict(one_by_one))):
        assert answer.tool_calls == []
        assert len(answer.invalid_tool_calls) == 1


def test_calls_in_the_last_piece_of_an_answer_are_judged_each_by_itself():
    cut = ToolCall("c1", "remove", '{"path": "/data/me/o', index=0)
    good = ToolCall("c2", "remove", '{"path": "a"}', index=1)
    answer = converted(Delta(tool_calls=(cut, good), finish_reason="length", last=True))
    assert [call["id"] for call in answer.tool_calls] == ["c2"]
    assert [call["id"] for call in answer.invalid_tool_calls] == ["c1"]


def test_calls_without_an_index_are_told_apart():
    """A call that begins has an id; a piece without one belongs to the call before it."""
    calls = [ToolCall("c1", "f", '{"a":'), ToolCall("", "", "1}"), ToolCall("c2", "g", "{}")]
    answer = converted(*(Delta(tool_calls=(call,)) for call in calls), Delta(last=True))
    assert [(call["id"], call["args"]) for call in answer.tool_calls] == [
        ("c1", {"a": 1}),
        ("c2", {}),
    ]
