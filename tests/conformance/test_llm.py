"""The checks, each named after the defect that it finds.

B1 to B25 were measured in an integration of DashScope on 2026-11-21.
Annotations are not put off: LlamaIndex reads those of a tool.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import pickle
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from tests.conformance.candidates import VARIABLE, candidate
from tests.conformance.server import REFUSALS, Answer, Service, service

# What an LLM or LlamaIndex warns of is not checked here.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.versions]

CANDIDATE = candidate(os.environ.get(VARIABLE, "dashscope-oss"))
KEY = "sk-0123456789abcdef-sentinel"

Found = TypeVar("Found")
Response: TypeAlias = Any  # what it is, is in question


class Maker:
    """Builds LLMs over a service: ``llm(*script, kind=..., **settings)``."""

    def __init__(self, running: Service) -> None:
        self.service = running
        self._llms: list[FunctionCallingLLM] = []

    def __call__(self, *script: Answer, kind: str = "tools", **settings: Any) -> FunctionCallingLLM:
        """Write what the service is to say, and build an LLM; ``None`` leaves a setting out."""
        self.service.script[:] = script or [Answer()]
        settings = {"api_key": KEY, **settings}
        settings = {name: value for name, value in settings.items() if value is not None}
        self._llms.append(CANDIDATE.make(self.service, kind, **settings))
        return self._llms[-1]

    def close(self) -> None:
        """End what the LLMs hold open."""
        for llm in self._llms:
            getattr(llm, "close", lambda: None)()


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    """A maker of the class in question, whose service answers what the test has it say."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)  # LlamaIndex ships its tokenizer
    with service() as running:
        maker = Maker(running)
        yield maker
        maker.close()


def run(llm: FunctionCallingLLM, call: Coroutine[Any, Any, Found]) -> Found:
    """Run ``call`` in an event loop of its own, and close the connections opened there."""

    async def closing() -> Found:
        try:
            return await call
        finally:
            if hasattr(llm, "aclose"):
                await llm.aclose()

    return asyncio.run(closing())


def responses(llm: FunctionCallingLLM, method: str, **kwargs: Any) -> list[Response]:
    """All that one of the eight methods gives for "hi", as a list."""
    question = [ChatMessage("hi")] if "chat" in method else "hi"
    call = getattr(llm, method)
    if not method.startswith("a"):
        response = call(question, **kwargs)
        return list(response) if "stream" in method else [response]

    async def gather() -> list[Response]:
        response = await call(question, **kwargs)
        return [piece async for piece in response] if "stream" in method else [response]

    return run(llm, gather())


def text(response: Response) -> str | None:
    """All text of an answer, of either kind."""
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
PIECES = Answer(call="add", arguments=('{"a": 1', ', "b": 2}'))


def texts_of(error: BaseException | None) -> str:
    """The texts of an error and of those behind it."""
    texts = ""
    while error is not None:
        texts, error = f"{texts} {error}", error.__cause__ or error.__context__
    return texts


def refused(error: pytest.ExceptionInfo[Exception], status: int) -> bool:
    """Whether an error says what the service refused with."""
    return any(word in texts_of(error.value) for word in (REFUSALS[status][0], str(status)))


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("method", METHODS)
def test_b01_a_refusal_raises(llm: Maker, method: str, status: int) -> None:
    """Not an empty answer."""
    with pytest.raises(Exception) as error:  # noqa: PT011 (each package has its own)
        responses(llm(Answer(status=status)), method)
    assert refused(error, status)


def engine(llm: FunctionCallingLLM, **kwargs: Any) -> Any:
    index = VectorStoreIndex.from_documents([Document(text="x")], embed_model=MockEmbedding(4))
    return index.as_query_engine(llm=llm, **kwargs)


@pytest.mark.parametrize("engine_call", ["query", "aquery", "stream", "chat"])
def test_b02_a_refusal_raises_from_an_engine(llm: Maker, engine_call: str) -> None:
    """Not "Empty Response", as if no document fitted."""
    one = llm(Answer(status=401))
    index = SummaryIndex.from_documents([Document(text="x")], embed_model=MockEmbedding(4))
    calls: dict[str, Callable[[], object]] = {
        "query": lambda: engine(one).query("hi"),
        "aquery": lambda: run(one, engine(one).aquery("hi")),
        "stream": lambda: list(engine(one, streaming=True).query("hi").response_gen),
        "chat": lambda: index.as_chat_engine(ChatMode.CONTEXT, llm=one, memory=words()).chat("hi"),
    }
    with pytest.raises(Exception) as error:  # noqa: PT011
        calls[engine_call]()
    assert refused(error, 401)


def words() -> ChatMemoryBuffer:
    """Return a memory; LlamaIndex's own leaves SQLite connections open."""
    return ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=str.split)


