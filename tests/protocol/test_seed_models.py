"""The ten models of the vendor's pages: what is sent for each, and what its page's reply gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx2
import pytest

from dashscope_oss import (
    Client,
    ClientOptions,
    Endpoint,
    Message,
    Usage,
    chat_request,
    completion_request,
    find_model,
)
from dashscope_oss.protocol.assembler import Assembler
from dashscope_oss.protocol.request import Request
from dashscope_oss.protocol.response import read_reply
from dashscope_oss.protocol.streaming.deltas import join_deltas
from dashscope_oss.registry.catalog import SEED_IDS
from tests.protocol.bodies import events

QUESTION = "介绍下故宫"
TURNS = [
    Message("system", "You are a helpful assistant."),
    Message("user", "Where is the capital of Zhejiang?"),
    Message("assistant", "It is Hangzhou."),
    Message("user", "What is there to see?"),
]
WIRE_TURNS = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Where is the capital of Zhejiang?"},
    {"role": "assistant", "content": "It is Hangzhou."},
    {"role": "user", "content": "What is there to see?"},
]
URL = "https://dashscope.aliyuncs.com/api/v1/services/aigc/text-generation/generation"

ZIYA_PROMPT = "<human>:帮我写一份去西安的旅游计划\n<bot>:"
BELLE_PROMPT = "Human:你好\n\nAssistant:"
BILLA_PROMPT = (
    "Human: Write a Python function that checks if a given number is even or odd.\nAssistant: "
)
BAICHUAN_PROMPT = "登鹳雀楼->王之涣\n夜雨寄北->"

# The samples of the pages' HTTP sections as they come on the wire; […] marks where a long answer
# is shortened.
LLAMA_SAMPLE = {
    "output": {
        "text": "Hangzhou, the capital of Zhejiang Province, is a city with a rich history and "
        "culture […]\n\n1. West Lake (Xi Hu): A must-visit attraction […] there's something for "
        "everyone in this beautiful city."
    },
    "usage": {"output_tokens": 632, "input_tokens": 35},
    "request_id": "fbd7e41a-363c-938a-81be-8ae0f9fbdb3d",
}
ZIYA_ANSWER = (
    "好的,以下是一份去西安旅游的详细计划:\nDay 1:到达西安\n- 前往酒店入住\n[…]\nDay 5:离开西安\n"
    "- 前往机场离开西安\n希望您在西安有一个愉快的旅程!"
)
ZIYA_SAMPLE = {
    "output": {
        "text": "<s><human> :帮我写一份去西安的旅游计划\n<bot> : " + ZIYA_ANSWER + "</s>",
    },
    "request_id": "d89c06fb-46a1-47b6-acb9-bfb17f814969",
}
BELLE_SAMPLE = {
    "output": {"text": "你好,欢迎来到我们的国家/城市。有什么我可以帮你的吗"},
    "request_id": "d89c06fb-46a1-47b6-acb9-bfb17f814969",
}
BILLA_SAMPLE = {
    "output": {
        "text": "```python\ndef is_even(num):\n return num % 2 == 0\n```\n\nThis function takes an "
        "integer `num` as an input and returns `True` […] then the number is even."
    },
    "request_id": "d89c06fb-46a1-47b6-acb9-bfb17f814969",
}
PALACE = (
    "故宫又称紫禁城,位于北京中轴线的中心,占地72万平方米。[…]故宫是中国古代建筑史上的一个伟大创举。"
)
BAICHUAN_SAMPLE = {
    # The page's SDK sample; its model is not named, so the base model's form has no usage.
    "output": {"text": "介绍下故宫\n" + PALACE},
    "request_id": "dcb8fe29-6b2a-9797-8e35-f81b4aa7b33c",
}
BAICHUAN2_SAMPLE = {
    "output": {
        "choices": [
            {
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content_type": "text",
                    "content": "故宫,位于中国北京市中心,是中国明清两代的皇家宫殿[…]\n\n"
                    "故宫占地面积72万平方米,建筑面积约10万平方米。[…]",
                },
            }
        ]
    },
    "usage": {"output_tokens": 180, "input_tokens": 11},
    "request_id": "3719bbfa-0ab8-997d-9207-21355f7320b3",
}


@dataclass(frozen=True)
class Seed:
    """What is expected of one model.

    ``one``, ``talk`` and ``bare`` are the prompts of a question, of TURNS, and of ``complete()``;
    ``None`` stands for messages. ``prompt`` is what the page sends for its ``sample``.
    """

    id: str
    sample: dict[str, object]
    answer: str
    one: str | None = None
    talk: str | None = None
    bare: str | None = None
    prompt: str | None = None
    usage: Usage | None = None
    finish: str | None = None
    parameters: dict[str, object] = field(default_factory=dict)


def _llama(id: str, bare: str | None) -> Seed:
    return Seed(
        id,
        LLAMA_SAMPLE,
        LLAMA_SAMPLE["output"]["text"],
        bare=bare,
        usage=Usage(input_tokens=35, output_tokens=632, total_tokens=667),
        parameters={"result_format": "message"},
    )


def _baichuan2(id: str) -> Seed:
    return Seed(
        id,
        BAICHUAN2_SAMPLE,
        BAICHUAN2_SAMPLE["output"]["choices"][0]["message"]["content"],
        bare=QUESTION,
        usage=Usage(input_tokens=11, output_tokens=180, total_tokens=191),
        finish="stop",
        parameters={"result_format": "message"},
    )


SEEDS = [
    _llama("llama2-7b-chat-v2", QUESTION),
    _llama("llama2-13b-chat-v2", QUESTION),
    _llama("llama3-8b-instruct", None),
    _llama("llama3-70b-instruct", None),
    Seed(
        "ziya-llama-13b-v1",
        ZIYA_SAMPLE,
        ZIYA_ANSWER,
        one="<human>:介绍下故宫\n<bot>:",
        bare="<human>:介绍下故宫\n<bot>:",
        talk="<human>:You are a helpful assistant.\n\nWhere is the capital of Zhejiang?\n<bot>:"
        "It is Hangzhou.</s><human>:What is there to see?\n<bot>:",
        prompt=ZIYA_PROMPT,
    ),
    Seed(
        "belle-llama-13b-2m-v1",
        BELLE_SAMPLE,
        BELLE_SAMPLE["output"]["text"],
        one="Human:介绍下故宫\n\nAssistant:",
        bare="Human:介绍下故宫\n\nAssistant:",
        talk="Human:You are a helpful assistant.\n\nWhere is the capital of Zhejiang?\n\nAssistant:"
        "It is Hangzhou.Human:What is there to see?\n\nAssistant:",
        prompt=BELLE_PROMPT,
    ),
    Seed(
        "billa-7b-sft-v1",
        BILLA_SAMPLE,
        BILLA_SAMPLE["output"]["text"],
        one="Human: 介绍下故宫\nAssistant: ",
        bare="Human: 介绍下故宫\nAssistant: ",
        talk="Human: You are a helpful assistant.\n\nWhere is the capital of Zhejiang?\nAssistant: "
        "It is Hangzhou.\nHuman: What is there to see?\nAssistant: ",
        prompt=BILLA_PROMPT,
    ),
    Seed(
        "baichuan-7b-v1",
        BAICHUAN_SAMPLE,
        PALACE,
        one=QUESTION,
        bare=QUESTION,
        talk="You are a helpful assistant.\n\nWhere is the capital of Zhejiang?It is Hangzhou.\n"
        "What is there to see?",
        prompt=QUESTION,
    ),
    _baichuan2("baichuan2-7b-chat-v1"),
    _baichuan2("baichuan2-13b-chat-v1"),
]
each = pytest.mark.parametrize("seed", SEEDS, ids=[seed.id for seed in SEEDS])


def _bodies_of(make: Callable[[bool], Request]) -> list[dict[str, object]]:
    """What is sent for a call without a stream, and with one."""
    return [json.loads(make(stream).content) for stream in (False, True)]


def _expected_bodies(seed: Seed, prompt: str | None, messages: list) -> list[dict[str, object]]:
    parameters = seed.parameters if prompt is None else {}
    body_input = {"messages": messages} if prompt is None else {"prompt": prompt}
    return [
        {"model": seed.id, "input": body_input, "parameters": {**parameters, **more}}
        for more in ({}, {"incremental_output": True})
    ]


def _sampled(seed: Seed) -> Request:
    """Return the request that the page's sample answers."""
    model_info = find_model(seed.id)
    if seed.prompt is None:
        return chat_request(model_info, [Message("user", QUESTION)])
    return completion_request(model_info, seed.prompt)


