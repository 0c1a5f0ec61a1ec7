"""Calls: retries told, limits kept, batches, thoughts, estimates, strictness."""

from __future__ import annotations

import json
import pickle
from functools import reduce
from operator import add

import httpx2
import pytest
from langchain_core import exceptions as lc
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter

from dashscope_oss import (
    ContextLengthError,
    DashScopeError,
    RetiredModelWarning,
    UnsupportedInputError,
)
from dashscope_oss.gateway import Answer, Fault
from dashscope_oss.transport import retirement
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

pytestmark = pytest.mark.versions

THINKER = "deepseek-v4-pro"
PATHS = pytest.mark.parametrize("path", ["invoke", "ainvoke", "stream", "astream"])


async def answered(llm, path, given="Hi", **more):
    """The answer by one of the four paths; of a stream, its pieces added up."""
    if path == "invoke":
        return llm.invoke(given, **more)
    if path == "ainvoke":
        return await llm.ainvoke(given, **more)
    if path == "stream":
        return reduce(add, llm.stream(given, **more))
    return reduce(add, [piece async for piece in llm.astream(given, **more)])


def text_of(answer):
    return getattr(answer, "text", answer)


class Listener(BaseCallbackHandler):
    """Notes runs and retries."""

    def __init__(self):
        self.runs, self.told = [], []

    def on_chat_model_start(self, serialized, messages, *, run_id, **_):
        self.runs.append(run_id)

    def on_llm_start(self, serialized, prompts, *, run_id, **_):
        self.runs.append(run_id)

    def on_retry(self, retry_state, *, run_id, **_):
        self.told.append((run_id, retry_state))


class AsyncListener(AsyncCallbackHandler):
    """Notes retries, without blocking."""

    def __init__(self):
        self.told = []

    async def on_retry(self, retry_state, *, run_id, **_):
        self.told.append((run_id, retry_state))


@pytest.fixture(params=["chat", "text"])
def either(request):
    """The chat model and the text model."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("dashscope_oss.transport.retry.FIRST_WAIT", 0.01)


@pytest.mark.parametrize("streaming", [False, True])
@PATHS
async def test_retries_are_told(quick, either, path, streaming):
    """Row 13: on_retry comes with tenacity's state, on every path, for the right run."""
    llm, _ = either(Fault(), Fault(), Answer("ok"), streaming=streaming)
    plain = AsyncListener() if path.startswith("a") else Listener()
    seen = Listener()
    config = {"callbacks": [seen, plain]}
    chain = ChatPromptTemplate.from_messages(["{word}"]) | llm
    answer = await answered(chain, path, {"word": "Hi"}, config=config)
    assert text_of(answer) == "ok"
    assert [state.attempt_number for _, state in seen.told] == [1, 2]
    assert {run for run, _ in seen.told} <= set(seen.runs)
    assert len(plain.told) == 2
    state = seen.told[0][1]
    assert isinstance(state.outcome.exception(), lc.ModelRateLimitError)
    assert state.next_action.sleep == state.upcoming_sleep >= 0


async def test_the_models_own_callbacks_are_told(quick, either):
    """Row 13: those given to the object too, in a stream as well."""
    seen = Listener()
    llm, _ = either(Fault(), Answer("ok"), callbacks=[seen])
    assert text_of(await answered(llm, "stream")) == "ok"
    assert [run for run, _ in seen.told] == seen.runs[:1]


async def test_retries_in_stream_events(chat, quick):
    """Row 13: and in LangChain's newer streams."""
    llm, _ = chat(Fault(), Answer("ok"))
    seen = Listener()
    async for _ in llm.astream_events("Hi", version="v2", config={"callbacks": [seen]}):
        pass
    assert len(seen.told) == 1


class Turnstile(BaseRateLimiter):
    """Counts who passes."""

    def __init__(self):
        self.passed = 0

    def acquire(self, *, blocking=True):
        self.passed += 1
        return True

    async def aacquire(self, *, blocking=True):
        self.passed += 1
        return True


@pytest.mark.parametrize("streaming", [False, True])
@PATHS
async def test_one_pass_a_call(either, path, streaming):
    """Row 32: the limiter is asked once, whichever way the call goes."""
    limiter = Turnstile()
    llm, _ = either(Answer("ok"), rate_limiter=limiter, streaming=streaming)
    await answered(llm, path)
    assert limiter.passed == 1


