"""Stop texts are kept here where the vendor's page promises no ``stop``; estimates are marked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_oss import Message, Options, UnsupportedInputError, chat_request, find_model
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.response import read_reply
from dashscope_oss.protocol.streaming.stop_sequences import StopSequenceFilter

TURNS = [Message("user", "Count.")]


def request(model, *, stream=False, **options):
    return chat_request(find_model(model), TURNS, Options(**options), stream=stream)


def streamed(asked, *pieces):
    deltas = Assembler(asked)
    found = []
    for piece in pieces:
        choice = {"finish_reason": "null", "message": {"role": "assistant", "content": piece}}
        data = json.dumps({"output": {"choices": [choice]}, "usage": {"input_tokens": 2}})
        found += deltas.feed(f"data:{data}\n\n".encode())
        if deltas.cut:
            break
    return found, deltas


@given(st.lists(st.text("ab|", max_size=4)), st.lists(st.text("ab|", min_size=1), max_size=3))
def test_any_cut_of_the_answer_ends_at_the_same_place(pieces, stops):
    """Whatever the pieces, what comes out is the text before the first stop."""
    cut = StopSequenceFilter(stops)
    found = "".join(cut.push(piece) for piece in pieces) + cut.end()

    text = "".join(pieces)
    ends = [text.find(stop) for stop in stops if stop in text]
    assert found == text[: min(ends, default=len(text))]
    assert cut.hit == bool(ends)


def test_a_stop_split_over_two_pieces_ends_a_stream_and_its_usage_is_kept():
    """Nothing of the stop is handed on; the answer is finished with what was reported so far."""
    found, deltas = streamed(
        request("llama3-8b-instruct", stream=True, stop="##"), "one #", "# two"
    )

    assert "".join(delta.text for delta in found) == "one "
    assert (found[-1].last, found[-1].finish_reason) == (True, "stop")
    assert found[-1].usage.input_tokens == 2
    assert list(deltas.close()) == []


def test_a_reply_is_cut_at_a_stop_and_a_hosted_model_is_trusted():
    """Only a model whose page documents its parameters, without stop, is watched."""
    body = {"output": {"choices": [{"message": {"content": "one ## two"}}]}}

    seed = read_reply(request("llama3-8b-instruct", stop=["##"]), body)
    hosted = read_reply(request("deepseek-v4-pro", stop=["##"]), body)

    assert (seed.text, seed.finish_reason) == ("one ", "stop")
    assert hosted.text == "one ## two"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": 2.0}, r"temperature is 2\.0\. Temperature should be in \[0\.0, 2\.0\)"),
        ({"top_p": 0}, "Range of top_p"),
        ({"extra": {"n": 2}}, "one call gives one answer"),
        ({"strict": True, "temperature": 0.5}, "documents no temperature"),
    ],
)
def test_parameters_that_are_refused_before_any_request(options, told):
    """The vendor's ranges with the vendor's words; undocumented ones if that is asked for."""
    with pytest.raises(UnsupportedInputError, match=told):
        request("llama3-8b-instruct", **options)


def test_a_parameter_that_a_model_lacks_is_refused():
    """The record knows."""
    with pytest.raises(UnsupportedInputError, match="does not support top_k"):
        request("deepseek-v4-pro", top_k=5)


def test_an_estimate_of_usage_is_given_on_request_only_and_marked():
    """Ziya reports nothing: None, or counts that say they are estimated."""
    body = {"output": {"text": "你好,很高兴认识你。"}}

    silent = read_reply(request("ziya-llama-13b-v1"), body)
    guessed = read_reply(request("ziya-llama-13b-v1", estimate_usage=True), body)

    assert silent.usage is None
    assert guessed.usage.estimated
    assert guessed.usage.output_tokens > 5
    assert guessed.usage.total_tokens == guessed.usage.input_tokens + guessed.usage.output_tokens
    assert request("ziya-llama-13b-v1", estimate_usage=True).body["parameters"] == {}
