"""The eight methods, what they send and what LlamaIndex's readers see of the answers."""

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import accumulate

import httpx2
import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, SecretStr

from dashscope_oss import (
    ConfigurationError,
    ToolCall,
    UnknownModelWarning,
    UnsupportedInputError,
    Usage,
    all_models,
    find_model,
)
from dashscope_oss.gateway import Answer
from llama_index_dashscope_oss import DashScopeOSS

MODELS = (
    "llama3-8b-instruct",
    "baichuan2-7b-chat-v1",
    "ziya-llama-13b-v1",
    "belle-llama-13b-2m-v1",
    "deepseek-v4-pro",
)
REPORTING = tuple(model for model in MODELS if find_model(model).reports_usage)
SILENT = tuple(model for model in MODELS if not find_model(model).reports_usage)
TOKENS = ("prompt", "completion", "total")
STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
THINKER = "deepseek-v4-pro"
LOCAL = "http://127.0.0.1:9/api/v1"
KEY = "sk-0123456789abcdef-sentinel"


def counting() -> TokenCountingHandler:
    """A handler that estimates one token a word, so that estimates and reports differ."""
    return TokenCountingHandler(tokenizer=str.split)


@pytest.mark.parametrize("model", MODELS)
def test_all_eight_methods_answer(make, ask, model):
    """Row 3 of LlamaIndex: as the model said it; deltas are never None and join to it."""
    called = ask(make(model), "你好，世界！")
    assert called.text == "You said: 你好，世界！"
    if "stream" in ask.name:
        assert len(called.deltas) > 1
        assert "".join(called.deltas) == called.text
    if "chat" in ask.name:
        assert called.last.message.role is MessageRole.ASSISTANT


PIECES = ("你好，", "世界", "！")
TOLD = (
    *((model, Answer(pieces=PIECES)) for model in MODELS),
    (THINKER, Answer(pieces=PIECES, reasoning="They greet me.")),
)


@pytest.mark.parametrize(("model", "answer"), TOLD)
@pytest.mark.parametrize("ask", STREAMS, indirect=True)
def test_every_piece_of_a_stream_holds_the_text_so_far(make, ask, model, answer):
    """Row 3 of LlamaIndex: beside its delta, which is text; the role is there from the first."""
    called = ask(make(model, answer), "hi")
    assert called.texts == list(accumulate(called.deltas))
    assert len(set(called.texts)) > 2
    if "chat" in ask.name:
        assert {piece.message.role for piece in called.pieces} == {MessageRole.ASSISTANT}


@pytest.mark.parametrize("ask", ["stream_chat", "astream_chat"], indirect=True)
def test_a_piece_without_text_has_an_empty_delta(make, ask):
    """Row 3 of LlamaIndex: where the model thinks or calls a tool."""
    called = ask(make(THINKER, Answer(reasoning="Hm.", tool_calls=(CALL,))), "hi")
    assert len(called.deltas) > 1
    assert set(called.deltas) == {""}
    assert {piece.message.role for piece in called.pieces} == {MessageRole.ASSISTANT}


@pytest.mark.parametrize("model", REPORTING)
def test_reported_tokens_are_counted_exactly_once(make, ask, model):
    """Rows 2 and 17 of LlamaIndex."""
    counter = counting()
    answer = Answer("one two three", usage=Usage(111, 44, 155))
    llm = make(model, answer, callback_manager=CallbackManager([counter]))
    last = ask(llm, "hi").last
    (event,) = counter.llm_token_counts
    assert (event.prompt_token_count, event.completion_token_count) == (111, 44)
    assert (
        last.raw["usage"] | {"input_tokens": 111, "output_tokens": 44, "total_tokens": 155}
        == (last.raw["usage"])
    )
    facts = {"prompt_tokens": 111, "completion_tokens": 44, "total_tokens": 155}
    assert facts.items() <= last.additional_kwargs.items()


# It reads all attributes of a model, those that pydantic has deprecated too.
OBSERVED = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def spans():
    """What OpenInference's instrumentor for LlamaIndex records."""
    tracing = pytest.importorskip("openinference.instrumentation.llama_index")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = tracing.LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    if not instrumentor.is_instrumented_by_opentelemetry:
        pytest.skip("it needs llama-index-core 0.14.19")
    yield exporter.get_finished_spans
    instrumentor.uninstrument()