async def test_one_pass_a_prompt(text):
    """Row 32: several prompts of one call are several requests."""
    limiter = Turnstile()
    llm, _ = text(Answer("ok"), rate_limiter=limiter)
    llm.generate(["a", "b", "c"])
    await llm.agenerate(["a", "b", "c"])
    assert limiter.passed == 6


@pytest.mark.parametrize("path", ["batch", "abatch"])
async def test_a_batch_asks_at_once_and_fails_apart(text, path):
    """Row 32: order kept, as many at once as allowed, a failure in its own place."""

    def reply(job):
        asked = job.messages[-1].content
        bad = Fault(status=400, code="InvalidParameter")
        return bad if asked == "2" else Answer(asked)

    llm, _ = text(reply)
    prompts = [str(n) for n in range(5)]
    config = {"max_concurrency": 2}
    if path == "batch":
        found = llm.batch(prompts, config, return_exceptions=True)
    else:
        found = await llm.abatch(prompts, config, return_exceptions=True)
    assert isinstance(found[2], lc.ModelInvalidRequestError)
    assert [x for x in found if isinstance(x, str)] == ["0", "1", "3", "4"]
    with pytest.raises(lc.ModelInvalidRequestError):
        llm.batch(prompts)
    assert llm.batch([]) == []


@PATHS
async def test_estimates_are_marked(either, path):
    """Row 5: opt-in, and said to be an estimate; without the switch there is nothing."""
    llm, _ = either(Answer("Hello you"), model="ziya-llama-13b-v1", estimate_usage=True)
    seen = Ended()
    await answered(llm, path, config={"callbacks": [seen]})
    assert seen.info["usage_estimated"] is True
    assert seen.info["token_usage"]["output_tokens"] > 0
    plain, _ = either(Answer("Hello you"), model="ziya-llama-13b-v1")
    await answered(plain, path, config={"callbacks": [seen]})
    assert seen.info["token_usage"] is None
    assert "usage_estimated" not in seen.info


class Ended(BaseCallbackHandler):
    """Keeps what a run ended with."""

    def on_llm_end(self, response, **_):
        self.info = response.generations[0][0].generation_info


@PATHS
async def test_strict_params(either, path):
    """Row 19: what the model's page does not document is refused, if so wished."""
    llm, engine = either(Answer("ok"), strict_params=True, top_p=0.5)
    with pytest.raises(UnsupportedInputError, match="documents no top_p"):
        await answered(llm, path)
    assert engine.requests == []
    lax, engine = either(Answer("ok"), top_p=0.5)
    await answered(lax, path)
    assert engine.requests[-1].body["parameters"]["top_p"] == 0.5


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        ("llama3-8b-instruct", {"temperature": 2}, r"Temperature should be in \[0.0, 2.0\)"),
        ("llama3-8b-instruct", {"top_p": 0}, "Range of top_p"),
        (THINKER, {"top_k": 5}, "does not support top_k"),
        ("llama3-8b-instruct", {"enable_thinking": True}, "cannot think"),
    ],
)
async def test_parameters_are_checked(either, model, given, told):
    """Row 19: by the record and the vendor's ranges, before any request."""
    llm, engine = either(Answer("ok"), model=model)
    with pytest.raises(UnsupportedInputError, match=told):
        llm.invoke("Hi", **given)
    assert engine.requests == []


EARLIER = [
    AIMessage("42", additional_kwargs={"reasoning_content": "6 * 7"}),
    AIMessage([{"type": "reasoning", "reasoning": "6 * 7"}, {"type": "text", "text": "42"}]),
    AIMessage([{"type": "thinking", "thinking": "6 * 7"}, {"type": "text", "text": "42"}]),
]


@PATHS
@pytest.mark.parametrize("earlier", EARLIER)
async def test_thoughts_are_sent_again_if_wished(chat, path, earlier):
    """Row 26: off by default, for providers disagree; on, they go as reasoning_content."""
    turns = [HumanMessage("6 * 7?"), earlier, HumanMessage("Sure?")]
    for switch in (False, True):
        llm, engine = chat(Answer("Yes"), model=THINKER, send_reasoning=switch)
        await answered(llm, path, turns)
        sent = engine.requests[-1].body["input"]["messages"][1]
        expected = {"role": "assistant", "content": "42"}
        assert sent == (expected | {"reasoning_content": "6 * 7"} if switch else expected)


