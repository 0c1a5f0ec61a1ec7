"""Blocks of content as frameworks and other providers write them."""

from __future__ import annotations

import pytest

from dashscope_oss import DashScopeWarning, ToolCall
from dashscope_oss.protocol.conversation import content_blocks
from dashscope_oss.protocol.conversation.content_blocks import (
    block_call,
    block_text,
    block_thoughts,
    block_use,
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
        ({"name": "f", "arguments": "{}"}, ToolCall("", "f", "{}")),
        ({"name": "f", "id": 7}, ToolCall("", "f", "{}")),
        ({"type": "tool_use", "id": "c"}, None),
    ],
)
def test_a_call_in_the_forms_of_several_makers(block, call):
    assert block_call(block) == call


def test_blocks_that_only_their_maker_can_read_are_named_once(monkeypatch):
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    with pytest.warns(DashScopeWarning, match="m: content blocks of type 'web_search_call'"):
        warn_of_left_out("web_search_call", "m")
    warn_of_left_out("web_search_call", "m")  # a second warning would be an error here
