"""Row 47 of LlamaIndex: what any LLM class of LlamaIndex owes its users, this package's or not.

Each test is named after one of the 25 defects (B1 to B25) that were measured in an integration of
DashScope on 2026-11-21. This package is held to it with all other tests. To hold another class to
it, install pytest and the class anywhere and name a function that makes it::

    CONFORMANCE_LLM=my_module:make python -m pytest -c /dev/null --rootdir . --noconftest \
        tests/llama_index/test_conformance.py

``make(service, kind, **settings)`` returns the LLM; ``service.dashscope`` and ``service.openai``
are its base URLs. ``kind`` is the model to stand for: ``tools`` (takes tools, may think),
``small`` (Llama 2 of 7B: 2,048 tokens of input) or ``prompt`` (takes a plain prompt). ``settings``
are the class's own; ``api_key=None`` means that the environment holds the key. Set
``make.native = False`` for a class that speaks OpenAI's protocol. The names ``dashscope`` and
``openai-like`` are known beside ``dashscope-oss``.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import os
import pickle
import sys
from pathlib import Path

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

sys.path.append(str(Path(__file__).parent))
from conformance_server import REFUSALS, Say, service

# What an LLM or LlamaIndex warns of is not what is asked here.
pytestmark = pytest.mark.filterwarnings("ignore")

KEY = "sk-0123456789abcdef-sentinel"
MODELS = {
    "tools": "deepseek-v4-pro",
    "small": "llama2-7b-chat-v2",
    "prompt": "ziya-llama-13b-v1",
}


def _settings(settings):
    given = {"api_key": KEY, **settings}
    return {name: value for name, value in given.items() if value is not None}


def dashscope_oss(service, kind, **settings):
    from llama_index_dashscope_oss import DashScopeOSS

    return DashScopeOSS(model=MODELS[kind], base_url=service.dashscope, **_settings(settings))


def dashscope(service, kind, **settings):
    import dashscope
    from llama_index.llms.dashscope import DashScope

    dashscope.base_http_api_url = service.dashscope
    return DashScope(model_name=MODELS[kind], **_settings(settings))


def openai_like(service, kind, **settings):
    from llama_index.llms.openai_like import OpenAILike

    abilities = {"is_chat_model": kind != "prompt", "is_function_calling_model": kind == "tools"}
    return OpenAILike(
        model=MODELS[kind], api_base=service.openai, **abilities, **_settings(settings)
    )


openai_like.native = False

KNOWN = {
    "dashscope-oss": (dashscope_oss, "dashscope-oss"),
    "dashscope": (dashscope, "llama-index-llms-dashscope"),
    "openai-like": (openai_like, "llama-index-llms-openai-like"),
}
NAME = os.environ.get("CONFORMANCE_LLM", "dashscope-oss")
if NAME in KNOWN:
    MAKE, DISTRIBUTION = KNOWN[NAME]
else:
    _module, _, _function = NAME.partition(":")
    MAKE, DISTRIBUTION = getattr(importlib.import_module(_module), _function), None
NATIVE = getattr(MAKE, "native", True)


@pytest.fixture
def llm():
    """Build an LLM over a service: ``llm(*script, kind=..., **settings)``; ``llm.service``."""
    with service() as running:
        made = []

        def make(*script, kind="tools", **settings):
            running.script[:] = script or [Say()]
            made.append(MAKE(running, kind, **settings))
            return made[-1]

        make.service = running
        yield make
        for one in made:
            getattr(one, "close", lambda: None)()


def run(llm, call):
    async def closing():
        try:
            return await call
        finally:
            if hasattr(llm, "aclose"):
                await llm.aclose()

    return asyncio.run(closing())


def responses(llm, method, **kwargs):
    """All that one of the eight methods gives for "hi", as a list."""
    given = [ChatMessage("hi")] if "chat" in method else "hi"
    call = getattr(llm, method)
    if not method.startswith("a"):
        found = call(given, **kwargs)
        return list(found) if "stream" in method else [found]

    async def gather():
        found = await call(given, **kwargs)
        return [one async for one in found] if "stream" in method else [found]

    return run(llm, gather())


def text(response):
    return response.message.content if hasattr(response, "message") else response.text


STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
METHODS = ("chat", "achat", "complete", "acomplete", *STREAMS)


class Add(BaseModel):
    """Two numbers."""

    a: int
    b: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(fn=add)
PIECES = Say(call="add", arguments=('{"a": 1', ', "b": 2}'))


def cause(error):
    """What an error and those behind it say."""
    said = ""
    while error is not None:
        said, error = f"{said} {error}", error.__cause__ or error.__context__
    return said


def refused(error, status):
    return any(word in cause(error.value) for word in (REFUSALS[status][0], str(status)))


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("method", METHODS)
def test_b01_a_refusal_raises(llm, method, status):
    """Not an empty answer."""
    with pytest.raises(Exception) as error:  # noqa: PT011 (each package has its own)
        responses(llm(Say(status=status)), method)
    assert refused(error, status)


def engine(llm, **kwargs):
    index = VectorStoreIndex.from_documents([Document(text="x")], embed_model=MockEmbedding(4))
    return index.as_query_engine(llm=llm, **kwargs)


@pytest.mark.parametrize("way", ["query", "aquery", "stream", "chat"])
def test_b02_a_refusal_raises_from_an_engine(llm, way):
    """Not "Empty Response", as if nothing had been found."""
    one = llm(Say(status=401))
    index = SummaryIndex.from_documents([Document(text="x")], embed_model=MockEmbedding(4))
    ways = {
        "query": lambda: engine(one).query("hi"),
        "aquery": lambda: run(one, engine(one).aquery("hi")),
        "stream": lambda: list(engine(one, streaming=True).query("hi").response_gen),
        "chat": lambda: index.as_chat_engine("context", llm=one, memory=words()).chat("hi"),
    }
    with pytest.raises(Exception) as error:  # noqa: PT011
        ways[way]()
    assert refused(error, 401)


def words():
    """Return a memory; LlamaIndex's own leaves SQLite connections open."""
    return ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=str.split)