def ask(llm: FunctionCallingLLM, agent: FunctionAgent | ReActAgent) -> str:
    memory = words()

    async def answer() -> str:
        return str(await agent.run("What is 1 + 2?", memory=memory))

    return run(llm, answer())


@pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent])
def test_b03_a_refusal_ends_an_agent_with_its_cause(
    llm: Maker, kind: type[FunctionAgent | ReActAgent]
) -> None:
    """On the first call, not after twenty."""
    one = llm(Answer(status=401))
    with pytest.raises(Exception) as error:  # noqa: PT011
        ask(one, kind(tools=[ADD], llm=one))
    assert refused(error, 401)
    assert len(llm.service.bodies) == 1


@pytest.mark.parametrize("method", STREAMS)
def test_b04_a_stream_that_fails_raises(llm: Maker, method: str) -> None:
    """Half an answer is not reported as a whole one."""
    one = llm(Answer(("partial ", "rest"), breaks=True))
    with pytest.raises(Exception):  # noqa: B017, PT011
        responses(one, method)


def counted(llm: FunctionCallingLLM, method: str) -> list[tuple[int, int]]:
    """Prompt and completion tokens of each event that LlamaIndex's own counter noted."""
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    responses(llm, method)
    return [(e.prompt_token_count, e.completion_token_count) for e in counter.llm_token_counts]


@pytest.mark.parametrize("method", METHODS)
def test_b05_tokens_are_counted_once_and_as_the_service_does(llm: Maker, method: str) -> None:
    """By LlamaIndex's own counter, with nothing set."""
    assert counted(llm(), method) == [(11, 4)]


@pytest.mark.parametrize("method", METHODS)
def test_b05_a_failed_call_counts_nothing(llm: Maker, method: str) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    one = llm(Answer(status=401))
    one.callback_manager = CallbackManager([counter])
    with contextlib.suppress(Exception):  # b01 checks that it raises
        responses(one, method)
    assert counter.total_llm_token_count == 0


@pytest.mark.parametrize("streaming", [True, False])
def test_b06_an_agent_takes_arguments_in_pieces(llm: Maker, streaming: bool) -> None:
    one = llm(PIECES, Answer(("It is 3.",)))
    assert ask(one, FunctionAgent(tools=[ADD], llm=one, streaming=streaming)) == "It is 3."


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_b07_white_space_in_arguments_is_kept(llm: Maker, method: str) -> None:
    tools = {"tools": [ADD.metadata.to_openai_tool()]}
    one = llm(Answer(call="add", arguments=('{"a": 1,', ' "b": "x y', ' z"}')))
    last = responses(one, method, **tools)[-1]
    (called,) = one.get_tool_calls_from_response(last)
    assert called.tool_kwargs == {"a": 1, "b": "x y z"}


def test_b08_a_blocking_stream_keeps_its_tool_calls(llm: Maker) -> None:
    one = llm(PIECES)
    last = list(one.stream_chat_with_tools([ADD], "hi"))[-1]
    (called,) = one.get_tool_calls_from_response(last)
    assert called.tool_kwargs == {"a": 1, "b": 2}


def test_b08_a_structured_stream_ends_in_its_object(llm: Maker) -> None:
    one = llm(Answer(call="Add", arguments=PIECES.arguments))
    *_, last = one.stream_structured_predict(Add, PromptTemplate("hi"))
    assert last == Add(a=1, b=2)


@pytest.mark.parametrize("method", STREAMS)
def test_b09_a_null_in_a_stream_is_no_text(llm: Maker, method: str) -> None:
    pieces = responses(llm(Answer((None, "a", None, "b"))), method)
    assert "".join(piece.delta or "" for piece in pieces) == text(pieces[-1]) == "ab"


@pytest.mark.parametrize("method", METHODS)
def test_b10_settings_of_a_call_are_sent(llm: Maker, method: str) -> None:
    """And nothing else by mistake."""
    responses(llm(), method, temperature=0.9, max_tokens=7)
    sent = llm.service.parameters
    assert (sent["temperature"], sent["max_tokens"]) == (0.9, 7)
    assert "kwargs" not in sent


@pytest.mark.skipif(not CANDIDATE.native, reason="OpenAI's protocol always sends new pieces")
@pytest.mark.parametrize("method", STREAMS)
def test_b11_text_that_is_repeated_is_not_doubled(llm: Maker, method: str) -> None:
    pieces = responses(llm(Answer(("你", "好", "世界"), repeats=True), kind="small"), method)
    assert text(pieces[-1]) == "你好世界"


@pytest.mark.skipif(not CANDIDATE.native, reason="OpenAI's protocol has one form of answers")
@pytest.mark.parametrize("method", METHODS)
def test_b12_an_answer_in_output_text_is_read(llm: Maker, method: str) -> None:
    assert text(responses(llm(Answer(("a", "b"), plain=True)), method)[-1]) == "ab"


