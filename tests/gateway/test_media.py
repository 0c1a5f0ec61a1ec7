"""Images and videos from both frameworks, through the gateway, to an OpenAI-compatible server."""

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage

from dashscope_oss.gateway import Gateway, OpenAIEngine, Upstream, serve_in_thread
from langchain_dashscope_oss import ChatDashScopeOSS
from llama_index_dashscope_oss import DashScopeOSS
from tests.files import JPEG, PNG, base64_of, data_url
from tests.gateway.fake_upstream import FakeUpstream, short_answer, streamed

SEES, UNREGISTERED = "qwen3.6-27b", "my-own-llava"
URL = "http://127.0.0.1:1/never-fetched.png"
IMAGES = [
    {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}},
    {"type": "image_url", "image_url": {"url": URL}},
]


@pytest.fixture
def server():
    upstream = FakeUpstream(streamed(*short_answer("a cat")))
    yield upstream
    upstream.close()


@pytest.fixture
def url(server):
    engine = OpenAIEngine(Upstream(url=server.url, default="w", kind="vllm"))
    with serve_in_thread(Gateway(engine)) as address:
        yield address


def content(server):
    """What the server got as the content of the only message."""
    [(path, body, _)] = server.calls
    assert path == "/v1/chat/completions"
    [message] = body["messages"]
    return message["content"]


def test_langchains_images_arrive(server, url):
    """With the type that their bytes show."""
    blocks = [
        {"type": "text", "text": "what?"},
        {"type": "image", "base64": base64_of(PNG), "mime_type": "image/jpeg"},
        {"type": "image_url", "image_url": {"url": URL}},
    ]
    llm = ChatDashScopeOSS(model=SEES, base_url=url)
    assert llm.invoke([HumanMessage(blocks)]).text == "a cat"
    llm.close()
    assert content(server) == [{"type": "text", "text": "what?"}, *IMAGES]


def test_llama_indexs_images_arrive(server, url, tmp_path):
    path = tmp_path / "cat.bin"
    path.write_bytes(PNG)
    blocks = [TextBlock(text="what?"), ImageBlock(path=path), ImageBlock(url=URL)]
    llm = DashScopeOSS(model=SEES, base_url=url)
    assert llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content == "a cat"
    llm.close()
    assert content(server) == [{"type": "text", "text": "what?"}, *IMAGES]


@pytest.mark.filterwarnings("ignore:no record")
def test_an_id_that_nobody_registered_takes_images(server, url):
    """The server behind the gateway decides what it can do."""
    llm = ChatDashScopeOSS(model=UNREGISTERED, base_url=url)
    llm.invoke([HumanMessage([{"type": "image", "url": URL}])])
    llm.close()
    assert content(server) == [IMAGES[1]]


def test_videos_arrive(server, url):
    video = {"type": "video", "video": [URL, data_url("image/jpeg", JPEG)]}
    llm = ChatDashScopeOSS(model=SEES, base_url=url)
    llm.invoke([HumanMessage([{"type": "video", "url": URL}, video])])
    llm.close()
    assert content(server) == [
        {"type": "video_url", "video_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": data_url("image/jpeg", JPEG)}},
    ]
