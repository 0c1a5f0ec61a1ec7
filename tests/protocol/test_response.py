"""Whole answers: both shapes, every form of content, usage as reported; nothing is made up."""

from __future__ import annotations

import pytest

from dashscope_oss import (
    ContentBlockedError,
    InvalidRequestError,
    ProtocolError,
    RateLimitError,
    Reply,
    ServerError,
    ToolCall,
    Usage,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.messages import Message, Options, SearchResult
from dashscope_oss.protocol.response import read_reply
from tests.protocol.bodies import chat_body, request_to, text_body


def read(body):
    return read_reply(request_to(), body)


def test_the_shape_of_a_text():
    data = text_body("hi", "stop", request_id="r-1", usage={"input_tokens": 3, "output_tokens": 2})
    assert read_reply(request_to(), data, "real-weights") == Reply(
        text="hi",
        finish_reason="stop",
        usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        request_id="r-1",
        served_by="real-weights",
        raw=data,
    )


def test_a_text_beside_the_output_is_the_answer():
    """As in the SDK sample of the page LLaMA."""
    counts = {"output_tokens": 104, "input_tokens": 41}
    reply = read({"text": "Hey", "usage": counts, "request_id": "r-1"})
    assert (reply.text, reply.usage.total_tokens, reply.request_id) == ("Hey", 145, "r-1")


def test_the_shape_of_a_message():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    data = chat_body("hi", "tool_calls", reasoning_content="hm", tool_calls=[{"index": 0, **call}])
    reply = read(data)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("hi", "hm", "tool_calls")
    assert reply.tool_calls == (ToolCall("c1", "f", "{}", 0),)


@pytest.mark.parametrize("none", ["null", "[]", ""])
def test_what_models_write_for_no_arguments_is_none(none):
    call = {"id": "c", "function": {"name": "f", "arguments": none}}
    assert read(chat_body("", tool_calls=[call])).tool_calls == (ToolCall("c", "f", ""),)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"text": "a"}, {"text": "b"}], "ab"),
        ([{"image": "x"}, {"text": "b"}, {"text": None}, None], "b"),
    ],
)
def test_content_in_every_form(content, text):
    assert read(chat_body(content)).text == text


def test_images_of_an_answer_are_kept_apart_from_its_text():
    reply = read(chat_body([{"text": "a"}, {"image": "http://x/1.png"}, {"image": None}]))
    assert (reply.text, reply.images) == ("a", ("http://x/1.png",))
    only_image = read(chat_body([{"image": "http://x/1.png"}]))
    assert (only_image.text, only_image.images) == ("", ("http://x/1.png",))


PAGE = {
    "site_name": "博客园",
    "icon": "https://img.example/1.svg",
    "index": 1,
    "title": "dudu",
    "url": "https://www.cnblogs.com/dudu",
}


def test_web_pages_are_read_as_the_service_names_them():
    """The form is that of a recorded answer; a page without an address is no source."""
    body = chat_body("hi")
    body["output"]["search_info"] = {"search_results": [PAGE, {"title": "no address"}, None]}
    assert read(body).search_results == (
        SearchResult(1, "dudu", "https://www.cnblogs.com/dudu", "博客园"),
    )


@pytest.mark.parametrize("search_info", [None, "x", {}, {"search_results": None}])
def test_no_web_pages_are_no_error(search_info):
    body = chat_body("hi")
    body["output"]["search_info"] = search_info
    assert read(body).search_results == ()


def test_fields_that_nobody_knows_are_passed_over():
    choice = {"message": {"content": "hi", "color": 1}, "finish_reason": "stop"}
    assert read({"output": {"choices": [choice], "new": 2}, "newer": 3}).text == "hi"


def test_log_probabilities_are_handed_on_as_they_are():
    body = {"output": {"choices": [{"message": {"content": "hi"}, "logprobs": {"content": [1]}}]}}
    assert read(body).logprobs == {"content": [1]}


@pytest.mark.parametrize("finish", ["null", None, ""])
def test_a_finish_reason_of_null_is_none(finish):
    assert read(chat_body("hi", finish)).finish_reason is None
    assert read({"output": {"text": "hi", "finish_reason": finish}}).finish_reason is None


def test_a_finish_reason_beside_the_choices_is_read():
    output = {"choices": [{"message": {"content": "hi"}}], "finish_reason": "length"}
    assert read({"output": output}).finish_reason == "length"


def test_a_body_without_an_answer_is_an_error_and_not_an_empty_answer():
    """``test_shapes`` has more of them."""
    with pytest.raises(ProtocolError, match="neither text nor choices"):
        read({"output": {"text": None, "finish_reason": "stop"}})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (chat_body({"text": "hi"}), "text of the answer is not a string"),
        (chat_body([{"audio": "x"}]), "text of the answer is not a string"),
        (chat_body([{"text": 4}]), "text of the answer is not a string"),
        (text_body(42, "stop"), "text of the answer is not a string"),
        (chat_body("", tool_calls={"id": "c"}), "tool calls of the answer are not a list"),
        (chat_body("", tool_calls=["c"]), "tool calls of the answer are not a list"),
        (chat_body("", tool_calls=[{"id": "c", "function": None}]), "without naming it"),
        (chat_body("", tool_calls=[{"id": "c", "function": "f"}]), "without naming it"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_with_model_and_request(body, reason):
    with pytest.raises(ProtocolError, match=reason) as caught:
        read({**body, "request_id": "r-1"})
    assert (caught.value.model, caught.value.request_id) == ("glm-5", "r-1")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": "InvalidParameter", "message": "m"}, InvalidRequestError),
        ({"code": "Throttling", "message": "m", "output": None}, RateLimitError),
        ({"error": {"code": "internal_error", "message": "m"}}, ServerError),
        ({"status_code": 429, "code": "", "message": "m"}, RateLimitError),
        ({"code": "DataInspectionFailed", **text_body("")}, ContentBlockedError),
        ({"code": "DataInspectionFailed", **chat_body("")}, ContentBlockedError),
    ],
)
def test_an_error_in_an_answer_of_status_200(body, kind):
    """Even beside an output."""
    with pytest.raises(kind) as caught:
        read({**body, "request_id": "r-9"})
    assert caught.value.request_id == "r-9"


