"""Thoughts: apart from the text, where LlamaIndex looks for them, and sent back if asked for."""

import json

import httpx2
import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    ChatResponse,
)
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    DashScopeWarning,
    UnsupportedInputError,
    Usage,
)
from dashscope_oss.gateway import Answer
from dashscope_oss.protocol.conversation import content_blocks
from tests.llama_index.examples import CHAT, WITH_BLOCKS, WITH_TOOLS
from tests.llama_index.mock_service import message, model_over, streamed


@WITH_BLOCKS
def test_thinking_is_kept_apart(make, ask):
    answer = Answer("42", reasoning="Let me think.", usage=Usage(3, 9, 12, reasoning_tokens=6))
    called = ask(make(WITH_TOOLS, answer, enable_thinking=True), "hi")
    assert called.text == "42"
    if isinstance(called.last, ChatResponse):
        thoughts, text = called.last.message.blocks
        assert (thoughts.content, text.text) == ("Let me think.", "42")
    else:
        assert called.last.additional_kwargs["reasoning_content"] == "Let me think."


def test_thinking_streams_where_agents_look_for_it(make):
    answer = Answer("42", reasoning="Let me think.")
    chunks = list(make(WITH_TOOLS, answer).stream_chat([ChatMessage("hi")]))
    thoughts = [chunk.additional_kwargs.get("thinking_delta") for chunk in chunks]
    assert "".join(filter(None, thoughts)) == "Let me think."
    assert thoughts[-1] is None


def thinking(request: httpx2.Request) -> httpx2.Response:
    """An answer with thoughts, which the service gives to streams only."""
    if request.headers.get("x-dashscope-sse") != "enable":
        reason = "parameter.enable_thinking must be set to false for non-streaming calls"
        return httpx2.Response(400, json={"code": "InvalidParameter", "message": reason})
    assert json.loads(request.content)["parameters"]["incremental_output"] is True
    thought = message("")
    thought["choices"][0]["message"]["reasoning_content"] = "Let me think."
    return streamed(thought, message("4"), message("2", "stop"))(request)


THINKING = (
    {"model": "qwen3-8b"},
    {"model": "qwen3-8b", "enable_thinking": True},
    {"model": "kimi-k2.7-code"},
    {"model": "qwq-32b"},
)


def test_a_call_that_thinks_is_a_stream_inside(ask):
    """The service refuses any other; the caller sees no difference."""
    for settings in THINKING:
        called = ask(model_over(thinking, **settings), "hi")
        assert called.text == "42"
        if "complete" in ask.name:
            assert called.last.additional_kwargs["reasoning_content"] == "Let me think."
        elif hasattr(types, "ThinkingBlock"):
            assert called.last.message.blocks[0].content == "Let me think."


def test_a_call_streams_only_where_it_is_asked_to_or_must(make, ask):
    """Not where the model does not think, or does so in whole answers too."""
    for settings in ({"model": "qwen3-8b", "enable_thinking": False}, {"model": WITH_TOOLS}):
        ask(make(**settings), "hi")
        assert ("x-dashscope-sse" in make.requests[0].headers) == ("stream" in ask.name)


def test_an_answer_among_the_thoughts_is_an_answer(make, ask):
    """Some models write it there; thoughts that were cut are none."""
    called = ask(make(WITH_TOOLS, Answer("", reasoning="It is 42.")), "hi")
    assert called.text == "It is 42."
    if "stream" in ask.name:
        assert "".join(called.deltas) == "It is 42."
    cut = Answer("", reasoning="It is", finish_reason="length")
    with pytest.warns(DashScopeWarning, match="cut off"):
        assert not ask(make(WITH_TOOLS, cut), "hi").text


def test_an_older_core_finds_thoughts_in_the_message(make, monkeypatch, run):
    """Llama-index-core 0.13.0 has no block for them."""
    monkeypatch.delattr(types, "ThinkingBlock", raising=False)
    llm = make(WITH_TOOLS, Answer("It is 42.", reasoning="Let me see."))
    question = [ChatMessage("hi")]
    *_, last = llm.stream_chat(question)
    for response in (llm.chat(question), last, run(llm, llm.achat(question))):
        assert response.message.additional_kwargs["reasoning_content"] == "Let me see."
        assert response.message.content == "It is 42."


@WITH_BLOCKS
def test_thoughts_are_told_once(make):
    """In their block, where there is one."""
    llm = make(WITH_TOOLS, Answer("It is 42.", reasoning="Let me see."))
    answer = llm.chat([ChatMessage("hi")]).message
    assert answer.additional_kwargs == {}
    assert answer.blocks[0].content == "Let me see."


def talk(llm) -> None:
    """Ask twice, the second time with the first answer in between."""
    question = ChatMessage("What is it?")
    answer = llm.chat([question]).message
    llm.chat([question, answer, ChatMessage("Why?")])


@pytest.mark.parametrize("has_block", [True, False], ids=["block", "no block"])
def test_thoughts_go_back_with_their_answer_if_that_is_set(make, monkeypatch, has_block):
    """``send_reasoning``; by default they are left out."""
    if not has_block:
        monkeypatch.delattr(types, "ThinkingBlock", raising=False)
    for settings in ({}, {"send_reasoning": True}):
        talk(make(WITH_TOOLS, Answer("It is 42.", reasoning="Let me see."), **settings))
        _, answer, _ = make.requests[1].body["input"]["messages"]
        sent = {"reasoning_content": "Let me see."} if settings else {}
        assert answer == {"role": "assistant", "content": "It is 42.", **sent}


def test_only_an_answer_has_thoughts(make):
    """What the user says of an earlier answer has none."""
    thoughts = {"reasoning_content": "Hm."}
    early = ChatMessage("Hello!", role="assistant", additional_kwargs=thoughts)
    question = ChatMessage("Who are you?", additional_kwargs=thoughts)
    make(CHAT, send_reasoning=True).chat([early, question])
    assert "reasoning_content" not in str(make.body["input"])


def test_thoughts_between_tags_can_be_split_from_the_text(make, ask):
    """For engines that leave them in the answer; without ``split_think`` they stay there."""
    text = "<think>Let me think.</think>42"
    assert ask(make(CHAT, Answer(text)), "hi").text == text
    for settings, arguments in (({"split_think": True}, {}), ({}, {"split_think": True})):
        called = ask(make(CHAT, Answer(text), **settings), "hi", **arguments)
        assert called.text.strip() == "42"
        if "complete" in ask.name:
            assert called.last.additional_kwargs["reasoning_content"] == "Let me think."


@WITH_BLOCKS
def test_thoughts_of_another_maker_go_back_with_calls_of_tools(make, monkeypatch):
    """As far as they can be read; those that are encrypted are named in a warning."""
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    signed = types.ThinkingBlock(content="I add.", additional_information={"signature": "s"})
    secret = types.ThinkingBlock(additional_information={"data": "x"})
    call = types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={})
    history = [
        ChatMessage("1 + 2?"),
        ChatMessage(role="assistant", blocks=[signed, secret, call]),
        ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"}),
    ]
    with pytest.warns(DashScopeWarning, match=r"'thinking \(encrypted\)'"):
        make(WITH_TOOLS).chat(history)
    assert make.body["input"]["messages"][1]["reasoning_content"] == "I add."


@WITH_BLOCKS
def test_thoughts_of_somebody_who_is_no_model_are_refused(make):
    history = [ChatMessage([types.ThinkingBlock(content="hm"), types.TextBlock(text="q")])]
    with pytest.raises(UnsupportedInputError, match=r"messages\[0\] \(user\): a ThinkingBlock"):
        make(WITH_TOOLS).chat(history)
