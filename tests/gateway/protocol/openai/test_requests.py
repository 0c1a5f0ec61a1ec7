"""Bodies in OpenAI's form become the requests that the native protocol makes."""

import json

import pytest

from dashscope_oss import Message, ModelInfo, ToolCall, find_model
from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.openai.parse_request import parse_request
from dashscope_oss.messages import AudioPart, ImagePart, TextPart, VideoPart
from dashscope_oss.registry.lookup import known_model
from tests.files import PNG, WAV, base64_of, data_url
from tests.gateway.protocol.openai.calls import ADD, HI

SEES = "qwen3.6-27b"
URL = "https://example.com/file"


def parse(body=None, *, find=known_model, **more):
    """The request that the engine gets for a body."""
    data = {"model": "glm-5", "messages": HI, **(body or {}), **more}
    return parse_request(json.dumps(data).encode(), request_id="r", find_model=find)


def refusal(body=None, **more):
    with pytest.raises(APIError) as caught:
        parse(body, **more)
    return caught.value


def user(*parts):
    return [{"role": "user", "content": [*parts]}]


def test_a_conversation_with_tools_is_read():
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "1+"}, {"type": "text", "text": "2"}],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "content": "3", "tool_call_id": "c", "name": "add"},
    ]

    assert parse(messages=messages, tools=[ADD]).messages == (
        Message("system", "Be brief."),
        Message("user", "1+2"),
        Message("assistant", "", tool_calls=(ToolCall("c", "add", "{}", 0),), reasoning="hm"),
        Message("tool", "3", tool_call_id="c"),
    )


@pytest.mark.parametrize(
    ("part", "read"),
    [
        (
            {"type": "image_url", "image_url": {"url": URL, "detail": "high"}, "min_pixels": 9},
            ImagePart(URL, options={"min_pixels": 9}),
        ),
        (
            {"type": "image_url", "image_url": {"url": data_url("image/jpeg", PNG)}},
            ImagePart(data_url("image/png", PNG)),
        ),
        ({"type": "video_url", "video_url": URL, "fps": 2}, VideoPart(URL, options={"fps": 2})),
        ({"type": "video", "video": [URL, URL]}, VideoPart((URL, URL))),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            TextPart("a", cache_mark=True),
        ),
    ],
    ids=["image", "data", "video", "frames", "cache"],
)  # fmt: skip
def test_parts_are_read(part, read):
    """An image's detail is OpenAI's alone, and says nothing to this service's models."""
    [message] = parse(model=SEES, messages=user(part)).messages

    assert message.parts == (read,)


@pytest.mark.parametrize(
    ("data", "source"),
    [(base64_of(WAV), data_url("audio/x-wav", WAV)), (URL, URL)],
    ids=["base64", "address"],
)
def test_a_recording_is_base64_or_an_address(data, source):
    """The vendor's page writes both in the same place."""
    hears = ModelInfo(id="m", family="f", maker="m", source="s", modalities=("text", "audio"))
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

    [message] = parse(model="m", messages=user(part), find=lambda _: hears).messages

    assert message.parts == (AudioPart(source),)


def test_parameters_keep_their_names():
    """What says who asks, or how the answer is packed, is none."""
    values = {
        "max_tokens": 5,
        "max_completion_tokens": 6,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop": ["##"],
        "seed": 1,
        "presence_penalty": 0.5,
        "response_format": {"type": "text"},
        "enable_thinking": False,
        "logprobs": True,
        "parallel_tool_calls": True,
    }
    others = {"user": "u", "metadata": {}, "store": False, "incremental_output": False, "n": None}

    assert parse(**values, **others).parameters == {**values, "result_format": "message"}


def test_a_stream_is_asked_for_in_the_body():
    """Its chunks hold new text only, whatever else the body says."""
    request = parse(stream=True, incremental_output=False)

    assert (request.stream, request.incremental, parse(stream=None).stream) == (True, True, False)


