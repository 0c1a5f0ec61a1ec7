"""Any conversation of LangChain's messages is sent whole, as the model takes it, or refused."""

from __future__ import annotations

import json
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from dashscope_oss import find_model
from dashscope_oss.protocol.conversation import content_blocks
from langchain_dashscope_oss.errors import UnsupportedInputError
from tests.protocol.conversation.strict_checker import check_input, words_in

from .calling import answering

MODELS = ("glm-5", "MiniMax-M2.5", "llama3-8b-instruct", "billa-7b-sft-v1")
"""One of each kind: tools; system turn first; strict turns; prompt only."""

IDS = st.sampled_from(["", "c1", "c2"])
TEXTS = st.sampled_from(["", " ", "word", "one two\n字"])
FOREIGN = ("server_tool_use", "web_search_call", "non_standard")
TEXT_BLOCKS = st.one_of(
    TEXTS,
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda text: {"type": "output_text", "text": text}, TEXTS),
    st.builds(lambda text: {"text": text}, TEXTS),
)
OTHER_BLOCKS = st.one_of(
    st.builds(lambda block_type: {"type": block_type, "id": "x"}, st.sampled_from(FOREIGN)),
    st.just({"type": "thinking", "thinking": "thought", "signature": "s"}),
    st.builds(
        lambda call_id: {"type": "tool_use", "id": call_id, "name": "used", "input": {"a": "b"}},
        st.sampled_from(["", "b1"]),  # a block with the id of a listed call is that call
    ),
    st.just({"type": "function_call", "name": "called", "arguments": '{"b": 2}'}),
    st.just({"type": "image", "url": "https://example.org/x.png"}),
)
CALLS = st.builds(
    lambda call_id, words: {"name": "listed", "args": words, "id": call_id},
    st.none() | IDS,
    st.sampled_from([{}, {"c": "argument"}]),
)
BROKEN_CALLS = st.builds(
    lambda call_id, words: {"name": "broken", "args": words, "id": call_id, "error": None},
    st.none() | IDS,
    st.sampled_from(["{d", "", None, "[]"]),
)
KWARGS = st.sampled_from(
    [{}, {"reasoning_content": "thought"}, {"function_call": {"name": "older", "arguments": "{e"}}]
)
MESSAGES = st.one_of(
    st.builds(SystemMessage, TEXTS),
    st.builds(HumanMessage, TEXTS | st.lists(TEXT_BLOCKS, min_size=1, max_size=2)),
    st.builds(
        lambda content, calls, broken, kwargs: AIMessage(
            content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=dict(kwargs)
        ),
        TEXTS | st.lists(TEXT_BLOCKS | OTHER_BLOCKS, min_size=1, max_size=3),
        st.lists(CALLS, max_size=2),
        st.lists(BROKEN_CALLS, max_size=1),
        KWARGS,
    ),
    st.builds(ToolMessage, TEXTS, tool_call_id=IDS, name=st.none() | st.just("listed")),
    st.builds(FunctionMessage, TEXTS, name=st.just("older")),
    st.builds(ChatMessage, TEXTS, role=st.sampled_from(["developer", "ai", "function", "judge"])),
)


@settings(max_examples=150)
@given(model=st.sampled_from(MODELS), messages=st.lists(MESSAGES, min_size=1, max_size=7))
def test_any_conversation_is_accepted_by_the_strictest_service_or_refused(model, messages):
    server = answering()
    content_blocks._warned_types.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = refusal(server.model(model=model).invoke, messages)
    if error is not None:
        assert (error.model, "message" in error.message, server.requests) == (model, True, [])
        return
    sent = server.body()["input"]
    check_input(find_model(model), sent)
    told = words_in(sent) + "".join(str(warning.message) for warning in caught)
    assert [word for message in messages for word in words_of(message) if word not in told] == []


def refusal(invoke, messages: list[BaseMessage]) -> UnsupportedInputError | None:
    try:
        invoke(messages)
    except UnsupportedInputError as error:
        return error
    return None


def words_of(message: BaseMessage) -> list[str]:
    """All that a message says; of what only its maker can read, the type."""
    blocks = message.content if isinstance(message.content, list) else [message.content]
    words = [word for block in blocks for word in _words_of_block(block)]
    for call in getattr(message, "tool_calls", ()):
        words += [call["name"], *call["args"].values()]
    for call in getattr(message, "invalid_tool_calls", ()):
        words += [call["name"], (call["args"] or "").strip()]
    if older := message.additional_kwargs.get("function_call"):
        words += [older["name"], older["arguments"]]
    return words


def _words_of_block(block: str | dict) -> list[str]:
    if isinstance(block, str):
        return block.split()
    if block.get("type") in FOREIGN:
        return [block["type"]]
    called = [block[key] for key in ("name",) if key in block]
    arguments = json.dumps(block["input"]) if "input" in block else block.get("arguments", "")
    return [*block.get("text", "").split(), *called, arguments]
