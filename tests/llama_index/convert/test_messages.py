"""Messages as they are sent: what is carried over, and what is refused."""

import json

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)
from llama_index.core.llms import ChatMessage

from dashscope_oss import (
    DashScopeWarning,
    ToolCall,
    UnsupportedInputError,
)
from dashscope_oss.protocol.conversation import content_blocks
from llama_index_dashscope_oss._convert.messages import to_messages
from tests.llama_index.examples import WITH_BLOCKS, WITH_TOOLS
from tests.llama_index.mock_service import failing, model_over


def conversation() -> list[ChatMessage]:
    """Every kind of block that can be sent, and those that are not text."""
    answer = [
        types.ThinkingBlock(content="hm"),
        TextBlock(text="a"),
        TextBlock(text="b"),
        types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": "三"}),
    ]
    quoted = TextBlock(text="quoted")
    citations = [
        CitableBlock(title="t", source="s", content="cited"),
        CitationBlock(cited_content=quoted, source="s", title="t", additional_location_info={}),
    ]
    return [
        ChatMessage("be kind", role="developer"),
        ChatMessage("hi"),
        ChatMessage(role="assistant", blocks=answer),
        ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"}),
        ChatMessage(citations),
    ]


@WITH_BLOCKS
def test_a_conversation_is_carried_over(make):
    """And the caller's messages stay as they are."""
    history = conversation()
    make(WITH_TOOLS).chat(history)
    assert history == conversation()
    call = {"name": "add", "arguments": '{"a": "三"}'}
    assert make.body["input"]["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "a\nb",
            "tool_calls": [{"id": "1", "type": "function", "function": call, "index": 0}],
            "reasoning_content": "hm",
        },
        {"role": "tool", "content": "3", "tool_call_id": "1"},
        {"role": "user", "content": "cited\nquoted"},
    ]


def test_tool_calls_in_the_older_list_are_carried_over(make):
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": ""}}
    history = [
        ChatMessage("hi"),
        ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}),
        ChatMessage("noon", role="tool", additional_kwargs={"tool_call_id": "1"}),
    ]
    make(WITH_TOOLS).chat(history)
    (sent,) = make.body["input"]["messages"][1]["tool_calls"]
    assert sent["function"] == {"name": "now", "arguments": "{}"}


class _OfAnotherMaker:
    def __init__(self, **fields):
        self.__dict__.update(fields)


LISTED_CALLS = {
    "Anthropic": {"id": "1", "type": "tool_use", "name": "add", "input": {"a": 3}},
    "Bedrock": {"toolUseId": "1", "name": "add", "input": {"a": 3}},
    "flat": {"id": "1", "name": "add", "args": {"a": 3}},
    "Ollama": {"id": "1", "function": {"name": "add", "arguments": {"a": 3}}},
    "Cohere": _OfAnotherMaker(id="1", name="add", parameters={"a": 3}),
    "objects": _OfAnotherMaker(id="1", function=_OfAnotherMaker(name="add", arguments='{"a": 3}')),
}


def test_calls_in_the_lists_of_other_makers_are_carried_over(subtests):
    for maker, listed in LISTED_CALLS.items():
        with subtests.test(maker):
            answer = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [listed]})
            (turn,) = to_messages([answer], WITH_TOOLS)
            assert turn.tool_calls == (ToolCall("1", "add", '{"a": 3}'),)


def test_a_result_that_names_its_tool_in_place_of_an_id_is_the_calls(make):
    """As in the history of a Gemini model, whose calls have no ids."""
    call = _OfAnotherMaker(id=None, name="handoff", args={"to": "email"})
    history = [
        ChatMessage("summarize"),
        ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [call]}),
        ChatMessage("done", role="tool", additional_kwargs={"tool_call_id": "handoff"}),
    ]
    make(WITH_TOOLS).chat(history)
    _, called, result = make.body["input"]["messages"]
    assert (result["tool_call_id"], result["content"]) == (called["tool_calls"][0]["id"], "done")


@WITH_BLOCKS
def test_a_call_that_block_and_list_both_hold_is_sent_once_and_no_other_is_lost(make):
    def listed(id, a):
        return {"id": id, "function": {"name": "add", "arguments": json.dumps({"a": a})}}

    answer = ChatMessage(
        role="assistant",
        blocks=[
            types.ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1}),
            types.ToolCallBlock(tool_call_id="fc_9", tool_name="add", tool_kwargs={"a": 2}),
        ],
        additional_kwargs={"tool_calls": [listed("1", 1), listed("2", 2), listed("3", 3)]},
    )
    make(WITH_TOOLS).chat([ChatMessage("hi"), answer])
    sent = make.body["input"]["messages"][1]["tool_calls"]
    assert [call["id"] for call in sent] == ["1", "fc_9", "3"]


class _OwnBlock:
    block_type = "notes"

    def __init__(self, **fields):
        self.__dict__.update(fields)


