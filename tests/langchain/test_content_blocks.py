"""Standard content blocks: in messages, in LangChain's event streams, and sent back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from dashscope_oss import ToolCall, Usage
from dashscope_oss.gateway import Answer

from .calling import THINKER, call, weather

pytestmark = pytest.mark.versions

CALL = ToolCall("c1", "weather", '{"city": "Hangzhou"}', 0)
ANSWERS = {
    "text": Answer(pieces=("Hel", "lo"), usage=Usage(7, 5, 12)),
    "reasoning": Answer("42", reasoning="six times seven", usage=Usage(7, 5, 12)),
    "calls": Answer(
        pieces=("I", " look."),
        reasoning="where?",
        tool_calls=(CALL, replace(CALL, id="c2", index=1)),
        usage=Usage(7, 5, 12),
    ),
}
BLOCKS = {
    "text": ["text"],
    "reasoning": ["reasoning", "text"],
    "calls": ["reasoning", "text", "tool_call", "tool_call"],
}


def types_of(message):
    return [block["type"] for block in message.content_blocks]


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("path", ["stream_events", "astream_events"])
async def test_events_of_the_third_version_are_well_formed_and_have_all_blocks(chat, kind, path):
    llm, _ = chat(ANSWERS[kind], model=THINKER)
    bound = llm.bind_tools([weather])
    if path == "stream_events":
        stream = bound.stream_events("Hi", version="v3")
        assert_valid_event_stream(list(stream))
        message = stream.output
    else:
        stream = await bound.astream_events("Hi", version="v3")
        assert_valid_event_stream([event async for event in stream])
        message = await stream.output
    assert types_of(message) == BLOCKS[kind]
    assert message.response_metadata["model_name"] == THINKER
    assert message.usage_metadata["output_tokens"] == 5


async def test_a_line_break_in_an_argument_is_no_broken_call_in_such_events(chat):
    """Models write it as it is."""
    arguments = '{"city":\n"Hang\nzhou \\"\t\\\\"}'
    llm, _ = chat(Answer(tool_calls=(replace(CALL, arguments=arguments),)), model=THINKER)
    message = llm.bind_tools([weather]).stream_events("Hi", version="v3").output
    assert [call["args"] for call in message.tool_calls] == [{"city": 'Hang\nzhou "\t\\'}]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *(("text", "invoke"), ("reasoning", "astream")),
        *(("calls", path) for path in ("invoke", "ainvoke", "stream", "astream")),
    ],
)
async def test_a_message_whose_content_is_blocks_can_be_sent_back(chat, kind, path):
    """That is what ``output_version="v1"`` makes."""
    llm, engine = chat(ANSWERS[kind], Answer("ok"), model=THINKER, output_version="v1")
    message = await call(llm.bind_tools([weather]), path)
    assert isinstance(message.content, list)
    assert types_of(message) == BLOCKS[kind]
    results = [ToolMessage("rain", tool_call_id=call["id"]) for call in message.tool_calls]
    again = [HumanMessage("Hi"), message, *(results or [HumanMessage("And?")])]
    assert llm.bind_tools([weather]).invoke(again).text == "ok"
    sent = engine.requests[-1].body["input"]["messages"][1]
    assert sent["content"] == ANSWERS[kind].text or "".join(ANSWERS[kind].parts)
    assert [call["id"] for call in sent.get("tool_calls", [])] == [
        call["id"] for call in message.tool_calls
    ]
