"""Any conversation of LlamaIndex's messages is sent whole, as the model takes it, or refused."""

from __future__ import annotations

import json
import warnings

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import CitableBlock, MessageRole, TextBlock
from llama_index.core.llms import ChatMessage

from dashscope_oss import UnsupportedInputError, find_model
from dashscope_oss.protocol.conversation import content_blocks
from tests.llama_index.examples import WITH_BLOCKS
from tests.llama_index.mock_service import answers, model_over
from tests.protocol.conversation.strict_checker import check_input, words_in

MODELS = ("glm-5", "MiniMax-M2.5", "llama3-8b-instruct", "billa-7b-sft-v1")
"""One of each kind: tools; system turn first; strict turns; prompt only."""

IDS = st.sampled_from(["", "c1", "c2"])
TEXTS = st.sampled_from(["", " ", "word", "one two\n字"])
TEXT_BLOCKS = st.one_of(
    st.builds(TextBlock, text=TEXTS),
    st.builds(lambda text: CitableBlock(title="t", source="s", content=text), TEXTS),
)
ARGUMENTS = st.sampled_from([{}, {"a": "argument"}, "{b", "", "[]"])


def listed(call_id: str, arguments: dict | str) -> dict:
    function = {"name": "listed", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def blocks() -> st.SearchStrategy:
    """Blocks of answers; older versions of llama-index-core lack some."""
    return st.one_of(
        TEXT_BLOCKS,
        st.just(types.ThinkingBlock(content="thought")),
        st.just(types.ThinkingBlock(additional_information={"data": "x"})),
        st.builds(
            lambda call_id, arguments: types.ToolCallBlock(
                tool_call_id=call_id, tool_name="used", tool_kwargs=arguments
            ),
            st.none() | IDS,
            ARGUMENTS,
        ),
    )


LISTED = st.builds(
    lambda call_id, arguments: {"tool_calls": [listed(call_id, arguments)]}, IDS, ARGUMENTS
)
OLDER = st.just({"function_call": {"name": "older", "arguments": "{e"}})
RESULTS = st.builds(lambda call_id: {"tool_call_id": call_id}, IDS) | st.just({"name": "listed"})


def messages() -> st.SearchStrategy:
    return st.one_of(
        st.builds(ChatMessage, role=st.sampled_from(MessageRole), content=TEXTS),
        st.builds(
            ChatMessage,
            role=st.sampled_from(["assistant", "user"]),
            blocks=st.lists(blocks(), min_size=1, max_size=3),
        ),
        st.builds(
            ChatMessage,
            role=st.just("assistant"),
            content=TEXTS,
            additional_kwargs=LISTED | OLDER | st.just({"reasoning_content": "thought"}),
        ),
        st.builds(ChatMessage, role=st.just("tool"), content=TEXTS, additional_kwargs=RESULTS),
    )


@WITH_BLOCKS
@settings(max_examples=150)
@given(model=st.sampled_from(MODELS), data=st.data())
def test_any_conversation_is_accepted_by_the_strictest_service_or_refused(model, data):
    conversation = data.draw(st.lists(messages(), min_size=1, max_size=7))
    bodies: list[dict] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return answers(request)

    content_blocks._warned_types.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = refusal(model_over(handle, model).chat, conversation)
    if error is not None:
        assert (error.model, "message" in error.message, bodies) == (model, True, [])
        return
    check_input(find_model(model), bodies[0]["input"])
    told = words_in(bodies[0]["input"]) + "".join(str(warning.message) for warning in caught)
    assert [w for message in conversation for w in words_of(message) if w not in told] == []


def refusal(chat, conversation: list[ChatMessage]) -> UnsupportedInputError | None:
    try:
        chat(conversation)
    except UnsupportedInputError as error:
        return error
    return None


def words_of(message: ChatMessage) -> list[str]:
    """All that a message says; of encrypted thoughts, that they are."""
    words = [word for block in message.blocks for word in _words_of_block(block)]
    functions = [call["function"] for call in message.additional_kwargs.get("tool_calls", ())]
    for function in (*functions, message.additional_kwargs.get("function_call")):
        words += [function["name"], _written(function["arguments"])] if function else []
    return words


def _words_of_block(block) -> list[str]:
    if isinstance(block, CitableBlock):
        return [word for inner in block.content for word in _words_of_block(inner)]
    if isinstance(block, TextBlock):
        return block.text.split()
    if block.block_type == "tool_call":
        return [block.tool_name, _written(block.tool_kwargs)]
    return [] if block.content else ["encrypted"]


def _written(arguments: dict | str) -> str:
    return arguments.strip() if isinstance(arguments, str) else json.dumps(arguments)
