"""One table of what models of both frameworks used."""

import pytest
from llama_index.core.llms import ChatMessage

from dashscope_oss import Usage, UsageTable
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM
from llama_index_dashscope_oss import DashScopeOSS

MODEL = "llama3-8b-instruct"


@pytest.fixture
def url(gateway):
    return gateway(Answer("hi", usage=Usage(3, 2, 5, cached_tokens=1))).base_url


async def test_both_frameworks_count_into_one_table(url):
    """Whole and streamed, blocking and not; a gateway bills nobody."""
    usage = UsageTable()
    settings = {"model": MODEL, "base_url": url, "usage_table": usage}
    chat, text, llm = (cls(**settings) for cls in (ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS))
    chat.invoke("q")
    [*chat.stream("q")]
    await text.ainvoke("q")
    llm.chat([ChatMessage("q")])
    async for _ in await llm.astream_complete("q"):
        pass
    for model in (chat, text, llm):
        model.close()
        await model.aclose()
    rows = [(row.framework, row.calls, row.input_tokens, row.cached_tokens) for row in usage.rows]
    assert rows == [("LangChain", 3, 9, 3), ("LlamaIndex", 2, 6, 2)]
    assert usage.cost is None


@pytest.mark.parametrize("cls", [ChatDashScopeOSS, DashScopeOSSLLM, DashScopeOSS])
def test_a_copy_counts_into_the_same_table(url, cls):
    usage = UsageTable()
    original = cls(model=MODEL, base_url=url, usage_table=usage)
    for copied in (original.model_copy(), original.model_copy(deep=True)):
        copied.invoke("q") if hasattr(copied, "invoke") else copied.complete("q")
        copied.close()
    assert usage.rows[0].calls == 2
    assert "usage_table" not in original.model_dump()
