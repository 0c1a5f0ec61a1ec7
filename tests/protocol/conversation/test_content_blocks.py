"""Blocks of content as frameworks and other providers write them."""

from __future__ import annotations

import pytest

from dashscope_oss import DashScopeWarning, ToolCall
from dashscope_oss.protocol.conversation import content_blocks
from dashscope_oss.protocol.conversation.content_blocks import (
    block_call,
    block_result,
    block_text,
    block_thoughts,
    block_use,
    unlisted_calls,
    warn_of_left_out,
)


@pytest.mark.parametrize(
    ("block", "use"),
    [
        ({"type": "text", "text": "a"}, "text"),
        ({"type": "output_text", "text": "a"}, "text"),
        ({"text": "a"}, "text"),
        ({"type": "somebody's", "text": "a"}, "text"),
        ({"type": "refusal", "refusal": "a"}, "text"),
        ({"type": "thinking", "thinking": "a"}, "thoughts"),
        ({"type": "tool_use", "name": "f"}, "call"),
        ({"type": "image", "url": "u"}, "file"),
        ({"type": "tool_result", "tool_use_id": "c"}, "result"),
        ({"type": "server_tool_use"}, None),
        ({"type": 7}, None),
    ],
)
def test_what_a_block_is(block, use):
    assert block_use(block) == use


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "refusal", "refusal": "a"}, "a"),
        ({"text": 7}, None),
        ({"type": "text"}, None),
    ],
)
def test_the_text_of_a_block(block, text):
    assert block_text(block) == text


@pytest.mark.parametrize(
    ("block", "thoughts"),
    [
        ({"type": "reasoning", "reasoning": "a"}, "a"),
        ({"type": "thinking", "thinking": "a", "signature": "s"}, "a"),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"text": "b"}]}, "ab"),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}, "a"),
        ({"type": "reasoning_content", "reasoning_content": {"text": "a", "signature": "s"}}, "a"),
        ({"type": "reasoning", "encrypted_content": "x", "summary": []}, ""),
        ({"type": "thinking", "thinking": None}, ""),
    ],
)
def test_thoughts_in_the_forms_of_several_makers(block, thoughts):
    assert block_thoughts(block) == thoughts


@pytest.mark.parametrize(
    ("block", "call"),
    [
        ({"type": "tool_call", "id": "c", "name": "f", "args": {}}, ToolCall("c", "f", "{}")),
        ({"type": "tool_use", "id": "c", "name": "f", "input": {}}, ToolCall("c", "f", "{}")),
        (
            {"id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
            ToolCall("c", "f", '{"a": 1}'),
        ),
        ({"callId": "c", "id": "fc", "name": "f"}, ToolCall("c", "f", "{}")),
        ({"name": "f", "arguments": "{}"}, ToolCall("", "f", "{}")),
        ({"name": "f", "id": 7}, ToolCall("", "f", "{}")),
        ({"toolUseId": "c", "name": "f", "input": {"a": 1}}, ToolCall("c", "f", '{"a": 1}')),
        ({"name": "f", "parameters": {"a": 1}}, ToolCall("", "f", '{"a": 1}')),
        ({"type": "tool_use", "id": "c"}, None),
    ],
)
def test_a_call_in_the_forms_of_several_makers(block, call):
    assert block_call(block) == call


CALL = ToolCall("c", "f", '{"a": 1}')


@pytest.mark.parametrize(
    ("call", "is_listed"),
    [
        (CALL, True),
        (ToolCall("c", "f", "{"), True),
        (ToolCall("other", "f", '{"a": 1}'), True),
        (ToolCall("", "f", '{"a": '), True),
        (ToolCall("other", "f", "{}"), False),
        (ToolCall("", "g", "{}"), False),
    ],
)
def test_a_call_that_a_message_holds_twice_is_known_by_its_id_its_words_or_its_place(
    call, is_listed
):
    assert unlisted_calls([call], [CALL]) == (() if is_listed else (call,))


def test_a_further_call_without_an_id_is_no_repeated_one():
    further = ToolCall("", "f", '{"a": 2}')
    assert unlisted_calls([CALL, further], [CALL]) == (further,)


@pytest.mark.parametrize(
    ("block", "result"),
    [
        ({"type": "tool_result", "tool_use_id": "c", "content": "3"}, ("c", "3")),
        ({"type": "function_call_output", "call_id": "c", "output": "3"}, ("c", "3")),
        ({"type": "tool_result"}, ("", "")),
    ],
)
def test_a_result_in_the_forms_of_several_makers(block, result):
    assert block_result(block) == result


def test_two_calls_that_differ_in_their_ids_alone_are_two():
    again = ToolCall("c2", "f", '{"a": 1}')
    assert unlisted_calls([CALL, again], [CALL]) == (again,)
    assert unlisted_calls([CALL, again], [again, CALL]) == ()


def test_blocks_that_only_their_maker_can_read_are_named_once(monkeypatch):
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    with pytest.warns(DashScopeWarning, match="m: content blocks of type 'web_search_call'"):
        warn_of_left_out("web_search_call", "m")
    warn_of_left_out("web_search_call", "m")  # a second warning would be an error here