def test_b13_the_key_comes_from_the_environment(
    llm: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-env")
    assert text(llm(api_key=None).complete("hi")) == "fine"
    assert llm.service.keys == ["Bearer sk-env"]


def test_b13_a_stored_object_comes_back_and_calls(
    llm: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-env")
    one = llm()
    again = type(one).from_dict(one.to_dict())
    assert text(again.complete("hi")) == "fine"


FORMS: dict[str, Callable[[FunctionCallingLLM], str]] = {
    "repr": repr,
    "dict": lambda one: json.dumps(one.to_dict(), default=str),
    "json": lambda one: one.to_json(),
    "pickle": lambda one: repr(pickle.dumps(one)),
}


@pytest.mark.parametrize("form", FORMS)
def test_b14_the_key_is_in_no_form_of_the_object(llm: Maker, form: str) -> None:
    assert KEY not in FORMS[form](llm())


def test_b15_metadata_is_the_models_own(llm: Maker) -> None:
    """A model that takes 2,048 tokens and no tools says so."""
    metadata = llm(kind="small").metadata
    assert 0 < metadata.context_window - max(metadata.num_output, 0) <= 2048
    assert not metadata.is_function_calling_model


@pytest.mark.skipif(not hasattr(types, "ThinkingBlock"), reason="llama-index-core is too old")
def test_b16_thoughts_are_a_block(llm: Maker) -> None:
    (response,) = responses(llm(Answer(("42",), thoughts="hm")), "chat")
    (thought,) = [b for b in response.message.blocks if b.block_type == "thinking"]
    assert thought.content == "hm"


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
def test_b16_thoughts_stream_where_agents_look(llm: Maker, method: str) -> None:
    pieces = responses(llm(Answer(("42",), thoughts="hm")), method)
    thoughts = [piece.additional_kwargs.get("thinking_delta") or "" for piece in pieces]
    assert "".join(thoughts) == "hm"


@pytest.mark.skipif(not hasattr(types, "ToolCallBlock"), reason="llama-index-core is too old")
def test_b17_tool_calls_are_blocks_both_ways(llm: Maker) -> None:
    one = llm(PIECES)
    (response,) = responses(one, "chat", tools=[ADD.metadata.to_openai_tool()])
    assert [b for b in response.message.blocks if b.block_type == "tool_call"]
    call = types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1})
    result = ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"})
    one.chat([ChatMessage("hi"), ChatMessage(role="assistant", blocks=[call]), result])
    assert '"tool_calls": [{' in llm.service.sent


def test_b18_an_image_is_sent_or_refused(llm: Maker) -> None:
    one = llm()
    message = ChatMessage([TextBlock(text="what"), ImageBlock(url="http://127.0.0.1:9/x.png")])
    with contextlib.suppress(Exception):
        one.chat([message])
    assert not llm.service.bodies or "x.png" in llm.service.sent


def test_b19_a_tool_can_be_required(llm: Maker) -> None:
    llm(PIECES).chat_with_tools([ADD], "hi", tool_required=True)
    assert llm.service.parameters.get("tool_choice") not in (None, "auto", "none")


def test_b20_a_tools_schema_is_whole(llm: Maker) -> None:
    class Place(BaseModel):
        city: str

    def find(place: Place) -> None:
        """Find a place."""

    llm(PIECES).chat_with_tools([FunctionTool.from_defaults(fn=find)], "hi")
    (sent,) = llm.service.parameters["tools"]
    schema = sent["function"]["parameters"]
    assert schema["required"] == ["place"]
    assert "city" in json.dumps(schema)


def test_b21_a_misspelled_setting_is_refused(llm: Maker) -> None:
    with pytest.raises(Exception, match="temprature"):
        llm(temprature=0.9)


def test_b22_a_prompt_function_of_ones_own_is_used(llm: Maker) -> None:
    llm(kind="prompt", completion_to_prompt=lambda prompt: f"<<{prompt}>>").complete("hi")
    assert "<<hi>>" in llm.service.sent


@pytest.mark.parametrize("method", METHODS)
def test_b23_a_busy_service_is_asked_again(llm: Maker, method: str) -> None:
    assert text(responses(llm(Answer(status=429), Answer()), method)[-1]) == "fine"
    assert len(llm.service.bodies) == 2


@pytest.mark.skipif(CANDIDATE.distribution is None, reason="no known distribution")
def test_b24_no_dependency_is_pinned_to_one_version() -> None:
    needed = importlib.metadata.requires(CANDIDATE.distribution or "") or ()
    assert not [one for one in needed if "==" in one and "extra ==" not in one]


@pytest.mark.parametrize("method", METHODS)
def test_b25_nothing_is_sent_that_nobody_set(llm: Maker, method: str) -> None:
    responses(llm(), method)
    assert llm.service.parameters == {}