def ask(llm, agent):
    memory = words()

    async def asked():
        return str(await agent.run("What is 1 + 2?", memory=memory))

    return run(llm, asked())


@pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent])
def test_b03_a_refusal_ends_an_agent_with_its_cause(llm, kind):
    """On the first call, not after twenty."""
    one = llm(Say(status=401))
    with pytest.raises(Exception) as error:  # noqa: PT011
        ask(one, kind(tools=[ADD], llm=one))
    assert refused(error, 401)
    assert len(llm.service.bodies) == 1


@pytest.mark.parametrize("method", STREAMS)
def test_b04_a_stream_that_fails_raises(llm, method):
    """Half an answer is not reported as a whole one."""
    one = llm(Say(("partial ", "rest"), breaks=True))
    with pytest.raises(Exception):  # noqa: B017, PT011
        responses(one, method)


def counted(llm, method):
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    responses(llm, method)
    return [(e.prompt_token_count, e.completion_token_count) for e in counter.llm_token_counts]


@pytest.mark.parametrize("method", METHODS)
def test_b05_tokens_are_counted_once_and_as_the_service_does(llm, method):
    """By LlamaIndex's own counter, with nothing set."""
    assert counted(llm(), method) == [(11, 4)]


@pytest.mark.parametrize("method", METHODS)
def test_b05_a_failed_call_counts_nothing(llm, method):
    counter = TokenCountingHandler(tokenizer=str.split)
    one = llm(Say(status=401))
    one.callback_manager = CallbackManager([counter])
    with contextlib.suppress(Exception):  # whether it raises is asked in b01
        responses(one, method)
    assert counter.total_llm_token_count == 0


@pytest.mark.parametrize("streaming", [True, False])
def test_b06_an_agent_takes_arguments_in_pieces(llm, streaming):
    one = llm(PIECES, Say(("It is 3.",)))
    assert ask(one, FunctionAgent(tools=[ADD], llm=one, streaming=streaming)) == "It is 3."


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_b07_white_space_in_arguments_is_kept(llm, method):
    tools = {"tools": [ADD.metadata.to_openai_tool()]}
    one = llm(Say(call="add", arguments=('{"a": 1,', ' "b": "x y', ' z"}')))
    last = responses(one, method, **tools)[-1]
    (called,) = one.get_tool_calls_from_response(last)
    assert called.tool_kwargs == {"a": 1, "b": "x y z"}


def test_b08_a_blocking_stream_keeps_its_tool_calls(llm):
    one = llm(PIECES)
    last = list(one.stream_chat_with_tools([ADD], "hi"))[-1]
    (called,) = one.get_tool_calls_from_response(last)
    assert called.tool_kwargs == {"a": 1, "b": 2}


def test_b08_a_structured_stream_ends_in_its_object(llm):
    one = llm(Say(call="Add", arguments=PIECES.arguments))
    *_, last = one.stream_structured_predict(Add, PromptTemplate("hi"))
    assert last == Add(a=1, b=2)


@pytest.mark.parametrize("method", STREAMS)
def test_b09_a_null_in_a_stream_is_no_text(llm, method):
    found = responses(llm(Say((None, "a", None, "b"))), method)
    assert "".join(one.delta or "" for one in found) == text(found[-1]) == "ab"


@pytest.mark.parametrize("method", METHODS)
def test_b10_settings_of_a_call_are_sent(llm, method):
    """And nothing else by mistake."""
    responses(llm(), method, temperature=0.9, max_tokens=7)
    sent = llm.service.parameters
    assert (sent["temperature"], sent["max_tokens"]) == (0.9, 7)
    assert "kwargs" not in sent


