"""Content in parts: text, images, videos, cache marks; what reaches the engine, what does not."""

import httpx
import pytest

from dashscope_oss import Client, Endpoint, Message, Options, chat_request, find_model
from dashscope_oss.gateway import Answer, Gateway, ScriptedEngine, serve_in_thread
from dashscope_oss.messages import ImagePart, SearchResult, TextPart, VideoPart
from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.files import JPEG, PDF, data_url

TEXT, SEES = "glm-5", "qwen3.6-27b"
ENDPOINTS = {TEXT: "text-generation", SEES: "multimodal-generation"}
URL = "http://127.0.0.1:1/never-fetched.png"


@pytest.fixture(scope="module")
def engine():
    """An engine that keeps the messages that it gets."""
    seen = ScriptedEngine([lambda request: seen.messages.append(request.messages) or Answer("ok")])
    seen.messages = []
    return seen


@pytest.fixture(scope="module")
def url(engine):
    with serve_in_thread(Gateway(engine)) as address:
        yield address


def post(url, *parts, model=SEES):
    body = {"model": model, "input": {"messages": [{"role": "user", "content": [*parts]}]}}
    return httpx.post(
        f"{url}/services/aigc/{ENDPOINTS.get(model)}/generation", json=body, verify=False
    )


@pytest.mark.parametrize(
    ("part", "seen"),
    [
        ({"image": URL, "min_pixels": 9}, ImagePart(URL, options={"min_pixels": 9})),
        ({"image": data_url("image/png", JPEG)}, ImagePart(data_url("image/jpeg", JPEG))),
        ({"video": URL, "fps": 2}, VideoPart(URL, options={"fps": 2})),
        ({"video": [URL, URL]}, VideoPart((URL, URL))),
        (
            {"text": "a", "cache_control": {"type": "ephemeral"}},
            TextPart("a", cache_mark=True),
        ),
    ],
)
def test_parts_reach_the_engine_as_they_are(engine, url, part, seen):
    """Files get their true type; addresses are not fetched."""
    assert post(url, part, {"text": "q"}).is_success

    [message] = engine.messages[-1]
    assert message.parts == (seen, TextPart("q"))


def test_a_kind_that_the_record_is_not_certain_of_reaches_the_engine(engine, url, monkeypatch):
    """The vendor's list says text of this model, and its sample there sends an image."""
    id = "qwen3.8-2.4t-a95b"
    monkeypatch.setitem(ENDPOINTS, id, "multimodal-generation")
    assert post(url, {"image": URL}, {"text": "q"}, model=id).is_success
    assert engine.messages[-1][0].parts[0] == ImagePart(URL)


def test_a_model_of_text_takes_lists_of_text(engine, url):
    assert post(url, {"type": "text", "text": "a"}, {"text": "b"}, model=TEXT).is_success

    [message] = engine.messages[-1]
    assert (message.content, message.parts) == ("ab", ())


@pytest.mark.parametrize("content", [5, {"text": "a"}])
def test_content_is_text_or_a_list(url, content):
    body = {"model": SEES, "input": {"messages": [{"role": "user", "content": content}]}}
    response = httpx.post(f"{url}/services/aigc/{ENDPOINTS[SEES]}/generation", json=body).json()

    assert response["message"] == "input content must be a string."


def test_an_image_for_a_model_of_text_is_refused_as_the_service_refuses_it(url):
    response = post(url, {"image": URL}, model=TEXT).json()

    assert (response["code"], response["message"]) == (
        "InvalidParameter",
        "input content must be a string.",
    )


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"text": 1}, "a message of a certain modal"),
        ({"audio": "http://x/a.wav"}, "a message of a certain modal"),
        ("hi", "a message of a certain modal"),
        ({"image": 1}, "Input should be a valid string: input.messages.content.image"),
        ({"video": ["http://x", 1]}, "Input should be a valid string: input.messages.content.vid"),
        ({"image": "file:///etc/passwd"}, "is no address"),
        ({"image": "data:image/png;base64,xx"}, "broken base64"),
        ({"image": data_url("image/png", PDF)}, "its bytes are application/pdf, not an image"),
        ({"text": "x", "cache_control": {"type": "x"}}, "write {'type': 'ephemeral'}"),
    ],
)
def test_parts_that_the_model_does_not_take_are_refused(url, part, text):
    response = post(url, part).json()

    assert response["code"] == "InvalidParameter"
    assert text in response["message"]


PAGE = SearchResult(1, "t", "https://x.example", "X")


@pytest.mark.parametrize("model", [TEXT, SEES])
@pytest.mark.parametrize("stream", [False, True])
def test_web_pages_and_images_of_an_answer_are_sent_as_the_service_sends_them(
    gateway, model, stream
):
    engine = gateway(Answer("look", search_results=(PAGE,), images=("https://x.example/1.png",)))
    options = Options(enable_thinking=False)
    with Client(Endpoint.resolve(base_url=engine.base_url)) as client:
        request = chat_request(find_model(model), [Message("user", "q")], options, stream=stream)
        reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    assert (reply.text, reply.images) == ("look", ("https://x.example/1.png",))
    assert reply.search_results == (PAGE,)
