"""Streams: pieces as they arrive, the last one marked, and when a call streams at all."""

from __future__ import annotations

import threading

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from dashscope_oss import Usage
from dashscope_oss.gateway import Answer

from .calling import STREAMS, Seen, call, pieces, text_of

pytestmark = pytest.mark.versions

COUNTS = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
HELLO = Answer(pieces=("Hel", "lo ", "you"), usage=Usage(7, 5, 12))


@STREAMS
async def test_a_chain_hands_on_each_piece(either, path):
    llm, _ = either(HELLO)
    chain = ChatPromptTemplate.from_messages([("user", "Say {word}")]) | llm | StrOutputParser()
    texts = await pieces(chain, path, {"word": "hello"})
    assert [text for text in texts if text] == ["Hel", "lo ", "you"]


@STREAMS
async def test_the_first_piece_comes_before_the_last_is_sent(either, path):
    """The gateway holds the last piece back until the first has been received."""
    hold = threading.Event()
    llm, _ = either(Answer(pieces=("first", "last"), hold=hold))
    if path == "stream":
        chunks = llm.stream("Hi")
        first = next(chunks)
        hold.set()
        rest = list(chunks)
    else:
        achunks = llm.astream("Hi")
        first = await anext(achunks)
        hold.set()
        rest = [chunk async for chunk in achunks]
    assert text_of(first) == "first"
    assert "".join(map(text_of, rest)) == "last"


def test_the_last_chunk_of_a_message_says_so_and_alone_has_the_counts(chat):
    """LangChain adds chunks up: what came twice would be doubled."""
    llm, _ = chat(HELLO)
    *before, last = llm.stream("Hi")
    assert last.chunk_position == "last"
    assert last.usage_metadata is not None
    assert all(chunk.usage_metadata is None for chunk in before)
    assert all("model_name" not in chunk.response_metadata for chunk in before)


@STREAMS
async def test_the_last_piece_of_a_text_alone_has_the_counts(text, path):
    llm, _ = text(HELLO)
    seen = Seen()
    await call(llm, path, config={"callbacks": [seen]})
    *before, last = seen.chunks
    assert last.generation_info["token_usage"] == COUNTS
    assert not any("token_usage" in (chunk.generation_info or {}) for chunk in before)
    assert seen.info["token_usage"] == COUNTS


@STREAMS
@pytest.mark.parametrize("switch", [{}, {"disable_streaming": True}, {"streaming": False}])
async def test_a_chat_model_streams_unless_a_switch_of_langchain_says_no(chat, path, switch):
    llm, engine = chat(HELLO, **switch)
    chunks = [chunk for chunk in await pieces(llm, path) if chunk.text]
    assert (len(chunks) > 1) is not switch
    assert ("x-dashscope-sse" in engine.requests[-1].headers) is not switch


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
async def test_streaming_streams_inside_an_invoke_for_the_callbacks(either, path):
    llm, engine = either(HELLO, streaming=True)
    seen = Seen()
    answer = await call(llm, path, config={"callbacks": [seen]})
    assert text_of(answer) == "Hello you"
    assert [token for token in seen.tokens if token] == ["Hel", "lo ", "you"]
    assert seen.info["token_usage"] == COUNTS
    assert engine.requests[-1].headers["x-dashscope-sse"] == "enable"


async def test_async_callbacks_see_each_token(either):
    tokens = []

    class Tokens(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **_):
            tokens.append(token)

    llm, _ = either(HELLO)
    await call(llm, "astream", config={"callbacks": [Tokens()]})
    assert [token for token in tokens if token] == ["Hel", "lo ", "you"]


async def test_a_wrapper_may_stream_without_a_run(either):
    """LangChain's own methods always bring a run; wrappers call what is below without one."""
    llm, _ = either(HELLO)
    model_input = "Hi" if llm._llm_type == "dashscope-oss" else [HumanMessage("Hi")]
    assert "".join(chunk.text for chunk in llm._stream(model_input)) == "Hello you"
    assert "".join([chunk.text async for chunk in llm._astream(model_input)]) == "Hello you"
