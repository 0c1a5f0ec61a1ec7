"""Web pages and images that a streamed answer names."""

from dashscope_oss.protocol.streaming.deltas import join_deltas
from tests.protocol.bodies import chat_body, deltas_of, request_to

PAGES = {"search_results": [{"index": 1, "title": "t", "url": "http://x"}]}


def searched(body, pages=PAGES):
    return {**body, "output": {"search_info": pages, **body["output"]}}


def test_web_pages_come_with_the_event_that_names_them_and_stand_in_the_last_raw():
    """Some services name them in every event, some before any text."""
    more = {"search_results": [*PAGES["search_results"], {"url": "http://y"}]}
    deltas = deltas_of(
        request_to(),
        {"output": {"search_info": PAGES}},
        searched(chat_body("a", "null")),
        searched(chat_body("b", "null"), more),
        chat_body("", "stop"),
    )
    assert [[page.url for page in delta.search_results] for delta in deltas] == [
        ["http://x"],
        [],
        ["http://x", "http://y"],
        [],
    ]
    reply = join_deltas(deltas)
    assert (reply.text, len(reply.search_results)) == ("ab", 2)
    assert reply.raw["output"]["search_info"] == more


def test_images_of_a_stream_come_once():
    image = {"image": "http://x/1.png"}
    deltas = deltas_of(
        request_to(), chat_body([image], "null"), chat_body([image, {"text": "a"}], "stop")
    )
    assert [delta.images for delta in deltas] == [("http://x/1.png",), ()]
    assert join_deltas(deltas).images == ("http://x/1.png",)
