"""Models that think: reasoning apart from the text, and as content blocks."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
from langchain_core.messages import AIMessage

from dashscope_oss import Usage
from dashscope_oss.gateway import Answer

from .calling import PATHS, THINKER, Seen, as_choice, call, streaming

THOUGHT = Answer("42", reasoning="six times seven", usage=Usage(7, 5, 12))


@PATHS
async def test_a_message_keeps_reasoning_apart_and_shows_it_as_a_block(chat, path):
    llm, _ = chat(THOUGHT, model=THINKER)
    message = await call(llm, path)
    assert message.text == "42"
    assert message.additional_kwargs["reasoning_content"] == "six times seven"
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


@PATHS
async def test_a_text_keeps_reasoning_in_its_generation_info(text, path):
    llm, _ = text(THOUGHT, model=THINKER)
    seen = Seen()
    assert await call(llm, path, config={"callbacks": [seen]}) == "42"
    assert seen.info["reasoning_content"] == "six times seven"


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
@pytest.mark.parametrize(("model", "streams"), [("glm-5", True), (THINKER, False)])
async def test_an_invoke_streams_inside_where_a_model_thinks_in_streams_only(
    chat, path, model, streams
):
    llm, engine = chat(THOUGHT, model=model)
    message = await call(llm, path)
    assert message.text == "42"
    assert message.additional_kwargs["reasoning_content"] == "six times seven"
    assert message.usage_metadata["output_tokens"] == 5
    assert ("x-dashscope-sse" in engine.requests[-1].headers) is streams
    await call(llm, path, enable_thinking=False)
    assert "x-dashscope-sse" not in engine.requests[-1].headers
    assert engine.requests[-1].body["parameters"]["enable_thinking"] is False


@PATHS
async def test_reasoning_between_tags_is_told_from_the_text_if_wished(chat, path):
    """For the object, or for one call."""
    answer = Answer("<think>Hm.</think>\n\nSeven.")
    for settings, arguments in (({"split_think": True}, {}), ({}, {"split_think": True})):
        llm, _ = chat(answer, **settings)
        message = await call(llm, path, "3 + 4?", **arguments)
        assert message.text == "Seven."
        assert message.additional_kwargs["reasoning_content"] == "Hm."


TOOL_CALL = {
    "index": 0,
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_text_and_a_call_in_one_event_are_all_kept(version):
    everything = as_choice("Look", "null", reasoning_content="hm", tool_calls=[TOOL_CALL])
    server = streaming(everything, as_choice("", "tool_calls"))
    first, *rest = server.model(model=THINKER, output_version=version).stream("Hi")
    kinds = [block["type"] for block in first.content_blocks]
    assert kinds == ["reasoning", "text", "tool_call_chunk"]
    whole = reduce(add, rest, first)
    assert whole.text == "Look"
    assert whole.tool_calls[0]["args"] == {"city": "Oslo"}
    assert [b["type"] for b in whole.content_blocks] == ["reasoning", "text", "tool_call"]


def test_a_stored_message_whose_content_is_blocks_is_read_as_langchain_does(chat):
    llm, _ = chat(THOUGHT, model=THINKER)
    blocks = [{"type": "text", "text": "Hi"}]
    stored = AIMessage(list(blocks), response_metadata=llm.invoke("Hi").response_metadata)
    assert stored.content_blocks == blocks