USAGES = [
    (None, None),
    ({}, None),
    ("many", None),
    ([1], None),
    ({"total_tokens": 7}, None),
    ({"input_tokens": -3, "output_tokens": -4}, None),
    ({"input_tokens": 0, "output_tokens": 0}, None),
    ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
    ({"input_tokens": None, "output_tokens": None}, None),
    ({"input_tokens": "4", "output_tokens": True}, None),
    ({"input_tokens": 4}, Usage(input_tokens=4)),
    ({"output_tokens": 2}, Usage(output_tokens=2)),
    ({"input_tokens": 4, "output_tokens": -1}, Usage(input_tokens=4)),
    ({"input_tokens": 4, "output_tokens": 0}, Usage(4, 0, 4)),
    ({"input_tokens": 4, "output_tokens": 2, "total_tokens": 7}, Usage(4, 2, 7)),
    (
        {
            "input_tokens": 9,
            "output_tokens": 5,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 8},
            "output_tokens_details": {"reasoning_tokens": 3, "text_tokens": 2},
        },
        Usage(9, 5, 14, cached_tokens=8, reasoning_tokens=3),
    ),
    (
        {
            "input_tokens": 9,
            "output_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 7},
            "cache_creation": {"ephemeral_5m_input_tokens": 7},
        },
        Usage(9, 1, 10, cached_tokens=0, cache_creation_tokens=7),
    ),
    (
        {"input_tokens": 9, "output_tokens": 1, "cache_creation_input_tokens": 7},
        Usage(9, 1, 10, cache_creation_tokens=7),
    ),
    (
        {
            "input_tokens": 9,
            "output_tokens": 1,
            "cache_creation": {"ephemeral_5m_input_tokens": 7},
        },
        Usage(9, 1, 10, cache_creation_tokens=7),
    ),
    (
        {"input_tokens": 3613, "output_tokens": 3, "image_tokens": 3577},
        Usage(3613, 3, 3616, image_tokens=3577),
    ),
    (
        {
            "input_tokens": 9,
            "output_tokens": 1,
            "input_tokens_details": {"video_tokens": 5, "audio_tokens": 2, "text_tokens": 2},
        },
        Usage(9, 1, 10, video_tokens=5, audio_tokens=2),
    ),
    ({"input_tokens": 9, "output_tokens": 5, "prompt_tokens_details": None}, Usage(9, 5, 14)),
    ({"input_tokens": 9, "output_tokens": 5, "prompt_tokens_details": "none"}, Usage(9, 5, 14)),
    ({"input_tokens": 9, "output_tokens": 5, "new": {"a": 1}}, Usage(9, 5, 14)),
]


def test_usage_is_what_was_reported_and_none_where_nothing_was():
    """Nought in and nought out is the vendor's filler for "not counted"."""
    read_usages = [
        (reported, read({**text_body("hi"), "usage": reported}).usage) for reported, _ in USAGES
    ]
    assert read_usages == USAGES


def test_an_estimate_of_usage_is_given_on_request_only_and_marked():
    """Ziya reports nothing: None, or counts that say they are estimated."""
    model_info, turns = find_model("ziya-llama-13b-v1"), [Message("user", "Count.")]
    body = {"output": {"text": "你好,很高兴认识你。"}}
    estimating = chat_request(model_info, turns, Options(estimate_usage=True))

    assert read_reply(chat_request(model_info, turns), body).usage is None
    usage = read_reply(estimating, body).usage
    assert usage.estimated
    assert usage.output_tokens > 5
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert estimating.body["parameters"] == {}


def test_echo_and_end_mark_of_a_prompt_only_model_are_no_part_of_the_answer():
    request = completion_request(find_model("ziya-llama-13b-v1"), "一\n二")
    text = "<s><human> :一 二\n<bot> : 三四</s>"
    assert read_reply(request, text_body(text)).text == "三四"


def test_a_stop_text_ends_the_answer_of_a_model_whose_page_promises_no_stop():
    """A hosted model is trusted to do it itself."""
    body = chat_body("one ## two", "length")
    seed = read_reply(request_to(find_model("llama3-8b-instruct"), stop=["##"]), body)
    hosted = read_reply(request_to(find_model("deepseek-v4-pro"), stop=["##"]), body)
    assert (seed.text, seed.finish_reason) == ("one ", "stop")
    assert (hosted.text, hosted.finish_reason) == ("one ## two", "length")


@pytest.mark.parametrize(
    ("split_think", "expected"), [(True, ("7.", "hm")), (False, ("<think>hm</think>7.", ""))]
)
def test_thoughts_between_tags_are_reasoning_if_that_is_asked_for(split_think, expected):
    reply = read_reply(request_to(split_think=split_think), chat_body("<think>hm</think>7."))
    assert (reply.text, reply.reasoning) == expected
