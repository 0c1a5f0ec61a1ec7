"""Calls of the gateway's second door over real sockets, as curl would make them."""

import json

import httpx

from dashscope_oss.messages import ToolCall, Usage

USAGE = Usage(input_tokens=7, output_tokens=9, total_tokens=16)
COUNTS = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
HI = [{"role": "user", "content": "hi"}]
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALLS = (ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", '{"a": 2}'))


def door(base_url):
    """The address for a client of OpenAI's."""
    return base_url.removesuffix("/api/v1") + "/compatible-mode/v1"


def ask(base_url, *, model="llama3-8b-instruct", messages=HI, headers=None, **more):
    """The response to a chat completion."""
    body = {"model": model, "messages": messages, **more}
    url = f"{door(base_url)}/chat/completions"
    return httpx.post(url, json=body, headers=headers or {}, verify=False)


def choice(response):
    """The only choice of a whole answer."""
    assert response.status_code == 200, response.text
    [only] = response.json()["choices"]
    return only


def events(response):
    """What each event of a stream holds, as text."""
    lines = response.text.removesuffix("\n\n").split("\n\n")
    return [line.removeprefix("data: ") for line in lines]


def chunks(response):
    """The chunks of a stream that ends as it must."""
    assert response.status_code == 200, response.text
    *before, done = events(response)
    assert done == "[DONE]"
    return list(map(json.loads, before))


def deltas(response):
    """The pieces in the chunks of a stream."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(response) if chunk["choices"]]