def test_the_table_holds_the_ten_models_of_the_pages():
    assert {seed.id for seed in SEEDS} == set(SEED_IDS)


@each
def test_body_of_one_user_turn(seed: Seed):
    turns = [Message("user", QUESTION)]
    bodies = _bodies_of(lambda stream: chat_request(find_model(seed.id), turns, stream=stream))
    assert bodies == _expected_bodies(seed, seed.one, [{"role": "user", "content": QUESTION}])


@each
def test_body_of_a_system_message_and_several_turns(seed: Seed):
    bodies = _bodies_of(lambda stream: chat_request(find_model(seed.id), TURNS, stream=stream))
    assert bodies == _expected_bodies(seed, seed.talk, WIRE_TURNS)


@each
def test_body_of_a_bare_completion(seed: Seed):
    model_info = find_model(seed.id)
    bodies = _bodies_of(lambda stream: completion_request(model_info, QUESTION, stream=stream))
    assert bodies == _expected_bodies(seed, seed.bare, [{"role": "user", "content": QUESTION}])


def test_the_body_is_utf8_json_with_the_keys_in_the_pages_order():
    content = chat_request(find_model("belle-llama-13b-2m-v1"), [Message("user", "你好")]).content
    assert content.decode() == (
        '{"model":"belle-llama-13b-2m-v1","input":{"prompt":"Human:你好\\n\\nAssistant:"},'
        '"parameters":{}}'
    )


