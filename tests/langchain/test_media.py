"""Images, videos, recordings, cache marks and web pages in LangChain's own forms."""

from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from dashscope_oss import DashScopeWarning, Usage, find_model
from dashscope_oss.messages import Reply
from langchain_dashscope_oss import ChatDashScopeOSS
from langchain_dashscope_oss._convert.metadata import usage_metadata
from langchain_dashscope_oss._convert.results import to_chat_result
from tests.files import JPEG, MP4, PNG, WAV, base64_of, data_url

from .calling import PATHS, answering, as_choice, call, offline, streaming

SEES = "qwen3.5-27b"
URL = "https://example.com/cat.png"
B64 = base64_of(PNG)
PNG_URL, MP4_URL = data_url("image/png", PNG), data_url("video/mp4", MP4)
MARK = {"type": "ephemeral"}


def sent(*blocks, **settings):
    """The content that the service gets for these blocks."""
    server = answering()
    server.model(ChatDashScopeOSS, **{"model": SEES, **settings}).invoke([HumanMessage([*blocks])])
    return server.body()["input"]["messages"][0]["content"]


BLOCKS = [
    ({"type": "image", "url": URL}, {"image": URL}),
    ({"type": "image", "url": "oss://b/cat.png"}, {"image": "oss://b/cat.png"}),
    (
        {"type": "image", "base64": B64, "mime_type": "image/jpeg"},
        {"image": PNG_URL},
    ),
    (
        {"type": "image", "base64": B64, "mime_type": "a/b", "extras": {"min_pixels": 9}},
        {"image": PNG_URL, "min_pixels": 9},
    ),
    ({"type": "image_url", "image_url": {"url": URL}}, {"image": URL}),
    (
        {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "auto"}},
        {"image": PNG_URL},
    ),
    ({"type": "image_url", "image_url": URL}, {"image": URL}),
    ({"type": "input_image", "image_url": URL, "detail": "auto"}, {"image": URL}),
    (
        {"type": "image", "source_type": "base64", "data": B64, "mime_type": "a/b"},
        {"image": PNG_URL},
    ),
    ({"type": "image", "source_type": "url", "url": URL}, {"image": URL}),
    ({"type": "image", "source": {"type": "url", "url": URL}}, {"image": URL}),
    (
        {"type": "image", "source": {"type": "base64", "data": B64}},
        {"image": PNG_URL},
    ),
    ({"image": URL}, {"image": URL}),
    (
        {"type": "image", "url": URL, "cache_control": MARK},
        {"image": URL, "cache_control": MARK},
    ),
    ({"type": "video", "url": URL, "fps": 2}, {"video": URL, "fps": 2}),
    ({"type": "video", "base64": base64_of(MP4), "mime_type": "video/mp4"}, {"video": MP4_URL}),
    ({"type": "video_url", "video_url": {"url": URL}}, {"video": URL}),
    ({"type": "video", "video": [URL, PNG_URL]}, {"video": [URL, PNG_URL]}),
]


def test_blocks_of_every_form_are_parts_by_their_kind(subtests):
    for block, part in BLOCKS:
        with subtests.test(block=block):
            assert sent({"type": "text", "text": "look"}, block) == [{"text": "look"}, part]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": base64_of(WAV), "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {"data": base64_of(WAV), "format": "wav"}},
    ],
)
def test_recordings_are_parts_too(block):
    hears = replace(find_model(SEES), modalities=("text", "audio"))
    assert sent(block, model_info=hears) == [{"audio": data_url("audio/x-wav", WAV)}]


def test_a_detail_of_an_image_is_left_out_with_a_warning_that_says_what_to_set():
    block = {"type": "image_url", "image_url": {"url": URL, "detail": "high"}}
    with pytest.warns(DashScopeWarning, match="no detail='high'.* set vl_high_resolution_images"):
        assert sent(block) == [{"image": URL}]


def test_blocks_of_text_and_strings_stay_one_string_for_a_model_of_text():
    assert sent("a", {"type": "text", "text": "b"}, model="glm-5") == "ab"


def test_images_stand_in_every_turn():
    """A tool's screenshot, and an answer that holds an image."""
    image = {"type": "image", "base64": base64_of(JPEG), "mime_type": "image/jpeg"}
    server = answering()
    call_of_tool = {"name": "shot", "args": {}, "id": "c1", "type": "tool_call"}
    server.model(ChatDashScopeOSS, model=SEES).invoke(
        [
            HumanMessage("q"),
            AIMessage([image], tool_calls=[call_of_tool]),
            ToolMessage([image], tool_call_id="c1"),
        ]
    )
    _, answer, result = server.body()["input"]["messages"]
    part = {"image": data_url("image/jpeg", JPEG)}
    assert (answer["content"], result["content"]) == ([part], [part])


