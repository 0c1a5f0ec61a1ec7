"""Addresses, headers and connections: one object in many calls, threads and event loops."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    APITimeoutError,
    ConfigurationError,
)
from llama_index_dashscope_oss import DashScopeOSS
from tests.faults.server import RawServer, UntilGone, answer, frame, stream, text_reply
from tests.llama_index.examples import CHAT, PROMPT_ONLY, WITH_TOOLS
from tests.llama_index.mock_service import answers, model_over


def test_workspace_and_headers_go_with_every_call(make, ask):
    ask(make(CHAT, workspace="ws-1", default_headers={"x-team": "a"}), "hi")
    sent = make.requests[0].headers
    assert (sent["x-dashscope-workspace"], sent["x-team"]) == ("ws-1", "a")


REGIONS = {
    None: "dashscope.aliyuncs.com",
    "beijing": "dashscope.aliyuncs.com",
    "singapore": "dashscope-intl.aliyuncs.com",
    "us": "dashscope-us.aliyuncs.com",
    "hongkong": "cn-hongkong.dashscope.aliyuncs.com",
    "finance": "dashscope-finance.aliyuncs.com",
    "frankfurt": "ws-1.eu-central-1.maas.aliyuncs.com",
    "tokyo": "ws-1.ap-northeast-1.maas.aliyuncs.com",
}


PATH = "/api/v1/services/aigc/text-generation/generation"


def test_regions_have_their_addresses(ask):
    """Beijing if nothing is said."""
    urls = []

    def handle(request):
        urls.append(str(request.url))
        return answers(request)

    for region in REGIONS:
        settings = {"region": region, "api_key": "sk-0", "workspace": "ws-1"}
        llm = model_over(handle, WITH_TOOLS, base_url=None, **settings)
        assert ask(llm, "hi").text == "at last"
    assert urls == [f"https://{host}{PATH}" for host in REGIONS.values()]


def test_an_unknown_region_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"unknown region 'mars'.*beijing, singapore, us"):
        DashScopeOSS(model=PROMPT_ONLY, region="mars")


def test_a_service_that_is_silent_is_not_waited_for_longer_than_asked(ask):
    """``timeout``, over real sockets."""
    with RawServer([UntilGone()]) as server:
        limits = {"timeout": 0.05, "total_timeout": 30, "max_retries": 0}
        llm = DashScopeOSS(model=PROMPT_ONLY, base_url=server.base_url, **limits)
        with pytest.raises(APITimeoutError, match=r"0\.05 s"):
            ask(llm, "hi")
        llm.close()


def test_blocking_calls_share_one_connection():
    """Calls and streams in turn, three times over."""
    with RawServer(*turns(6)) as server:
        llm = DashScopeOSS(model=PROMPT_ONLY, base_url=server.base_url)
        for _ in range(3):
            assert llm.complete("hi").text == "hello"
            assert [r.message.content for r in llm.stream_chat([ChatMessage("hi")])][-1] == "hello"
        llm.close()
    assert (len(server.requests), server.connections) == (6, 1)


async def test_async_calls_of_one_loop_share_one_connection():
    with RawServer(*turns(6)) as server:
        llm = DashScopeOSS(model=PROMPT_ONLY, base_url=server.base_url)
        for _ in range(3):
            assert (await llm.achat([ChatMessage("hi")])).message.content == "hello"
            assert [r.text async for r in await llm.astream_complete("hi")][-1] == "hello"
        await llm.aclose()
    assert (len(server.requests), server.connections) == (6, 1)


def turns(count: int) -> list:
    """A whole answer and a streamed one in turn."""
    pair = [answer(text_reply("hello")), stream(frame("hel"), frame("lo", "stop"))]
    return pair * (count // 2)


def test_one_object_serves_event_loops_that_nobody_cleans_up_after():
    """Two asyncio.run in a row, as a script has them."""
    with RawServer(answer(text_reply("hello"))) as server:
        llm = DashScopeOSS(model=PROMPT_ONLY, base_url=server.base_url)
        assert [asyncio.run(llm.acomplete("hi")).text for _ in range(2)] == ["hello", "hello"]
        assert llm.complete("hi").text == "hello"
        llm.close()
    assert len(server.requests) == 3


def test_one_object_serves_several_event_loops(make, run):
    """One after the other, and many calls in one."""
    llm = make(CHAT)

    async def four():
        return await asyncio.gather(*(llm.acomplete(str(n)) for n in range(4)))

    for _ in range(2):
        assert [r.text for r in run(llm, four())] == [f"You said: {n}" for n in range(4)]


def test_one_object_serves_many_threads(make):
    """Sixteen at once, each gets its own answer."""
    llm = make(PROMPT_ONLY)
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: llm.complete(f"number {n}").text, range(32))
        assert list(answers) == [f"You said: number {n}" for n in range(32)]
