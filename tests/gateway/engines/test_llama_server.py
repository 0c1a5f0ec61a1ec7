"""The openai engine in front of a real llama.cpp server, in a process of its own, over HTTP.

Chat completions go through the server's template, raw completions are prompts of ours.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    ContextLengthError,
    Endpoint,
    InvalidRequestError,
    Message,
    Options,
    ServerError,
    ToolCall,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.gateway import Gateway, build_load_balancer, serve_in_thread
from dashscope_oss.gateway.config import parse_config
from dashscope_oss.gateway.engines import weights
from dashscope_oss.protocol.streaming.deltas import join_deltas

TEXT = "services/aigc/text-generation/generation"
SCRIPT = Path(__file__).with_name("llama_server.py")
FILE = """
[upstreams.here]
url = "{url}/v1"
kind = "llama.cpp"
api_key_env = "UP_KEY"

[upstreams.here.health]
path = "/health"

[models."llama3-8b-instruct"]
name = "small"
max_input = 100_000

[models."ziya-llama-13b-v1"]
name = "small"
usage = true
echo = false

[models."llama2-7b-chat-v2"]
name = "small"
api = "completions"

[models."glm-5"]
name = "small"

[models."MiniMax-M2.5"]
name = "small"
"""


@pytest.fixture(scope="module")
def llama(small_model):
    """The address of a llama.cpp server."""
    command = [sys.executable, str(SCRIPT), str(weights.fetch())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert address, "the llama.cpp server did not start"
            yield address
        finally:
            process.stdin.close()
            process.kill()


@pytest.fixture(scope="module")
def client(llama):
    """A client of a gateway in front of it, set up by a configuration file."""
    config = parse_config(FILE.format(url=llama), "test.toml")
    gateway = serve_in_thread(Gateway(build_load_balancer(config, {"UP_KEY": "up-key"})))
    with (
        gateway as url,
        Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client,
    ):
        yield client


def ask(model, options, *, stream=False, text="The capital of France is"):
    return chat_request(find_model(model), [Message("user", text)], options, stream=stream)


def test_a_conversation_streams_with_the_servers_own_counts(client):
    """Chat completions: pieces as they come, running usage, the same text as in one reply."""
    options = Options(max_tokens=8, temperature=0.0, seed=1, top_k=1, repetition_penalty=1.05)

    deltas = list(client.stream(ask("llama3-8b-instruct", options, stream=True)))
    reply = client.send(ask("llama3-8b-instruct", options))

    assert len([delta for delta in deltas if delta.text]) > 2
    assert join_deltas(deltas).text == reply.text != ""
    assert (reply.usage.output_tokens, reply.finish_reason) == (8, "length")
    counts = [delta.raw["usage"]["output_tokens"] for delta in deltas if "usage" in delta.raw]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert reply.served_by == "small"


FORMS = ["llama3-8b-instruct", "ziya-llama-13b-v1", "llama2-7b-chat-v2"]


@pytest.mark.parametrize("model", FORMS, ids=["chat", "prompt", "messages as a prompt"])
def test_a_stream_says_what_a_whole_reply_says(client, model):
    """In both forms, with the same end and the same counts."""
    options = Options(max_tokens=6, temperature=0.0, seed=1)

    streamed = join_deltas([*client.stream(ask(model, options, stream=True))])
    reply = client.send(ask(model, options))

    assert streamed.text == reply.text != ""
    assert (streamed.finish_reason, reply.finish_reason) == ("length", "length")
    assert streamed.usage.output_tokens == reply.usage.output_tokens == 6


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "model", ["llama3-8b-instruct", "llama2-7b-chat-v2"], ids=["chat", "prompt"]
)
def test_a_partial_answer_goes_on_where_it_ends(client, model, stream):
    """The answer holds the new words only, though the server repeats the others in a whole one."""
    messages = [Message("user", "Tell a tale."), Message("assistant", "Once upon a", partial=True)]
    options = Options(max_tokens=4, temperature=0.0, seed=1)
    request = chat_request(find_model(model), messages, options, stream=stream)

    reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    assert reply.text.startswith(" time")


@pytest.mark.parametrize("stream", [True, False])
def test_each_token_comes_with_its_log_probabilities(client, stream):
    """The hosted model had none; the server knows them."""
    options = Options(max_tokens=4, extra={"logprobs": True, "top_logprobs": 2})
    request = ask("llama3-8b-instruct", options, stream=stream)

    reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    tokens = reply.logprobs["content"]
    assert "".join(token["token"] for token in tokens) == reply.text
    assert {len(token["top_logprobs"]) for token in tokens} == {2}


def test_a_written_prompt_gets_one_opening_token(client):
    """The server adds its own: with and without ours the prompt has the same length."""
    model_info = find_model("llama2-7b-chat-v2")
    prompts = ("<s>[INST] Hi [/INST]", "[INST] Hi [/INST]")

    counts = {
        client.send(
            completion_request(model_info, prompt, Options(max_tokens=1))
        ).usage.input_tokens
        for prompt in prompts
    }

    assert len(counts) == 1


def test_requests_in_a_row_are_all_answered(client):
    """The server closes a connection soon after a stream: none is sent on one that closes."""
    options = Options(max_tokens=1)

    replies = [client.send(ask("llama3-8b-instruct", options, text="Hi")) for _ in range(40)]

    assert len(replies) == 40


def test_a_prompt_reaches_the_weights_as_it_is(client):
    """Raw completions: the family's form counts as few tokens as it has, with no chat template."""
    model_info = find_model("ziya-llama-13b-v1")

    reply = client.send(completion_request(model_info, "<human>:Hi\n<bot>:", Options(max_tokens=4)))

    assert reply.text
    assert reply.raw["usage"]["input_tokens"] < 15


