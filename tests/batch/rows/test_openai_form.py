"""OpenAI's batch files, answered in their form."""

import pytest

from dashscope_oss import Options, Reply, ToolCall, UnsupportedInputError, Usage, find_model
from dashscope_oss.batch.rows.choice import choose_form
from dashscope_oss.batch.rows.openai_form import OpenAIForm
from dashscope_oss.batch.rows.outcome import Failure

TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
ROW = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {
        "model": "glm-5",
        "messages": [{"role": "user", "content": "Where?"}],
        "temperature": 0.5,
        "stream": False,
        "user": "u-1",
        "tools": [TOOL],
        "tool_choice": "required",
    },
}


def test_a_row_of_a_batch_file_is_known_by_its_form():
    form = choose_form(ROW, None, Options())

    assert form.settings == {"form": "OpenAI", "model": None, "parameters": {}}


def test_its_body_becomes_the_request():
    request = OpenAIForm(options=Options(temperature=0.1, seed=1)).request(ROW)

    assert request.model_info.id == "glm-5"
    assert request.body["input"]["messages"] == [{"role": "user", "content": "Where?"}]
    assert {**request.parameters} == {
        "result_format": "message",
        "temperature": 0.5,
        "seed": 1,
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "enable_thinking": False,  # nothing can be forced while the model thinks
    }


def test_another_model_can_answer():
    form = OpenAIForm(find_model("glm-5"))
    row = {**ROW, "body": {**ROW["body"], "model": "gpt-9"}}

    assert form.request(row).model_info.id == "glm-5"
    assert form.answered(1, row, Reply(text="a"))["response"]["body"]["model"] == "glm-5"


def test_the_answer_is_a_chat_completion():
    call = ToolCall(id="1", name="look", arguments="{}")
    usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    reply = Reply(
        text="a",
        reasoning="b",
        tool_calls=(call,),
        finish_reason="tool_calls",
        usage=usage,
        request_id="r-1",
    )

    line = OpenAIForm().answered(4, ROW, reply)

    completion = line["response"].pop("body")
    assert line == {
        "id": "batch_req_4",
        "custom_id": "request-1",
        "response": {"status_code": 200, "request_id": "r-1"},
        "error": None,
    }
    assert completion["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "a",
                "reasoning_content": "b",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
            "logprobs": None,
        }
    ]
    assert completion["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert (completion["object"], completion["model"]) == ("chat.completion", "glm-5")


def test_an_answer_without_counts_has_none():
    assert OpenAIForm().answered(1, ROW, Reply(text=""))["response"]["body"]["usage"] is None


def test_a_refused_row_has_the_status_and_the_error():
    line = OpenAIForm().failed(2, ROW, Failure("InvalidRequestError", "no", "Bad", 400, "r-2"))

    error = {"code": "Bad", "message": "no", "type": "InvalidRequestError"}
    assert line["response"] == {
        "status_code": 400,
        "request_id": "r-2",
        "body": {"error": error},
    }


@pytest.mark.parametrize("row", [ROW, None])
def test_a_row_that_was_not_asked_has_the_error_alone(row):
    line = OpenAIForm().failed(2, row, Failure("UnsupportedInputError", "no"))

    assert line["custom_id"] == (row and "request-1")
    assert (line["response"], line["error"]["code"]) == (None, "UnsupportedInputError")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "/v1/embeddings"}, "url is /v1/embeddings; only /chat/completions"),
        ({"custom_id": None}, "no custom_id, or no body"),
        ({"body": "text"}, "no custom_id, or no body"),
        ({"body": {"model": "glm-5"}}, "messages holds null"),
        ({"body": {"messages": []}}, "names no model"),
    ],
)
def test_other_rows_cannot_be_asked(change, reason):
    with pytest.raises(UnsupportedInputError, match=reason):
        OpenAIForm().request({**ROW, **change})