@OBSERVED
def test_an_observer_sees_the_tokens_that_the_service_counts(make, ask, spans):
    """Row 17 of LlamaIndex: as OpenInference reads them, in one span a call."""
    ask(make("llama3-8b-instruct", Answer("one", usage=Usage(111, 44, 155))), "hi")
    (span,) = spans()
    seen = {name: span.attributes[f"llm.token_count.{name}"] for name in TOKENS}
    assert seen == {"prompt": 111, "completion": 44, "total": 155}
    assert span.attributes["llm.model_name"] == "llama3-8b-instruct"


@OBSERVED
def test_an_observer_sees_no_nought_where_nobody_counted(make, ask, spans):
    """Rows 17 and 18 of LlamaIndex."""
    ask(make("ziya-llama-13b-v1"), "hi")
    (span,) = spans()
    assert not [name for name in span.attributes if "token_count" in name]


@pytest.mark.parametrize("model", SILENT)
def test_tokens_that_nobody_reported_are_estimated_not_nought(make, ask, model):
    """Row 18 of LlamaIndex."""
    counter = counting()
    llm = make(model, Answer("one two three"), callback_manager=CallbackManager([counter]))
    last = ask(llm, "hi").last
    (event,) = counter.llm_token_counts
    assert event.completion_token_count >= 3
    assert "usage" not in last.raw
    assert not [name for name in last.additional_kwargs if name.endswith("_tokens")]