def test_a_stop_text_ends_the_answer(client):
    """The server stops at it, and it is not part of the answer."""
    options = Options(max_tokens=30, temperature=0.0, stop=["is"])

    reply = client.send(ask("llama3-8b-instruct", options, text="Say: Paris is nice."))

    assert (reply.finish_reason, "is" in reply.text) == ("stop", False)


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize("model", ["glm-5", "ziya-llama-13b-v1"])
def test_a_schema_is_kept_to(client, model):
    """In chat and in raw completions, where llama.cpp ignores response_format."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    extra = {"response_format": form, "repetition_penalty": 1.3}

    reply = client.send(
        ask(model, Options(max_tokens=120, temperature=0.0, seed=1, extra=extra), text="JSON: a=3")
    )

    assert isinstance(json.loads(reply.text)["a"], int)


def test_tools_reach_the_weights_through_the_servers_own_template(client):
    """They count as input; a named function goes alone. (So small a model calls none by itself.)"""
    tools = [
        {"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in ("f", "g")
    ]
    one = {"type": "function", "function": {"name": "f"}}
    plain = Options(max_tokens=1, enable_thinking=False)

    counts = [
        client.send(ask("glm-5", replace(plain, **tool_options))).usage.input_tokens
        for tool_options in ({}, {"tools": tools, "tool_choice": one}, {"tools": tools})
    ]

    assert counts == sorted(set(counts))


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}


def rounds(*cities):
    """Earlier rounds of a tool loop: so small a model calls a tool if it has seen that done."""
    for city in cities:
        call = ToolCall(f"call_{city}", "get_weather", json.dumps({"city": city}))
        yield Message("user", f"Weather in {city}?")
        yield Message("assistant", "", tool_calls=(call,))
        yield Message("tool", "Sunny", tool_call_id=call.id)


@pytest.mark.parametrize("stream", [True, False])
def test_the_model_itself_calls_a_tool(client, stream):
    """Through the server's parser, with an id, and the arguments as JSON."""
    messages = [*rounds("Rome", "Oslo", "Madrid"), Message("user", "Weather in Paris?")]
    options = Options(tools=[WEATHER], temperature=0.0, max_tokens=50, enable_thinking=False)
    request = chat_request(find_model("glm-5"), messages, options, stream=stream)

    reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    (call,) = reply.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    assert (bool(call.id), reply.finish_reason) == (True, "tool_calls")


LATE = [
    Message("user", "a"),
    Message("assistant", "b"),
    Message("system", "c"),
    Message("user", "d"),
]


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_servers_template_refuses_is_told_in_its_words(client, stream):
    """A late system message: this model's record does not know that the template takes none."""
    options = Options(max_tokens=1, enable_thinking=False)

    with pytest.raises(InvalidRequestError, match="System message must be at the beginning"):
        join_deltas(
            [*client.stream(chat_request(find_model("glm-5"), LATE, options, stream=stream))]
        )


def test_what_the_record_knows_of_the_template_is_kept_to(client):
    """Where the template takes system words at the beginning only, late ones are the user's."""
    messages = [{"role": turn.role, "content": turn.content} for turn in LATE]
    body = {
        "model": "MiniMax-M2.5",
        "input": {"messages": messages},
        "parameters": {"max_tokens": 1, "incremental_output": True},
    }

    reply = httpx.post(client.endpoint.url(TEXT), json=body, headers={"X-DashScope-SSE": "enable"})

    assert '"finish_reason":"length"' in reply.text


def test_too_long_an_input_is_told_in_the_vendors_words(client):
    """With the limit that llama.cpp names."""
    request = ask("llama3-8b-instruct", Options(max_tokens=1), text="word " * 3000)

    with pytest.raises(ContextLengthError, match=r"\[1, 2048\]"):
        client.send(request)


def test_a_wrong_key_is_not_the_callers_fault(llama):
    """The server's 401 is no 401 of ours: the caller's key is fine."""
    config = parse_config(FILE.format(url=llama), "test.toml")
    with serve_in_thread(Gateway(build_load_balancer(config, {"UP_KEY": "wrong"}))) as url:
        client = Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0))
        with client, pytest.raises(ServerError) as caught:
            client.send(ask("llama3-8b-instruct", Options(max_tokens=1)))

    assert caught.value.status_code == 500
