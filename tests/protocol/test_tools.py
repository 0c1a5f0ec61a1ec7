"""Tools in OpenAI's form: what is read and written, and which tool a call is made to call."""

import warnings

import pytest

from dashscope_oss import DashScopeWarning, ToolCall, UnsupportedInputError
from dashscope_oss.protocol.tools import (
    forced,
    function_name,
    has_function,
    read_tool_call,
    tool_choice,
    write_tool_calls,
)


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


ADD, NOW = tool("add"), tool("now")


def test_a_written_call_is_read_back_as_it_was():
    call = ToolCall(id="c1", name="add", arguments='{"a": 1}')
    assert read_tool_call(write_tool_calls([call])[0]) == call


@pytest.mark.parametrize(
    ("wire", "read"),
    [
        ({}, ToolCall()),
        ({"function": None, "id": None}, ToolCall()),
        ({"id": 5, "function": {"name": ["x"], "arguments": None}}, ToolCall()),
        ({"function": {"arguments": {"a": 1}}}, ToolCall(arguments='{"a":1}')),
        ({"function": {"arguments": []}}, ToolCall(arguments="[]")),
        ({"index": 2}, ToolCall(index=2)),
        ({"index": "3"}, ToolCall(index=3)),
        ({"index": True}, ToolCall()),
        ({"index": "x"}, ToolCall()),
    ],
)
def test_what_a_call_lacks_is_empty(wire, read):
    assert read_tool_call(wire) == read


def test_the_reader_of_a_call_decides_about_values_that_are_no_text():
    with pytest.raises(ZeroDivisionError):
        read_tool_call({"id": 5}, lambda _: 1 // 0)


@pytest.mark.parametrize(
    ("value", "is_function", "name"),
    [
        (ADD, True, "add"),
        (forced("add"), True, "add"),
        ({"function": {"name": 5}}, True, None),
        ({"function": "add"}, False, None),
        ("add", False, None),
        (None, False, None),
    ],
)
def test_what_is_a_function_in_openais_form(value, is_function, name):
    assert has_function(value) is is_function
    assert function_name(value) == name


@pytest.mark.parametrize(
    ("choice", "tools", "sent"),
    [
        (None, [ADD], None),
        ("", [ADD], None),
        (False, [ADD], None),
        ("auto", [ADD], "auto"),
        ("none", [ADD], "none"),
        ("add", [ADD, NOW], forced("add")),
        (forced("now"), [ADD, NOW], forced("now")),
        ({"type": "web_search"}, [ADD], {"type": "web_search"}),
        ("any", [ADD], forced("add")),
        ("required", [ADD], forced("add")),
        (True, [ADD], forced("add")),
        ({"type": "any"}, [ADD], forced("add")),
        ({"type": "auto"}, [ADD, NOW], "auto"),
        ({"type": "tool", "name": "now"}, [ADD, NOW], forced("now")),
        ({"type": "function", "name": "now"}, [ADD, NOW], forced("now")),
        ({"type": "any", "other": 1}, [ADD], {"type": "any", "other": 1}),
    ],
)
def test_a_choice_becomes_auto_none_or_one_named_tool(choice, tools, sent):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tool_choice(choice, tools, "m") == sent


@pytest.mark.parametrize("choice", ["any", "required", True])
@pytest.mark.parametrize("tools", [[ADD, NOW], [{"type": "web_search"}]])
def test_any_of_several_tools_cannot_be_forced_and_is_left_to_the_model(choice, tools):
    with pytest.warns(DashScopeWarning, match="m: the service cannot force a call of any of"):
        assert tool_choice(choice, tools, "m") == "auto"


@pytest.mark.parametrize(
    ("choice", "shown"),
    [("subtract", "'subtract'"), (forced("subtract"), "'subtract'"), (5, "tool_choice 5")],
)
def test_a_choice_that_is_none_of_the_tools_is_refused(choice, shown):
    with pytest.raises(UnsupportedInputError, match=f"{shown} names none of the tools add, now"):
        tool_choice(choice, [ADD, NOW], "m")
