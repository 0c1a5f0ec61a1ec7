"""Any conversation is sent as the model takes it, with every word, or refused before a request."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dashscope_oss import (
    Message,
    Options,
    TextPart,
    ToolCall,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.protocol.conversation import adapt_conversation
from dashscope_oss.protocol.conversation.steps import STEPS
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.validation import REFUSALS
from dashscope_oss.protocol.validation.conversation import Refusal
from tests.protocol.conversation.strict_checker import check_input, words_in

# One of each kind; the last takes messages in any order and knows no tools.
MODELS = [
    find_model(id)
    for id in (
        "glm-5",
        "qwen3.5-27b",
        "llama2-7b-chat-v2",
        "baichuan2-7b-chat-v1",
        "ziya-llama-13b-v1",
        "belle-llama-13b-2m-v1",
        "qwen2-7b-instruct",
    )
]

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
# "N" becomes the number of the message, so that each word stands in one place.
TEXTS = st.sampled_from(["", " ", "wordN", "字N\n\nmoreN"])
ARGUMENTS = st.sampled_from(["", " ", "{}", '{"a": "argumentN"}', "{argumentN", "[]", '{"a": NaN}'])
IDS = st.sampled_from(["", "c1", "c2", "call_1"])
CALLS = st.builds(ToolCall, IDS, st.sampled_from(["", "toolN"]), ARGUMENTS, st.none() | st.just(0))
TURNS = st.builds(
    Message,
    ROLES,
    TEXTS,
    st.lists(CALLS, max_size=3).map(tuple),
    st.none() | IDS,
    st.none() | st.sampled_from(["", "thoughtN"]),
    tool_name=st.none() | st.just("toolN"),
)
CONVERSATIONS = st.lists(TURNS, min_size=1, max_size=9).map(
    lambda turns: [numbered(turn, number) for number, turn in enumerate(turns)]
)


def numbered(turn: Message, number: int) -> Message:
    return replace(
        turn,
        content=with_number(turn.content, number),
        tool_calls=tuple(
            replace(
                call,
                name=with_number(call.name, number),
                arguments=call.arguments.replace("argumentN", f"argument{number}"),
            )
            for call in turn.tool_calls
            if turn.role == "assistant"
        ),
        reasoning=with_number(turn.reasoning, number),
        tool_name=with_number(turn.tool_name, number),
    )


def with_number(text, number: int):
    return text and text.replace("N", str(number))


@settings(max_examples=300)
@given(
    model_info=st.sampled_from(MODELS),
    messages=CONVERSATIONS,
    send_reasoning=st.sampled_from([None, True, False]),
)
def test_any_conversation_is_accepted_by_the_strictest_service_or_refused(
    model_info, messages, send_reasoning
):
    outcome = sent_or_refused(model_info, messages, Options(send_reasoning=send_reasoning))
    if isinstance(outcome, UnsupportedInputError):
        assert outcome.model == model_info.id
        assert "user message" in str(outcome) or "last message" in str(outcome)
        assert may_be_refused(messages, model_info)
        return
    check_input(model_info, outcome.body["input"])
    words = words_in(outcome.body["input"])
    for message in messages:
        assert lost_words(message, words) == []


PLAIN_TURNS = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXTS)
PLAIN_CONVERSATIONS = st.lists(PLAIN_TURNS, min_size=1, max_size=6).map(
    lambda turns: [numbered(turn, number) for number, turn in enumerate(turns)]
)


@settings(max_examples=300)
@given(model_info=st.sampled_from(MODELS), messages=PLAIN_CONVERSATIONS | CONVERSATIONS)
def test_a_conversation_that_takes_the_short_way_would_pass_every_step_unchanged(
    model_info, messages
):
    turns = messages
    for step in STEPS:
        if step.is_for(model_info):
            turns = step.change(turns)
    assert adapt_conversation(model_info, messages, send_reasoning=True) == [
        turn
        if turn.role == "assistant" and turn.reasoning
        else replace(turn, reasoning=None)
        if turn.reasoning
        else turn
        for turn in turns
    ]


@given(
    message=st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool", "narrator"]),
        st.sampled_from(["", " ", "text", "字", "\ud800", "half \ud800", None, 5]),
        st.sampled_from([(), (ToolCall("c1", "tool", "{}"),)]),
        partial=st.booleans(),
        parts=st.sampled_from([(), (TextPart("x"),), ("x",)]),
    )
)
def test_a_message_is_refused_if_and_only_if_a_refusal_applies(message):
    applying = [refusal for refusal in REFUSALS if _applies(refusal, message)]
    outcome = sent_or_refused(find_model("glm-5"), [message, Message("user", "question")])
    assert isinstance(outcome, UnsupportedInputError) == bool(applying)


def _applies(refusal: Refusal, message: Message) -> bool:
    try:
        return refusal.applies(message)
    except AttributeError:  # of a content that is no text, which another refusal names
        return False


def sent_or_refused(*call) -> Request | UnsupportedInputError:
    try:
        return chat_request(*call)
    except UnsupportedInputError as error:
        return error


def lost_words(message: Message, words: str) -> list[str]:
    names = [call.name for call in message.tool_calls]
    arguments = [call.arguments.strip() for call in message.tool_calls]
    return [word for word in (*message.content.split(), *names, *arguments) if word not in words]


def may_be_refused(messages, model_info) -> bool:
    """Whether a conversation asks nothing, or ends with an answer where none may end it."""
    if any(turn.role == "user" and not turn.content.strip() for turn in messages):
        return True
    said = [
        turn for turn in messages if turn.content.strip() or turn.tool_calls or turn.role == "tool"
    ]
    asks = {turn.role for turn in said} not in ({"assistant"}, {"system", "assistant"}, set())
    ends_with_answer = bool(said) and said[-1].role == "assistant"
    orders = model_info.strict_turns or not model_info.takes_messages
    only_tools_ask = not any(turn.role in ("user", "system") for turn in said)
    wants_user = model_info.system_turns == "first"
    return not asks or (orders and ends_with_answer) or (wants_user and only_tools_ask)
