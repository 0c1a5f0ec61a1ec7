"""The openai engine through the gateway: DashScope's protocol in, OpenAI's out, and back."""

from dataclasses import replace

import httpx
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    ContentBlockedError,
    ContextLengthError,
    Endpoint,
    InvalidRequestError,
    Message,
    ModelNotFoundError,
    Options,
    RateLimitError,
    ServerError,
    ToolCall,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.gateway import Gateway, OpenAIEngine, Upstream, serve_in_thread
from tests.gateway.engines.openai.calls import CHAT_MODEL, PROMPT_MODEL
from tests.gateway.fake_upstream import FakeUpstream, chunk, failed, streamed

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


ANSWER = (
    chunk(role="assistant", content=""),
    chunk(content="Hang"),
    chunk(content="zhou"),
    chunk("stop"),
    {"choices": [], "usage": USAGE},
)


def send(server, request, **upstream):
    """The answer of our own client, through a gateway in front of ``server``."""
    engine = OpenAIEngine(Upstream(url=server.url, **{"default": "my-weights", **upstream}))
    with (
        serve_in_thread(Gateway(engine)) as url,
        Client(Endpoint.resolve(base_url=url), ClientOptions(max_retries=0)) as client,
    ):
        return list(client.stream(request)) if request.stream else client.send(request)


def question(model, options=None, *, stream=False):
    messages = [Message("system", "Be brief."), Message("user", "The capital?")]
    return chat_request(find_model(model), messages, options or Options(), stream=stream)


def test_a_conversation_goes_to_chat_completions():
    """Messages, parameters and usage are translated both ways; the weights are named."""
    server = FakeUpstream(streamed(*ANSWER))
    options = Options(temperature=0.5, top_p=0.9, seed=3, max_tokens=20, stop=["x"])

    reply = send(server, question(CHAT_MODEL, options), api_key="up-key")

    path, body, headers = server.calls[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer up-key"
    assert body == {
        "model": "my-weights",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "max_tokens": 20,
        "stop": ["x"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "The capital?"},
        ],
    }
    assert (reply.text, reply.finish_reason) == ("Hangzhou", "stop")
    assert reply.usage.total_tokens == 7
    assert reply.served_by == "my-weights"


def test_each_piece_of_the_server_is_a_piece_for_the_caller():
    """Streams are not collected on the way."""
    deltas = send(FakeUpstream(streamed(*ANSWER)), question(CHAT_MODEL, stream=True))

    assert [delta.text for delta in deltas if delta.text] == ["Hang", "zhou"]
    assert deltas[-1].usage.output_tokens == 2