def test_a_prompt_only_model_gets_its_template():
    """Ziya reads a conversation, and what the system says as the user's words."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Where?"},
    ]

    request = parse(model="ziya-llama-13b-v1", messages=messages)

    assert request.messages is None
    assert request.prompt == "<human>:Be brief.\n\nHi\n<bot>:Hello</s><human>:Where?\n<bot>:"


def test_a_prompt_only_model_takes_an_order_that_its_template_can_write():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]

    error = refusal(model="ziya-llama-13b-v1", messages=messages)

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert "user" in error.message


def test_a_prompt_only_model_without_a_template_is_for_the_other_door():
    def find(_):
        return ModelInfo(id="m", family="f", maker="m", source="s", inputs=("prompt",))

    assert "call it by the native protocol" in refusal(find=find).message


@pytest.mark.parametrize(
    ("tools", "choice", "asked"),
    [
        ([ADD], "auto", "auto"),
        ([ADD], "required", {"type": "function", "function": {"name": "add"}}),
        ([ADD, ADD], "required", "required"),
        ([ADD], ADD, ADD),
    ],
)
def test_a_choice_of_tools(tools, choice, asked):
    """One tool that is required is that tool; of several, the engine's server may choose."""
    assert parse(tools=tools, tool_choice=choice).parameters["tool_choice"] == asked


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": None}, "Input should be a valid list: messages"),
        ({"messages": []}, "[] is too short"),
        ({"messages": ["hi"]}, "Input should be a valid dictionary"),
        ({"messages": [{"role": "function", "name": "f", "content": "1"}]}, "Role must be user"),
        ({"messages": [{"role": "tool", "content": "1", "tool_call_id": "x"}]}, "be a response"),
        ({"messages": user("hi")}, "a message of a certain modal"),
        ({"messages": user({"type": "file", "file": {}}), "model": SEES}, "of a certain modal"),
        ({"messages": user({"type": ["file"]}), "model": SEES}, "of a certain modal"),
        ({"messages": user({"type": "image_url", "image_url": {}}), "model": SEES}, "no address"),
        ({"messages": user({"type": "image_url", "image_url": {"url": URL}})}, "must be a string"),
        ({"stream": "yes"}, "Input should be a valid boolean: stream"),
        ({"stream": 0}, "Input should be a valid boolean: stream"),
        ({"stream_options": []}, "Input should be a valid dictionary: stream_options"),
        ({"stream_options": {"include_usage": 1}}, "a valid boolean: stream_options.include_usage"),
        ({"functions": [{}]}, "functions is not supported: use tools and tool_choice."),
        ({"function_call": "auto"}, "function_call is not supported"),
        ({"tools": [ADD], "tool_choice": "any"}, 'should be ["none", "auto", "required"]'),
        ({"n": 2}, "This gateway gives one answer a call"),
        ({"temperature": 2}, "Temperature should be in [0.0, 2.0)"),
        ({"response_format": {"type": "json_object"}, "enable_thinking": False}, "the word 'json'"),
        ({"model": "llama3-8b-instruct", "tools": [ADD]}, "The tool call is not supported."),
    ],
)  # fmt: skip
def test_what_is_refused(body, text):
    error = refusal(body)

    assert (error.status, error.code) == (400, "InvalidParameter")
    assert text in error.message


def test_a_body_that_is_no_object_or_names_no_model_is_refused():
    with pytest.raises(APIError, match="Required body invalid"):
        parse_request(b"[]", request_id="r", find_model=known_model)
    assert refusal(model=None).code == "BadRequest.EmptyModel"


def test_it_is_the_request_of_the_native_protocol():
    assert parse(seed=1) == EngineRequest(
        model_info=find_model("glm-5"),
        messages=(Message("user", "hi"),),
        parameters={"seed": 1, "result_format": "message"},
        request_id="r",
    )
