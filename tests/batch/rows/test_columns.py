"""Rows with a column for the prompt or the messages, and the columns of their answers."""

import base64
import json

import pytest

from dashscope_oss import (
    ConfigurationError,
    ContextLengthError,
    Options,
    RateLimitError,
    Reply,
    ToolCall,
    UnsupportedInputError,
    Usage,
    find_model,
)
from dashscope_oss.batch.rows.choice import choose_form
from dashscope_oss.batch.rows.columns import Columns
from dashscope_oss.batch.rows.outcome import Failure, decode, encode

MODEL = find_model("glm-5")
REPLY = Reply(
    text="杭州",
    reasoning="hm",
    tool_calls=(ToolCall(id="1", name="find", arguments="{}"),),
    finish_reason="stop",
    usage=Usage(input_tokens=3, output_tokens=4, total_tokens=7, cached_tokens=0),
    request_id="r-1",
    served_by="weights",
    logprobs={"content": []},
)


def sent(columns, row):
    return columns.request(row).body["input"]["messages"]


def test_a_prompt_is_a_user_message_after_the_system_message():
    columns = Columns(MODEL, prompt="text", system="Be brief.")

    assert sent(columns, {"text": "Where?", "id": 1}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where?"},
    ]


MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "What "}, {"text": "is it?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "content": "rain", "tool_call_id": "1"},
]


@pytest.mark.parametrize("messages", [MESSAGES, json.dumps(MESSAGES)], ids=["list", "JSON text"])
def test_messages_are_sent_as_they_stand(messages):
    user, assistant, tool = sent(Columns(MODEL, messages="turns"), {"turns": messages})

    assert user == {"role": "user", "content": "What is it?"}
    assert assistant["tool_calls"][0]["function"]["name"] == "look"
    assert tool["tool_call_id"] == "1"


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
SEES = find_model("qwen3.6-27b")


class TestImages:
    """A column with images, and images in messages."""

    @pytest.mark.parametrize(
        ("value", "urls"),
        [
            ("https://example.invalid/a.png", ["https://example.invalid/a.png"]),
            (PNG, [DATA_URL]),
            ({"bytes": PNG, "path": "a.png"}, [DATA_URL]),
            ("a.png", [DATA_URL]),
            ("~/a.png", [DATA_URL]),
            (["a.png", DATA_URL], [DATA_URL, DATA_URL]),
            (None, []),
            (" ", []),
        ],
        ids=[
            *("address", "bytes", "a data set's object", "path", "path from home"),
            *("several", "none", "an empty field"),
        ],
    )
    def test_images_stand_before_the_prompt(self, tmp_path, monkeypatch, value, urls):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        (tmp_path / "a.png").write_bytes(PNG)
        columns = Columns(SEES, prompt="x", image="picture", folder=tmp_path)

        (turn,) = sent(columns, {"x": "What is it?", "picture": value})

        assert turn["content"] == [*({"image": url} for url in urls), {"text": "What is it?"}]

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (7, "the image is a number, not an address, bytes or the path of a file"),
            ("no.png", "cannot read the image no.png: No such file"),
            (b"hello", "not an image; give the right file"),
        ],
    )
    def test_what_is_no_image_is_told(self, tmp_path, value, reason):
        columns = Columns(SEES, prompt="x", image="picture", folder=tmp_path)

        with pytest.raises(UnsupportedInputError, match=reason):
            columns.request({"x": "?", "picture": value})

    def test_messages_hold_them_in_openais_form_too(self):
        block = {"type": "image_url", "image_url": {"url": DATA_URL}, "text": None}
        content = [block, {"type": "text", "text": "What is it?", "image_url": None}]

        (turn,) = sent(Columns(SEES, messages="m"), {"m": [{"role": "user", "content": content}]})

        assert turn["content"] == [{"image": DATA_URL}, {"text": "What is it?"}]

    def test_a_model_that_takes_none_refuses_them(self):
        columns = Columns(find_model("llama3-8b-instruct"), prompt="x", image="picture")

        with pytest.raises(UnsupportedInputError, match="llama3-8b-instruct"):
            columns.request({"x": "?", "picture": PNG})