def test_a_prompt_model_gets_its_prompt_as_it_was_sent():
    """Real weights of a prompt-only model see the family's own marks, and stop at them."""
    server = FakeUpstream(
        streamed(
            {"choices": [{"text": "Hangzhou", "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
        )
    )

    reply = send(server, question(PROMPT_MODEL))

    path, body, _ = server.calls[0]
    assert path == "/v1/completions"
    assert body["prompt"] == "<human>:Be brief.\n\nThe capital?\n<bot>:"
    assert body["stop"] == ["</s>", "<human>"]
    assert body["max_tokens"] == 1024
    assert reply.text == "Hangzhou"
    assert reply.usage is None


def test_the_template_writes_messages_for_raw_completions():
    """--api completions renders the family's template; the tokenizer adds the first mark."""
    server = FakeUpstream(streamed({"choices": [{"text": "Hangzhou", "finish_reason": "length"}]}))

    reply = send(server, question("llama2-7b-chat-v2"), api="completions")

    body = server.calls[0][1]
    assert body["prompt"] == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nThe capital? [/INST]"
    assert reply.finish_reason == "length"


def test_a_prompt_to_a_chat_model_becomes_a_user_turn():
    """The hosted service put a bare prompt into the model's own form; so does the chat call."""
    server = FakeUpstream(streamed(*ANSWER))

    send(server, completion_request(find_model("baichuan2-7b-chat-v1"), "介绍下故宫"))

    assert server.calls[0][1]["messages"] == [{"role": "user", "content": "介绍下故宫"}]


def test_thinking_and_tools_pass_both_ways():
    """Reasoning, tool calls in pieces, and the switch for thinking."""
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a":'}}
    rest = {"index": 0, "function": {"arguments": " 1}"}}
    server = FakeUpstream(
        streamed(
            chunk(reasoning_content="Hm."),
            chunk(tool_calls=[call]),
            chunk(tool_calls=[rest]),
            chunk("tool_calls"),
        )
    )
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    messages = [
        Message("user", "1?"),
        Message("assistant", "", tool_calls=(ToolCall("c0", "add", "{x"),), reasoning="I add."),
        Message("tool", "0", tool_call_id="c0"),
    ]
    options = Options(tools=tools, enable_thinking=True)

    reply = send(server, chat_request(find_model("deepseek-v4-pro"), messages, options))

    body = server.calls[0][1]
    assert body["tools"] == tools
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    function = {"name": "add", "arguments": '{"raw_arguments": "{x"}'}
    assert body["messages"][1]["tool_calls"][0]["function"] == function
    assert body["messages"][1]["reasoning_content"] == "I add."
    assert body["messages"][2]["tool_call_id"] == "c0"
    assert reply.reasoning == "Hm."
    assert reply.tool_calls == (ToolCall("c1", "add", '{"a": 1}', 0),)
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (429, "no", RateLimitError),
        (404, "The model `w` does not exist.", ModelNotFoundError),
        (404, "Not Found", ServerError),
        (400, "no", InvalidRequestError),
        (503, "no", ServerError),
        (500, "no", ServerError),
        (401, "no", ServerError),
    ],
)
def test_the_servers_errors_become_the_vendors(status, text, error):
    """Whatever the server sends, the caller gets DashScope's codes."""
    server = FakeUpstream(failed(status, {"error": {"message": text, "type": "x"}}))

    with pytest.raises(error) as caught:
        send(server, question(CHAT_MODEL))

    assert caught.value.code


@pytest.mark.parametrize(
    "objects",
    [
        (chunk(content="half "),),
        (chunk(content="half "), {"error": {"message": "out of memory"}}),
    ],
)
def test_a_server_that_breaks_off_is_an_error_never_a_short_answer(objects):
    """An answer without an end is no answer, streamed or not."""
    answer = streamed(*objects, done=False)
    with pytest.raises(ServerError):
        send(FakeUpstream(answer), question(CHAT_MODEL))
    with pytest.raises(ServerError) as caught:
        send(FakeUpstream(answer), question(CHAT_MODEL, stream=True))

    assert caught.value.partial_text == "half "


def test_a_server_that_is_down_is_503_with_the_vendors_code():
    """The gateway stays up and says that the model is not available."""
    server = FakeUpstream()
    server.close()

    with pytest.raises(ServerError) as caught:
        send(server, question(CHAT_MODEL))

    assert (caught.value.status_code, caught.value.code) == (503, "ModelUnavailable")


def test_only_the_ids_that_have_a_name_are_served():
    """Without a default the other ids are unknown; a new id needs no record."""
    names = {"my-model": "weights-a"}
    server = FakeUpstream(streamed(*ANSWER))
    model_info = replace(find_model(CHAT_MODEL), id="my-model")
    mine = chat_request(model_info, [Message("user", "hi")])

    assert send(server, mine, names=names, default=None).served_by == "weights-a"
    with pytest.raises(ModelNotFoundError):
        send(server, question(CHAT_MODEL), names=names, default=None)


@pytest.mark.parametrize(
    ("reason", "error"),
    [("content_filter", ContentBlockedError), ("abort", ServerError), ("error", ServerError)],
)
def test_an_irregular_end_is_no_stop(reason, error):
    """What the server's filter or a fault ended is an error, not a short answer."""
    with pytest.raises(error):
        send(FakeUpstream(streamed(chunk(content=""), chunk(reason))), question(CHAT_MODEL))


def test_an_input_too_long_for_the_server_is_a_context_length_error():
    """The gateway sends the vendor's text for it, which the client knows."""
    too_long = {"error": {"message": "This model's maximum context length is 2048 tokens."}}

    with pytest.raises(ContextLengthError, match="2048"):
        send(FakeUpstream(failed(400, too_long)), question(CHAT_MODEL))


def test_messages_that_a_template_cannot_write_are_a_bad_request():
    """Not a fault of the server, and not tried again."""
    messages = [Message("user", "a"), Message("assistant", "b")]
    model_info = replace(find_model("llama2-7b-chat-v2"), strict_turns=False)

    with pytest.raises(InvalidRequestError, match="last message must come from the user"):
        send(FakeUpstream(streamed(*ANSWER)), chat_request(model_info, messages), api="completions")


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]}


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        ({"tools": TOOLS}, {"tools": TOOLS}),
        ({"logprobs": True, "top_logprobs": 1}, {"logprobs": True, "top_logprobs": 1}),
    ],
)
def test_what_the_hosted_model_could_not_do_is_asked_of_the_server(parameters, sent):
    """Tools and log probabilities for a model whose record has none, over HTTP and back."""
    pieces = ({"choices": [{"delta": {"content": "Hi"}, "logprobs": LOGPROBS}]}, chunk("stop"))
    server = FakeUpstream(streamed(*pieces))
    engine = OpenAIEngine(Upstream(url=server.url, default="w"))
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": CHAT_MODEL, "input": {"messages": messages}, "parameters": parameters}
    with serve_in_thread(Gateway(engine)) as url:
        reply = httpx.post(f"{url}/services/aigc/text-generation/generation", json=body)

    assert reply.status_code == 200
    assert {name: server.calls[0][1][name] for name in sent} == sent
    assert reply.json()["output"]["choices"][0]["logprobs"] == LOGPROBS


