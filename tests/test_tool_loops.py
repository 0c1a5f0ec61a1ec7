"""A tool loop of three rounds with models that think.

What goes back is checked for every model. The loops themselves run in both frameworks with one
model of each kind: over the hosted protocol to a gateway, and from there to an OpenAI-compatible
server. Thoughts, calls, results and ids are looked for in both bodies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from dashscope_oss import Message, ModelInfo, ToolCall, all_models, chat_request
from dashscope_oss.gateway import Gateway, OpenAIEngine, RecordedRequest, Upstream, serve_in_thread
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS
from tests.gateway.fake_upstream import FakeUpstream, chunk, streamed
from tests.protocol.conversation.strict_checker import text_of

ROUNDS = 3
QUESTION = "How far is it?"
THINKERS = [model for model in all_models() if model.thinking != "none"]
CALLERS = [model for model in THINKERS if model.tools]
"""Of the others the hosted service, or its pages, say that they take no tools."""
KINDS = {
    (m.reasoning_in_history, m.endpoint, m.incremental, m.stream_only, m.thinking_streams): m
    for m in CALLERS
}.values()
"""One model of each kind, by what decides which bodies go out and how their answers are read."""


def measure(leg: int) -> str:
    """The length of a leg."""
    return f"{leg} miles"


def next_round(body: dict) -> tuple[int, str, bytes]:
    """What the server answers: a call in each round, and the answer after the last."""
    done = sum(message["role"] == "tool" for message in body["messages"])
    thought = [chunk(role="assistant", content="", reasoning_content=f"Thought {done}.")]
    if done == ROUNDS:
        return streamed(*thought, chunk(content="Six miles."), chunk("stop"))
    head = {"index": 0, "id": f"call-{done}", "type": "function"}
    pieces = [
        {**head, "function": {"name": "measure", "arguments": '{"leg"'}},
        {"index": 0, "function": {"arguments": f": {done}}}"}},
    ]
    calls = [chunk(tool_calls=[piece]) for piece in pieces]
    return streamed(*thought, *calls, chunk("tool_calls"))


@dataclass
class Service:
    """A gateway and the server behind it, with what each of them was sent."""

    url: str
    requests: list[RecordedRequest]
    server: FakeUpstream

    def sent(self) -> list[tuple[dict, dict]]:
        """The bodies of all calls so far: to the gateway, and to the server."""
        return [
            (dict(request.body), body)
            for request, (_, body, _) in zip(self.requests, self.server.calls, strict=True)
        ]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    server = FakeUpstream(next_round)
    requests: list[RecordedRequest] = []
    app = Gateway(OpenAIEngine(Upstream(url=server.url, default="w")), on_request=requests.append)
    with serve_in_thread(app) as url:
        yield Service(url, requests, server)
    server.close()


def loop_in_langchain(model: str, url: str, *, stream: bool) -> str:
    llm = ChatDashScopeOSS(model=model, base_url=url)
    bound, talk = llm.bind_tools([measure]), [HumanMessage(QUESTION)]
    for _ in range(ROUNDS + 1):
        answer = reduce(add, bound.stream(talk)) if stream else bound.invoke(talk)
        talk += [answer, *map(_result, answer.tool_calls)]
    llm.close()
    return str(talk[-1].text)


def _result(call: dict) -> ToolMessage:
    return ToolMessage(measure(**call["args"]), tool_call_id=call["id"])


def loop_in_llama_index(model: str, url: str, *, stream: bool) -> str:
    llm = DashScopeOSS(model=model, base_url=url)
    tools, talk = [FunctionTool.from_defaults(measure)], [ChatMessage(QUESTION)]
    for _ in range(ROUNDS + 1):
        if stream:
            *_, response = llm.stream_chat_with_tools(tools, chat_history=talk)
        else:
            response = llm.chat_with_tools(tools, chat_history=talk)
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        talk += [response.message, *map(_index_result, calls)]
    llm.close()
    return str(talk[-1].content)


def _index_result(call) -> ChatMessage:
    return ChatMessage(
        role="tool",
        content=measure(**call.tool_kwargs),
        additional_kwargs={"tool_call_id": call.tool_id},
    )


LOOPS: dict[str, Callable[..., str]] = {
    "langchain": loop_in_langchain,
    "llama_index": loop_in_llama_index,
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("model_info", KINDS, ids=lambda model_info: model_info.id)
def test_thoughts_calls_results_and_ids_go_back_as_the_record_says(model_info, loop, service):
    for stream in (False, True):
        begin = len(service.requests)
        assert LOOPS[loop](model_info.id, service.url, stream=stream) == "Six miles."
        calls = service.sent()[begin:]
        assert len(calls) == ROUNDS + 1
        for rounds, (body, upstream_body) in enumerate(calls):
            for turns in (body["input"]["messages"], upstream_body["messages"]):
                check_turns(model_info, turns, rounds)


def check_turns(model_info: ModelInfo, turns: Sequence[dict], rounds: int) -> None:
    """Fail unless the turns are the question and this many rounds."""
    question, *rest = turns
    assert (question["role"], text_of(question)) == ("user", QUESTION)
    assert len(rest) == 2 * rounds
    for number, (answer, result) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        goes_back = model_info.reasoning_in_history != "never"
        assert answer.get("reasoning_content") == (f"Thought {number}." if goes_back else None)
        (call,) = answer["tool_calls"]
        assert (call["id"], call["function"]["name"]) == (f"call-{number}", "measure")
        assert json.loads(call["function"]["arguments"]) == {"leg": number}
        assert (result["role"], result["tool_call_id"]) == ("tool", f"call-{number}")
        assert text_of(result) == f"{number} miles"


def test_each_record_says_of_the_loop_what_goes_back(subtests):
    for model_info in CALLERS:
        with subtests.test(model_info.id):
            check_turns(model_info, sent_turns(model_info), ROUNDS)


def test_a_thinking_model_without_tools_reads_the_loop_of_another_in_words(subtests):
    expected = [("user", QUESTION)]
    for number in range(ROUNDS):
        expected.append(("assistant", f'Call of measure: {{"leg": {number}}}'))
        expected.append(("user", f"Result of measure:\n{number} miles"))
    for model_info in [model for model in THINKERS if not model.tools]:
        with subtests.test(model_info.id):
            turns = sent_turns(model_info)
            assert [(turn["role"], text_of(turn)) for turn in turns] == expected


def sent_turns(model_info: ModelInfo) -> Sequence[dict]:
    """What the model is sent of the question and all rounds."""
    talk = [Message("user", QUESTION)]
    for number in range(ROUNDS):
        call = ToolCall(f"call-{number}", "measure", f'{{"leg": {number}}}')
        talk.append(Message("assistant", "", (call,), reasoning=f"Thought {number}."))
        talk.append(Message("tool", measure(number), tool_call_id=call.id))
    return chat_request(model_info, talk).body["input"]["messages"]
