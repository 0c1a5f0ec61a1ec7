"""Blocks of files as people write them: what is read of them, and what is said of the rest."""

from base64 import b64encode, encodebytes, urlsafe_b64encode
from pathlib import Path

import pytest

from dashscope_oss import Message, UnsupportedInputError, chat_request, find_model
from dashscope_oss.messages import VideoPart
from dashscope_oss.protocol.conversation.media_blocks import media_part
from tests.files import JPEG, MP4, PDF, PNG, base64_of, data_url

SEES = find_model("qwen3.6-27b")
PNG_URL, JPEG_URL = data_url("image/png", PNG), data_url("image/jpeg", JPEG)
URL = "https://example.com/cat.png"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'


def sent(block):
    """What the service gets for a block."""
    message = Message.of_parts("user", [media_part(block, SEES.id)])
    [turn] = chat_request(SEES, [message]).body["input"]["messages"]
    return turn["content"]


def image(**fields):
    return {"type": "image", **fields}


@pytest.mark.parametrize(
    ("block", "source"),
    [
        (image(base64=PNG_URL, mime_type="image/png"), PNG_URL),
        (image(base64=b64encode(PNG)), PNG_URL),
        (image(base64=PNG), PNG_URL),
        (image(base64=encodebytes(PNG).decode()), PNG_URL),
        (image(base64=urlsafe_b64encode(JPEG).decode()), JPEG_URL),
        (image(url="data:image/png;charset=utf-8;base64," + base64_of(PNG)), PNG_URL),
        (image(url=f"\n {URL} "), URL),
        (image(url="https://example.com/my cat.png"), "https://example.com/my%20cat.png"),
        ({"type": "file", "mime_type": "image/png", "base64": base64_of(PNG)}, PNG_URL),
        ({"type": "media", "mime_type": "image/png", "data": base64_of(JPEG)}, JPEG_URL),
        (image(data=URL), URL),
    ],
)
def test_an_image_is_read_however_it_is_packed(block, source):
    assert sent(block) == [{"image": source}]


def test_the_frames_of_a_video_may_be_blocks():
    frames = [image(url=URL), URL, {"image": URL}]
    assert media_part({"type": "video", "video": frames}, "m") == VideoPart((URL, URL, URL))
    video = {"type": "file", "mime_type": "video/mp4", "base64": base64_of(MP4)}
    assert sent(video) == [{"video": data_url("video/mp4", MP4)}]


def test_files_that_are_no_media_are_no_part():
    pdf = {"type": "file", "mime_type": "application/pdf", "base64": base64_of(PDF)}
    assert media_part(pdf, "m") is media_part({"type": "file", "file_id": "f-1"}, "m") is None


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (image(url=Path("cat.png")), r"holds \w+Path\('cat.png'\); give its url as text"),
        (image(url=[URL, URL]), r"type 'image' holds \['https"),
        (image(base64=""), "type 'image' has no address and no data"),
        (image(file_id="file-1"), "has no address and no data; give its url as text, or its bytes"),
        (image(url="~/cat.png"), "'~/cat.png' is no address"),
        (image(base64=base64_of(SVG)), r"are SVG, which is text \(draw it as PNG first\), not an"),
        (image(base64="%"), "broken base64"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is(block, reason):
    with pytest.raises(UnsupportedInputError, match=reason):
        sent(block)