def test_a_partial_answer_is_continued_through_the_gateway():
    """From our client to the server: the answer holds the new words only."""
    server = FakeUpstream(streamed(chunk(content=" a time"), chunk("stop")))
    messages = [Message("user", "Tell."), Message("assistant", "Once upon", partial=True)]

    reply = send(server, chat_request(find_model("glm-5"), messages), kind="vllm")

    body = server.calls[0][1]
    assert (body["messages"][-1]["content"], body["continue_final_message"]) == ("Once upon", True)
    assert reply.text == " a time"


@pytest.mark.parametrize("stream", [True, False])
def test_the_words_of_a_template_that_refuses_the_turns_reach_our_client(stream):
    """llama.cpp's 500 is the caller's mistake, and is not tried again."""
    text = "While executing CallExpression\nError: Jinja Exception: roles must alternate"
    server = FakeUpstream(failed(500, {"error": {"code": 500, "message": text}}))

    with pytest.raises(InvalidRequestError, match="InvalidParameter: roles must alternate"):
        send(server, question(CHAT_MODEL, stream=stream))
    assert len(server.calls) == 1


def test_a_default_serves_ids_that_no_registry_has():
    """--default-model is for every other id, known or not."""
    model_info = replace(find_model(CHAT_MODEL), id="brand-new")

    assert (
        send(
            FakeUpstream(streamed(*ANSWER)), chat_request(model_info, [Message("user", "hi")])
        ).text
        == "Hangzhou"
    )


def test_a_prompt_in_its_familys_form_is_read_back_into_messages_for_chat():
    """With --api chat the server's own template writes the marks, not the family's twice."""
    server = FakeUpstream(streamed(*ANSWER))

    send(server, question(PROMPT_MODEL), api="chat")

    assert server.calls[0][1]["messages"] == [
        {"role": "user", "content": "Be brief.\n\nThe capital?"}
    ]


def test_with_a_default_every_model_is_listed_once():
    """Any id is served: the registry's, and those of the map that it lacks."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", default="w", names={"mine": "m"}))

    ids = [model_info.id for model_info in engine.models()]

    assert {CHAT_MODEL, PROMPT_MODEL, "mine"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_without_a_default_only_the_named_models_are_listed():
    """An id that no registry has too."""
    engine = OpenAIEngine(
        Upstream(url="http://127.0.0.1:9/v1", names={CHAT_MODEL: "a", "mine": "b"})
    )

    assert [model_info.id for model_info in engine.models()] == [CHAT_MODEL, "mine"]
