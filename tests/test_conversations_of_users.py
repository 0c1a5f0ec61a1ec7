"""Conversations that users reported because a service refused them, in both frameworks.

Each is sent whole to a model of each kind, in a form that the strictest service accepts.
"""

from __future__ import annotations

import json

import httpx2
import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from llama_index.core.llms import ChatMessage

from dashscope_oss import Message, ToolCall, find_model
from dashscope_oss.protocol.tools import write_tool_calls
from langchain_dashscope_oss import ChatDashScopeOSS
from tests.llama_index.mock_service import answers, model_over
from tests.protocol.conversation.strict_checker import check_input, words_in

# Tools; system turn first; strict turns; prompt only.
MODELS = ("deepseek-v4-pro", "qwen3.6-27b", "llama3-8b-instruct", "ziya-llama-13b-v1")


def system(text):
    return Message("system", text)


def user(text):
    return Message("user", text)


def answer(text="", *ids, name="search"):
    return Message("assistant", text, tuple(ToolCall(id, name, '{"q": "x"}') for id in ids))


def result(id, text):
    return Message("tool", text, tool_call_id=id)


CONVERSATIONS = {
    "a trimmed memory that begins with a result": [
        *(result("c1", "sunny"), answer("It is sunny."), user("And tomorrow?")),
    ],
    "a trimmed memory that lost the call but not the question": [
        *(
            user("Weather?"),
            user("Please."),
            result("c1", "sunny"),
            answer("Sunny."),
            user("Sure?"),
        ),
    ],
    "a summary that kept a result of a call it removed beside one it kept": [
        *(system("Summary: they spoke of the weather."), answer("", "c2"), result("c1", "old")),
        *(result("c2", "new"), user("So?")),
    ],
    "a summary as a system turn in the middle": [
        *(system("Be kind."), user("Hi"), answer("Hello."), system("Summary: greetings.")),
        user("Go on."),
    ],
    "two system turns before a title's question": [
        *(system("You write titles."), system("Delegation rules."), user("A title:"), user("Tea")),
    ],
    "an instruction of the system's as the newest turn": [
        *(user("Write a poem."), answer("Roses."), system("Now only in blue.")),
    ],
    "a prompt that is a system turn alone": [system("Translate into French: good morning")],
    "a handoff and another call at once, only the handoff answered": [
        *(user("Add, and get Bob."), answer("", "c1", "c2"), result("c2", "handed to Bob")),
    ],
    "parallel calls of which one result was stored": [
        *(user("Both, please."), answer("", "a", "b"), result("a", "fixed"), user("And now?")),
    ],
    "a run that was interrupted before its tool answered": [
        *(user("Delete it."), answer("I will.", "c1"), user("Stop! What did you do?")),
    ],
    "a run that crashed behind its call": [user("Look it up."), answer("", "c1")],
    "a user's turn between a call and its late result": [
        *(user("Book it."), answer("", "c1"), user("Are you there?"), result("c1", "booked")),
    ],
    "instructions of a handoff behind another tool's result": [
        *(user("Upload."), answer("", "c1"), result("c1", "done"), user("You are the editor now.")),
    ],
    "a worker's result that a supervisor returns without the call": [
        *(user("2 x 3?"), answer("", "h1", name="transfer_to_math")),
        *(result("h1", "transferred"), result("m9", "6")),
    ],
    "an answer without words and calls": [
        *(user("A"), answer(""), user("B")),
    ],
    "answers of two agents in a row": [
        *(user("Discuss."), answer("I say yes."), answer("I say no."), user("Decide.")),
    ],
    "a loop whose question was compacted away": [
        *(system("You are an agent. The task is tea."), answer("", "c1"), result("c1", "hot")),
    ],
    "calls of a retry under the id of the first try": [
        *(user("Try."), answer("", "c1"), answer("", "c1"), result("c1", "worked"), user("Well?")),
    ],
}


def to_langchain(turn: Message) -> BaseMessage:
    if turn.role == "tool":
        return ToolMessage(turn.content, tool_call_id=turn.tool_call_id)
    if turn.role == "assistant":
        calls = [
            {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}
            for call in turn.tool_calls
        ]
        return AIMessage(turn.content, tool_calls=calls)
    return SystemMessage(turn.content) if turn.role == "system" else HumanMessage(turn.content)


def to_llama_index(turn: Message) -> ChatMessage:
    facts: dict[str, object] = {}
    if turn.tool_call_id:
        facts["tool_call_id"] = turn.tool_call_id
    if turn.tool_calls:
        facts["tool_calls"] = write_tool_calls(turn.tool_calls)
    return ChatMessage(turn.content, role=turn.role, additional_kwargs=facts)


def send_by_langchain(handle, model: str, conversation: list[Message]) -> None:
    client = httpx2.Client(transport=httpx2.MockTransport(handle))
    llm = ChatDashScopeOSS(model=model, base_url="http://127.0.0.1:9/api/v1", http_client=client)
    llm.invoke(list(map(to_langchain, conversation)))


def send_by_llama_index(handle, model: str, conversation: list[Message]) -> None:
    model_over(handle, model).chat(list(map(to_llama_index, conversation)))


SENDERS = (send_by_langchain, send_by_llama_index)


@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_that_services_refuse_is_sent_whole_and_the_same(model, subtests):
    for name, conversation in CONVERSATIONS.items():
        with subtests.test(name):
            body_input, other = (sent(send, model, conversation) for send in SENDERS)
            assert body_input == other
            check_input(find_model(model), body_input)
            words = words_in(body_input)
            assert [turn.content for turn in conversation if turn.content not in words] == []
            calls = sum(len(turn.tool_calls) for turn in conversation)
            assert words.count('{"q": "x"}') == calls


def sent(send, model: str, conversation: list[Message]) -> dict:
    bodies: list[dict] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return answers(request)

    send(handle, model, conversation)
    (body,) = bodies
    return body["input"]