def test_cache_marks_of_blocks_and_the_setting():
    server = answering()
    llm = server.model(ChatDashScopeOSS, model=SEES, cache_system_prompt=True)
    marked = {"type": "text", "text": "long", "extras": {"cache_control": MARK}}
    llm.invoke([SystemMessage("be kind"), HumanMessage([marked, {"type": "text", "text": "q"}])])
    system, question = server.body()["input"]["messages"]
    assert system["content"] == [{"text": "be kind", "cache_control": MARK}]
    assert question["content"] == [{"text": "long", "cache_control": MARK}, {"text": "q"}]
    llm.invoke([SystemMessage("be kind"), HumanMessage("q")], cache_system_prompt=False)
    assert server.body()["input"]["messages"][0]["content"] == [{"text": "be kind"}]


def test_settings_of_images_and_search_and_effort_are_sent():
    server = answering()
    llm = server.model(
        ChatDashScopeOSS,
        model=SEES,
        media_options={"max_pixels": 9},
        vl_high_resolution_images=True,
        enable_search=True,
        search_options={"enable_source": True},
    )
    llm.invoke([HumanMessage([{"type": "image", "url": URL}])])
    body = server.body()
    assert body["input"]["messages"][0]["content"] == [{"image": URL, "max_pixels": 9}]
    parameters = body["parameters"]
    assert parameters["search_options"] == {"enable_source": True}
    assert parameters["vl_high_resolution_images"] is parameters["enable_search"] is True
    assert "media_options" not in parameters
    assert server.requests[-1].url.path.endswith("/multimodal-generation/generation")


@PATHS
async def test_temporary_files_are_resolved_by_the_service(path):
    server = streaming(as_choice("ok", "stop")) if "stream" in path else answering()
    llm = server.model(ChatDashScopeOSS, model=SEES)
    await call(llm, path, [HumanMessage([{"type": "image", "url": "oss://b/cat.png"}])])
    assert server.requests[-1].headers["x-dashscope-ossresourceresolve"] == "enable"
    await call(llm, path, [HumanMessage("q")])
    assert "x-dashscope-ossresourceresolve" not in server.requests[-1].headers


PAGES = [
    {"index": 1, "title": "Cats", "url": "https://cats.example", "site_name": "Cats & co"},
    {"index": 2, "title": "More", "url": "https://more.example", "site_name": ""},
]
CITATIONS = [
    {
        "type": "citation",
        "url": page["url"],
        "title": page["title"],
        "extras": {"index": page["index"], "site_name": page["site_name"]},
    }
    for page in PAGES
]


@PATHS
async def test_web_pages_are_citations_of_the_text(path):
    output = {"search_info": {"search_results": PAGES}, **as_choice("meow", "null")}
    end = as_choice("", "stop")
    whole = {**output, **as_choice("meow", "stop")}
    server = streaming(output, end) if "stream" in path else answering(whole)
    answer = await call(server.model(ChatDashScopeOSS, model="glm-5", enable_thinking=False), path)
    assert answer.text == "meow"
    [block] = answer.content_blocks
    assert (block["type"], block["text"]) == ("text", "meow")
    assert block["annotations"] == CITATIONS


@PATHS
async def test_images_of_an_answer_are_blocks(path):
    content = [{"text": "look"}, {"image": URL}]
    output = as_choice(content, "stop")
    server = streaming(output) if "stream" in path else answering(output)
    answer = await call(server.model(ChatDashScopeOSS, model=SEES, enable_thinking=False), path)
    assert answer.content == [{"type": "text", "text": "look"}, {"type": "image", "url": URL}]
    assert answer.text == "look"


def test_tokens_of_cache_and_images_are_details_of_the_usage():
    usage = Usage(
        9, 1, 10, cached_tokens=1, cache_creation_tokens=2, image_tokens=3, video_tokens=0
    )
    assert usage_metadata(usage)["input_token_details"] == {
        "cache_read": 1,
        "cache_creation": 2,
        "image": 3,
        "video": 0,
    }
    assert "input_token_details" not in usage_metadata(Usage(9, 1, 10))


def test_finish_reasons_in_the_words_of_langchain_core():
    normalized = {"stop": "stop", "length": "length", "tool_calls": "tool_call", "new": None}
    for reason, word in normalized.items():
        result = to_chat_result(Reply(text="x", finish_reason=reason), "glm-5")
        metadata = result.generations[0].message.response_metadata
        assert metadata["finish_reason"] == reason
        assert metadata.get("normalized_finish_reason") == word


def test_an_image_counts_no_tokens_that_anybody_knows():
    image = HumanMessage(["hi", {"type": "image", "url": URL}])
    text = HumanMessage("hi")
    counts = [offline(model=SEES).get_num_tokens_from_messages([m]) for m in (image, text)]
    assert counts[0] == counts[1]


def test_an_answer_is_continued_and_effort_is_sent():
    server = answering(as_choice(" upon a time", "stop"))
    llm = server.model(
        ChatDashScopeOSS, model="deepseek-v4-pro", reasoning_effort="max", max_completion_tokens=50
    )
    begun = AIMessage("Once", additional_kwargs={"partial": True})
    assert llm.invoke([HumanMessage("q"), begun], enable_thinking=False).text == " upon a time"
    body = server.body()
    assert body["input"]["messages"][1] == {"role": "assistant", "content": "Once", "partial": True}
    assert body["parameters"] == {
        "result_format": "message",
        "max_completion_tokens": 50,
        "enable_thinking": False,
        "reasoning_effort": "max",
    }
