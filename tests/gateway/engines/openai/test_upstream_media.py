"""Images, videos and recordings on their way to an OpenAI-compatible server."""

import pytest

from dashscope_oss import Message, find_model
from dashscope_oss.gateway import EngineRequest
from dashscope_oss.messages import AudioPart, ImagePart, TextPart, VideoPart
from tests.files import JPEG, WAV, base64_of, data_url
from tests.gateway.engines.openai.calls import generate_error, sent_body
from tests.gateway.fake_upstream import FakeUpstream

URL, JPEG_URL = "http://127.0.0.1:1/never-fetched.jpg", data_url("image/jpeg", JPEG)
WAV_URL = data_url("audio/x-wav", WAV)


def asking(*parts, model="qwen3.6-27b"):
    message = Message.of_parts("user", [*parts, TextPart("what?")])
    return EngineRequest(model_info=find_model(model), messages=(message,))


@pytest.mark.parametrize(
    ("kind", "part", "expected"),
    [
        (None, ImagePart(URL), [{"type": "image_url", "image_url": {"url": URL}}]),
        ("ollama", ImagePart(JPEG_URL), [{"type": "image_url", "image_url": {"url": JPEG_URL}}]),
        ("vllm", VideoPart(URL), [{"type": "video_url", "video_url": {"url": URL}}]),
        ("sglang", AudioPart(URL), [{"type": "audio_url", "audio_url": {"url": URL}}]),
        (
            "llama.cpp",
            AudioPart(WAV_URL),
            [
                {
                    "type": "input_audio",
                    "input_audio": {"data": base64_of(WAV), "format": "wav"},
                }
            ],
        ),
        (
            "llama.cpp",
            VideoPart((URL, JPEG_URL)),
            [
                {"type": "image_url", "image_url": {"url": URL}},
                {"type": "image_url", "image_url": {"url": JPEG_URL}},
            ],
        ),
    ],
)
async def test_files_are_parts_in_openais_form(kind, part, expected):
    body = await sent_body(asking(part), kind=kind)

    content = body["messages"][0]["content"]
    assert content == [*expected, {"type": "text", "text": "what?"}]


async def test_cache_marks_are_the_hosted_services_alone():
    body = await sent_body(asking(TextPart("long", cache_mark=True)))

    assert body["messages"][0]["content"] == "longwhat?"


@pytest.mark.parametrize(
    ("kind", "part", "reason"),
    [
        (None, VideoPart(URL), "The parameter video (of a message) is not supported"),
        ("llama.cpp", VideoPart(URL), "video (of a message) is not supported by the server"),
        ("ollama", AudioPart(WAV_URL), "audio (of a message) is not supported by the server"),
        ("vllm", ImagePart(URL, options={"max_pixels": 9}), "max_pixels (of image) is not"),
        ("vllm", ImagePart("oss://b/a.png"), "Addresses that begin with oss:// are known to the"),
        ("llama.cpp", AudioPart(URL), "takes audio as base64 only"),
    ],
)
async def test_what_the_server_cannot_take_is_refused_in_the_vendors_form(kind, part, reason):
    server = FakeUpstream()
    error = await generate_error(server, asking(part), kind=kind)

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert reason in error.message
    assert not server.calls


async def test_raw_completions_have_no_place_for_images():
    error = await generate_error(FakeUpstream(), asking(ImagePart(URL)), api="completions")

    assert "Only text is supported: this model is served by raw completions." in error.message
