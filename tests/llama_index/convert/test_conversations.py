"""Conversations that LlamaIndex makes and a model was not trained on: told in words, in order."""

import json

import pytest
from llama_index.core.base.llms.types import (
    ImageBlock,
    MessageRole,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer

from dashscope_oss import (
    UnsupportedInputError,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS
from tests.llama_index.examples import CHAT, LOCAL, PROMPT_ONLY, WITH_TOOLS

STRICT = ("llama2-7b-chat-v2", CHAT, "baichuan2-7b-chat-v1")


SEEDS = (
    *STRICT,
    "llama2-13b-chat-v2",
    "llama3-70b-instruct",
    PROMPT_ONLY,
    "belle-llama-13b-2m-v1",
    "billa-7b-sft-v1",
    "baichuan-7b-v1",
    "baichuan2-13b-chat-v1",
)


def turn(role: str, text: str, **known) -> ChatMessage:
    return ChatMessage(role=role, content=text, additional_kwargs=known)


def tool_call(name: str, arguments: str, text: str = "") -> ChatMessage:
    function = {"name": name, "arguments": arguments}
    return turn(
        "assistant", text, tool_calls=[{"id": "c1", "type": "function", "function": function}]
    )


def turns_of(request) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in request.body["input"]["messages"]]


def text_of(request) -> str:
    return json.dumps(request.body["input"], ensure_ascii=False)


def test_calls_and_results_are_told_in_words(make):
    """An agent with tools may have begun the conversation."""
    call = tool_call("add", '{"a": 1}', "Let me see.")
    result = turn("tool", "three", tool_call_id="c1")
    for model in SEEDS:
        make(model).chat([turn("user", "1+2?"), call, result, turn("user", "And twice?")])
        sent = text_of(make.requests[0])
        for part in ("Let me see.\\nCall of add: ", "Result of add:\\nthree", "And twice?"):
            assert part in sent


def test_a_call_in_words_is_the_models_and_its_result_the_users(make):
    messages = [turn("user", "1+2?"), tool_call("add", '{"a": 1}'), turn("tool", "3")]
    make(CHAT).chat(messages)
    assert turns_of(make.requests[0]) == [
        ("user", "1+2?"),
        ("assistant", 'Call of add: {"a": 1}'),
        ("user", "Result of add:\n3"),
    ]


def test_a_result_in_the_role_function_is_told_by_its_name(make):
    llm = make(CHAT)
    llm.chat([turn("user", "q"), turn("function", "3", name="add")])
    assert turns_of(make.requests[0]) == [("user", "q\n\nResult of add:\n3")]


def test_a_result_that_is_no_text_is_still_refused(make):
    """Nothing is left out in silence."""
    picture = ChatMessage(role=MessageRole.TOOL, blocks=[ImageBlock(url="http://127.0.0.1/a.png")])
    with pytest.raises(UnsupportedInputError, match=r"messages\[1\] \(tool\): part 1: an image"):
        make(CHAT).chat([turn("user", "q"), picture])


def test_models_with_tools_get_calls_and_results_as_they_are(make):
    result = turn("tool", "3", tool_call_id="c1")
    make(WITH_TOOLS).chat([turn("user", "1+2?"), tool_call("add", "{}"), result])
    assert [role for role, _ in turns_of(make.requests[0])] == ["user", "assistant", "tool"]


def test_a_conversation_may_begin_with_an_answer(make):
    """A greeting, or a memory that was cut, is no reason to fail."""
    conversation = [turn("system", "Be kind."), turn("assistant", "Hello!"), turn("user", "Q")]
    for model in SEEDS:
        make(model).chat(conversation)
        sent = text_of(make.requests[0])
        assert "Your earlier answer: Hello!" in sent
        assert sent.index("Be kind.") < sent.index("Hello!") < sent.index("Q")


def test_the_familys_template_writes_such_turns_too():
    """``messages_to_prompt`` of a prompt-only model."""
    llm = DashScopeOSS(model=PROMPT_ONLY, base_url=LOCAL)
    conversation = [turn("assistant", "Hello!"), turn("user", "q"), tool_call("add", "{}")]
    assert llm.messages_to_prompt([*conversation, turn("tool", "3")]) == (
        "<human>:Your earlier answer: Hello!\n\nq\n<bot>:Call of add: {}</s>"
        "<human>:Result of add:\n3\n<bot>:"
    )


def test_an_early_answer_is_part_of_the_first_users_turn(make):
    """Nobody is made to have said what he did not."""
    make("llama2-7b-chat-v2").chat([turn("assistant", "Hello!"), turn("user", "Q")])
    assert turns_of(make.requests[0]) == [("user", "Your earlier answer: Hello!\n\nQ")]


def test_a_model_that_takes_any_order_gets_an_early_answer_as_it_is(make):
    make(WITH_TOOLS).chat([turn("assistant", "Hello!"), turn("user", "Q")])
    assert turns_of(make.requests[0]) == [("assistant", "Hello!"), ("user", "Q")]


def test_an_answer_alone_is_no_question(make):
    with pytest.raises(UnsupportedInputError, match="begin with a user message"):
        make(CHAT).chat([turn("assistant", "Hello!")])


@pytest.mark.parametrize("model", [CHAT, PROMPT_ONLY])
def test_a_memory_that_begins_with_an_answer_does_not_end_a_chat(make, model):
    """Those of LlamaIndex may hold no question at all."""
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[turn("assistant", "Hello!")], token_limit=99, tokenizer_fn=str.split
    )
    engine = SimpleChatEngine.from_defaults(llm=make(model, Answer("Fine.")), memory=memory)
    assert str(engine.chat("How are you?")) == "Fine."


@pytest.mark.parametrize("model", STRICT)
def test_a_system_turn_at_the_end_becomes_the_users(make, model):
    """The first stays where models take it."""
    messages = [turn("system", "S"), turn("user", "q"), turn("assistant", "a")]
    make(model).chat([*messages, turn("system", "Sum up.")])
    assert turns_of(make.requests[0]) == [
        ("system", "S"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "Sum up."),
    ]


@pytest.mark.parametrize("model", [CHAT, PROMPT_ONLY])
def test_an_early_answer_without_words_is_not_told(make, model):
    make(model, Answer("Yes.")).chat([turn("assistant", ""), turn("user", "Is it?")])
    assert "earlier answer" not in text_of(make.requests[0])


def test_the_older_form_of_calls_and_results_is_carried(make):
    """OpenAI's functions: a call has no id, and its result names the function."""
    call = turn("assistant", "", function_call={"name": "add", "arguments": "{}"})
    make(WITH_TOOLS).chat([turn("user", "1+2?"), call, turn("function", "3", name="add")])
    _, called, result = make.body["input"]["messages"]
    assert called["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]


def test_a_result_whose_call_was_cut_off_is_told_in_words(make):
    """A memory that is too small loses the call first."""
    result = turn("tool", "3", tool_call_id="c1", name="add")
    make(WITH_TOOLS).chat([result, turn("assistant", "It is 3."), turn("user", "And twice?")])
    assert turns_of(make.requests[0]) == [
        ("user", "Result of add:\n3"),
        ("assistant", "It is 3."),
        ("user", "And twice?"),
    ]
