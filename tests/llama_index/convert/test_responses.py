"""What a response says beside its text."""

import json

import pytest
from llama_index.core.base.llms import types
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    DashScopeWarning,
    ToolCall,
)
from dashscope_oss.gateway import Answer
from tests.llama_index.examples import CHAT, WITH_TOOLS


def test_an_answer_says_who_gave_it_and_why_it_ended(make, ask):
    last = ask(make(CHAT), "hi").last
    facts = {
        "model": CHAT,
        "finish_reason": "stop",
        "request_id": last.raw["request_id"],
        "served_by": "none (scripted)",
    }
    assert facts.items() <= last.additional_kwargs.items()


def test_a_response_is_plain_json(make, ask):
    last = ask(make(WITH_TOOLS, Answer("a", reasoning="b")), "hi").last
    assert json.loads(json.dumps(last.raw)) == last.raw


def scored(token: str, logprob: object, **more) -> dict:
    return {"token": token, "logprob": logprob, **more}


HI = scored("hi", -0.25, bytes=[104, 105])
LIKELIEST = [HI, scored("ho", -2.0, bytes=None)]


@pytest.mark.parametrize(
    ("content", "logprobs"),
    [
        ([{**HI, "top_logprobs": LIKELIEST}], [[("hi", -0.25, [104, 105]), ("ho", -2.0, [])]]),
        ([{**HI, "top_logprobs": []}], [[("hi", -0.25, [104, 105])]]),
        ([HI, scored("!", -1)], [[("hi", -0.25, [104, 105])], [("!", -1.0, [])]]),
        ([scored("hi", None)], None),
        ([{"token": "hi"}], None),
        (["hi"], None),
        ({}, None),
    ],
)
def test_log_probabilities_are_where_llamaindex_has_them(make, ask, content, logprobs):
    """Of another form they are in ``raw`` only."""
    llm = make(CHAT, Answer("hi", logprobs={"content": content}))
    response = ask(llm, "hi", logprobs=True)
    pieces = [piece.logprobs for piece in response.pieces] or [response.last.logprobs]
    found = [piece for piece in pieces if piece is not None]
    assert [
        [[(token.token, token.logprob, token.bytes) for token in tokens] for tokens in piece]
        for piece in found
    ] == ([] if logprobs is None else [logprobs])


def test_an_answer_that_is_cut_warns_once(make, ask):
    """Naming the setting."""
    llm = make(CHAT, Answer("It is", finish_reason="length"), max_tokens=2)
    with pytest.warns(DashScopeWarning, match="cut off at max_tokens=2") as warned:
        last = ask(llm, "hi").last
    assert len(warned) == 1
    assert last.additional_kwargs["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("model", "settings", "advice"),
    [
        ("deepseek-v4-flash", {"max_tokens": 2}, "raise max_tokens, in which thoughts count, or"),
        ("deepseek-v4-flash", {"max_tokens": 2, "enable_thinking": False}, "raise max_tokens, or"),
        ("glm-5", {"max_tokens": 2}, "raise max_tokens, or"),
        (
            "deepseek-v4-pro",
            {"max_completion_tokens": 2},
            "raise max_completion_tokens, in which thoughts",
        ),
    ],
)
def test_the_warning_says_whether_thoughts_count_in_the_limit(make, model, settings, advice):
    llm = make(model, Answer("It is", finish_reason="length"), **settings)
    with pytest.warns(DashScopeWarning, match=advice):
        llm.complete("hi")


@pytest.mark.parametrize("ask", ["complete", "astream_complete"], indirect=True)
def test_a_completion_lists_the_calls_of_tools(make, ask):
    """It has no blocks for them."""
    call = ToolCall(id="1", name="add", arguments="{}", index=0)
    last = ask(make(WITH_TOOLS, Answer(tool_calls=(call,))), "hi").last
    function = {"name": "add", "arguments": "{}"}
    assert last.text == ""
    assert last.additional_kwargs["tool_calls"] == [
        {"id": "1", "type": "function", "function": function}
    ]


def test_an_answer_without_calls_has_no_list_of_calls(make, ask):
    """The service refuses an empty list in the next request."""
    last = ask(make(WITH_TOOLS), "hi").last
    assert "tool_calls" not in getattr(last, "message", last).additional_kwargs


def test_calls_go_into_the_older_list_where_there_are_no_blocks_for_them(make, monkeypatch):
    """llama-index-core 0.14.0 and before has no ToolCallBlock."""
    monkeypatch.delattr(types, "ToolCallBlock", raising=False)
    call = ToolCall(id="1", name="Sum", arguments='{"a": 1, "b": 2}', index=0)
    message = make(WITH_TOOLS, Answer(tool_calls=(call,))).chat([ChatMessage("hi")]).message
    assert not message.blocks
    (listed,) = message.additional_kwargs["tool_calls"]
    assert listed["function"] == {"name": "Sum", "arguments": '{"a": 1, "b": 2}'}