def test_parameters_go_with_every_request():
    request = Columns(MODEL, Options(temperature=0.2), prompt="text").request({"text": "?"})

    assert request.parameters["temperature"] == 0.2


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("prompt", None, "column x is empty"),
        ("prompt", 7, "column x holds a number, not a text"),
        ("prompt", "  ", "the prompt or user message is empty"),
        ("messages", "[", "x is not JSON"),
        ("messages", {"role": "user"}, "x holds an object, not a list of messages"),
        ("messages", ["hello"], r"x\[0\] is no message"),
        ("messages", [{"role": "user", "content": 7}], r"x\[0\]\.content holds a number"),
        ("messages", [{"role": "user", "content": [7]}], r"x\[0\]\.content\[0\] is no part"),
        ("messages", [{"role": "user", "content": [{"type": "pdf"}]}], r"content\[0\] is not"),
        ("messages", [{"role": "robot", "content": "?"}], "unknown role 'robot'"),
        ("messages", [{"role": "user", "tool_calls": 7}], r"x\[0\]\.tool_calls is not a list"),
    ],
)
def test_a_row_that_cannot_be_asked_says_why(column, value, reason):
    columns = Columns(MODEL, **{column: "x"})

    with pytest.raises(UnsupportedInputError, match=reason):
        columns.request({"x": value})


def test_a_parameter_of_zero_or_false_makes_another_run_too():
    options = Options(temperature=0, enable_thinking=False, extra={"n": 1})

    assert Columns(MODEL, options).settings["parameters"] == {
        "temperature": 0,
        "enable_thinking": False,
        "n": 1,
    }


def test_a_row_that_is_too_long_for_the_model_is_not_asked():
    columns = Columns(find_model("llama2-7b-chat-v2"), prompt="x")

    with pytest.raises(ContextLengthError):
        columns.request({"x": "word " * 10_000})


def test_an_answer_adds_columns():
    row = Columns(MODEL, prompt="x", answer="label").answered(1, {"x": "?", "id": 9}, REPLY)

    assert row == {
        "x": "?",
        "id": 9,
        "label": "杭州",
        "label_reasoning": "hm",
        "label_tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        ],
        "label_finish_reason": "stop",
        "label_input_tokens": 3,
        "label_output_tokens": 4,
        "label_request_id": "r-1",
        "label_served_by": "weights",
    }


def test_what_nobody_reported_is_null():
    row = Columns(MODEL, prompt="x").answered(1, {}, Reply(text="a"))

    assert {name for name, value in row.items() if value is not None} == {"answer"}


def test_a_failure_names_row_class_code_and_text():
    failure = Failure.of(RateLimitError("slower", code="Throttling", status_code=429))

    assert Columns(MODEL, prompt="x").failed(7, {"x": "?"}, failure) == {
        "row": 7,
        "class": "RateLimitError",
        "code": "Throttling",
        "status_code": 429,
        "message": str(RateLimitError("slower", code="Throttling", status_code=429)),
        "request_id": None,
        "input": {"x": "?"},
    }


@pytest.mark.parametrize(
    "outcome",
    [REPLY, Reply(text=""), Failure.of(ValueError("no")), Failure("A", "b", "c", 500, "r-2")],
    ids=["full reply", "empty reply", "other error", "failure"],
)
def test_an_outcome_comes_back_from_the_checkpoint(outcome):
    assert decode(encode(outcome)) == outcome


class TestChoice:
    """Which form the rows have."""

    def test_messages_come_before_a_prompt(self):
        row = {"prompt": "?", "messages": []}

        assert choose_form(row, MODEL, Options()).settings["messages column"] == "messages"

    def test_else_there_is_a_prompt(self):
        assert choose_form({"prompt": "?"}, MODEL, Options()).settings["prompt column"] == "prompt"

    @pytest.mark.parametrize(
        ("row", "settings", "reason"),
        [
            ({"text": "?"}, {}, "no column prompt in the first row, whose columns are text"),
            ({"prompt;id": "?"}, {}, "If ';' separates the fields, save the table with commas"),
            ({"prompt": "?"}, {"messages": "turns"}, "no column turns"),
            ({"prompt": "?"}, {"prompt": "a", "messages": "b"}, "exclude each other"),
            ({"messages": []}, {"system": "Hi"}, "no use beside a column of messages"),
            ({"prompt": "?"}, {"image": "picture"}, "no column picture"),
            ({"prompt": "?", "answer": "!"}, {}, "already has a column answer"),
            ({"custom_id": "1", "body": {}}, {"system": "Hi"}, "no use for a batch file"),
        ],
    )
    def test_what_cannot_be_meant_is_told(self, row, settings, reason):
        with pytest.raises(ConfigurationError, match=reason):
            choose_form(row, MODEL, Options(), **settings)

    def test_a_model_must_be_named(self):
        with pytest.raises(ConfigurationError, match="--model is missing"):
            choose_form({"prompt": "?"}, None, Options())

    def test_a_wrong_parameter_is_told_once_and_not_for_each_row(self):
        with pytest.raises(UnsupportedInputError, match="temperature is 3"):
            choose_form({"prompt": "?"}, MODEL, Options(temperature=3))