FOREIGN_TEXTS = [
    {"type": "text", "text": "words"},
    {"type": "output_text", "text": "words"},
    {"block_type": "text", "text": "words"},
    {"text": "words"},
    {"type": "refusal", "refusal": "words"},
    "words",
    _OwnBlock(text="words"),
    DocumentBlock(data=b"words", document_mimetype="text/plain"),
    DocumentBlock(data=b"\xef\xbb\xbfwords", title="notes.md"),
    DocumentBlock(data=b"words", document_mimetype="application/ld+json"),
]


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_text_in_blocks_of_any_make_is_sent_as_text(role, subtests):
    for block in FOREIGN_TEXTS:
        with subtests.test(block=block):
            message = ChatMessage(role=role, blocks=[TextBlock(text="a")])
            message.blocks.append(block)
            (turn,) = to_messages([message], WITH_TOOLS)
            assert turn.content == "a\nwords"
            assert message.blocks[-1] is block


@WITH_BLOCKS
def test_thoughts_and_calls_in_blocks_of_any_make_are_carried_over(make):
    answer = ChatMessage(role="assistant", blocks=[])
    answer.blocks += [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 3}},
    ]
    listed = {"id": "1", "function": {"name": "add", "arguments": '{"a": 3}'}}
    answer.additional_kwargs["tool_calls"] = [listed]
    make(WITH_TOOLS).chat([ChatMessage("hi"), answer])
    sent = make.body["input"]["messages"][1]
    assert sent["reasoning_content"] == "hm"
    assert [call["id"] for call in sent["tool_calls"]] == ["1"]


@pytest.mark.parametrize(
    ("block", "name"),
    [({"type": "web_search_call", "id": "ws_1"}, "web_search_call"), (_OwnBlock(), "_OwnBlock")],
)
def test_what_only_another_provider_can_read_is_left_out_with_one_warning(
    make, monkeypatch, block, name
):
    monkeypatch.setattr(content_blocks, "_warned_types", set())
    answer = ChatMessage("a", role="assistant")
    answer.blocks.append(block)
    with pytest.warns(DashScopeWarning, match=f"{name!r} in earlier answers are left out"):
        make(WITH_TOOLS).chat([ChatMessage("hi"), answer, ChatMessage("q")])
    make(WITH_TOOLS).chat([ChatMessage("hi"), answer, ChatMessage("q")])
    assert make.body["input"]["messages"][1]["content"] == "a"
    question = ChatMessage("hi")
    question.blocks.append(block)
    with pytest.raises(UnsupportedInputError, match=f"block of type {name!r} cannot be sent"):
        make(WITH_TOOLS).chat([question])


@pytest.mark.parametrize(
    "document",
    [
        DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf"),
        DocumentBlock(data=b"\xff\xfe\x00", document_mimetype="text/plain"),
        DocumentBlock(url="http://127.0.0.1:9/a.txt"),
    ],
    ids=["PDF", "no UTF-8", "address"],
)
def test_a_document_that_is_no_text_is_refused(make, document):
    with pytest.raises(UnsupportedInputError, match="a DocumentBlock cannot be sent"):
        make(WITH_TOOLS).chat([ChatMessage([document])])


def test_a_document_in_a_file_is_sent_as_text(make, tmp_path):
    (tmp_path / "a.txt").write_text("words")
    make(WITH_TOOLS).chat([ChatMessage([DocumentBlock(path=tmp_path / "a.txt")])])
    assert make.body["input"]["messages"][0]["content"] == "words"


def test_a_picture_in_a_block_of_any_make_is_sent_as_one(make):
    question = ChatMessage("What is it?")
    question.blocks.append({"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/a.png"}})
    make("qwen3.6-27b", enable_thinking=False).chat([question])
    assert {"image": "http://127.0.0.1:9/a.png"} in make.body["input"]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            ChatMessage([TextBlock(text="a"), ImageBlock(url="http://x/y.png")]),
            r"messages\[0\] \(user\): part 2: an image, which the model does not take",
        ),
        (ChatMessage([TextBlock(text="a"), DocumentBlock(data=b"x")]), "a DocumentBlock cannot be"),
        (ChatMessage(""), r"messages\[0\] \(user\): .*empty"),
        (
            ChatMessage("a", role="assistant", additional_kwargs={"tool_calls": [{"type": "x"}]}),
            "tool_calls",
        ),
        ({"role": "user", "content": "a"}, r"messages\[0\] is a dict; make a ChatMessage of it"),
    ],
)
def test_what_cannot_be_carried_is_refused_before_any_request(make, message, reason):
    llm = make(WITH_TOOLS)
    with pytest.raises(UnsupportedInputError, match=reason):
        llm.chat([message])
    with pytest.raises(UnsupportedInputError, match=reason):
        llm.stream_chat([message])
    assert not make.requests


def test_arguments_that_are_no_json_are_refused(make):
    """A call of an earlier answer may have been changed by the user's code."""
    function = {"name": "add", "arguments": {"a": object()}}
    call = {"id": "1", "type": "function", "function": function}
    history = [ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [call]})]
    with pytest.raises(UnsupportedInputError, match="cannot be written as JSON"):
        make(WITH_TOOLS).chat(history)


def test_an_answer_can_be_begun_for_the_model():
    """``partial`` on the last message: the model goes on where it ends."""
    handle, bodies = failing()
    begun = ChatMessage("Once", role="assistant", additional_kwargs={"partial": True})
    model_over(handle, WITH_TOOLS).chat([ChatMessage("A tale, please."), begun])
    sent = json.loads(bodies[0])["input"]["messages"][-1]
    assert sent == {"role": "assistant", "content": "Once", "partial": True}
