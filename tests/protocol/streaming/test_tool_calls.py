"""Pieces of streamed tool calls: each gets the index of its call, once its id and name."""

import pytest

from dashscope_oss import ProtocolError, ToolCall
from dashscope_oss.protocol.streaming.deltas import join_tool_calls
from dashscope_oss.protocol.streaming.incremental import Regime
from dashscope_oss.protocol.streaming.tool_calls import ToolCallAssembler


def piece(index=None, id="", name="", arguments=""):
    return ToolCall(id, name, arguments, index)


def assembled(*pieces, mode="incremental"):
    calls = ToolCallAssembler(Regime(mode))
    return [calls.push(each) for each in pieces]


FORMS = {
    "as OpenAI streams them": [
        piece(0, "c1", "add", "{"),
        piece(1, "c2", "sub", "["),
        piece(0, arguments="}"),
        piece(1, arguments="]"),
    ],
    "id and name in every piece": [
        piece(0, "c1", "add", "{"),
        piece(0, "c1", "add", "}"),
        piece(1, "c2", "sub", "["),
        piece(1, "c2", "sub", "]"),
    ],
    "all of index 0": [
        piece(0, "c1", "add", "{"),
        piece(0, arguments="}"),
        piece(0, "c2", "sub", "["),
        piece(0, arguments="]"),
    ],
    "all of index 0, in turns": [
        piece(0, "c1", "add", "{"),
        piece(0, "c2", "sub", "["),
        piece(0, "c1", arguments="}"),
        piece(0, "c2", arguments="]"),
    ],
    "no index, in turns": [
        piece(None, "c1", "add", "{"),
        piece(None, "c2", "sub", "["),
        piece(None, "c1", arguments="}"),
        piece(None, "c2", arguments="]"),
    ],
    "no index": [
        piece(None, "c1", "add", "{"),
        piece(arguments="}"),
        piece(None, "c2", "sub", "["),
        piece(None, "c2", arguments="]"),
    ],
    "an index from the second piece on": [
        piece(None, "c1", "add", "{"),
        piece(0, arguments="}"),
        piece(1, "c2", "sub", "["),
        piece(arguments="]"),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_two_calls_are_told_apart_however_an_engine_counts_them(form):
    assert join_tool_calls(assembled(*FORMS[form])) == (
        ToolCall("c1", "add", "{}", 0),
        ToolCall("c2", "sub", "[]", 1),
    )


@pytest.mark.parametrize("form", FORMS)
def test_id_and_name_of_a_call_come_once(form):
    """Who joins pieces may add them up."""
    pieces = assembled(*FORMS[form])
    assert "".join(each.id for each in pieces) == "c1c2"
    assert "".join(each.name for each in pieces) == "addsub"


def test_whole_calls_of_one_tool_under_one_index_are_several():
    """As Ollama's are behind some proxies: without ids."""
    calls = assembled(piece(0, "", "f", '{"a": 1}'), piece(0, "", "f", '{"a": 2}'))
    assert [(call.index, call.arguments) for call in calls] == [(0, '{"a": 1}'), (1, '{"a": 2}')]


@pytest.mark.parametrize("last", [piece(0, arguments='{"a": 1}'), piece(0, "", "f", '{"a": 1}')])
def test_a_last_piece_that_holds_all_arguments_once_more_adds_nothing(last):
    calls = assembled(piece(0, "c", "f", '{"a"'), piece(0, arguments=": 1}"), last)
    assert "".join(call.arguments for call in calls) == '{"a": 1}'


@pytest.mark.parametrize("none", ["null", "[]", " null "])
def test_what_models_write_for_no_arguments_is_none(none):
    (call,) = assembled(piece(0, "c", "f", none))
    assert call.arguments == ""


def test_a_null_inside_of_arguments_stays():
    calls = assembled(
        piece(0, "c", "f", '{"a": '), piece(0, arguments="null"), piece(0, "", "", "}")
    )
    assert "".join(call.arguments for call in calls) == '{"a": null}'


def test_calls_without_an_id_are_told_apart_by_their_names():
    calls = assembled(piece(name="add"), piece(arguments="{}"), piece(name="sub"))
    assert [call.index for call in calls] == [0, 0, 1]


def test_the_name_of_a_call_may_come_after_its_first_piece():
    calls = assembled(piece(0, "c"), piece(0, name="f", arguments="{"), piece(0, name="f"))
    assert [call.name for call in calls] == ["", "f", ""]


def test_the_id_of_a_call_may_come_after_its_first_piece():
    calls = assembled(piece(0, name="f"), piece(0, id="c", arguments="{"), piece(0, id="c"))
    assert [(call.index, call.id) for call in calls] == [(0, ""), (0, "c"), (0, "")]


def test_a_first_piece_without_index_id_or_name_begins_a_call():
    assert assembled(piece(arguments="{"))[0].index == 0


def test_an_index_that_another_call_has_is_not_given_twice():
    """Stated indices and missing ones in one answer."""
    calls = assembled(piece(1, "c1", "add"), piece(None, "c2", "sub"), piece(None, "c3", "mul"))
    assert [call.index for call in calls] == [1, 2, 3]


def test_arguments_so_far_become_new_arguments():
    calls = assembled(
        piece(0, "c", "f", "{"), piece(0, arguments='{"a"'), piece(0), mode="cumulative"
    )
    assert [call.arguments for call in calls] == ["{", '"a"', ""]
    with pytest.raises(ProtocolError, match="changed text"):
        assembled(piece(0, "c", "f", "{"), piece(0, arguments="["), mode="cumulative")


@pytest.mark.parametrize("mode", ["expected", "unknown", "unasked"])
@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (["", "{", '{"city": "Pa', '{"city": "Paris"}'], ["", "{", '"city": "Pa', 'ris"}']),
        (["{}", "{}"], ["{}", ""]),
        (['{"a": ', "1", "1", "}"], ['{"a": ', "1", "1", "}"]),
        (["a", "ab"], ["a", "ab"]),
    ],
    ids=["so far", "the same", "new", "no object"],
)
def test_arguments_show_by_themselves_whether_they_are_so_far(mode, arguments, added):
    calls = assembled(piece(0, "c", "f"), *(piece(0, arguments=a) for a in arguments), mode=mode)
    assert [call.arguments for call in calls[1:]] == added


def test_it_counts_the_calls_and_knows_whether_all_are_named():
    calls = ToolCallAssembler()
    assert (calls.count, calls.are_named) == (0, True)
    calls.push(piece(0, "c1"))
    assert (calls.count, calls.are_named) == (1, False)
    calls.push(piece(0, name="f"))
    assert (calls.count, calls.are_named) == (1, True)


@pytest.mark.parametrize(
    ("piece", "added"),
    [
        (ToolCall("a", "f", '{"x": 1}', 0), ""),
        (ToolCall("a", "", '{"x":1}', 0), ""),
        (ToolCall("a", "f", '"{\\"x\\": 1}"', 0), ""),
        (ToolCall("a", "f", '{"x": 2}', 0), '{"x": 2}'),
        (ToolCall("", "", '{"x": 1}', 0), ""),
        (ToolCall("", "", '{"x": 2}', 0), '{"x": 2}'),
    ],
)
def test_all_arguments_once_more_under_the_calls_id_add_nothing(piece, added):
    """Some proxies repeat a whole call behind its last piece."""
    assembler = ToolCallAssembler()
    for arguments in ('{"x":', " 1}"):
        assembler.push(ToolCall("a", "f", arguments, 0))
    assert assembler.push(piece).arguments == added
