"""The answers of vLLM, SGLang, Ollama, TGI and llama.cpp, as their sources write them."""

import pytest

from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.gateway.engines.openai.calls import engine_request, generate, generate_error
from tests.gateway.fake_upstream import FakeUpstream
from tests.gateway.transcripts import TRANSCRIPTS

ANSWERS = {name: said for name, said in TRANSCRIPTS.items() if said.error is None}
ERRORS = {name: said for name, said in TRANSCRIPTS.items() if said.error is not None}


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_answer_of_each_server_is_read(said):
    """Thinking, tool calls, finish reason and every count, whatever the server calls them."""
    reply = join_deltas(await generate(FakeUpstream(said.answer), engine_request(said.model)))

    assert (reply.text, reply.reasoning) == (said.text, said.reasoning)
    assert (reply.tool_calls, reply.finish_reason) == (said.tool_calls, said.finish_reason)
    assert reply.usage == said.usage
    assert (reply.logprobs or {"content": []})["content"] == said.logprobs


async def test_the_error_of_each_server_is_the_vendors(subtests):
    """By its meaning: the caller's own mistake, a wait, or a failure of the server."""
    for name, said in ERRORS.items():
        with subtests.test(name):
            status, code, text = said.error
            error = await generate_error(FakeUpstream(said.answer), engine_request(said.model))
            assert (error.status, error.code) == (status, code)
            assert text in error.message
