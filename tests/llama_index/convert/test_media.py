"""Images, videos, recordings, cache points and web pages in LlamaIndex's own forms."""

import io
from dataclasses import replace

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import CacheControl, CachePoint, ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage

from dashscope_oss import DashScopeWarning, UnsupportedInputError, find_model
from dashscope_oss.gateway import Answer
from dashscope_oss.messages import AudioPart, Usage
from llama_index_dashscope_oss._convert import media_blocks
from tests.files import JPEG, MP4, PDF, PNG, WAV, base64_of, data_url
from tests.llama_index.examples import WITH_BLOCKS
from tests.llama_index.mock_service import message, model_over, streamed, whole

SEES = "qwen3.5-27b"
URL = "https://example.com/cat.png"
MARK = {"type": "ephemeral"}


@pytest.fixture
def sent(make):
    """The content that the service gets for these blocks."""

    def send(*blocks, **settings):
        llm = make(SEES, **settings)
        llm.chat([ChatMessage(role="user", blocks=[*blocks])])
        return make.body["input"]["messages"][0]["content"]

    return send


def images(tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(PNG)
    return path


@pytest.mark.parametrize("fields", [{"image": PNG}, {"image": io.BytesIO(PNG)}, {"path": None}])
def test_the_bytes_of_an_image_are_sent_with_the_type_that_they_show(sent, tmp_path, fields):
    """Given as bytes, as a stream, or in a file whose name says something else."""
    fields = {"path": images(tmp_path)} if "path" in fields else fields
    assert sent(TextBlock(text="look"), ImageBlock(**fields)) == [
        {"text": "look"},
        {"image": data_url("image/png", PNG)},
    ]


def test_addresses_are_handed_on_and_not_fetched(sent):
    assert sent(ImageBlock(url=URL), ImageBlock(url="oss://b/cat.png")) == [
        {"image": URL},
        {"image": "oss://b/cat.png"},
    ]


@pytest.mark.skipif(not hasattr(types, "VideoBlock"), reason="older llama-index-core")
def test_videos_and_recordings(sent):
    video = types.VideoBlock(video=MP4, fps=2)
    assert sent(video, types.VideoBlock(url=URL)) == [
        {"video": data_url("video/mp4", MP4), "fps": 2},
        {"video": URL},
    ]
    recording = media_blocks.media_part(types.AudioBlock(audio=WAV), "m")
    assert recording == AudioPart(f"data:;base64,{base64_of(WAV)}")


def test_an_image_block_of_a_document_is_sent(sent):
    """As LlamaIndex's multimodal engines make them of their nodes."""
    from llama_index.core.schema import ImageDocument

    document = ImageDocument(image=JPEG)
    block = ImageBlock(image=document.resolve_image().read())
    assert sent(block) == [{"image": data_url("image/jpeg", JPEG)}]


def test_settings_of_images_are_sent(sent, make):
    options = {"max_pixels": 9, "fps": 1}
    content = sent(ImageBlock(url=URL), media_options=options, vl_high_resolution_images=True)
    assert content == [{"image": URL, "max_pixels": 9}]
    assert make.body["parameters"]["vl_high_resolution_images"] is True
    assert "media_options" not in make.body["parameters"]


def test_a_detail_of_an_image_is_left_out_with_a_warning(sent):
    with pytest.warns(DashScopeWarning, match="no detail='low'"):
        assert sent(ImageBlock(url=URL, detail="low")) == [{"image": URL}]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (lambda path: ImageBlock(path=path), r"part 1 \(.*cat\.png\): its bytes are application/p"),
        (lambda _: ImageBlock(), "ImageBlock holds neither data nor path nor url"),
        (lambda _: ImageBlock(url="file:///etc/passwd"), "is no address"),
        (
            lambda path: ImageBlock.model_construct(path=path.with_name("gone"), image=None),
            "cannot read .*gone: No such file",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_before_any_request(make, tmp_path, block, reason):
    path = tmp_path / "cat.png"
    path.write_bytes(PDF)
    llm = make(SEES)
    with pytest.raises(UnsupportedInputError, match=reason):
        llm.chat([ChatMessage(role="user", blocks=[block(path)])])
    assert not make.requests


def test_a_file_that_is_far_too_large_is_not_even_read(make, tmp_path, monkeypatch):
    monkeypatch.setattr(media_blocks, "MAX_FILE_BYTES", 3)
    with pytest.raises(UnsupportedInputError, match=r"cat\.jpg has \d+ bytes, more than can be"):
        make(SEES).chat([ChatMessage(role="user", blocks=[ImageBlock(path=images(tmp_path))])])


def test_a_cache_point_marks_the_block_before_it(make):
    caches = replace(find_model(SEES), context_cache="explicit")
    llm = make(SEES, model_info=caches, cache_system_prompt=True)
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    blocks = [TextBlock(text="long"), point, TextBlock(text="q")]
    llm.chat([ChatMessage("be kind", role="system"), ChatMessage(role="user", blocks=blocks)])
    system, question = make.body["input"]["messages"]
    assert system["content"] == [{"text": "be kind", "cache_control": MARK}]
    assert question["content"] == [{"text": "long", "cache_control": MARK}, {"text": "\nq"}]


def test_a_cache_point_before_everything_is_refused(make):
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    with pytest.raises(UnsupportedInputError, match="stands before all blocks of its message"):
        make(SEES).chat([ChatMessage(role="user", blocks=[point, TextBlock(text="q")])])


PAGES = {"search_results": [{"index": 1, "title": "t", "url": URL, "site_name": ""}]}


def test_web_pages_are_in_raw(ask):
    """Of a stream in that of the last response, though the first event named them."""
    first, last = message("me"), message("ow", "stop")
    output = {"search_info": PAGES, **message("meow", "stop")}
    answer = (
        streamed({"search_info": PAGES, **first}, last) if "stream" in ask.name else whole(output)
    )
    response = ask(model_over(answer, "glm-5", enable_thinking=False), "q").last
    assert response.raw["output"]["search_info"] == PAGES


@WITH_BLOCKS
@pytest.mark.parametrize("name", ["chat", "stream_chat"])
def test_images_of_an_answer_are_blocks(name):
    content = [{"text": "look"}, {"image": URL}]
    outputs = [message(content, "null"), message([{"text": "!"}], "stop")]
    answer = streamed(*outputs) if "stream" in name else whole(message(content, "stop"))
    llm = model_over(answer, SEES, enable_thinking=False)
    response = getattr(llm, name)([ChatMessage("q")])
    last = [*response][-1] if "stream" in name else response
    assert [block.block_type for block in last.message.blocks] == ["text", "image"]
    assert str(last.message.blocks[1].url) == URL
    assert last.message.content == ("look!" if "stream" in name else "look")


def test_tokens_of_cache_and_images_are_beside_the_others(make):
    usage = Usage(9, 1, 10, cached_tokens=1, cache_creation_tokens=2, image_tokens=3)
    response = make(SEES, Answer("hi", usage=usage)).chat([ChatMessage("q")])
    assert response.raw["usage"]["input_tokens_details"] == {"image_tokens": 3}
    facts = response.additional_kwargs
    assert (facts["cached_tokens"], facts["cache_creation_tokens"]) == (1, 2)
    assert facts["image_tokens"] == 3
    assert "video_tokens" not in facts


def test_effort_and_search_are_settings(make):
    options = {"enable_source": True}
    llm = make(
        "deepseek-v4-pro",
        reasoning_effort="high",
        search_options=options,
        enable_search=True,
        max_completion_tokens=99,
    )
    llm.chat([ChatMessage("q")])
    parameters = make.body["parameters"]
    assert parameters["reasoning_effort"] == "high"
    assert parameters["search_options"] == options
    assert parameters["max_completion_tokens"] == llm.metadata.num_output == 99


def test_an_answer_is_continued(make):
    begun = ChatMessage("Once", role="assistant", additional_kwargs={"partial": True})
    llm = make("glm-5", Answer(" upon a time"))
    assert llm.chat([ChatMessage("q"), begun]).message.content == " upon a time"
    assert make.body["input"]["messages"][1] == {
        "role": "assistant",
        "content": "Once",
        "partial": True,
    }
    assert make.body["parameters"]["enable_thinking"] is False