@pytest.mark.parametrize(
    ("id", "question", "prompt"),
    [
        ("ziya-llama-13b-v1", "帮我写一份去西安的旅游计划", ZIYA_PROMPT),
        ("belle-llama-13b-2m-v1", "你好", BELLE_PROMPT),
        (
            "billa-7b-sft-v1",
            "Write a Python function that checks if a given number is even or odd.",
            BILLA_PROMPT,
        ),
        ("baichuan-7b-v1", BAICHUAN_PROMPT, BAICHUAN_PROMPT),
    ],
)
def test_prompts_equal_those_of_the_pages_byte_for_byte(id, question, prompt):
    model_info = find_model(id)
    assert chat_request(model_info, [Message("user", question)]).prompt == prompt
    assert completion_request(model_info, question).prompt == prompt
    assert (
        completion_request(model_info, prompt).prompt == prompt
    )  # it is not wrapped a second time


@pytest.mark.filterwarnings("ignore::dashscope_oss.RetiredModelWarning")
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_goes_to_the_pages_address_with_the_pages_headers(stream):
    """A stream is asked for by two headers, and never in the body."""
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json=LLAMA_SAMPLE)

    request = chat_request(find_model("llama2-7b-chat-v2"), TURNS, stream=stream)
    endpoint = Endpoint.resolve(api_key="sk-test", workspace="ws_QTggmeAxxxxx")
    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = Client(endpoint, ClientOptions(http_client=http))
        _ = list(client.stream(request)) if stream else client.send(request)
    headers = sent[0].headers
    assert str(sent[0].url) == URL
    assert headers["authorization"] == "Bearer sk-test"
    assert headers["content-type"] == "application/json"
    assert headers["accept"] == ("text/event-stream" if stream else "application/json")
    assert headers["x-dashscope-workspace"] == "ws_QTggmeAxxxxx"
    assert headers.get("x-dashscope-sse") == ("enable" if stream else None)
    assert b'"stream"' not in sent[0].content


@each
def test_the_reply_of_the_page(seed: Seed):
    reply = read_reply(_sampled(seed), seed.sample)
    assert reply.text == seed.answer
    assert reply.usage == seed.usage
    assert reply.finish_reason == seed.finish
    assert reply.request_id == seed.sample["request_id"]
    assert reply.raw == seed.sample


def test_zero_usage_as_the_vendors_sdk_prints_it_is_none():
    printed = {"status_code": 200, "code": "", "message": ""}
    usage = {"input_tokens": 0, "output_tokens": 0}
    for seed in SEEDS:
        reply = read_reply(_sampled(seed), {**printed, **seed.sample, "usage": usage})
        assert (reply.text, reply.usage) == (seed.answer, None)


def test_the_printed_sample_of_a_baichuan_prompt_call_loses_its_echo_and_keeps_its_usage():
    request = completion_request(find_model("baichuan2-7b-chat-v1"), QUESTION)
    sample = {**BAICHUAN_SAMPLE, "usage": {"input_tokens": 5, "output_tokens": 470}}
    reply = read_reply(request, sample)
    assert reply.text == PALACE
    assert reply.usage == Usage(input_tokens=5, output_tokens=470, total_tokens=475)


def test_a_leaked_marker_in_a_llama_answer_is_left_alone():
    text = "Hey, are you conscious?\n[/Inst:  Hey, I'm not sure if I'm conscious or not."
    request = completion_request(find_model("llama2-7b-chat-v2"), "hello, who are you?")
    assert read_reply(request, {"output": {"text": text}}).text == text


def _stream_of(seed: Seed, *, cumulative: bool) -> bytes:
    """Return the page's answer as a stream of new text, or of all the text so far."""
    text = seed.sample["output"].get("text", seed.answer)
    ends = [*range(7, len(text), 7), len(text)]
    bodies = []
    for start, end in zip([0, *ends], ends, strict=False):
        output = {"text": text[0 if cumulative else start : end]}
        if seed.finish:
            output["finish_reason"] = "null" if end < len(text) else seed.finish
        bodies.append({**seed.sample, "output": output})
    return events(bodies)


@each
def test_the_reply_of_the_page_as_a_stream(seed: Seed):
    request = _sampled(seed)
    if seed.id == "baichuan-7b-v1":
        seed = replace(seed, finish="stop")  # as its streams report
    for cumulative in (False, True):
        assembler = Assembler(request)
        deltas = [
            *assembler.feed(_stream_of(seed, cumulative=cumulative)),
            *assembler.close(),
        ]
        reply = join_deltas(deltas)
        facts = (reply.text, reply.usage, reply.finish_reason)
        assert facts == (seed.answer, seed.usage, seed.finish)
        assert len(deltas) > 1