@pytest.mark.skipif(not NATIVE, reason="OpenAI's protocol always sends new pieces")
@pytest.mark.parametrize("method", STREAMS)
def test_b11_text_that_is_repeated_is_not_doubled(llm, method):
    found = responses(llm(Say(("你", "好", "世界"), repeats=True), kind="small"), method)
    assert text(found[-1]) == "你好世界"


@pytest.mark.skipif(not NATIVE, reason="OpenAI's protocol has one form of answers")
@pytest.mark.parametrize("method", METHODS)
def test_b12_an_answer_in_output_text_is_read(llm, method):
    assert text(responses(llm(Say(("a", "b"), plain=True)), method)[-1]) == "ab"


def test_b13_the_key_comes_from_the_environment(llm, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-env")
    assert text(llm(api_key=None).complete("hi")) == "fine"
    assert llm.service.keys == ["Bearer sk-env"]


def test_b13_a_stored_object_comes_back_and_calls(llm, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-env")
    one = llm()
    again = type(one).from_dict(one.to_dict())
    assert text(again.complete("hi")) == "fine"


FORMS = {
    "repr": repr,
    "dict": lambda one: json.dumps(one.to_dict(), default=str),
    "json": lambda one: one.to_json(),
    "pickle": lambda one: repr(pickle.dumps(one)),
}


@pytest.mark.parametrize("form", FORMS)
def test_b14_the_key_is_in_no_form_of_the_object(llm, form):
    assert KEY not in FORMS[form](llm())


def test_b15_metadata_is_the_models_own(llm):
    """A model that takes 2,048 tokens and no tools says so."""
    metadata = llm(kind="small").metadata
    assert 0 < metadata.context_window - max(metadata.num_output, 0) <= 2048
    assert not metadata.is_function_calling_model


@pytest.mark.skipif(not hasattr(types, "ThinkingBlock"), reason="llama-index-core is too old")
def test_b16_thoughts_are_a_block(llm):
    (found,) = responses(llm(Say(("42",), thoughts="hm")), "chat")
    (thought,) = [b for b in found.message.blocks if b.block_type == "thinking"]
    assert thought.content == "hm"


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_b16_thoughts_stream_where_agents_look(llm, method):
    found = responses(llm(Say(("42",), thoughts="hm")), method)
    thoughts = [one.additional_kwargs.get("thinking_delta") or "" for one in found]
    assert "".join(thoughts) == "hm"


@pytest.mark.skipif(not hasattr(types, "ToolCallBlock"), reason="llama-index-core is too old")
def test_b17_tool_calls_are_blocks_both_ways(llm):
    one = llm(PIECES)
    (found,) = responses(one, "chat", tools=[ADD.metadata.to_openai_tool()])
    assert [b for b in found.message.blocks if b.block_type == "tool_call"]
    call = types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1})
    result = ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"})
    one.chat([ChatMessage("hi"), ChatMessage(role="assistant", blocks=[call]), result])
    assert '"tool_calls": [{' in llm.service.sent


def test_b18_an_image_is_sent_or_refused(llm):
    one = llm()
    message = ChatMessage([TextBlock(text="what"), ImageBlock(url="http://127.0.0.1:9/x.png")])
    try:
        one.chat([message])
    except Exception:  # noqa: BLE001
        return
    assert "x.png" in llm.service.sent


def test_b19_a_tool_can_be_required(llm):
    llm(PIECES).chat_with_tools([ADD], "hi", tool_required=True)
    assert llm.service.parameters.get("tool_choice") not in (None, "auto", "none")


def test_b20_a_tools_schema_is_whole(llm):
    class Place(BaseModel):
        city: str

    def find(place: Place) -> str:
        """Find a place."""
        return str(place)

    llm(PIECES).chat_with_tools([FunctionTool.from_defaults(fn=find)], "hi")
    (sent,) = llm.service.parameters["tools"]
    schema = sent["function"]["parameters"]
    assert schema["required"] == ["place"]
    assert "city" in json.dumps(schema)


def test_b21_a_misspelled_setting_is_refused(llm):
    with pytest.raises(Exception, match="temprature"):
        llm(temprature=0.9)


def test_b22_a_prompt_function_of_ones_own_is_used(llm):
    llm(kind="prompt", completion_to_prompt=lambda prompt: f"<<{prompt}>>").complete("hi")
    assert "<<hi>>" in llm.service.sent


@pytest.mark.parametrize("method", METHODS)
def test_b23_a_busy_service_is_asked_again(llm, method):
    assert text(responses(llm(Say(status=429), Say()), method)[-1]) == "fine"
    assert len(llm.service.bodies) == 2


@pytest.mark.skipif(DISTRIBUTION is None, reason="no known distribution")
def test_b24_no_dependency_is_pinned_to_one_version():
    needed = importlib.metadata.requires(DISTRIBUTION) or ()
    assert not [one for one in needed if "==" in one and "extra ==" not in one]


@pytest.mark.parametrize("method", METHODS)
def test_b25_nothing_is_sent_that_nobody_set(llm, method):
    responses(llm(), method)
    assert llm.service.parameters == {}
