"""Whatever comes in becomes a request or an error of the caller's, never a traceback."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dashscope_oss.gateway.interface.api_error import APIError
from dashscope_oss.gateway.interface.engine_request import EngineRequest
from dashscope_oss.gateway.protocol.openai.parse_request import parse_request
from dashscope_oss.registry.lookup import known_model
from tests.gateway.protocol.native.test_any_input import (
    answered_turn,
    anything,
    inputs,
    text,
    tool_turn,
    values,
    wild,
)

kinds = st.sampled_from(["text", "image_url", "input_audio", "video", "file", "refusal"])
part = st.fixed_dictionaries(
    {"type": wild(kinds)},
    optional={
        "text": text,
        "refusal": text,
        "image_url": wild(st.fixed_dictionaries({"url": text})),
        "input_audio": wild(st.fixed_dictionaries({"data": text})),
        "video": wild(st.lists(text, max_size=2)),
        "cache_control": anything,
    },
)
roles = wild(st.sampled_from(["user", "developer", "assistant"]))
content = text | wild(st.lists(wild(part), max_size=2))
turn = wild(st.fixed_dictionaries({"role": roles, "content": content}))
bodies = wild(
    st.fixed_dictionaries(
        {
            "model": wild(st.sampled_from(sorted(inputs))),
            "messages": wild(st.lists(turn | answered_turn | tool_turn, max_size=4)),
        },
        optional={
            **{name: wild(value) for name, value in values.items()},
            "stream": wild(st.booleans()),
            "stream_options": wild(st.fixed_dictionaries({"include_usage": st.booleans()})),
        },
    )
)


def read(content):
    """The request or the error; any other exception fails the test."""
    try:
        return parse_request(content, request_id="r", find_model=known_model)
    except APIError as error:
        return error


@settings(max_examples=150)
@given(bodies)
def test_any_json_is_a_request_or_an_error(data):
    result = read(json.dumps(data).encode())

    if isinstance(result, EngineRequest):
        assert (result.prompt is None) != (result.messages is None)
        assert all(isinstance(text, str) for text in result.texts)
        assert None not in result.parameters.values()
    else:
        assert result.status in (400, 404)
        assert result.code
        assert result.message


@given(st.binary())
def test_any_bytes_are_an_error(content):
    result = read(content)

    assert isinstance(result, APIError)
    assert result.status in (400, 404)