def test_noughts_that_the_vendor_fills_in_are_no_report():
    """Row 18 of LlamaIndex: its samples of prompt-only models show 0 for what nobody counted."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    reply = {"output": {"text": "hello"}, "usage": usage, "request_id": "r"}
    counter = counting()
    with httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=reply))
    ) as c:
        llm = DashScopeOSS(
            model="ziya-llama-13b-v1",
            base_url=LOCAL,
            http_client=c,
            callback_manager=CallbackManager([counter]),
        )
        assert "usage" not in llm.complete("hi").raw
    assert counter.completion_llm_token_count == 1


def test_finish_reason_and_request_id_are_told(make, ask):
    """Row 39 of LlamaIndex."""
    last = ask(make("llama3-8b-instruct"), "hi").last
    assert last.additional_kwargs["finish_reason"] == "stop"
    assert last.additional_kwargs["request_id"] == last.raw["request_id"]
    assert last.additional_kwargs["served_by"] == "none (scripted)"


def test_every_call_has_one_start_and_one_end_event(make, ask, events):
    """Rows 2 and 16 of LlamaIndex: the start says what is called and how."""
    ask(make("ziya-llama-13b-v1", temperature=0.7), "hi")
    names = [type(event).__name__ for event in events]
    kind = "LLMChat" if "chat" in ask.name else "LLMCompletion"
    others = [name for name in names if not name.endswith("InProgressEvent")]
    assert others == [f"{kind}StartEvent", f"{kind}EndEvent"]
    told = {"class_name": "DashScopeOSS", "model": "ziya-llama-13b-v1", "temperature": 0.7}
    assert told.items() <= events[0].model_dict.items()


def test_a_payload_is_name_model_temperature_and_metadata():
    """Row 16 of LlamaIndex: nothing less, and nothing more that could be a secret."""
    llm = DashScopeOSS(model="ziya-llama-13b-v1", base_url=LOCAL, api_key=KEY, temperature=0.7)
    told = {"class_name": "DashScopeOSS", "model": "ziya-llama-13b-v1", "temperature": 0.7}
    assert llm.to_payload() == {**told, **llm.metadata.model_dump()}


def test_a_stream_arrives_while_it_is_made(make):
    release = threading.Event()
    llm = make("llama3-8b-instruct", Answer(pieces=("first ", "second"), hold=release))
    stream = llm.stream_chat([ChatMessage("hi")])
    assert next(stream).delta == "first "
    release.set()
    assert [response.message.content for response in stream][-1] == "first second"


async def test_an_async_stream_arrives_while_it_is_made(make, monkeypatch):
    """And no thread is used for it."""
    release = threading.Event()
    llm = make("ziya-llama-13b-v1", Answer(pieces=("first ", "second"), hold=release))
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "run_in_executor", None, raising=False)
        stream = await llm.astream_complete("hi")
        assert (await anext(stream)).delta == "first "
        release.set()
        assert [response.text async for response in stream][-1] == "first second"
        await llm.aclose()


@pytest.mark.parametrize(
    ("model", "window", "output", "chat", "tools"),
    [
        ("llama3-8b-instruct", 8000, 1500, True, False),
        ("llama2-7b-chat-v2", 2048 + 1024, 1024, True, False),
        ("baichuan2-7b-chat-v1", 4096, 1024, True, False),
        ("ziya-llama-13b-v1", 2048, 512, False, False),
        ("belle-llama-13b-2m-v1", 2048, 512, False, False),
        ("deepseek-v4-pro", 1_000_000, 250_000, True, True),
    ],
)
def test_metadata_comes_from_the_record(model, window, output, chat, tools):
    """Row 20 of LlamaIndex."""
    metadata = DashScopeOSS(model=model, base_url=LOCAL).metadata
    assert metadata.model_name == model
    assert (metadata.context_window, metadata.num_output) == (window, output)
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (chat, tools)


@pytest.mark.parametrize("model_info", all_models(), ids=lambda model_info: model_info.id)
def test_no_model_is_given_more_input_than_it_takes(model_info):
    """Row 21 of LlamaIndex: llamaIndex fills the window but for num_output."""
    metadata = DashScopeOSS(model=model_info.id, base_url=LOCAL).metadata
    room = metadata.context_window - metadata.num_output
    assert room <= (model_info.input_limit or metadata.context_window)
    assert metadata.num_output <= metadata.context_window // 2


def test_max_tokens_decides_num_output():
    """Row 21 of LlamaIndex."""
    metadata = DashScopeOSS(model="llama3-8b-instruct", base_url=LOCAL, max_tokens=256).metadata
    assert (metadata.num_output, metadata.context_window) == (256, 6500 + 256)


def test_metadata_can_be_overridden():
    """Row 21 of LlamaIndex."""
    llm = DashScopeOSS(
        model="llama3-8b-instruct",
        base_url=LOCAL,
        context_window=2000,
        is_chat_model=False,
        is_function_calling_model=True,
    )
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (2000, 500)
    assert not metadata.is_chat_model
    assert metadata.is_function_calling_model
    wider = DashScopeOSS(model="llama3-8b-instruct", base_url=LOCAL, context_window=20_000)
    assert wider.metadata.context_window == 20_000


def test_a_record_of_ones_own_goes_under_the_name_asked():
    llama = find_model("ziya-llama-13b-v1")
    llm = DashScopeOSS(model="my-ziya", model_info=replace(llama, max_input=700), base_url=LOCAL)
    assert llm.metadata.model_name == "my-ziya"
    assert llm.metadata.context_window == 700 + 512
    assert not llm.metadata.is_chat_model


def test_an_unknown_model_warns_once_and_has_small_limits():
    """Row 22 of LlamaIndex: once for every look-up, call and object; its limits can be set."""
    name = "no-such-llama-of-llamaindex"
    reply = {"output": {"text": "hello"}, "request_id": "r"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=reply))

    def used(client):
        llm = DashScopeOSS(model=name, base_url=LOCAL, http_client=client)
        other = DashScopeOSS(model=name, base_url=LOCAL, context_window=8000)
        return llm.metadata, llm.complete("hi").text, other.metadata.context_window

    client = httpx2.Client(transport=transport)
    with pytest.warns(UnknownModelWarning, match=name) as warned:
        metadata, said, window = used(client)
    client.close()
    assert len(warned) == 1
    assert (metadata.context_window, metadata.num_output) == (3900, 975)
    assert (metadata.is_chat_model, metadata.is_function_calling_model) == (True, False)
    assert (said, window) == ("hello", 8000)


def test_only_what_was_set_is_sent(make):
    """Row 38 of LlamaIndex."""
    make("llama3-8b-instruct").chat([ChatMessage("hi")])
    assert make.body == {
        "model": "llama3-8b-instruct",
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "parameters": {"result_format": "message"},
    }


def test_a_setting_of_the_call_beats_one_of_the_object(make, ask):
    """Row 38 of LlamaIndex."""
    llm = make("llama3-8b-instruct", temperature=0.1, seed=7, additional_kwargs={"odd": 1})
    ask(llm, "hi", temperature=0.9, odd=2)
    sent = make.body["parameters"]
    assert (sent["temperature"], sent["seed"], sent["odd"]) == (0.9, 7, 2)


def test_aliases_and_unknown_names():
    """Row 1 of LlamaIndex."""
    llm = DashScopeOSS(model_name="llama3-8b-instruct", api_base=LOCAL, dashscope_api_key=KEY)
    assert llm.model == "llama3-8b-instruct"
    assert llm.base_url == LOCAL
    assert isinstance(llm, FunctionCallingLLM)
    with pytest.raises(ValueError, match="temprature"):
        DashScopeOSS(model="llama3-8b-instruct", base_url=LOCAL, temprature=0.9)


def test_a_missing_key_names_the_variable():
    """Row 13 of LlamaIndex: at once, not at the first call."""
    with pytest.raises(ConfigurationError, match="set the environment variable DASHSCOPE_API_KEY"):
        DashScopeOSS(model="deepseek-v4-pro")


@pytest.mark.parametrize("given", [KEY, SecretStr(KEY), lambda: KEY], ids=("str", "secret", "call"))
def test_a_key_given_as_an_argument_wins(make, ask, monkeypatch, given):
    """Row 13 of LlamaIndex: over that of the environment."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-environment")
    ask(make("deepseek-v4-pro", api_key=given), "hi")
    assert make.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_key_of_the_environment_is_read_anew_for_every_call(make, run, monkeypatch):
    """Row 13 of LlamaIndex: one that was changed or set after the object was made counts."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-first")
    llm = make("deepseek-v4-pro")
    llm.complete("hi")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-second")
    run(llm, llm.acomplete("hi"))
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    llm.complete("hi")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-third")
    llm.complete("hi")
    sent = [request.headers.get("authorization") for request in make.requests]
    assert sent == ["Bearer sk-first", "Bearer sk-second", None, "Bearer sk-third"]


def test_the_key_comes_from_the_environment_and_stays_there(gateway, monkeypatch):
    """Row 13 of LlamaIndex."""
    engine = gateway()
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    llm = DashScopeOSS(model="deepseek-v4-pro", base_url=engine.base_url)
    llm.complete("hi")
    llm.close()
    assert engine.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert llm.api_key is None
    assert KEY.encode() not in pickle.dumps(llm)


def test_the_key_is_in_nothing_that_is_shown_or_stored(make, events):
    """Row 14 of LlamaIndex."""
    llm = make("deepseek-v4-pro", api_key=KEY, default_headers={"x-proxy-key": KEY})
    llm.complete("hi")
    shown = (llm, llm.to_dict(), llm.to_json(), llm.model_dump(), llm.to_payload(), llm.metadata)
    for thing in (*shown, *events, str(llm)):
        assert KEY not in repr(thing)
    assert KEY.encode() not in pickle.dumps(llm)
    assert make.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(ValueError, match="model") as refused:
        DashScopeOSS(api_key=KEY)
    assert KEY not in str(refused.value)


def round_trips():
    return {
        "dict": lambda llm: DashScopeOSS.from_dict(llm.to_dict()),
        "json": lambda llm: DashScopeOSS.from_json(llm.to_json()),
        "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
        "deepcopy": copy.deepcopy,
    }


@pytest.mark.parametrize("way", round_trips())
@pytest.mark.parametrize("model", ["ziya-llama-13b-v1", "deepseek-v4-pro"])
def test_a_stored_object_comes_back_and_calls(make, model, way):
    """Row 15 of LlamaIndex: also one that has called before, with a record of its own."""
    llm = make(model, temperature=0.5, stop=["x"], model_info=find_model(model))
    llm.complete("hi")
    again = round_trips()[way](llm)
    assert again.complete("hi").text == "You said: hi"
    assert (again.temperature, again.model_info) == (0.5, find_model(model))
    assert llm.complete("hi").text == "You said: hi"
    again.close()


def test_a_client_of_the_callers_is_shared_by_copies_and_left_out_of_pickles():
    with httpx2.Client() as client:
        llm = DashScopeOSS(model="ziya-llama-13b-v1", base_url=LOCAL, http_client=client)
        assert copy.deepcopy(llm).http_client is client
        assert pickle.loads(pickle.dumps(llm)).http_client is None
        assert llm.http_client is client


def test_a_prompt_only_model_gets_its_familys_template(make):
    """Rows 27 and 28 of LlamaIndex."""
    llm = make("ziya-llama-13b-v1")
    llm.complete("你好")
    llm.complete("<human>:a\n<bot>:b</s><human>:c\n<bot>:", formatted=True)
    llm.chat([ChatMessage("be kind", role="system"), ChatMessage("你好")])
    assert [request.body["input"] for request in make.requests] == [
        {"prompt": "<human>:你好\n<bot>:"},
        {"prompt": "<human>:a\n<bot>:b</s><human>:c\n<bot>:"},
        {"prompt": "<human>:be kind\n\n你好\n<bot>:"},
    ]


def test_predict_on_a_prompt_only_model_renders_the_template_once(make):
    """Rows 27 and 28 of LlamaIndex."""
    llm = make("ziya-llama-13b-v1", system_prompt="be kind")
    assert llm.predict(PromptTemplate("say {word}"), word="hi") == "You said: be kind\n\nsay hi"
    turns = [ChatMessage("You are {who}.", role="system"), ChatMessage("hi")]
    llm.predict(ChatPromptTemplate(turns), who="Ziya")
    assert [request.body["input"]["prompt"] for request in make.requests] == [
        "<human>:be kind\n\nsay hi\n<bot>:",
        "<human>:be kind\n\nYou are Ziya.\n\nhi\n<bot>:",
    ]


def test_prompt_functions_of_the_users_own_win(make):
    """Row 27 of LlamaIndex."""
    llm = make(
        "ziya-llama-13b-v1",
        completion_to_prompt=lambda prompt: f"[{prompt}]",
        messages_to_prompt=lambda messages: f"({len(messages)})",
    )
    llm.complete("hi")
    llm.complete("hi", formatted=True)
    llm.chat([ChatMessage("hi")])
    llm.predict(PromptTemplate("hi"))
    sent = [request.body["input"]["prompt"] for request in make.requests]
    assert sent == ["[hi]", "hi", "(1)", "[hi]"]


def test_a_completion_function_alone_wins_in_predict_too(make):
    llm = make("ziya-llama-13b-v1", completion_to_prompt=lambda prompt: f"[{prompt}]")
    llm.predict(PromptTemplate("hi"))
    assert make.body["input"]["prompt"] == "[hi]"


# llama-index-core 0.14.0 and before put thoughts nowhere and calls into the older list.
BLOCKS = pytest.mark.skipif(not hasattr(types, "ThinkingBlock"), reason="no such blocks yet")


@BLOCKS
def test_a_conversation_is_carried_over(make):
    """Row 33 of LlamaIndex."""
    history = [
        ChatMessage("be kind", role="developer"),
        ChatMessage("hi"),
        ChatMessage(
            role="assistant",
            blocks=[
                types.ThinkingBlock(content="hm"),
                TextBlock(text="a"),
                CachePoint(cache_control=CacheControl(type="x")),
                TextBlock(text="b"),
                types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": "三"}),
            ],
        ),
        ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"}),
        ChatMessage(
            [
                CitableBlock(title="t", source="s", content="cited"),
                CitationBlock(
                    cited_content=TextBlock(text="quoted"),
                    source="s",
                    title="t",
                    additional_location_info={},
                ),
            ]
        ),
    ]
    before = copy.deepcopy(history)
    make("deepseek-v4-pro").chat(history)
    call = {"name": "add", "arguments": '{"a": "三"}'}
    assert history == before
    assert make.body["input"]["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "a\nb",
            "tool_calls": [{"id": "1", "type": "function", "function": call, "index": 0}],
        },
        {"role": "tool", "content": "3", "tool_call_id": "1"},
        {"role": "user", "content": "cited\nquoted"},
    ]


def test_tool_calls_in_the_older_list_are_carried_over(make):
    """Row 33 of LlamaIndex."""
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": ""}}
    history = [
        ChatMessage("hi"),
        ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}),
        ChatMessage("noon", role="tool", additional_kwargs={"tool_call_id": "1"}),
    ]
    make("deepseek-v4-pro").chat(history)
    (sent,) = make.body["input"]["messages"][1]["tool_calls"]
    assert sent["function"] == {"name": "now", "arguments": "{}"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (ChatMessage([TextBlock(text="a"), ImageBlock(url="http://x/y.png")]), "ImageBlock"),
        (ChatMessage("a", role="function"), "role 'function'"),
        (ChatMessage("a", role="tool"), "tool_call_id"),
        (ChatMessage(""), "empty"),
        (
            ChatMessage("a", role="assistant", additional_kwargs={"tool_calls": [{"name": "x"}]}),
            "tool_calls",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_before_any_request(make, message, told):
    """Row 37 of LlamaIndex."""
    llm = make("deepseek-v4-pro")
    with pytest.raises(UnsupportedInputError, match=told):
        llm.chat([message])
    with pytest.raises(UnsupportedInputError, match=told):
        llm.stream_chat([message])
    assert not make.requests


@BLOCKS
def test_thinking_is_kept_apart(make, ask):
    """Row 36 of LlamaIndex."""
    answer = Answer("42", reasoning="Let me think.", usage=Usage(3, 9, 12, reasoning_tokens=6))
    called = ask(make("deepseek-v4-pro", answer, enable_thinking=True), "hi")
    assert called.text == "42"
    if isinstance(called.last, ChatResponse):
        thought, said = called.last.message.blocks
        assert (thought.content, said.text) == ("Let me think.", "42")
    else:
        assert called.last.additional_kwargs["reasoning_content"] == "Let me think."


def test_thinking_streams_where_agents_look_for_it(make):
    """Row 36 of LlamaIndex."""
    answer = Answer("42", reasoning="Let me think.")
    chunks = list(make("deepseek-v4-pro", answer).stream_chat([ChatMessage("hi")]))
    thoughts = [chunk.additional_kwargs.get("thinking_delta") for chunk in chunks]
    assert "".join(filter(None, thoughts)) == "Let me think."
    assert thoughts[-1] is None


def test_without_llama_index_the_import_names_the_extra():
    code = "import sys; sys.modules['llama_index.core'] = None; import llama_index_dashscope_oss"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "dashscope-oss[llama-index]"' in run.stderr


CALL = ToolCall(id="1", name="Sum", arguments='{"a": 1, "b": 2}', index=0)


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


async def _last(start):
    return [found async for found in await start][-1]


OBJECTS = {
    "predict": lambda llm, prompt: llm.structured_predict(Sum, prompt),
    "apredict": lambda llm, prompt: llm.astructured_predict(Sum, prompt),
    "stream": lambda llm, prompt: list(llm.stream_structured_predict(Sum, prompt))[-1],
    "astream": lambda llm, prompt: _last(llm.astream_structured_predict(Sum, prompt)),
}


@pytest.mark.parametrize("way", OBJECTS)
def test_another_way_to_objects_that_was_chosen_is_llamaindexs_own(make, run, way):
    """Row 35 of LlamaIndex: a pydantic_program_mode this package has no way of its own for."""
    mode = PydanticProgramMode.FUNCTION
    llm = make("deepseek-v4-pro", Answer(tool_calls=(CALL,)), pydantic_program_mode=mode)
    found = OBJECTS[way](llm, PromptTemplate("One and two?"))
    assert (run(llm, found) if way.startswith("a") else found) == Sum(a=1, b=2)
    assert make.body["parameters"]["tools"][0]["function"]["name"] == "Sum"


def test_words_follow_a_conversation_that_ends_with_an_answer(make):
    """Row 35 of LlamaIndex: the schema is a question of its own, no part of what the model said."""
    llm = make("llama3-8b-instruct", Answer('{"a": 1, "b": 2}'))
    prompt = ChatPromptTemplate([ChatMessage("hi"), ChatMessage("Three.", role="assistant")])
    assert llm.structured_predict(Sum, prompt) == Sum(a=1, b=2)
    _, said, form = make.body["input"]["messages"]
    assert (said["role"], said["content"]) == ("assistant", "Three.")
    assert form["role"] == "user"
    assert '"a"' in form["content"]


def test_chatting_with_no_tools_is_chatting(make):
    """An agent whose tools have all gone says nothing of tools."""
    llm = make("deepseek-v4-pro", Answer("Hello"))
    answer = llm.chat_with_tools([], "hi", allow_parallel_tool_calls=True)
    assert answer.message.content == "Hello"
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(make.body["parameters"])


def test_calls_go_into_the_older_list_where_there_are_no_blocks_for_them(make, monkeypatch):
    """llama-index-core 0.14.0 and before has no ToolCallBlock."""
    monkeypatch.delattr(types, "ToolCallBlock", raising=False)
    message = make("deepseek-v4-pro", Answer(tool_calls=(CALL,))).chat([ChatMessage("hi")]).message
    assert not message.blocks
    (call,) = message.additional_kwargs["tool_calls"]
    assert call["function"] == {"name": "Sum", "arguments": '{"a": 1, "b": 2}'}


def test_a_familys_template_is_there_for_one_question_too():
    """Row 27 of LlamaIndex: what reads ``completion_to_prompt`` gets the model's own form."""
    llm = DashScopeOSS(model="ziya-llama-13b-v1", base_url=LOCAL)
    assert llm.completion_to_prompt("hi") == "<human>:hi\n<bot>:"
