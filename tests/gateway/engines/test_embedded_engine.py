"""The embedded engine: a small real model that stands in for every family."""

import json
import sys

import pytest

from dashscope_oss import (
    Client,
    ConfigurationError,
    ContextLengthError,
    Endpoint,
    InvalidRequestError,
    Message,
    Options,
    chat_request,
    find_model,
)
from dashscope_oss.gateway import APIError, EmbeddedEngine, Gateway, serve_in_thread
from dashscope_oss.gateway.engines import embedded as embedded_engine
from dashscope_oss.gateway.engines import weights
from dashscope_oss.messages import ImagePart
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry import lookup
from tests.gateway.engines.openai.calls import deltas_of
from tests.gateway.fake_upstream import FakeUpstream, failed


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


def test_a_small_model_of_text_refuses_images(embedded):
    """Whatever the model sees for which it stands in."""
    image = Message.of_parts("user", [ImagePart("http://127.0.0.1:1/a.png")])
    request = chat_request(find_model("qwen3.6-27b"), [image], Options(enable_thinking=False))
    with (
        Client(Endpoint.resolve(base_url=embedded)) as client,
        pytest.raises(InvalidRequestError, match="a message of a certain modal"),
    ):
        client.send(request)


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
    counts = [delta.raw["usage"]["output_tokens"] for delta in deltas if "usage" in delta.raw]
    assert counts == sorted(counts)
    assert len(set(counts)) > 1


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
        tools=[ADD],
        tool_choice={"type": "function", "function": {"name": "add"}},
        max_tokens=60,
        temperature=0.0,  # by chance it writes white space until the tokens are used up
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


def test_arguments_that_were_cut_off_are_said_to_be(embedded):
    choice = {"type": "function", "function": {"name": "add"}}
    options = Options(tools=[ADD], tool_choice=choice, max_tokens=3, temperature=0.0)
    request = chat_request(find_model("glm-5"), [Message("user", "3 + 4?")], options)
    with Client(Endpoint.resolve(base_url=embedded)) as client:
        reply = client.send(request)

    assert reply.finish_reason == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_the_stand_in_goes_on_with_a_partial_answer(embedded, stream):
    """By its own template, and with log probabilities."""
    options = Options(max_tokens=2, temperature=0.0, extra={"logprobs": True})
    turns = [Message("user", "Tell a tale."), Message("assistant", "Once upon a", partial=True)]
    request = chat_request(find_model("llama3-8b-instruct"), turns, options, stream=stream)
    with Client(Endpoint.resolve(base_url=embedded)) as client:
        reply = join_deltas([*client.stream(request)]) if stream else client.send(request)

    assert reply.text.startswith(" time")
    assert len(reply.logprobs["content"]) == 2


def test_too_long_for_the_stand_in_is_an_error(embedded):
    """The stand-in's own limit is told, not cut in silence."""
    model_info = find_model("glm-5.1")
    request = chat_request(
        model_info, [Message("user", "word " * 9000)], Options(enable_thinking=False, max_tokens=1)
    )
    refused = pytest.raises(ContextLengthError, match=r"\[1, 8192\], the stand-in's limit")
    with Client(Endpoint.resolve(base_url=embedded)) as client, refused:
        client.send(request)


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
    model_info = find_model("llama3-8b-instruct")
    request = chat_request(model_info, [Message("user", "Hi")], Options(max_tokens=2))
    with serve_in_thread(Gateway(engine)) as url, Client(Endpoint.resolve(base_url=url)) as client:
        assert client.send(request).served_by.startswith("SmolLM2-135M-Instruct.Q4_1 (stand-in")


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch, small_model):
    """Without xllamacpp the gateway does not start and says what to install."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    gateway = serve_in_thread(Gateway(EmbeddedEngine()))
    with pytest.raises(ConfigurationError, match=r"dashscope-oss\[local\]"), gateway:
        pass


def test_the_stand_in_lists_every_model():
    """It answers for all of them."""
    assert EmbeddedEngine().models() == lookup.all_models()


async def test_a_start_that_fails_leaves_nothing_open(monkeypatch):
    """The model loads, but cannot answer: connections and model are freed."""
    server = FakeUpstream(failed(500, {"error": "out of memory"}))
    address = server.url.removesuffix("/v1")
    monkeypatch.setattr(weights, "fetch", lambda: None)
    monkeypatch.setattr(embedded_engine, "_load", lambda *_: (object(), address))
    engine = EmbeddedEngine()

    with pytest.raises(APIError, match="failed"):
        await engine.start()

    with pytest.raises(RuntimeError, match="start"):
        await deltas_of(engine)
