"""Images, videos and recordings: how they are sent, and what is refused before any request."""

from dataclasses import replace

import pytest

from dashscope_oss import (
    DashScopeWarning,
    Message,
    Options,
    UnsupportedInputError,
    chat_request,
    find_model,
)
from dashscope_oss.messages import AudioPart, ImagePart, TextPart, VideoPart
from dashscope_oss.registry.model_info import ModelInfo
from tests.files import JPEG, MP4, PDF, PNG, WAV, base64_of, data_url

SEES = ModelInfo(
    id="sees",
    family="f",
    maker="m",
    endpoint="multimodal-generation",
    modalities=("text", "image", "video", "audio"),
)
PNG_URL, JPEG_URL = data_url("image/png", PNG), data_url("image/jpeg", JPEG)
URL = "https://example.com/cat.png"


def sent_parts(*parts, model_info=SEES, **options):
    message = Message.of_parts("user", parts)
    request = chat_request(model_info, [message], Options(**options))
    return request.body["input"]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (ImagePart(URL), {"image": URL}),
        (ImagePart("oss://bucket/cat.png"), {"image": "oss://bucket/cat.png"}),
        (ImagePart(PNG), {"image": PNG_URL}),
        (ImagePart(PNG_URL), {"image": PNG_URL}),
        (ImagePart(URL, options={"min_pixels": 3136}), {"image": URL, "min_pixels": 3136}),
        (ImagePart(URL, cache_mark=True), {"image": URL, "cache_control": {"type": "ephemeral"}}),
        (VideoPart(URL, options={"fps": 0.5}), {"video": URL, "fps": 0.5}),
        (VideoPart(MP4), {"video": data_url("video/mp4", MP4)}),
        (VideoPart((URL, PNG)), {"video": (URL, PNG_URL)}),
        (AudioPart(WAV), {"audio": data_url("audio/x-wav", WAV)}),
    ],
)
def test_a_part_is_sent_under_the_name_of_its_kind(part, sent):
    assert sent_parts(TextPart("look"), part) == [{"text": "look"}, sent]


def test_parts_keep_their_order_and_the_content_is_their_text():
    message = Message.of_parts("user", [TextPart("a"), ImagePart(URL), TextPart("b")])
    assert message.content == "ab"
    assert sent_parts(*message.parts) == [{"text": "a"}, {"image": URL}, {"text": "b"}]


def test_mere_text_is_a_message_without_parts():
    assert Message.of_parts("user", [TextPart("a"), TextPart("b")]) == Message("user", "ab")


@pytest.mark.parametrize(
    "source",
    [JPEG, data_url("image/png", JPEG), data_url("", JPEG), "DATA:;base64," + base64_of(JPEG)],
)
def test_the_type_that_is_sent_is_the_one_that_the_bytes_show(source):
    assert sent_parts(ImagePart(source)) == [{"image": JPEG_URL}]


def test_base64_may_be_broken_into_lines():
    encoded = base64_of(PNG)
    lines = f"{encoded[:40]}\r\n{encoded[40:]}\n"
    assert sent_parts(ImagePart(f"data:image/png;base64,{lines}")) == [{"image": PNG_URL}]


def test_options_of_the_call_go_with_parts_of_their_kind_and_a_parts_own_wins():
    options = {"max_pixels": 9, "fps": 2}
    sent = sent_parts(
        ImagePart(URL),
        ImagePart(URL, options={"max_pixels": 1}),
        VideoPart(URL),
        AudioPart(URL),
        media_options=options,
    )
    assert sent == [
        {"image": URL, "max_pixels": 9},
        {"image": URL, "max_pixels": 1},
        {"video": URL, "max_pixels": 9, "fps": 2},
        {"audio": URL},
    ]


def refusal(*parts, model_info=SEES, **options):
    with pytest.raises(UnsupportedInputError) as caught:
        sent_parts(*parts, model_info=model_info, **options)
    return str(caught.value)