@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_one_chunk_with_everything(version):
    """Row 26: thoughts, text and a call in one event are all kept, in either form."""
    call = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    event = (
        b'data: {"output":{"choices":[{"message":{"role":"assistant","content":"Look",'
        b'"reasoning_content":"hm","tool_calls":[' + json.dumps(call).encode() + b"]},"
        b'"finish_reason":"null"}]},"request_id":"r"}\n\n'
        b'data: {"output":{"choices":[{"message":{"role":"assistant","content":""},'
        b'"finish_reason":"tool_calls"}]},"request_id":"r"}\n\n'
    )
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=event)
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as http:
        llm = ChatDashScopeOSS(
            model=THINKER,
            base_url="http://127.0.0.1:1/api/v1",
            http_client=http,
            output_version=version,
        )
        first, *_ = chunks = list(llm.stream("Hi"))
        kinds = [block["type"] for block in first.content_blocks]
        assert kinds == ["reasoning", "text", "tool_call_chunk"]
        whole = reduce(add, chunks)
    assert whole.text == "Look"
    assert whole.tool_calls[0]["args"] == {"city": "Oslo"}
    assert [b["type"] for b in whole.content_blocks] == ["reasoning", "text", "tool_call"]


@PATHS
async def test_names_are_labels(chat, path):
    """Row 22: the protocol has no place for a message's name, so it is not sent, as documented."""
    llm, engine = chat(Answer("ok"))
    await answered(llm, path, [HumanMessage("Hi", name="ada")])
    assert engine.requests[-1].body["input"]["messages"] == [{"role": "user", "content": "Hi"}]
    assert "name`` is not sent" in ChatDashScopeOSS.__doc__


@PATHS
async def test_too_long_an_input(either, path):
    """Row 12: LangChain's ContextOverflowError, by the service's word or before any request."""
    long = Fault(400, "InvalidParameter", "Range of input length should be [1, 6500]")
    llm, _ = either(long)
    with pytest.raises(lc.ContextOverflowError):
        await answered(llm, path)
    small, engine = either(Answer("ok"), model="ziya-llama-13b-v1")
    with pytest.raises(lc.ContextOverflowError) as caught:
        await answered(small, path, "word " * 5000)
    assert isinstance(caught.value, ContextLengthError)
    assert engine.requests == []


@PATHS
async def test_blocked_content(either, path):
    """Row 12: has refusal data: a message whose block says why, in LangChain's own form."""
    llm, _ = either(Fault(400, "DataInspectionFailed", "Not this."))
    with pytest.raises(lc.ModelInvalidRequestError) as caught:
        await answered(llm, path)
    error = caught.value
    assert error.raw_message.content == [
        {"type": "refusal", "refusal": "Not this.", "extras": {"code": "DataInspectionFailed"}}
    ]
    assert error.raw_message.response_metadata["request_id"] == error.request_id
    assert not error.is_retryable
    assert pickle.loads(pickle.dumps(error)).raw_message == error.raw_message
    refused = getattr(lc, "ModelRefusalError", None)
    assert refused is None or isinstance(error, refused)


@pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM])
def test_a_retired_model_at_the_vendor(cls, monkeypatch):
    """Row 33: a warning with date, successors and the gateway; the refusal says it again."""
    monkeypatch.setattr(retirement, "_warned", set())
    body = {"code": "ModelNotFound", "message": "Model not exist.", "request_id": "r"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(404, json=body))
    with httpx2.Client(transport=transport) as http:
        llm = cls(model="llama2-7b-chat-v2", api_key="sk-x", http_client=http)
        with (
            pytest.warns(RetiredModelWarning, match="2025-07-02.*dashscope-oss serve"),
            pytest.raises(lc.ModelNotFoundError, match="dashscope-oss serve") as caught,
        ):
            llm.invoke("Hi")
    assert isinstance(caught.value, DashScopeError)


def test_tagged_thoughts_are_reasoning_if_wished(gateway):
    """Row 26: split_think tells thoughts in tags from the text, whole and streamed."""
    engine = gateway(Answer("<think>Hm.</think>\n\nSeven."))
    llm = ChatDashScopeOSS(model="llama3-8b-instruct", base_url=engine.base_url, split_think=True)

    whole = llm.invoke("3 + 4?")
    chunks = list(llm.stream("3 + 4?"))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk

    for message in (whole, streamed):
        assert message.text == "Seven."
        assert message.additional_kwargs["reasoning_content"] == "Hm."
    llm.close()
