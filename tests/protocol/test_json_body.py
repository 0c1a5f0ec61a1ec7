"""JSON bodies: what is no object is an error that quotes the body."""

import pytest

from dashscope_oss import ProtocolError
from dashscope_oss.protocol.json_body import quoted, read_json_object, text_or_empty


def test_an_object_is_read_with_and_without_a_byte_order_mark():
    assert read_json_object('{"a": "故宫"}'.encode()) == {"a": "故宫"}
    assert read_json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "is not JSON: '<html>'"),
        (b'{"a":1', "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"a":' * 100_000, "is not JSON"),
        (b"[]", r"not a JSON object: '\[\]'"),
        (b'"x"', "not a JSON object"),
        (b"", "the answer is empty"),
        (b" \n", "the answer is empty"),
    ],
)
def test_what_is_no_json_object_is_an_error_that_names_the_model(body, reason):
    with pytest.raises(ProtocolError, match=reason) as caught:
        read_json_object(body, "glm-5")
    assert caught.value.model == "glm-5"


def test_a_long_body_is_quoted_in_part():
    assert len(quoted(b"x" * 10_000_000)) < 200_000


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (None, ""), (1, ""), (["a"], "")])
def test_what_is_no_text_is_empty(value, text):
    assert text_or_empty(value) == text