REFUSED = [
    (ImagePart(PDF, name="cat.png"), "part 2 (cat.png): its bytes are application/pdf, not an"),
    (ImagePart(b"hello"), "its bytes are text/plain, not an image"),
    (ImagePart(b"\xff\x00\xff"), "of an unknown type (they begin with ff 00 ff), not an image"),
    (ImagePart(b""), "its bytes are empty, not an image"),
    (ImagePart(MP4), "its bytes are video/mp4, not an image"),
    (VideoPart((URL, MP4)), "its bytes are video/mp4, not an image"),
    (VideoPart(PNG), "its bytes are image/png, not a video"),
    (VideoPart(()), "a video without frames"),
    (AudioPart(PNG), "its bytes are image/png, not audio"),
    (ImagePart(PNG_URL[:-2]), "broken base64 (Incorrect padding); encode the whole file"),
    (ImagePart(PNG_URL[:60] + "€"), "broken base64"),
    (ImagePart("data:image/png," + base64_of(PNG)), "its data: URL holds no base64"),
    (ImagePart("folder/cat.png"), "'folder/cat.png' is no address; give one that begins"),
    (ImagePart("file:///etc/passwd"), "is no address"),
    (ImagePart(URL, options={"min_pixels": 0}), "min_pixels is 0; give a number above 0"),
    (
        ImagePart(URL, options={"max_pixel": 9}),
        "no option 'max_pixel'; did you mean 'max_pixels'",
    ),
    (VideoPart(URL, options={"fps": "2"}), "fps is '2'; give a number above 0"),
]


def test_what_cannot_be_sent_is_refused_with_its_place_and_a_remedy():
    texts = [(refusal(TextPart("look"), part), reason) for part, reason in REFUSED]
    assert [text for text, _ in texts if "sees: messages[0] (user): part 2" not in text] == []
    assert [(text, reason) for text, reason in texts if reason not in text] == []


def test_a_file_that_is_too_large_is_refused_with_both_sizes():
    large = PNG + bytes(16_000_000)
    assert f"an image of {len(large)} bytes; at most 15728640 can be sent" in refusal(
        ImagePart(large)
    )
    roomy = replace(SEES, max_image_bytes=17_000_000)
    assert sent_parts(ImagePart(large), model_info=roomy)


def test_a_size_on_which_sources_differ_is_sent_with_a_warning():
    """The vendor's pages say 10 MiB of base64; since 2026 the service takes 20 of some models."""
    large = ImagePart(PNG + bytes(8_000_000))
    with pytest.warns(
        DashScopeWarning, match=r"sees: an image of more than 7864320 bytes.*smaller"
    ):
        assert sent_parts(large)
    certain = replace(SEES, max_image_bytes=9_000_000)
    assert sent_parts(large, model_info=certain)


def test_a_kind_that_a_record_is_not_certain_of_is_sent_with_a_warning():
    doubtful = replace(find_model("glm-5"), guessed=("modalities",))
    with pytest.warns(DashScopeWarning, match="an image, which the model does not take, says"):
        assert sent_parts(ImagePart(URL), model_info=doubtful)


@pytest.mark.parametrize("id", ["glm-5", "llama3-8b-instruct", "ziya-llama-13b-v1"])
def test_a_model_of_text_refuses_and_names_one_that_takes_it(id):
    text = refusal(ImagePart(URL), model_info=find_model(id))
    assert (
        f"{id}: messages[0] (user): part 1: an image, which the model does not take; choose" in text
    )
    other = text.partition("such as ")[2].partition(",")[0]
    assert "image" in find_model(other).modalities


def test_where_no_model_takes_it_the_refusal_names_none():
    text = refusal(AudioPart(URL), model_info=find_model("glm-5"))
    assert "audio, which the model does not take; change it into text or leave it out" in text


def test_an_unknown_model_gets_images_at_the_endpoint_that_takes_them():
    unknown = ModelInfo(id="new", family="f", maker="m", status="unknown")
    request = chat_request(unknown, [Message.of_parts("user", [ImagePart(URL)])])
    assert request.path == "services/aigc/multimodal-generation/generation"
    assert "result_format" not in request.parameters
    assert chat_request(unknown, [Message("user", "q")]).path.startswith("services/aigc/text-")


def test_an_image_needs_no_words():
    assert sent_parts(ImagePart(URL)) == [{"image": URL}]


def test_parts_must_be_parts():
    message = Message("user", "look", parts=({"image": URL},))
    with pytest.raises(UnsupportedInputError, match="parts must be TextPart, ImagePart"):
        chat_request(SEES, [message])


@pytest.mark.parametrize(
    ("part", "resolved"),
    [
        (ImagePart("OSS://bucket/cat.png"), True),
        (VideoPart(("oss://bucket/1.png",)), True),
        (ImagePart(URL), False),
        (TextPart("oss://bucket", cache_mark=True), False),
    ],
)
def test_temporary_addresses_are_noticed(part, resolved):
    request = chat_request(SEES, [Message.of_parts("user", [part])])
    assert request.has_oss_addresses is resolved
    assert not chat_request(find_model("glm-5"), [Message("user", "oss://")]).has_oss_addresses
