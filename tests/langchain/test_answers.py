"""What comes back: text, usage and metadata, where LangChain and its callbacks look for them."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx2
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage

from dashscope_oss import DashScopeWarning, Usage, find_model
from dashscope_oss.gateway import Answer
from langchain_dashscope_oss import ChatDashScopeOSS, DashScopeOSSLLM

from .calling import (
    CLASSES,
    EACH_PATH_ONCE,
    PATHS,
    PROMPT_ONLY,
    STREAMS,
    Seen,
    Server,
    answering,
    as_choice,
    as_text,
    call,
    streaming,
    text_of,
)

HELLO = Answer(pieces=("Hel", "lo ", "you"), usage=Usage(7, 5, 12))
COUNTS = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
TWICE = {"input_tokens": 14, "output_tokens": 10, "total_tokens": 24}


@PATHS
async def test_a_message_has_text_usage_and_metadata_by_every_path(chat, path):
    llm, _ = chat(HELLO)
    counter = UsageMetadataCallbackHandler()
    message = await call(llm, path, config={"callbacks": [counter]})
    metadata = message.response_metadata
    assert message.text == "Hello you"
    assert message.usage_metadata == metadata["token_usage"] == COUNTS
    assert counter.usage_metadata == {"llama3-8b-instruct": COUNTS}
    assert metadata["model_name"] == "llama3-8b-instruct"
    assert metadata["finish_reason"] == "stop"
    assert metadata["request_id"]
    assert metadata["served_by"] == "none (scripted)"


@PATHS
async def test_a_text_has_its_facts_where_callbacks_look(text, path):
    llm, _ = text(HELLO)
    seen = Seen()
    assert await call(llm, path, config={"callbacks": [seen]}) == "Hello you"
    assert seen.info["model_name"] == "llama3-8b-instruct"
    assert seen.info["finish_reason"] == "stop"
    assert seen.info["request_id"]
    assert seen.info["served_by"] == "none (scripted)"
    assert seen.info["token_usage"] == COUNTS
    if "stream" not in path:
        expected = {"token_usage": COUNTS, "model_name": "llama3-8b-instruct"}
        assert seen.result.llm_output == expected


@EACH_PATH_ONCE
async def test_usage_that_nobody_reported_is_none(either, path):
    llm, _ = either(HELLO, model=PROMPT_ONLY)
    counter, seen = UsageMetadataCallbackHandler(), Seen()
    answer = await call(llm, path, config={"callbacks": [counter, seen]})
    assert text_of(answer) == "Hello you"
    assert seen.info["token_usage"] is None
    assert getattr(answer, "usage_metadata", None) is None
    assert counter.usage_metadata == {}


@CLASSES
async def test_usage_is_summed_over_several_prompts(made, cls):
    llm, _ = made(cls, HELLO)
    prompts = ["a", "b"] if cls is DashScopeOSSLLM else [[HumanMessage("a")], [HumanMessage("b")]]
    expected = {"token_usage": TWICE, "model_name": "llama3-8b-instruct"}
    assert llm.generate(prompts).llm_output == expected
    assert (await llm.agenerate(prompts)).llm_output == expected
    silent, _ = made(cls, HELLO, model=PROMPT_ONLY)
    assert silent.generate(prompts).llm_output["token_usage"] is None


@pytest.mark.parametrize("reported", [True, False])
def test_summed_usage_says_if_any_of_it_is_estimated(reported):
    usages = [{"usage": {"input_tokens": 1, "output_tokens": 1}}, {}]
    bodies = [{"output": as_choice("a", "stop"), **usages[n]} for n in (0, not reported)]
    server = Server(lambda _: httpx2.Response(200, json=bodies.pop()))
    llm = server.model(DashScopeOSSLLM, estimate_usage=True)
    output = llm.generate(["Hi", "Ho"]).llm_output
    assert output.get("usage_estimated") is (None if reported else True)


def test_usage_details_are_in_langchains_words():
    usage = {
        "input_tokens": 3,
        "output_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    message = answering(usage=usage).model().invoke("Hi")
    assert message.usage_metadata == {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 2},
        "output_token_details": {"reasoning": 1},
    }


def test_a_count_that_is_missing_is_not_made_nought():
    message = answering(usage={"input_tokens": 3}).model().invoke("Hi")
    assert message.usage_metadata is None
    assert message.response_metadata["token_usage"] == {"input_tokens": 3}


@CLASSES
@pytest.mark.parametrize("shape", [as_text, as_choice])
async def test_either_shape_of_an_answer_is_read_whole_or_streamed(cls, shape):
    """Whichever the server sends to whatever was asked."""
    whole = answering(shape("Hello", "stop")).model(cls)
    assert text_of(await call(whole, "invoke")) == "Hello"
    assert text_of(await call(whole, "ainvoke")) == "Hello"
    stream = streaming(shape("Hel", None), shape("Hello", "stop")).model(cls)
    assert text_of(await call(stream, "stream")) == "Hello"
    assert text_of(await call(stream, "astream")) == "Hello"


@pytest.mark.parametrize(
    ("cls", "path"), [(ChatDashScopeOSS, "stream"), (DashScopeOSSLLM, "astream")]
)
@pytest.mark.parametrize(
    "texts", [("ha", "ha", "lo ", "ha"), ("ha", "haha", "hahalo ", "hahalo ha")]
)
async def test_pieces_and_repeated_beginnings_are_read_alike(cls, texts, path):
    """The service is asked for new pieces, and may send all so far instead."""
    model_info = replace(find_model("llama3-8b-instruct"), incremental="unknown")
    outputs = [as_choice(text, None) for text in texts[:-1]] + [as_choice(texts[-1], "stop")]
    llm = streaming(*outputs).model(cls, model_info=model_info)
    assert text_of(await call(llm, path)) == "hahalo ha"


@STREAMS
@CLASSES
async def test_two_events_of_all_the_text_so_far_are_not_doubled_though_new_was_promised(cls, path):
    llm = streaming(as_choice("Hi", None), as_choice("Hi there", "stop")).model(cls, model="glm-5")
    assert text_of(await call(llm, path)) == "Hi there"


@EACH_PATH_ONCE
async def test_an_answer_ends_where_the_model_begins_the_users_next_turn(either, path):
    answer = Answer(pieces=("Fine.\n\nHu", "man: And you?", " Fine."))
    llm, _ = either(answer, model="belle-llama-13b-2m-v1")
    assert text_of(await call(llm, path)) == "Fine."


@PATHS
async def test_a_text_answer_without_a_finish_reason_is_whole(path):
    """As the pages Baichuan and LLaMA write it, the latter beside the output."""
    sample = {"text": "Hey", "request_id": "r"}
    bodies = {"invoke": sample, "stream": {"output": {"text": "Hey"}, "request_id": "r"}}
    body = bodies[path.removeprefix("a")]
    text = json.dumps(body)
    text = f"data:{text}\n\n" if path.endswith("stream") else text
    server = Server(lambda _: httpx2.Response(200, text=text))
    llm = server.model(DashScopeOSSLLM, model="baichuan2-7b-chat-v1")
    assert await call(llm, path) == "Hey"


@PATHS
async def test_a_message_in_the_models_own_prompt_form_is_not_wrapped_without_a_word(chat, path):
    llm, engine = chat(model=PROMPT_ONLY)
    with pytest.warns(DashScopeWarning, match="once more"):
        await call(llm, path, "<human>:Hi\n<bot>:")
    assert engine.requests[-1].body["input"]["prompt"].count("<human>") == 1


@CLASSES
def test_log_probabilities_come_with_their_pieces_and_add_up(cls):
    outputs = [
        {"choices": [{**as_choice(token, reason)["choices"][0], "logprobs": logprobs(token)}]}
        for token, reason in (("a", "null"), ("b", "null"), ("c", "stop"))
    ]
    llm = streaming(*outputs).model(cls, model_kwargs={"logprobs": True}, streaming=True)
    result = llm.generate(["Hi"] if cls is DashScopeOSSLLM else [[HumanMessage("Hi")]])
    info = result.generations[0][0].generation_info
    assert [entry["token"] for entry in info["logprobs"]["content"]] == ["a", "b", "c"]


def logprobs(token):
    return {"content": [{"token": token, "logprob": -1.0}]}


@pytest.mark.parametrize(
    ("model", "model_input"),
    [
        ("llama3-8b-instruct", {"messages": [{"role": "user", "content": "Hi"}]}),
        (PROMPT_ONLY, {"prompt": "<human>:Hi\n<bot>:"}),
        ("belle-llama-13b-2m-v1", {"prompt": "Human:Hi\n\nAssistant:"}),
    ],
)
@CLASSES
def test_the_record_decides_between_messages_and_a_prompt(made, cls, model, model_input):
    llm, engine = made(cls, HELLO, model=model)
    llm.invoke("Hi")
    assert engine.requests[-1].body["input"] == model_input


def test_a_model_of_both_gets_a_text_as_its_prompt_and_messages_as_messages(chat, text):
    for make, name in ((text, "prompt"), (chat, "messages")):
        llm, engine = make(HELLO, model="baichuan2-7b-chat-v1")
        llm.invoke("Hi")
        assert [*engine.requests[-1].body["input"]] == [name]


@pytest.mark.parametrize(
    ("formatted", "prompt", "sent"),
    [
        (True, "Hi", "Hi"),
        (None, "<human>:Hi\n<bot>:", "<human>:Hi\n<bot>:"),
        (False, "<human>:Hi\n<bot>:", "<human>:< human>:Hi\n< bot>:\n<bot>:"),
    ],
)
def test_a_prompt_in_the_models_own_form_can_be_sent_as_it_is(text, formatted, prompt, sent):
    """Set for the object or for a call; seen by itself if nothing is set."""
    llm, engine = text(HELLO, model=PROMPT_ONLY, formatted=formatted)
    llm.invoke(prompt)
    llm.formatted = None
    llm.invoke(prompt, formatted=formatted)
    for request in engine.requests:
        assert request.body["input"] == {"prompt": sent}
        assert "formatted" not in request.body["parameters"]


@PATHS
async def test_a_text_model_refuses_what_it_cannot_send(text, path):
    llm, engine = text(HELLO, model="deepseek-v4-pro")
    with pytest.raises(ValueError, match="empty"):
        await call(llm, path, "  ")
    with pytest.raises(ValueError, match="use ChatDashScopeOSS"):
        await call(llm, path, tools=[{"type": "function", "function": {"name": "f"}}])
    assert engine.requests == []


def test_a_gateway_serves_a_users_own_tests_without_key_account_or_network(gateway):
    url = gateway(Answer("from your script")).base_url
    for cls in (ChatDashScopeOSS, DashScopeOSSLLM):
        llm = cls(model=PROMPT_ONLY, base_url=url)
        assert text_of(llm.invoke("Hi")) == "from your script"
        llm.close()
